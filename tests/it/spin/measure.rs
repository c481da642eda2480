//! Throughput and latency of the composed component.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chargegate_servers::{RedisServer, redis_server};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::compose::SpinQueue;
use super::host::SpinHost;
use super::sqs;
use super::support::post;

const CLIENTS: usize = 32;
const TIME: Duration = Duration::from_secs(5);

#[test]
#[ignore = "a measurement, not a test: `cargo xtask test --test it composed_speed -- --ignored --nocapture`"]
fn composed_speed() {
    Runtime::new().unwrap().block_on(async {
        for fsync in ["no", "everysec", "always"] {
            let redis = RedisServer::start(&redis_server(), &["--appendfsync", fsync]).unwrap();
            let spin = SpinHost::up([("queue_url", &*redis.url()), ("queue_limit", "4000000000")]).await;
            measure(&format!("Redis, appendfsync {fsync}"), &spin).await;
        }
        let own = [("queue_url", confirming().await), ("queue_timeout_ms", "1900".to_owned())];
        let variables = sqs::variables("/1/q").into_iter().chain(own);
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).collect();
        measure("SQS that confirms at once", &SpinHost::up_with(SpinQueue::Sqs, &variables).await).await;
    });
}

async fn measure(what: &str, spin: &SpinHost) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = spin.connect().await;
        clients.spawn(async move {
            let (mut times, end) = (Vec::new(), Instant::now() + TIME);
            while Instant::now() < end {
                let start = Instant::now();
                assert_eq!(post(&mut client).await.status, 202);
                times.push(start.elapsed());
            }
            times
        });
    }
    let mut times = clients.join_all().await.concat();
    times.sort_unstable();
    let rate = times.len() / usize::try_from(TIME.as_secs()).unwrap();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!("{what}: {rate} requests/s, p50 {:?}, p99 {:?}", at(50), at(99));
}

/// Starts a server that confirms every message.
async fn confirming() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(confirm));
            tokio::spawn(async { drop(connection.await) });
        }
    });
    format!("http://{address}")
}

async fn confirm(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(
        br#"{"MessageId":"5fea7756-0ea4-451a-a703-a558b933e274"}"#,
    ))))
}
