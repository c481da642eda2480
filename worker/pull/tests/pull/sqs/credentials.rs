//! Credentials, on a Moto that checks signatures and permissions.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chargegate_core::UtcDateTime;
use chargegate_pull::sqs::{
    AwsCredentials, CredentialsSource, SqsEngine, SqsOpenError, SqsQueueUrl, SqsRefusal, SqsSettings,
};
use chargegate_servers::{MotoServer, moto};
use chargegate_storage::queue::Queue as _;
use chargegate_storage::{Clock as _, Effects, SystemClock};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::by_hand::{TemporaryQueue, form};
use super::proxy::{ProxyReply, SqsProxy};
use super::{Setting, all_come, body, enqueue, eventually, some_bodies};
use crate::queues::sqs::{ACCOUNT, REGION, endpoint, open, settings};
use chargegate_storage::conformance::queues::keys;

/// Policy of a role, form-encoded.
const POLICY: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C\
                      %22Action%22%3A%22sqs%3A*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
/// Authorization token that the container's endpoint expects.
const TOKEN: &str = "t0ken";
/// The queue's URL, for the child.
const CHILDS_QUEUE: &str = "CHARGEGATE_TEST_QUEUE_URL";
/// Line that ends the child process.
const END: &str = "end";

/// A session of a role.
#[derive(Clone)]
struct Session {
    id: String,
    secret: String,
    token: String,
}

impl Session {
    fn credentials(&self) -> AwsCredentials {
        self.with_secret(&self.secret)
    }

    fn with_secret(&self, secret: &str) -> AwsCredentials {
        AwsCredentials::new(&self.id, secret, Some(self.token.clone()), None, "test")
    }
}

struct Checking {
    server: MotoServer,
    queue: TemporaryQueue,
    sessions: Vec<Session>,
}

impl Checking {
    fn start() -> Self {
        let sessions = 3;
        let server = MotoServer::start_checking(&moto(), 3 + sessions).unwrap();
        let url = server.url();
        form(&url, "iam", "Version=2010-05-08&Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B%7D");
        let policy = format!("RoleName=r&PolicyName=p&PolicyDocument={POLICY}");
        form(&url, "iam", &format!("Version=2010-05-08&Action=PutRolePolicy&{policy}"));
        let role = format!("RoleArn=arn:aws:iam::{ACCOUNT}:role/r&RoleSessionName=s");
        let assume = format!("Version=2011-06-15&Action=AssumeRole&{role}");
        let sessions = (0..sessions).map(|_| {
            let answer = form(&url, "sts", &assume);
            let text = |name: &str| {
                let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
                rest.split_once('<').unwrap().0.to_owned()
            };
            Session { id: text("AccessKeyId"), secret: text("SecretAccessKey"), token: text("SessionToken") }
        });
        let sessions = sessions.collect();
        let queue = TemporaryQueue::create(&url);
        Self { server, queue, sessions }
    }

    fn settings(&self, credentials: AwsCredentials) -> SqsSettings {
        let credentials = CredentialsSource::Fixed(credentials);
        SqsSettings { credentials, ..settings(&self.server.url(), &self.queue) }
    }

