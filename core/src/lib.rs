//! The rules that both sides of chargegate share, edge and worker.
//!
//! The crate does no IO and has neither clock, randomness nor logging: callers pass in bytes, the time and random
//! numbers, and receive decisions as data. It is `no_std` and needs only `alloc`.
//!
//! A request passes through these types, each with an example in its documentation:
//!
//! 1. [`SessionRequest`]: the edge parses the body of a request, and rejects it with every invalid field at once.
//! 2. [`SessionMessage`]: the accepted request travels through the queue as one versioned JSON text.
//! 3. [`DecisionRules`]: the worker calls the authorization service while there is time, or sheds the message.
//! 4. [`DestinationPolicy`]: the decision is posted to the callback URL, but never to a forbidden destination.
//! 5. [`RetryPolicy`]: a failed callback is retried with growing waits, and finally becomes a dead letter.
#![no_std]

extern crate alloc;

mod acl_controller;
mod acl_fleet;
mod acl_queue;
mod address;
mod callback_url;
mod charset;
mod deadline;
mod decision;
mod destination;
mod driver_token;
mod enqueue_error;
mod idempotency;
pub mod json;
mod lease;
mod message;
mod problem;
mod receiver_health;
mod request;
mod request_id;
mod retry;
mod retry_after;
mod retry_budget;
mod station_id;
mod time;
mod traceparent;

pub use acl_controller::{AclController, BreakerState, CallEnd, CallSums, MAX_ACL_PAUSE};
pub use acl_fleet::{AclFleet, AclShare, AclWorkerId, CallAllowance, SHARE_RENEWAL, ShareRenewal};
pub use acl_queue::{AclQueue, AclTicket};
pub use address::{
    AddressPolicy, ForbiddenAddress, IpNetwork, IpNetworkError, IpNetworks, Nat64Prefix, Nat64PrefixError,
};
pub use callback_url::{CallbackHost, CallbackScheme, CallbackUrl, CallbackUrlError, RequestTarget};
pub use deadline::{DecisionRules, DecisionRulesError, DecisionStep, MessageAge, TimestampCheck};
pub use decision::{
    AuthorizationAnswerError, Decision, DecisionReason, DecisionStatus, MAX_DELIVERIES, UnknownDecisionName,
    authorization_body, callback_body, parse_authorization_answer,
};
pub use destination::{
    AllowedSchemes, DestinationPolicy, DestinationSetting, DestinationSettingError, ForbiddenDestination,
    HostPatterns, HostPatternsError, PortRanges, PortRangesError,
};
pub use driver_token::{DriverToken, DriverTokenError};
pub use enqueue_error::EnqueueError;
pub use idempotency::{IdempotencyKey, IdempotencyKeyError};
pub use lease::{callback_lease, message_lease, short_message_lease};
pub use message::{MAX_MESSAGE_BYTES, MessageDecodeError, MessageToken, SessionMessage};
pub use problem::{ProblemDetails, ProblemKind};
pub use receiver_health::{ReceiverAdmission, ReceiverHealth, ReceiverResponse};
pub use request::{FieldError, FieldErrorCode, MAX_BODY_BYTES, RequestRejection, SessionRequest};
pub use request_id::{RequestId, RequestIdError};
pub use retry::{
    AttemptOutcome, CALLBACK_RESEND_INTERVAL, GiveUpReason, NextAttempt, RetryPolicy, full_jitter,
};
pub use retry_after::parse_retry_after;
pub use retry_budget::RetryBudget;
pub use station_id::{StationId, StationIdError};
pub use time::{UnixMillis, UtcDateTime};
pub use traceparent::Traceparent;
