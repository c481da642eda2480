//! The fixture table, through `accept`.

#![cfg(test)]

#[path = "../fixtures/runner.rs"]
mod runner;

#[path = "../fixtures/native.rs"]
mod native;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Every future of a case is ready when it is polled, or has no one to wake it.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the edge waits for something that will not come"),
    }
}

#[test]
fn every_case_of_the_table_holds_natively() {
    ready(runner::run(&mut native::Native::new()));
}
