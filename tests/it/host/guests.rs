//! Misbehaving guests.

use std::sync::Arc;
use std::time::Duration;

use chargegate_host::HostLimits;
use tokio::net::TcpListener;

use super::support::{ConfirmingQueue, TestHost, bounded, settings};

/// Short, but long enough for `assert_serves` on a busy machine.
const SHORT: HostLimits = HostLimits { request_timeout: Duration::from_secs(3), ..DEFAULT };
const DEFAULT: HostLimits = HostLimits::DEFAULT;

#[test]
fn a_guest_that_never_yields_is_stopped_at_the_request_timeout() {
    bounded(async {
        let host = TestHost::guest(SHORT, Arc::new(ConfirmingQueue)).await;
        let reply = host.get("/spin").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        host.assert_serves().await;
    });
}

#[test]
fn a_guest_that_waits_forever_is_stopped_at_the_request_timeout() {
    bounded(async {
        let host = TestHost::guest(SHORT, Arc::new(ConfirmingQueue)).await;
        let reply = host.get("/hang").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        host.assert_serves().await;
    });
}

#[test]
fn a_trap_is_answered_500_and_the_next_request_is_served() {
    bounded(async {
        let host = TestHost::guest(DEFAULT, Arc::new(ConfirmingQueue)).await;
        let mut client = host.connect().await;
        for _ in 0..3 {
            let reply = client.get("/trap").await;
            assert_eq!(reply.status, 500);
            assert_eq!(reply.header("content-type"), Some("application/problem+json"));
            assert_eq!(client.get("/minimal").await.status, 202);
        }
    });
}

#[test]
fn a_guest_cannot_exceed_its_memory_limit() {
    bounded(async {
        let host =
            TestHost::guest(HostLimits { memory: 16 * 1024 * 1024, ..DEFAULT }, Arc::new(ConfirmingQueue))
                .await;
        assert_eq!(host.get("/grow?8").await.text(), "granted");
        assert_eq!(host.get("/grow?16").await.text(), "refused");
        assert_eq!(host.get("/grow").await.status, 500);
        host.assert_serves().await;
    });
}

#[test]
fn a_guest_cannot_exceed_the_response_limit() {
    bounded(async {
        let host =
            TestHost::guest(HostLimits { response_body: 1000, ..DEFAULT }, Arc::new(ConfirmingQueue)).await;
        assert_eq!(host.get("/large?1000").await.body.len(), 1000);
        assert_eq!(host.get("/large?1001").await.status, 500);
        host.assert_serves().await;
    });
}

#[test]
fn a_guest_cannot_reach_the_network_or_files() {
    bounded(async {
        let host = TestHost::guest(DEFAULT, Arc::new(ConfirmingQueue)).await;
        let bait = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = bait.local_addr().unwrap();
        assert_eq!(host.get(&format!("/outgoing?http://{address}/")).await.text(), "refused");
        assert_eq!(host.get(&format!("/socket?{address}")).await.text(), "refused");
        assert_eq!(host.get("/file?/").await.text(), "refused");
        assert_eq!(host.get("/file?.").await.text(), "refused");
        let called = tokio::time::timeout(Duration::from_millis(100), bait.accept()).await;
        assert!(called.is_err(), "the guest connected to the listener");
    });
}

#[test]
fn a_guest_sees_only_its_own_variables() {
    bounded(async {
        let mut settings = settings("CHARGEGATE_GUEST_COMPONENT", DEFAULT);
        settings.variables = vec![("GIVEN".into(), "value".into())];
        let host = TestHost::start(settings, Arc::new(ConfirmingQueue)).await;
        assert_eq!(host.get("/variable?GIVEN").await.text(), "value");
        assert_eq!(host.get("/variables").await.text(), "1");
    });
}
