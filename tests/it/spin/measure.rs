//! How fast the composed component is.

use std::time::{Duration, Instant};

use chargegate_servers::{Redis, redis_server};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::host::Spin;
use super::support::post;

const CLIENTS: usize = 32;
const TIME: Duration = Duration::from_secs(5);

#[test]
#[ignore = "a measurement, not a test: `cargo xtask test --test it composed_speed -- --ignored --nocapture`"]
fn composed_speed() {
    Runtime::new().unwrap().block_on(async {
        for fsync in ["everysec", "always"] {
            let redis = Redis::start(&redis_server(), &["--appendfsync", fsync]).unwrap();
            let spin = Spin::up([("queue_url", &*redis.url()), ("queue_limit", "4000000000")]).await;
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
            println!("appendfsync {fsync}: {rate} requests/s, p50 {:?}, p99 {:?}", at(50), at(99));
        }
    });
}
