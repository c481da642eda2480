//! A failing queue: no request is acknowledged, the client gets the reason, the log has the code, and requests are
//! accepted once the queue recovers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::support::{BrokerVerdict, FakeBroker, TestWorker, queue};
use crate::host::support::bounded;
use crate::posts::{assert_accepted, assert_refused, post};

#[test]
fn a_refusal_of_the_queue_is_logged_by_code_and_the_queue_used_again() {
    bounded(async {
        let (broker, fake) = FakeBroker::start().await;
        let edge = TestWorker::edge(broker);
        let mut client = edge.connect().await;
        for (status, code, detail) in [
            (429, Some(10_250), "the queue is full"),
            (429, Some(10_251), "the queue is full"),
            (429, Some(10_252), "the queue is unavailable"),
            (429, Some(10_253), "the queue is unavailable"),
            (404, Some(10_104), "the queue is unavailable"),
            (403, Some(10_106), "the queue is unavailable"),
            (500, Some(15_000), "the queue is unavailable"),
            (429, None, "the queue is unavailable"),
            (500, None, "the queue is unavailable"),
        ] {
            fake.set_verdict(BrokerVerdict::Refuses(status, code));
            assert_refused(&post(&mut client).await, detail);
            // workerd's own code for a refusal without one.
            let code = code.unwrap_or(15_000);
            let logged = format!("JOBS did not confirm a message: error {code} of");
            assert!(edge.0.log().unwrap().contains(&logged), "{logged}");
            fake.set_verdict(BrokerVerdict::Accepts);
            assert_accepted(&post(&mut client).await);
        }
        let log = edge.0.log().unwrap();
        assert!(!log.contains("driver-allowed") && !log.contains("client.example"), "{log}");
    });
}

#[test]
fn an_unintelligible_confirmation_is_not_a_confirmation() {
    bounded(async {
        let (broker, fake) = FakeBroker::start().await;
        fake.set_verdict(BrokerVerdict::Garbles);
        let edge = TestWorker::edge(broker);
        assert_refused(&post(&mut edge.connect().await).await, "the queue is unavailable");
        assert_eq!(fake.messages().len(), 1, "a 503 may be followed by a callback");
    });
}

#[test]
fn a_queue_that_is_down_is_unavailable_until_it_recovers() {
    bounded(async {
        // Bound but not listening yet: the port is reserved, and connections are refused.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let edge = TestWorker::edge(socket.local_addr().unwrap());
        let mut client = edge.connect().await;
        assert_refused(&post(&mut client).await, "the queue is unavailable");
        let _peer = FakeBroker::start_on(socket.listen(1024).unwrap());
        assert_accepted(&post(&mut client).await);
    });
}

#[test]
fn a_queue_that_cuts_its_connections_is_unavailable() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let edge = TestWorker::edge(address);
        assert_refused(&post(&mut edge.connect().await).await, "the queue is unavailable");
    });
}

#[test]
fn requests_to_a_hung_queue_time_out_while_later_ones_are_accepted() {
    bounded(async {
        let (broker, fake) = FakeBroker::start().await;
        fake.set_verdict(BrokerVerdict::Hangs);
        let edge = TestWorker::edge_with_timeout("20000", queue(broker));
        let start = Instant::now();
        let mut hanging = JoinSet::new();
        for mut client in join_all((0..50).map(|_| edge.connect())).await {
            hanging.spawn(async move { post(&mut client).await });
        }
        fake.wait_for_hanging(50).await;
        fake.set_verdict(BrokerVerdict::Accepts);
        assert_accepted(&post(&mut edge.connect().await).await);
        assert!(hanging.try_join_next().is_none(), "a hung request ended before the accepted one");
        for reply in hanging.join_all().await {
            assert_refused(&reply, "did not confirm in time");
        }
        assert!(start.elapsed() >= Duration::from_secs(20), "hung requests wait for the whole timeout");
        let logged = "JOBS did not confirm a message in 20000 ms, which CHARGEGATE_ENQUEUE_TIMEOUT_MS sets";
        assert_eq!(edge.0.log().unwrap().matches(logged).count(), 50);
    });
}

#[test]
fn a_queue_whose_port_is_never_read_times_out() {
    bounded(async {
        // The kernel accepts connections, but no process reads from them.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let edge = TestWorker::edge_with_timeout("1000", queue(address));
        assert_refused(&post(&mut edge.connect().await).await, "did not confirm in time");
    });
}
