//! The rules of Amazon SQS that the edge, which sends messages, and the worker, which receives them, have in common: names
//! of queues and regions, error codes, clock skew and message groups.
#![no_std]

extern crate alloc;

mod clock_skew;
mod endpoint;
mod fault;
mod message_group;

pub use clock_skew::ClockSkew;
pub use endpoint::{EndpointScheme, QueueNameError, check_queue_name, is_name, region_of_host};
pub use fault::{SqsFault, bare_code, error_code, error_message};
pub use message_group::{group_of_message, message_group};
