//! Processor time of a request to the edge in workerd, compared with a minimal worker of the same SDK.

use std::fs;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::support::{FakeBroker, TestWorker};
use crate::host::support::RawConnection;
use crate::posts::SESSION;

const CLIENTS: usize = 16;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);

/// One kind of request to one worker.
struct RequestKind {
    name: &'static str,
    guest: bool,
    request: String,
    status: u16,
}

fn kinds() -> [RequestKind; 5] {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    let post = |path: &str, body: &str| {
        let head = "host: test\r\ncontent-type: application/json";
        format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let malformed = SESSION.replace("driver-allowed", "driver allowed");
    [
        RequestKind { name: "hello, world", guest: true, request: get("/hello"), status: 200 },
        RequestKind { name: "health", guest: false, request: get("/healthz"), status: 200 },
        RequestKind {
            name: "refused",
            guest: false,
            request: post("/v1/charging-sessions", &malformed),
            status: 422,
        },
        RequestKind {
            name: "body to queue, and no more",
            guest: true,
            request: post("/minimal", SESSION),
            status: 202,
        },
        RequestKind {
            name: "accepted",
            guest: false,
            request: post("/v1/charging-sessions", SESSION),
            status: 202,
        },
    ]
}

/// Returns the processor time of a process.
fn used(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 wherever Linux runs.
    Duration::from_millis(ticks * 10)
}

/// Sends requests and returns their number and workerd's processor time.
async fn drive(running: &TestWorker, kind: &RequestKind) -> (u32, Duration) {
    let mut clients = JoinSet::new();
    let before = used(running.0.id());
    for _ in 0..CLIENTS {
        let (mut client, request, status) = (running.connect().await, kind.request.clone(), kind.status);
        clients.spawn(async move {
            let (mut served, end) = (0, Instant::now() + TIME);
            while Instant::now() < end {
                once(&mut client, &request, status).await;
                served += 1;
            }
            served
        });
    }
    let served = clients.join_all().await.into_iter().sum();
    (served, used(running.0.id()).saturating_sub(before))
}

async fn once(client: &mut RawConnection, request: &str, status: u16) {
    client.send(request.as_bytes()).await;
    assert_eq!(client.reply(false).await.unwrap().status, status);
}

#[test]
#[ignore = "a measurement, not a test: `cargo xtask test --test it worker_cost -- --ignored --nocapture`"]
fn worker_cost() {
    Runtime::new().unwrap().block_on(async {
        let (broker, _peer) = FakeBroker::start().await;
        let (edge, guest) = (TestWorker::edge(broker), TestWorker::guest(broker));
        let kinds = kinds();
        let mut costs = vec![Vec::new(); kinds.len()];
        // The first round warms up. All kinds take turns, so that other load on the machine affects all of them.
        for round in 0..=ROUNDS {
            for (kind, costs) in kinds.iter().zip(&mut costs) {
                let (served, used) = drive(if kind.guest { &guest } else { &edge }, kind).await;
                if round > 0 {
                    costs.push(used / served);
                }
            }
        }
        let medians = costs.into_iter().map(|mut costs| {
            costs.sort_unstable();
            costs[costs.len() / 2].as_secs_f64() * 1e6
        });
        let medians: Vec<_> = medians.collect();
        for (at, (kind, cost)) in kinds.iter().zip(&medians).enumerate() {
            // The first three do not send, the last two do.
            let least = medians[if at < 3 { 0 } else { 3 }];
            println!("{:<26} {cost:>6.1} us of workerd's time, {:.2} of the least", kind.name, cost / least);
        }
    });
}
