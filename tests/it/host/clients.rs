//! Misbehaving clients.

use std::sync::Arc;
use std::time::Duration;

use chargegate_host::HostLimits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::support::{ConfirmingQueue, GatedQueue, TestHost, bounded};

#[test]
fn a_body_above_the_limit_is_refused_whether_announced_or_not() {
    bounded(async {
        let host = TestHost::guest(
            HostLimits { request_body: 1000, ..HostLimits::DEFAULT },
            Arc::new(ConfirmingQueue),
        )
        .await;
        for (length, status) in [(999, 202), (1000, 202), (1001, 413)] {
            let body = "x".repeat(length);
            let mut announced = host.connect().await;
            let request =
                format!("POST /minimal HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n{body}");
            announced.send(request.as_bytes()).await;
            assert_eq!(announced.reply(false).await.unwrap().status, status, "{length}");
            let mut chunked = host.connect().await;
            let request = format!(
                "POST /minimal HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            );
            chunked.send(request.as_bytes()).await;
            assert_eq!(chunked.reply(false).await.unwrap().status, status, "{length} in chunks");
        }
    });
}

#[test]
fn a_body_is_refused_by_its_announced_length_before_it_arrives() {
    bounded(async {
        let host = TestHost::guest(HostLimits::DEFAULT, Arc::new(ConfirmingQueue)).await;
        let mut client = host.connect().await;
        client.send(b"POST /minimal HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000000000\r\n\r\n").await;
        assert_eq!(client.reply(false).await.unwrap().status, 413);
    });
}

#[test]
fn a_client_that_does_not_finish_its_body_gets_408() {
    bounded(async {
        let limits = HostLimits { request_timeout: Duration::from_millis(300), ..HostLimits::DEFAULT };
        let host = TestHost::guest(limits, Arc::new(ConfirmingQueue)).await;
        let mut client = host.connect().await;
        client.send(b"POST /minimal HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n1").await;
        assert_eq!(client.reply(false).await.unwrap().status, 408);
        assert!(client.reply(false).await.is_none(), "the connection is still open");
    });
}

#[test]
fn a_client_that_does_not_finish_its_head_is_cut_off() {
    bounded(async {
        let limits = HostLimits { header_timeout: Duration::from_secs(3), ..HostLimits::DEFAULT };
        let host = TestHost::guest(limits, Arc::new(ConfirmingQueue)).await;
        let mut silent = host.connect().await;
        let mut slow = host.connect().await;
        slow.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n").await;
        let mut idle = host.connect().await;
        assert_eq!(idle.get("/minimal").await.status, 202);
        for client in [&mut silent, &mut slow, &mut idle] {
            // hyper decides whether it closes with or without a response.
            while client.reply(false).await.is_some() {}
        }
    });
}

#[test]
fn a_client_that_reads_no_responses_is_cut_off() {
    bounded(async {
        let limits = HostLimits { write_timeout: Duration::from_secs(1), ..HostLimits::DEFAULT };
        let host = TestHost::guest(limits, Arc::new(ConfirmingQueue)).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut client = socket.connect(host.address).await.unwrap();
        let requests = b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n".repeat(100);
        // Ends when the host closes the connection; without the limit it would block forever on full buffers.
        while client.write_all(&requests).await.is_ok() {}
        host.assert_serves().await;
    });
}

#[test]
fn a_head_above_the_limit_is_refused() {
    bounded(async {
        let host = TestHost::guest(
            HostLimits { request_head: 10_000, ..HostLimits::DEFAULT },
            Arc::new(ConfirmingQueue),
        )
        .await;
        for (length, status) in [(9_000, 202), (100_000, 431)] {
            let mut client = host.connect().await;
            let request = format!("GET /minimal HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "x".repeat(length));
            client.send(request.as_bytes()).await;
            assert_eq!(client.reply(false).await.unwrap().status, status, "{length}");
        }
    });
}

#[test]
fn connections_above_the_limit_wait_for_a_permit() {
    bounded(async {
        let host =
            TestHost::guest(HostLimits { connections: 1, ..HostLimits::DEFAULT }, Arc::new(ConfirmingQueue))
                .await;
        let mut first = host.connect().await;
        assert_eq!(first.get("/minimal").await.status, 202);
        let mut second = host.connect().await;
        second.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        let early = tokio::time::timeout(Duration::from_millis(200), second.reply(false)).await;
        assert!(early.is_err(), "the second connection is served concurrently with the first");
        drop(first);
        assert_eq!(second.reply(false).await.unwrap().status, 202);
    });
}

#[test]
fn requests_above_the_limit_wait_for_a_permit() {
    bounded(async {
        let (gate, mut gate_control) = GatedQueue::new();
        let host = TestHost::guest(HostLimits { requests: 1, ..HostLimits::DEFAULT }, Arc::new(gate)).await;
        let (mut first, mut second) = (host.connect().await, host.connect().await);
        first.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        gate_control.entered().await;
        second.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        let early = tokio::time::timeout(Duration::from_millis(200), gate_control.entered()).await;
        assert!(early.is_err(), "the second request is in the component concurrently with the first");
        gate_control.allow(2);
        assert_eq!(first.reply(false).await.unwrap().status, 202);
        assert_eq!(second.reply(false).await.unwrap().status, 202);
    });
}

#[test]
fn a_request_that_gets_no_permit_in_time_is_refused() {
    bounded(async {
        let limits =
            HostLimits { requests: 1, request_timeout: Duration::from_millis(500), ..HostLimits::DEFAULT };
        let (gate, mut gate_control) = GatedQueue::new();
        let host = TestHost::guest(limits, Arc::new(gate)).await;
        let (mut first, mut second) = (host.connect().await, host.connect().await);
        first.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        gate_control.entered().await;
        second.send(b"GET /minimal HTTP/1.1\r\nhost: t\r\n\r\n").await;
        for client in [&mut first, &mut second] {
            let reply = client.reply(false).await.unwrap();
            assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        }
    });
}
