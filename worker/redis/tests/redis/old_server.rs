//! A server that is too old, imitated by a scripted one.

use std::net::Ipv4Addr;

use chargegate_redis::{RedisOpenError, RedisQueue};
use chargegate_storage::Effects;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::suite::settings;

const INFO: &str = "# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n";

/// Replies to `INFO` with an old version, and to every other command with OK.
async fn serve_as_old_server(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let words: usize = line.trim_start_matches('*').trim().parse().unwrap();
        let mut command = Vec::new();
        for _ in 0..words {
            let mut length = String::new();
            stream.read_line(&mut length).await?;
            let mut word = vec![0; length.trim_start_matches('$').trim().parse::<usize>().unwrap() + 2];
            stream.read_exact(&mut word).await?;
            command.push(String::from_utf8(word).unwrap());
        }
        let reply = match command.first().map(|word| word.trim()) {
            Some("INFO") => format!("${}\r\n{INFO}\r\n", INFO.len()),
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_server_that_is_too_old() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_as_old_server(stream));
        }
    });
    let error = RedisQueue::open(settings(&url), Effects::system()).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("6.2.14"), "{error}");
    assert!(matches!(error, RedisOpenError::TooOld { .. }), "{error}");
}
