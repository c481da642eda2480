//! The imports of the component that this project defines: the queue, and Spin's variables.

use std::sync::Arc;

use chargegate_core::EnqueueError;
use wasmtime::component::{Accessor, HasSelf, Linker};

use crate::state::InstanceState;

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

/// Adds the queue to `linker`, and variables without values: the component then reads the environment.
pub(crate) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;
    queue::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)
}

impl variables::Host for InstanceState {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<InstanceState> {
    async fn get(
        _accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, variables::Error>> {
        Ok(Err(variables::Error::Undefined(name)))
    }
}

impl queue::Host for InstanceState {}

impl<T: Send> queue::HostWithStore<T> for HasSelf<InstanceState> {
    async fn enqueue(
        accessor: &Accessor<T, Self>,
        message: String,
    ) -> wasmtime::Result<Result<(), queue::Error>> {
        let queue = accessor.with(|mut access| Arc::clone(&access.get().queue));
        Ok(queue.enqueue(message).await.map_err(Into::into))
    }
}
