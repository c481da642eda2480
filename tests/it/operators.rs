//! Actions of operators on a running system, by the commands and by the ops port.

use serde_json::{Value, json};

use crate::app::{HttpReply, TOKEN, TestApp, TestEngine, body, eventually, on_every_engine};

on_every_engine! {
    a_dead_letter_is_found_and_sent_again,
    a_paused_host_gets_no_callback_until_it_is_resumed,
    a_forgotten_driver_leaves_no_token_behind,
    the_ops_port_accepts_changes_only_with_its_token,
}

const OPS_TOKEN: &str = "operators-0123456789";

/// Every route of operators.
const OPERATOR_ROUTES: [(&str, &str); 11] = [
    ("GET", "/callbacks"),
    ("GET", "/callbacks/01890a5d-ac96-774b-bcce-b302099a8057"),
    ("GET", "/hosts"),
    ("GET", "/poison"),
    ("GET", "/audit"),
    ("POST", "/callbacks/retry"),
    ("POST", "/callbacks/discard"),
    ("POST", "/hosts/pause"),
    ("POST", "/hosts/resume"),
    ("POST", "/poison/discard"),
    ("POST", "/forget"),
];

/// Sends a request to the ops port, with a token or without.
async fn request(app: &TestApp, method: &str, path: &str, token: Option<&str>) -> HttpReply {
    let url = format!("{}{path}", app.process.ops);
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let headers = [&[("content-type", "application/json")], &*headers].concat();
    app.client.send(method.parse().unwrap(), &url, "{}", &headers).await.unwrap()
}

/// The running system with the token of its operators.
struct OperatedApp {
    app: TestApp,
    token_file: String,
    _folder: tempfile::TempDir,
}

impl OperatedApp {
    async fn spawn(engine: TestEngine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{OPS_TOKEN}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        let token_file = path.to_str().unwrap().to_owned();
        let app = TestApp::spawn_on(engine, &["--ops-token-file", &token_file]).await;
        Self { app, token_file, _folder: folder }
    }

    /// Runs a command as the operator alice.
    async fn command(&self, args: &[&str]) -> (bool, Value) {
        let access =
            ["--ops-url", &self.app.process.ops, "--ops-token-file", &self.token_file, "--as", "alice"];
        self.app.command(&[args, &access].concat()).await
    }

    async fn post(&self, path: &str, body: &Value, token: &str) -> HttpReply {
        let url = format!("{}{path}", self.app.process.ops);
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("x-operator", "bob")];
        self.app.client.post(&url, &body.to_string(), &headers).await
    }

    /// Makes a dead letter: the receiver answers 410.
    async fn dead_letter(&self, path: &str) -> String {
        let (answered_path, _) = path.split_once('?').unwrap_or((path, ""));
        self.app.receiver.set_answers(answered_path, &[Some(410)]);
        let id = self.app.ask(TOKEN, path).await.request_id();
        eventually("the callback is given up", async || {
            let (_, page) = self.command(&["callbacks", "list"]).await;
            page.to_string().contains(&id).then_some(())
        })
        .await;
        id
    }
}

