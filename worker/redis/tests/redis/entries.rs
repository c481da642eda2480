//! Entries that other clients wrote or deleted.

use chargegate_redis_layout::stream_key;
use redis::cmd;

use super::{ask, on, servers, start, worker};
use crate::suite::open;
use chargegate_storage::conformance::queues::{NO_WAIT, bodies, lease, nothing_comes};

#[tokio::test]
async fn entries_of_any_form_are_delivered() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        let stream = stream_key(&settings.prefix);
        let long = vec![b'x'; 100_000];
        let entries: [&[&[u8]]; 5] = [
            &[b"other", b"field"],
            &[b"m", b"good", b"more", b"fields"],
            &[b"m", b"twice", b"m", b"the same"],
            &[b"\xff", b"\xfe"],
            &[b"m", &long],
        ];
        for fields in entries {
            ask::<()>(&server.url(), cmd("XADD").arg(&stream).arg("*").arg(fields)).await;
        }
        let leased = lease(&worker(&engine), 5).await;
        let lengths: Vec<_> = leased.iter().map(|message| message.body.len()).collect();
        assert_eq!(lengths, [0, 4, 0, 0, 16 * 1024 + 1], "a body that is too long stays so");
    }
}

#[tokio::test]
async fn a_deleted_entry_does_not_affect_others() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        for body in ["a", "b"] {
            engine.enqueue(body.to_owned()).await.unwrap();
        }
        let leased = lease(&worker(&engine), 2).await;
        let (stream, id) = leased[0].key.as_str().rsplit_once('/').unwrap();
        ask::<()>(&server.url(), cmd("XDEL").arg(stream).arg(id)).await;
        engine.close().await;
        let next = open(&settings).await;
        assert_eq!(bodies(&lease(&worker(&next), 1).await), ["b"]);
        nothing_comes(&worker(&next), NO_WAIT).await;
    }
}
