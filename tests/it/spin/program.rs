//! The edge under a real Spin, if one is installed.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chargegate_servers::{RedisServer, redis_server};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::support::{assert_accepted, assert_refused, once, post};
use crate::host::support::{RawConnection, bounded};

/// Deadline for Spin to compose, compile and listen.
const START_DEADLINE: Duration = Duration::from_mins(3);

#[test]
fn a_real_spin_accepts_requests_up_to_the_limit_and_after_a_server_restart() {
    bounded(async {
        let Some(version) = version().await else {
            // Not with `eprintln!`, whose output is captured when a test passes.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: the test of a real Spin, since no `spin` is on the PATH"
            );
            return;
        };
        let _ = writeln!(std::io::stderr(), "the test of a real Spin runs on {version}");
        let mut redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let folder = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut spin = up(folder.path(), address, &redis.url());
        wait_until_it_listens(&mut spin, address).await;
        let mut client = RawConnection::to(address).await;
        assert_eq!(client.get("/healthz").await.status, 200);
        for _ in 0..3 {
            assert_accepted(&post(&mut client).await);
        }
        assert_refused(&post(&mut client).await, "the queue is full");
        let depth: u64 = once(&redis.url(), "XLEN {chargegate}:messages");
        assert_eq!(depth, 3);
        redis.kill().unwrap();
        assert_refused(&post(&mut client).await, "the queue is unavailable");
        redis.restart_empty().unwrap();
        assert_accepted(&post(&mut client).await);
    });
}

async fn version() -> Option<String> {
    let output = Command::new("spin").arg("--version").output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts `spin.toml` with the components under test.
fn up(folder: &Path, address: SocketAddr, queue_url: &str) -> Child {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut manifest = std::fs::read_to_string(root.join("spin.toml")).unwrap();
    for (name, variable) in [
        ("chargegate_edge", "CHARGEGATE_EDGE_COMPONENT"),
        ("chargegate_queue_redis", "CHARGEGATE_QUEUE_REDIS_COMPONENT"),
    ] {
        let built = std::env::var(variable).unwrap();
        manifest = manifest.replace(&format!("target/wasm32-wasip2/edge/{name}.wasm"), &built);
    }
    std::fs::write(folder.join("spin.toml"), manifest).unwrap();
    let mut command = Command::new("spin");
    command.args(["up", "--listen", &address.to_string()]).current_dir(folder);
    command.env("SPIN_VARIABLE_QUEUE_URL", queue_url).env("SPIN_VARIABLE_QUEUE_LIMIT", "3");
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn wait_until_it_listens(spin: &mut Child, address: SocketAddr) {
    let deadline = Instant::now() + START_DEADLINE;
    while TcpStream::connect(address).await.is_err() {
        assert_eq!(spin.try_wait().unwrap(), None, "spin has ended");
        assert!(Instant::now() < deadline, "spin does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
