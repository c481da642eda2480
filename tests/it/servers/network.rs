//! A network that cuts, delays and half-closes every connection to the servers.

use std::time::Duration;

use super::load::LoadGenerator;
use super::proxy::TcpProxy;
use super::system::{ServerUrls, TestSystem};

#[tokio::test]
async fn cut_delayed_and_half_closed_connections_cause_no_loss_and_no_contradiction() {
    let mut proxies = Vec::new();
    let system = TestSystem::start_behind(&[], &[], async |urls| {
        let queue = TcpProxy::start(port(&urls.queue)).await;
        let database = TcpProxy::start(port(&urls.database)).await;
        let behind = ServerUrls {
            queue: urls.queue.replace(&port(&urls.queue).to_string(), &queue.port.to_string()),
            database: urls.database.replace(&port(&urls.database).to_string(), &database.port.to_string()),
        };
        proxies = vec![queue, database];
        behind
    })
    .await;
    let load = LoadGenerator::start(&system);
    for proxy in &proxies {
        for _ in 0..3 {
            load.wait_for_accepted(30).await;
            proxy.cut();
        }
        load.wait_for_accepted(30).await;
        proxy.delay(Duration::from_millis(100));
        load.wait_for_accepted(30).await;
        proxy.cut();
        load.wait_for_accepted(30).await;
        proxy.delay(Duration::ZERO);
        // Commands are executed, but their replies are lost.
        proxy.half_close();
        load.wait_for_accepted(60).await;
    }
    load.finish(&system).await;
}

fn port(url: &str) -> u16 {
    let (_, rest) = url.rsplit_once(':').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}
