//! The fixture table, run against `accept`.

#![cfg(test)]

#[path = "../fixtures/runner.rs"]
mod runner;

#[path = "../fixtures/native.rs"]
mod native;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Returns the output of a future that is ready at its first poll, since nothing would wake it.
fn poll_ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the edge waits although nothing can wake it"),
    }
}

#[test]
fn every_case_of_the_table_holds_natively() {
    poll_ready(runner::run(&mut native::NativeEdge::new()));
}
