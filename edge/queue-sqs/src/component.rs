//! The component on WASI 0.3, over `wasi:http` and `spin:variables`.

use std::rc::Rc;

use chargegate_queue::{QueueInstance, SpinComponentHost, bindings};

use crate::SqsQueue;
use crate::http::WasiHttp;

struct SqsComponent;

impl bindings::Guest for SqsComponent {
    async fn enqueue(message: String) -> Result<(), bindings::Error> {
        let instance = INSTANCE.with(Rc::clone);
        Ok(instance.enqueue(&message).await?)
    }
}

bindings::export!(SqsComponent with_types_in bindings);

thread_local! {
    static INSTANCE: Rc<QueueInstance<SqsQueue<WasiHttp>, SpinComponentHost>> =
        Rc::new(QueueInstance::new(SqsQueue::new(WasiHttp), SpinComponentHost));
}
