use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use super::*;

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_083_199_042)
}

async fn print_callbacks(bodies: &[&'static str]) -> (Vec<u16>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let stop = CancellationToken::new();
    let seen = Arc::clone(&lines);
    let printer = move |callback: &SinkCallback| seen.lock().push(callback.to_string());
    let server = tokio::spawn(serve(listener, clock, printer, stop.clone()));
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut statuses = Vec::new();
    for body in bodies {
        let request = http::Request::post("/any/path?x=1")
            .header("host", "sink")
            .header("webhook-id", "0193-id")
            .header("chargegate-decision-reason", "acl")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        statuses.push(response.status().as_u16());
        response.into_body().collect().await.unwrap();
    }
    drop(sender);
    stop.cancel();
    server.await.unwrap().unwrap();
    let lines = lines.lock().clone();
    (statuses, lines)
}

#[tokio::test]
async fn each_callback_is_one_line_with_a_masked_token() {
    let (statuses, lines) = print_callbacks(&[
        r#"{"station_id":"s-1","driver_token":"driver-blocked-0000000001","status":"not_allowed"}"#,
        "nonsense",
    ])
    .await;
    assert_eq!(statuses, [204, 400]);
    assert_eq!(
        lines,
        ["23:59:59.042Z callback 0193-id: not_allowed (acl), station s-1, driver token driv***"]
    );
}
