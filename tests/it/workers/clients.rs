//! Misbehaving clients.

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::support::{FakeBroker, TestWorker};
use crate::host::support::{RawConnection, bounded};
use crate::posts::{assert_accepted, post};

const HEAD: &str = "POST /v1/charging-sessions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";

#[test]
fn a_body_is_refused_by_its_announced_length_before_it_arrives() {
    bounded(async {
        let edge = TestWorker::edge(FakeBroker::start().await.0);
        let mut client = edge.connect().await;
        client.send(format!("{HEAD}content-length: 1000000000000\r\n\r\n").as_bytes()).await;
        assert_eq!(client.reply(false).await.unwrap().status, 413);
    });
}

#[test]
fn an_endless_body_is_refused_and_not_read_further() {
    bounded(async {
        let edge = TestWorker::edge(FakeBroker::start().await.0);
        let mut stream = TcpStream::connect(("127.0.0.1", edge.0.port())).await.unwrap();
        stream.write_all(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let chunk = [b"1000\r\n", "x".repeat(0x1000).as_bytes(), b"\r\n"].concat();
        // Ends when the peer stops reading; if the body were read further, this would never end.
        let endless = tokio::spawn(async move { while writing.write_all(&chunk).await.is_ok() {} });
        let mut answer = [0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        endless.await.unwrap();
        assert_accepted(&post(&mut edge.connect().await).await);
    });
}

#[test]
fn a_stalled_body_is_given_up() {
    bounded(async {
        let edge = TestWorker::edge(FakeBroker::start().await.0);
        for head in ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
            let mut client = edge.connect().await;
            client.send(format!("{HEAD}{head}").as_bytes()).await;
            let reply = client.reply(false).await.unwrap();
            // Exactly the response of the embedded host.
            let problem = r#"{"type":"about:blank","title":"The body did not arrive in time","status":408}"#;
            assert_eq!((reply.status, reply.text()), (408, problem));
            assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        }
    });
}

#[test]
fn a_client_that_disconnects_within_its_body_affects_no_other() {
    bounded(async {
        let (broker, fake) = FakeBroker::start().await;
        let edge = TestWorker::edge(broker);
        let mut client = edge.connect().await;
        for _ in 0..20 {
            let mut gone = edge.connect().await;
            gone.send(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes()).await;
            drop(gone);
            assert_accepted(&post(&mut client).await);
        }
        assert_eq!(fake.messages().len(), 20);
    });
}

#[test]
fn concurrent_requests_get_an_id_and_a_message_each() {
    bounded(async {
        let (broker, fake) = FakeBroker::start().await;
        let edge = TestWorker::edge(broker);
        let clients = join_all((0..32).map(|_| edge.connect())).await;
        let replies = join_all(clients.into_iter().map(|client: RawConnection| async move {
            let mut client = client;
            let mut ids = Vec::new();
            for _ in 0..10 {
                let reply = post(&mut client).await;
                assert_accepted(&reply);
                ids.push(reply.header("x-request-id").unwrap().to_owned());
            }
            ids
        }));
        let mut answered = replies.await.concat();
        let mut accepted: Vec<_> = fake
            .messages()
            .iter()
            .map(|message| serde_json::from_str::<serde_json::Value>(message).unwrap())
            .map(|message| message["id"].as_str().unwrap().to_owned())
            .collect();
        answered.sort_unstable();
        accepted.sort_unstable();
        answered.dedup();
        assert_eq!(answered.len(), 320);
        assert_eq!(accepted, answered);
    });
}
