//! What only an engine on Amazon SQS can suffer, on servers and peers of a test's own.

pub(crate) mod by_hand;
