//! The edge's queue on Amazon SQS, as a component that Spin composes with the edge.
//!
//! [`SqsQueue`] holds the rules and does not depend on a host: how a message is signed and sent, and how a response of
//! the service is read. For WASI, `http.rs` makes the requests and `component.rs` exports the queue.

#[cfg(target_os = "wasi")]
mod component;
#[cfg(target_os = "wasi")]
mod http;

mod error;
mod queue;
mod request;
mod response;
mod settings;

pub use chargegate_sqs_protocol::{EndpointScheme, message_group};
pub use error::SqsEnqueueError;
pub use queue::{SqsQueue, SqsTransport, SqsTransportError};
pub use request::SqsRequest;
pub use response::SqsResponse;
pub use settings::SqsQueueSettings;
