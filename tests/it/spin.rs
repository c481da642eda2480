//! The edge on Spin, with its queue in Redis or on Amazon SQS: composed as `spin.toml` says, and run as Spin runs it.

mod compose;
mod faults;
mod fixtures;
mod host;
mod imports;
mod manifest;
mod measure;
mod program;
mod sessions;
mod sqs;
mod support;
