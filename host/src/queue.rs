//! The queue the component sees, on the side of the process.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

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

/// Where the edge puts accepted requests.
pub trait Enqueue: Send + Sync + 'static {
    /// Puts `message` on the queue, and answers once it is confirmed at the durability the queue promises.
    ///
    /// The future may be dropped before it is ready, when the client has been told that nothing was confirmed; the
    /// message may then be on the queue or not.
    ///
    /// # Errors
    /// [`EnqueueError`]: the message was not confirmed.
    fn enqueue(&self, message: String) -> impl Future<Output = Result<(), EnqueueError>> + Send;
}

impl<Q: Enqueue> Enqueue for Arc<Q> {
    fn enqueue(&self, message: String) -> impl Future<Output = Result<(), EnqueueError>> + Send {
        Q::enqueue(self, message)
    }
}

/// Why a message was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// The queue is at its depth limit.
    #[error("the queue is full")]
    Full,
    /// The message is larger than the queue takes.
    #[error("the message is too large for the queue")]
    TooLarge,
    /// The queue did not confirm in time.
    #[error("the queue did not confirm in time")]
    TimedOut,
    /// The queue cannot be reached, or failed.
    #[error("the queue is unavailable")]
    Unavailable,
}

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

/// [`Enqueue`] without its type, so that one compiled component serves any queue.
pub(crate) trait Erased: Send + Sync {
    fn enqueue(&self, message: String)
    -> Pin<Box<dyn Future<Output = Result<(), EnqueueError>> + Send + '_>>;
}

impl<Q: Enqueue> Erased for Q {
    fn enqueue(
        &self,
        message: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), EnqueueError>> + Send + '_>> {
        Box::pin(Enqueue::enqueue(self, message))
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
