//! A server that is too old, which is played.

use std::net::Ipv4Addr;

use chargegate_redis::{RedisOpenError, RedisQueue};
use chargegate_storage::Effects;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::suite::settings;

const INFO: &str = "# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n";

/// Answers every command with OK, and the question what it is with its version.
async fn play(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let parts: usize = line.trim_start_matches('*').trim().parse().unwrap();
        let mut command = Vec::new();
        for _ in 0..parts {
            let mut length = String::new();
            stream.read_line(&mut length).await?;
            let mut part = vec![0; length.trim_start_matches('$').trim().parse::<usize>().unwrap() + 2];
            stream.read_exact(&mut part).await?;
            command.push(String::from_utf8(part).unwrap());
        }
        let answer = match command.first().map(|word| word.trim()) {
            Some("INFO") => format!("${}\r\n{INFO}\r\n", INFO.len()),
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_server_that_is_too_old() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream));
        }
    });
    let error = RedisQueue::open(settings(&url), Effects::system()).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("6.2.14"), "{error}");
    assert!(matches!(error, RedisOpenError::TooOld { .. }), "{error}");
}
