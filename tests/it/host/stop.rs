//! Shutdown of the host.

use std::sync::{Arc, Weak};
use std::time::Duration;

use chargegate_host::{DrainOutcome, HostLimits};
use tokio::net::TcpStream;

use super::support::{ConfirmingQueue, GatedQueue, ScriptedProducer, TestHost, bounded};

#[test]
fn a_stop_refuses_connections_and_finishes_requests_in_flight() {
    bounded(async {
        let (gate, mut gate_control) = GatedQueue::new();
        let host = TestHost::guest(HostLimits::DEFAULT, Arc::new(gate)).await;
        let address = host.address;
        let mut idle = host.connect().await;
        assert_eq!(idle.get("/served").await.status, 200);
        let mut waiting = host.connect().await;
        waiting.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        gate_control.entered().await;
        let served = host.stop();
        assert!(idle.reply(false).await.is_none(), "an idle connection outlives the stop");
        assert!(TcpStream::connect(address).await.is_err(), "the listener outlives the stop");
        gate_control.allow(1);
        assert_eq!(waiting.reply(false).await.unwrap().status, 202);
        assert_eq!(served.await.unwrap(), DrainOutcome::Complete);
    });
}

#[test]
fn a_stop_cuts_requests_that_exceed_the_drain_timeout() {
    bounded(async {
        let (gate, mut gate_control) = GatedQueue::new();
        let limits = HostLimits {
            drain_timeout: Duration::from_millis(200),
            request_timeout: Duration::from_hours(1),
            ..HostLimits::DEFAULT
        };
        let host = TestHost::guest(limits, Arc::new(gate)).await;
        let mut waiting = host.connect().await;
        waiting.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        gate_control.entered().await;
        assert_eq!(host.stop().await.unwrap(), DrainOutcome::Cut { connections: 1 });
        assert!(waiting.reply(false).await.is_none());
    });
}

#[test]
fn the_queue_is_dropped_after_the_stop() {
    bounded(async {
        let queue = Arc::new(ScriptedProducer::default());
        let weak: Weak<_> = Arc::downgrade(&queue);
        let limits = HostLimits { instance_idle: Duration::from_hours(1), ..HostLimits::DEFAULT };
        let host = TestHost::guest(limits, queue).await;
        host.assert_serves().await;
        assert_eq!(host.stop().await.unwrap(), DrainOutcome::Complete);
        assert!(weak.upgrade().is_none(), "an instance is still alive");
    });
}

#[test]
fn a_host_serves_again_after_a_stop() {
    bounded(async {
        for _ in 0..2 {
            let host = TestHost::guest(HostLimits::DEFAULT, Arc::new(ConfirmingQueue)).await;
            host.assert_serves().await;
            assert_eq!(host.stop().await.unwrap(), DrainOutcome::Complete);
        }
    });
}
