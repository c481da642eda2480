//! The rules both sides of chargegate share: what a request is, what travels through the queue, when a
//! message is decided or shed, when a callback is tried again, and which addresses are never called.
//!
//! There is no IO here, no clock, no randomness and no logging: callers pass in bytes, the time and random
//! numbers, and get back values that say what to do. The crate is `no_std` and needs only `alloc`.
#![no_std]

extern crate alloc;

mod address;
mod callback_url;
mod charset;
mod deadline;
mod decision;
mod driver_token;
mod enqueue_error;
mod idempotency;
pub mod json;
mod message;
mod message_group;
mod problem;
mod request;
mod request_id;
mod retry;
mod retry_budget;
pub mod sqs;
mod station_id;
mod stream;
mod time;
mod traceparent;

pub use address::{AddressPolicy, ForbiddenAddress, IpNetwork, IpNetworkError};
pub use callback_url::{CallbackHost, CallbackScheme, CallbackUrl, CallbackUrlError, RequestTarget};
pub use deadline::{DecisionRules, DecisionRulesError, DecisionStep, MessageAge, TimestampCheck};
pub use decision::{
    AuthorizationAnswerError, Decision, DecisionReason, DecisionStatus, UnknownDecisionName,
    authorization_body, callback_body, parse_authorization_answer,
};
pub use driver_token::{DriverToken, DriverTokenError};
pub use enqueue_error::EnqueueError;
pub use idempotency::{IdempotencyKey, IdempotencyKeyError};
pub use message::{MAX_MESSAGE_BYTES, MessageDecodeError, MessageToken, SessionMessage};
pub use message_group::{message_group, message_group_of};
pub use problem::{ProblemDetails, ProblemKind};
pub use request::{FieldError, FieldErrorCode, MAX_BODY_BYTES, RequestRejection, SessionRequest};
pub use request_id::{RequestId, RequestIdError};
pub use retry::{AttemptOutcome, GiveUpReason, NextAttempt, RetryPolicy, full_jitter};
pub use retry_budget::RetryBudget;
pub use station_id::{StationId, StationIdError};
pub use stream::{
    STREAM_COUNT, STREAM_FIELD, STREAM_GROUP, STREAM_PREFIX, history_key, stream_for, stream_key,
};
pub use time::{UnixMillis, UtcDateTime};
pub use traceparent::Traceparent;