async fn a_dead_letter_is_found_and_sent_again(engine: TestEngine) {
    let operated = OperatedApp::spawn(engine).await;
    let (first, second) = (operated.dead_letter("/a").await, operated.dead_letter("/b?key=s3cret").await);
    let (_, page) =
        operated.command(&["callbacks", "list", "--host", "127.0.0.1", "--give-up", "gone"]).await;
    assert_eq!(page["callbacks"].as_array().map(Vec::len), Some(2), "{page}");
    assert!(!page.to_string().contains(TOKEN) && !page.to_string().contains("s3cret"), "{page}");
    let (_, hosts) = operated.command(&["hosts", "list"]).await;
    assert_eq!(
        (&hosts["hosts"][0]["dead"], &hosts["hosts"][0]["pending"]),
        (&json!(2), &json!(0)),
        "{hosts}"
    );
    assert_eq!(hosts["hosts"][0]["last_answer"]["http_status"], 410, "{hosts}");

    let (ok, counted) = operated.command(&["callbacks", "retry", "--give-up", "gone", "--dry-run"]).await;
    assert!(
        ok && counted["matched"] == 2 && counted["sample"].as_array().map(Vec::len) == Some(2),
        "{counted}"
    );
    let (ok, done) = operated.command(&["callbacks", "retry", &first]).await;
    assert!(ok && done["changed"] == 1, "{done}");
    let again = operated.app.receiver.wait("/a", 2).await.remove(1);
    assert_eq!((again.header("webhook-id"), again.status().as_str()), (first.as_str(), "allowed"));
    eventually("the new round is in the log", async || {
        let (_, shown) = operated.command(&["callbacks", "show", &first]).await;
        (shown["decision"]["callback"]["state"] == "delivered").then(|| {
            assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2), "{shown}");
        })
    })
    .await;

    let (ok, done) = operated.command(&["callbacks", "discard", "--host", "127.0.0.1"]).await;
    assert!(ok && done == json!({ "matched": 1, "changed": 1, "next": null }), "{done}");
    let (_, left) = operated.command(&["callbacks", "list"]).await;
    assert_eq!(left["callbacks"], json!([]));
    let (_, discarded) = operated.command(&["callbacks", "list", "--state", "discarded"]).await;
    assert!(discarded.to_string().contains(&second), "{discarded}");
    let (ok, _) = operated.command(&["callbacks", "discard"]).await;
    assert!(!ok, "an action needs ids or a filter");
    let (_, trail) = operated.command(&["audit"]).await;
    let done: Vec<_> = trail["actions"].as_array().unwrap().iter().map(|action| &action["action"]).collect();
    assert_eq!(done, ["callbacks discard", "callbacks retry"], "{trail}");
    assert!(
        trail["actions"].as_array().unwrap().iter().all(|action| action["operator"] == "alice"),
        "{trail}"
    );
    operated.app.assert_balanced(2).await;
}

async fn a_paused_host_gets_no_callback_until_it_is_resumed(engine: TestEngine) {
    let operated = OperatedApp::spawn(engine).await;
    let (ok, paused) = operated.command(&["hosts", "pause", "127.0.0.1"]).await;
    assert!(ok && paused["changed"] == true, "{paused}");
    operated.app.ask(TOKEN, "/waits").await.request_id();
    let other = body(TOKEN, &operated.app.receiver.url("/other").replace("127.0.0.1", "localhost"));
    operated.app.post(&other, &[]).await.request_id();
    operated.app.receiver.wait("/other", 1).await;
    eventually("the callback waits", async || {
        let (_, hosts) = operated.command(&["hosts", "list"]).await;
        let host = hosts["hosts"].as_array()?.iter().find(|host| host["host"] == "127.0.0.1")?.clone();
        (host["pending"] == 1 && host["paused_at"].is_string()).then_some(())
    })
    .await;
    assert!(operated.app.receiver.received("/waits").is_empty());
    let (ok, resumed) = operated.command(&["hosts", "resume", "127.0.0.1"]).await;
    assert!(ok && resumed["changed"] == true, "{resumed}");
    operated.app.receiver.wait("/waits", 1).await;
}

async fn a_forgotten_driver_leaves_no_token_behind(engine: TestEngine) {
    let operated = OperatedApp::spawn(engine).await;
    let id = operated.app.ask(TOKEN, "/done").await.request_id();
    operated.app.receiver.wait("/done", 1).await;
    let (ok, found) = operated.command(&["forget", "--driver-token", TOKEN]).await;
    assert!(ok && found["decisions"] == 1 && found["in_flight"] == 0, "{found}");
    let (_, shown) = operated.app.command(&["decisions", "show", &id]).await;
    assert_eq!(shown["decision"]["driver_token"], "… (0 characters)", "{shown}");
    let (_, found) = operated.app.command(&["decisions", "list", "--driver-token", TOKEN]).await;
    assert_eq!(found["decisions"], json!([]));
    operated.app.assert_balanced(1).await;
}

