//! The generated bindings of the exported interface `queue`, and the one mapping of errors into it.
//!
//! A component implements [`Guest`] and exports it by `export!(Type with_types_in bindings)`.

use chargegate_core::EnqueueError;

#[doc(hidden)]
#[expect(clippy::same_length_and_capacity, reason = "generated")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        world: "queue-engine",
        path: "../../wit",
        generate_all,
        pub_export_macro: true,
    });
}

#[doc(hidden)]
pub use generated::{export, exports};

pub use generated::exports::chargegate::edge::queue::{Error, Guest};

impl From<EnqueueError> for Error {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Full => Self::Full,
            EnqueueError::TooLarge => Self::TooLarge,
            EnqueueError::TimedOut => Self::TimedOut,
            EnqueueError::Unavailable => Self::Unavailable,
        }
    }
}
