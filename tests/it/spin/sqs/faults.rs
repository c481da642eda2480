//! SQS servers that fail and recover: a reused instance recovers as well.

use std::time::Duration;

use chargegate_servers::{MotoServer, moto};
use tokio::net::TcpListener;

use super::super::host::SpinHost;
use super::super::support::{assert_accepted, assert_refused, assert_refuses_in, post};
use super::peer::{ScriptedSqsServer, SqsBehavior, answers, dated};
use super::{MotoQueue, endpoint, queue, up};
use crate::host::support::bounded;

/// Timeout of the queue in tests with a hung server; the edge gives up after 50 s.
const LIMIT: (&str, &str) = ("queue_timeout_ms", "2000");
/// Less than the 50 s after which the edge itself gives up.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(40);
const TAKEN: &str = r#"{"MD5OfMessageBody":"0","MessageId":"5fea7756-0ea4-451a-a703-a558b933e274"}"#;

async fn over(peer: &ScriptedSqsServer) -> SpinHost {
    up(&peer.url(), "/1/q", &[]).await
}

#[test]
fn a_killed_server_is_503_and_is_used_again_after_its_restart() {
    bounded(async {
        let mut server = MotoServer::start(&moto()).unwrap();
        let queue = MotoQueue::create(&server.url()).unwrap();
        let spin = up(&server.url(), &queue.path(), &[]).await;
        assert_accepted(&post(&mut spin.connect().await).await);
        server.kill().unwrap();
        for _ in 0..2 {
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        }
        server.restart().unwrap();
        // Moto lost the queue.
        assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        queue.create_again().unwrap();
        assert_accepted(&post(&mut spin.connect().await).await);
        assert_eq!((queue.receive_all().unwrap().len(), spin.instances()), (1, 1));
    });
}

#[test]
fn a_server_that_hangs_at_any_point_is_503_in_time() {
    bounded(async {
        let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", deaf.local_addr().unwrap());
        let spin = up(&url, "/1/q", &[LIMIT]).await;
        assert_refuses_in(&spin, REFUSAL_DEADLINE, "did not confirm in time").await;
        let peer = ScriptedSqsServer::that(SqsBehavior::Begins("")).await;
        let spin = up(&peer.url(), "/1/q", &[LIMIT]).await;
        for beginning in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"MessageId\":\"5fea\"",
        ] {
            peer.set(SqsBehavior::Begins(beginning));
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "did not confirm in time").await;
        }
        assert_eq!(spin.instances(), 1);
        // A request that must succeed after a hang gets the long timeout.
        peer.set(SqsBehavior::Begins(""));
        let spin = over(&peer).await;
        assert_refused(&post(&mut spin.connect().await).await, "did not confirm in time");
        peer.set(answers(200, TAKEN));
        assert_accepted(&post(&mut spin.connect().await).await);
        assert_eq!(spin.instances(), 1);
    });
}

#[test]
fn any_response_but_a_confirmation_is_503() {
    bounded(async {
        let peer = ScriptedSqsServer::that(SqsBehavior::Ends).await;
        let spin = over(&peer).await;
        let error = |code: &str| format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"said"}}"#);
        let xml = "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>";
        for does in [
            SqsBehavior::Ends,
            SqsBehavior::Answers("no HTTP at all".into()),
            SqsBehavior::Answers(
                "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"MessageId\":\"5fea7756\"}".into(),
            ),
            answers(500, &error("InternalFailure")),
            answers(503, "<html>busy</html>"),
            answers(400, &error("RequestThrottled")),
            answers(429, ""),
            answers(403, xml),
            answers(301, TAKEN),
            answers(200, ""),
            answers(200, "{}"),
            answers(200, "\u{fffd}"),
            answers(200, &TAKEN[..40]),
            answers(400, &error("QueueDoesNotExist")),
            answers(403, &error("ExpiredTokenException")),
            dated(403, "Sun, 06 Nov 1994 08:49:37 GMT", &error("InvalidSignatureException")),
        ] {
            peer.set(does);
            assert_refused(&post(&mut spin.connect().await).await, "the queue is unavailable");
        }
        peer.set(answers(200, TAKEN));
        assert_accepted(&post(&mut spin.connect().await).await);
        assert_eq!(spin.instances(), 1);
    });
}

#[test]
fn an_oversized_response_is_not_a_confirmation() {
    bounded(async {
        let padded = |length: usize| format!("{TAKEN:<length$}");
        let peer = ScriptedSqsServer::that(answers(200, &padded(16 * 1024))).await;
        let spin = over(&peer).await;
        assert_accepted(&post(&mut spin.connect().await).await);
        peer.set(answers(200, &padded(16 * 1024 + 1)));
        assert_refused(&post(&mut spin.connect().await).await, "the queue is unavailable");
    });
}

#[test]
fn malformed_queue_settings_confirm_nothing() {
    bounded(async {
        let queue = queue();
        for wrong in [
            ("queue_path", ""),
            ("queue_path", "/123456789012/orders.fifo"),
            ("queue_url", "https://127.0.0.1/path"),
            ("queue_timeout_ms", "1s"),
            ("aws_region", ""),
            ("aws_access_key_id", ""),
            ("aws_secret_access_key", ""),
        ] {
            let spin = up(&endpoint(), &queue.path(), &[wrong]).await;
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        }
        assert_eq!(queue.receive_all().unwrap(), []);
    });
}
