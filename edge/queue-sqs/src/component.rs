//! The queue as a component on WASI 0.3, over `wasi:http` and `spin:variables`.

use std::rc::Rc;

use chargegate_queue::{Instance, QueueError, Spin};

use crate::Queue;
use crate::http::Http;

#[expect(clippy::same_length_and_capacity, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        world: "queue-engine",
        path: "../../wit",
        generate_all,
    });

    export!(Component);

    use super::Component;
}

use bindings::exports::chargegate::edge::queue;

struct Component;

impl queue::Guest for Component {
    async fn enqueue(message: String) -> Result<(), queue::Error> {
        let instance = INSTANCE.with(Rc::clone);
        instance.enqueue(&message).await.map_err(|error| match error {
            QueueError::Full => queue::Error::Full,
            QueueError::TooLarge => queue::Error::TooLarge,
            QueueError::TimedOut => queue::Error::TimedOut,
            QueueError::Unavailable(()) => queue::Error::Unavailable,
        })
    }
}

thread_local! {
    static INSTANCE: Rc<Instance<Queue<Http>, Spin>> = Rc::new(Instance::new(Queue::new(Http), Spin));
}
