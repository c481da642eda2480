//! Reuse, sharing and replacement of instances.

use std::sync::Arc;

use chargegate_host::HostLimits;

use super::support::{ConfirmingQueue, GatedQueue, TestHost, bounded};

#[test]
fn an_instance_serves_consecutive_requests_up_to_its_limit() {
    bounded(async {
        let host = TestHost::guest(
            HostLimits { instance_reuse: 3, ..HostLimits::DEFAULT },
            Arc::new(ConfirmingQueue),
        )
        .await;
        let mut client = host.connect().await;
        for expected in ["1", "2", "3", "1", "2", "3", "1"] {
            assert_eq!(client.get("/served").await.text(), expected);
        }
    });
}

#[test]
fn an_instance_serves_concurrent_requests_up_to_its_limit() {
    bounded(async {
        for (limit, expected) in [(2, "2"), (1, "1")] {
            let (gate, mut gate_control) = GatedQueue::new();
            let host = TestHost::guest(
                HostLimits { requests_per_instance: limit, ..HostLimits::DEFAULT },
                Arc::new(gate),
            )
            .await;
            let mut waiting = host.connect().await;
            waiting.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
            gate_control.entered().await;
            assert_eq!(host.get("/served").await.text(), expected, "with a limit of {limit}");
            gate_control.allow(1);
            assert_eq!(waiting.reply(false).await.unwrap().status, 202);
        }
    });
}

#[test]
fn a_trap_ends_only_its_own_instance() {
    bounded(async {
        let (gate, mut gate_control) = GatedQueue::new();
        let host =
            TestHost::guest(HostLimits { requests_per_instance: 1, ..HostLimits::DEFAULT }, Arc::new(gate))
                .await;
        let mut waiting = host.connect().await;
        waiting.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        gate_control.entered().await;
        assert_eq!(host.get("/trap").await.status, 500);
        gate_control.allow(1);
        assert_eq!(waiting.reply(false).await.unwrap().status, 202);
    });
}