    async fn refused(&self, credentials: AwsCredentials) -> SqsRefusal {
        match SqsEngine::open(self.settings(credentials), Effects::system()).await {
            Err(SqsOpenError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_a_valid_signature() {
    let checking = Checking::start();
    let session = &checking.sessions[0];
    let engine = open(&checking.settings(session.credentials())).await;
    let bodies = some_bodies(12);
    enqueue(&engine, &bodies).await;
    let held = engine.lease(3, Duration::from_secs(5)).await.unwrap();
    engine.release(keys(&held)).await.unwrap();
    all_come(&engine, &[], &bodies).await;

    let refusal = checking.refused(session.with_secret("s3cret")).await;
    assert!(matches!(refusal, SqsRefusal::Signature { .. }), "{refusal}");
    let unknown = AwsCredentials::new("AKIAUNKNOWN000000000", "s3cret", None, None, "test");
    let refusal = checking.refused(unknown).await;
    assert!(matches!(refusal, SqsRefusal::UnknownKey), "{refusal}");
    assert!(!format!("{refusal} {refusal:?}").contains("s3cret"));
}

/// Behaviour of the endpoint of a container.
#[derive(Default)]
struct Endpoint {
    /// What it gives now, and how long it says that this lasts; `None` while it fails.
    given: Mutex<Option<(Session, Duration)>>,
    /// Number of failures.
    failures: AtomicUsize,
}

impl Endpoint {
    fn give(&self, session: &Session, lasts: Duration) {
        *self.given.lock() = Some((session.clone(), lasts));
    }

    fn fail(&self) {
        *self.given.lock() = None;
    }
}

/// The endpoint of a container, as Amazon's containers have it.
async fn serve(endpoint: Arc<Endpoint>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/credentials", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if client.read_buf(&mut request).await.unwrap_or_default() == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
            let known = request.contains(&format!("authorization: {TOKEN}\r\n"));
            let given = endpoint.given.lock().clone().filter(|_| known);
            let (status, body) = if let Some((session, lasts)) = given {
                (200, credentials_body(&session, lasts))
            } else {
                endpoint.failures.fetch_add(1, Ordering::SeqCst);
                (500, String::new())
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close");
            let _ = client.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
        }
    });
    url
}

fn credentials_body(Session { id, secret, token }: &Session, lasts: Duration) -> String {
    let UtcDateTime { year, month, day, hour, minute, second, .. } =
        SystemClock.now().plus(lasts).utc_date_time();
    let expiration = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    json!({ "AccessKeyId": id, "SecretAccessKey": secret, "Token": token, "Expiration": expiration })
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_container_are_renewed_during_operation() {
    let checking = Checking::start();
    let [first, second, third] = [0, 1, 2].map(|n| checking.sessions[n].clone());
    let proxy = SqsProxy::to(&checking.server.url()).await;
    let endpoint = Arc::new(Endpoint::default());
    endpoint.give(&first, Duration::from_secs(8));
    let url = settings(&proxy.url(), &checking.queue).url;
    let folder = tempfile::tempdir().unwrap();
    let mut child = worker(&url, folder.path())
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve(Arc::clone(&endpoint)).await)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN)
        .spawn()
        .unwrap();
    let edge = open(&checking.settings(first.credentials())).await;
    let works_with = async |session: &Session| {
        enqueue(&edge, &some_bodies(5)).await;
        eventually("the child works", async || {
            let empty = edge.depth().await.is_ok_and(|depth| depth.waiting == 0);
            (empty && proxy.last_authorization().contains(&session.id)).then_some(())
        })
        .await;
    };
    works_with(&first).await;
    // Renewed because it is said to expire.
    endpoint.give(&second, Duration::from_hours(1));
    works_with(&second).await;
    // Refused before that, while there are no others.
    endpoint.fail();
    let revoked = second.id.clone();
    proxy.rule(move |call| {
        let expired = call.authorization.contains(&revoked);
        if expired { ProxyReply::xml(403, "ExpiredToken") } else { ProxyReply::Pass }
    });
    enqueue(&edge, &some_bodies(5)).await;
    eventually("others are asked for", async || (endpoint.failures.load(Ordering::SeqCst) > 0).then_some(()))
        .await;
    endpoint.give(&third, Duration::from_hours(1));
    works_with(&third).await;
    edge.enqueue(END.to_owned()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it in a process of its own, since credentials come from the environment"]
async fn a_worker_with_default_credentials() {
    let url = std::env::var(CHILDS_QUEUE).unwrap().parse().unwrap();
    let settings = SqsSettings { message_lease: Duration::from_secs(1), ..SqsSettings::new(url) };
    let engine = open(&settings).await;
    let mut ended = false;
    while !ended {
        let leased = engine.lease(10, Duration::from_secs(2)).await.unwrap_or_default();
        ended = leased.iter().any(|message| body(message) == END);
        let _ = engine.ack(keys(&leased)).await;
    }
}

/// A process that runs that worker, without any credentials so far.
fn worker(url: &SqsQueueUrl, home: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "sqs::credentials::a_worker_with_default_credentials", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(CHILDS_QUEUE, format!("{url}?region={REGION}"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_from_the_sources_of_the_aws_tools() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let keys = |id: &str| format!("aws_access_key_id={id}\naws_secret_access_key=s\n");
    write(".aws/credentials", &format!("[default]\n{}[work]\n{}", keys("AKIADEFAULT"), keys("AKIAWORK")));
    let sts = endpoint();
    let role = "[profile role]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=work\n";
    write(".aws/config", role);
    let token = write("token", "t0ken");
    let sources: [(&str, &[(&str, &str)]); 5] = [
        ("AKIAENV", &[("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "s")]),
        ("AKIADEFAULT", &[]),
        ("AKIAWORK", &[("AWS_PROFILE", "work")]),
        ("ASIA", &[("AWS_PROFILE", "role"), ("AWS_ENDPOINT_URL_STS", &sts)]),
        (
            "ASIA",
            &[
                ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
                ("AWS_CONFIG_FILE", "/dev/null"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
                ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
                ("AWS_ENDPOINT_URL_STS", &sts),
            ],
        ),
    ];
    for (id, variables) in sources {
        setting.queue.call("SendMessage", json!({ "MessageBody": END }));
        let ended = worker(&setting.settings.url, folder.path()).envs(variables.iter().copied()).output();
        let ended = tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap().unwrap();
        assert!(ended.status.success(), "{variables:?}: {}", String::from_utf8_lossy(&ended.stderr));
        let signed = setting.proxy.last_authorization();
        assert!(signed.contains(&format!("Credential={id}")), "{variables:?}: {signed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_reported_with_their_possible_sources() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let ended = worker(&setting.settings.url, folder.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("NoCredentials"), "{said}");
    assert_eq!(setting.proxy.calls("GetQueueAttributes"), 0);
}
