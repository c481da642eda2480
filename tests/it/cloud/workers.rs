//! The system on Cloudflare: the edge in workerd, its queue in the emulator, and our worker, which pulls.

use chargegate_cloudflare_emulator::QUEUE_HEADER;
use chargegate_servers::{QueueBroker, WorkerBinding};

use super::wait_until_settled;
use crate::app::{HttpClient, TOKEN, TestApp, TestEngine, body};
use crate::workers::support::TestWorker;

#[tokio::test]
async fn a_session_reaches_its_callback_through_workerd_and_a_cloudflare_queue() {
    let app = TestApp::spawn_on(TestEngine::Cloudflare, &[]).await;
    let emulator = app.backend().and_then(|backend| backend.cloudflare()).expect("an emulator");
    let headers = vec![(QUEUE_HEADER.to_owned(), "jobs".to_owned())];
    let queue = WorkerBinding::Queue(QueueBroker { address: emulator.address(), headers });
    let allow = WorkerBinding::Text("127.0.0.0/8".to_owned());
    let bindings = [("JOBS", queue), ("CHARGEGATE_CALLBACK_ALLOW", allow)];
    let edge = TestWorker::start("CHARGEGATE_EDGE_WORKER", bindings);
    let body = body(TOKEN, &app.receiver.url("/done")).to_string();
    let url = format!("{}/v1/charging-sessions", edge.0.url());
    let id = HttpClient::new().post(&url, &body, &[]).await.request_id();
    let callback = app.receiver.wait("/done", 1).await.remove(0);
    assert_eq!((callback.status().as_str(), callback.header("webhook-id")), ("allowed", id.as_str()));
    wait_until_settled(&app, 1).await;
}
