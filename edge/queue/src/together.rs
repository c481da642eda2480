//! Waiting for several things at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What all of `work` give, in their order, once the last is done.
pub(crate) async fn together<F: Future>(work: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut work: Vec<_> = work.map(Work::begun).collect();
    poll_fn(|cx| {
        let mut is_pending = false;
        for work in &mut work {
            if let Work::Begun(begun) = work {
                match begun.as_mut().poll(cx) {
                    Poll::Ready(output) => *work = Work::Done(output),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    work.into_iter().filter_map(Work::done).collect()
}

enum Work<F: Future> {
    Begun(Pin<Box<F>>),
    Done(F::Output),
}

impl<F: Future> Work<F> {
    fn begun(work: F) -> Self {
        Self::Begun(Box::pin(work))
    }

    fn done(self) -> Option<F::Output> {
        match self {
            Self::Begun(_) => None,
            Self::Done(output) => Some(output),
        }
    }
}
