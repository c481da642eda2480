//! The queue the component sees, on the side of the process.

use std::sync::Arc;

use chargegate_core::EnqueueError;
use wasmtime::component::{Accessor, HasSelf, Linker};

use crate::state::State;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "edge",
        imports: { default: async | trappable },
    });
}

use bindings::chargegate::edge::queue;
use bindings::spin::variables::variables;

impl From<EnqueueError> for queue::Error {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Full => Self::Full,
            EnqueueError::TooLarge => Self::TooLarge,
            EnqueueError::TimedOut => Self::TimedOut,
            EnqueueError::Unavailable => Self::Unavailable,
        }
    }
}

/// Makes the queue known to `linker`, and that there are no variables but those of the environment.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    queue::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl variables::Host for State {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<State> {
    async fn get(
        _accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, variables::Error>> {
        Ok(Err(variables::Error::Undefined(name)))
    }
}

impl queue::Host for State {}

impl<T: Send> queue::HostWithStore<T> for HasSelf<State> {
    async fn enqueue(
        accessor: &Accessor<T, Self>,
        message: String,
    ) -> wasmtime::Result<Result<(), queue::Error>> {
        let queue = accessor.with(|mut access| Arc::clone(&access.get().queue));
        Ok(queue.enqueue(message).await.map_err(Into::into))
    }
}