async fn the_ops_port_accepts_changes_only_with_its_token(engine: TestEngine) {
    let operated = OperatedApp::spawn(engine).await;
    let id = operated.dead_letter("/port").await;
    let wrong = operated.post("/callbacks/retry", &json!({ "ids": [id] }), "operators-9876543210").await;
    assert_eq!(wrong.status, 401);
    for (method, path) in OPERATOR_ROUTES {
        for token in [None, Some("operators-9876543210"), Some("")] {
            let reply = request(&operated.app, method, path, token).await;
            assert_eq!(reply.status, 401, "{method} {path} {token:?}");
        }
    }
    let both = json!({ "ids": [id], "filter": {} });
    assert_eq!(operated.post("/callbacks/retry", &both, OPS_TOKEN).await.status, 422);
    let unknown = json!({ "filter": { "hosts": TOKEN } });
    let refused = operated.post("/callbacks/retry", &unknown, OPS_TOKEN).await;
    assert!(refused.status == 422 && !refused.body.contains(TOKEN), "{}", refused.body);

    let by_filter = json!({ "filter": { "state": "dead", "host": "127.0.0.1" } });
    let done = operated.post("/callbacks/retry", &by_filter, OPS_TOKEN).await;
    assert_eq!(done.json(), json!({ "matched": 1, "changed": 1, "next": null }));
    operated.app.receiver.wait("/port", 2).await;
    let (_, trail) = operated.command(&["audit"]).await;
    let action = &trail["actions"][0];
    assert_eq!((&action["operator"], &action["changed"]), (&json!("bob"), &json!(1)), "{trail}");
    assert_eq!(action["selection"], r#"{"state":"dead","host":"127.0.0.1"}"#);

    for host in ["https://a.example/cb?key=s3cret", "a.example:8443", ""] {
        let refused = operated.post("/hosts/pause", &json!({ "host": host }), OPS_TOKEN).await;
        assert_eq!(refused.status, 422, "{host}");
    }
    let paused = operated.post("/hosts/pause", &json!({ "host": "A.example" }), OPS_TOKEN).await;
    assert_eq!(paused.json(), json!({ "changed": true }));
    let poison = operated.post("/poison/discard", &json!({ "ids": ["none"] }), OPS_TOKEN).await;
    assert_eq!(poison.json()["changed"], 0);
    let forgotten =
        operated.post("/forget", &json!({ "driver_token": "nobody-0000000000001" }), OPS_TOKEN).await;
    assert_eq!(forgotten.json()["decisions"], 0);
}

#[tokio::test]
async fn without_a_token_the_port_has_no_routes_of_operators_and_a_stopped_folder_is_changed_directly() {
    let mut app = TestApp::spawn(&[]).await;
    app.receiver.set_answers("/gone", &[Some(410)]);
    let id = app.ask(TOKEN, "/gone").await.request_id();
    eventually("the callback is given up", async || {
        let (_, page) = app.command(&["callbacks", "list"]).await;
        page.to_string().contains(&id).then_some(())
    })
    .await;
    for (method, path) in OPERATOR_ROUTES {
        let reply = request(&app, method, path, None).await;
        assert_eq!(reply.status, 404, "{method} {path}");
    }
    let (ok, _) = app.command(&["callbacks", "retry", &id]).await;
    assert!(!ok, "the folder is locked, and there is no token");

    app.process.interrupt().await;
    app.process.ended().await;
    let (ok, done) = app.command(&["callbacks", "retry", &id]).await;
    assert!(ok && done["changed"] == 1, "{done}");
    app.restart().await;
    app.receiver.wait("/gone", 2).await;
}
