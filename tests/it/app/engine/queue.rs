//! Queues for tests of the whole program.

use chargegate_cloudflare_emulator::{
    ApiTokenSettings, CloudflareEmulator, EmulatedQueueSettings, EmulatorSettings, PullConsumerSettings,
    QueueConsumer, TokenPermission,
};
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use redis::Commands as _;

use super::{TestEngine, required_env};

const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// Id of the queue in the emulator.
pub(crate) const CLOUDFLARE_QUEUE_ID: &str = "cafecafecafecafecafecafecafecafe";
const TOKEN: &str = "a-token-of-the-emulator";

/// Queue of one test, deleted on drop, except on SQS, whose server ends with the tests.
pub(super) enum TestQueue {
    /// Keys on a shared server.
    Redis { url: String, prefix: String },
    /// A queue on a shared Moto server.
    Sqs { endpoint: String, name: String },
    /// A queue on an emulator owned by the test.
    Cloudflare(Box<CloudflareEmulator>),
}

impl TestQueue {
    /// Creates the queue of an engine, unless it is in the data folder.
    pub(super) async fn create(engine: TestEngine, name: &str) -> Option<Self> {
        Some(match engine {
            TestEngine::Folder => return None,
            TestEngine::Servers => Self::Redis { url: required_env("REDIS_URL"), prefix: name.to_owned() },
            TestEngine::Sqs => {
                let endpoint = required_env("CHARGEGATE_SQS_ENDPOINT");
                create_sqs(&endpoint, name).await;
                Self::Sqs { endpoint, name: name.to_owned() }
            }
            TestEngine::Cloudflare => {
                Self::Cloudflare(Box::new(CloudflareEmulator::start(emulated()).await.unwrap()))
            }
        })
    }

    /// Returns the variables that name the queue.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Redis { url, prefix } => {
                vec![("QUEUE_URL", url.clone()), ("CHARGEGATE_QUEUE_PREFIX", prefix.clone())]
            }
            Self::Sqs { endpoint, name } => {
                let host = endpoint.trim_start_matches("http://");
                vec![
                    ("QUEUE_URL", format!("sqs+http://{host}/123456789012/{name}?region=eu-central-1")),
                    ("AWS_ACCESS_KEY_ID", "AKIATEST".to_owned()),
                    ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
                ]
            }
            Self::Cloudflare(emulator) => vec![
                ("QUEUE_URL", format!("cloudflare://{ACCOUNT}/{CLOUDFLARE_QUEUE_ID}")),
                ("CLOUDFLARE_API_TOKEN", TOKEN.to_owned()),
                ("CLOUDFLARE_BASE_URL", emulator.api_url()),
            ],
        }
    }

    /// Returns the emulator if the engine uses it.
    pub(super) fn cloudflare(&self) -> Option<&CloudflareEmulator> {
        match self {
            Self::Cloudflare(emulator) => Some(emulator),
            Self::Redis { .. } | Self::Sqs { .. } => None,
        }
    }
}

impl Drop for TestQueue {
    fn drop(&mut self) {
        if let Self::Redis { url, prefix } = self {
            let client = redis::Client::open(url.as_str()).unwrap();
            if let Ok(mut connection) = client.get_connection() {
                let keys: Vec<String> = connection.keys(format!("{{{prefix}}}:*")).unwrap_or_default();
                let _: Result<(), _> = connection.del(keys);
            }
        }
    }
}

/// Settings of a queue as the documentation recommends them.
fn emulated() -> EmulatorSettings {
    let dead = EmulatedQueueSettings::new(ACCOUNT, &"dead".repeat(8), "jobs-dead");
    let mut jobs = EmulatedQueueSettings::new(ACCOUNT, CLOUDFLARE_QUEUE_ID, "jobs");
    jobs.consumer = QueueConsumer::HttpPull(PullConsumerSettings {
        dead_letter_queue: Some(dead.name.clone()),
        max_retries: 100,
        ..PullConsumerSettings::default()
    });
    EmulatorSettings {
        queues: vec![jobs, dead],
        tokens: vec![ApiTokenSettings::new(ACCOUNT, TOKEN, TokenPermission::Edit)],
        ..EmulatorSettings::default()
    }
}

/// Creates a queue on Moto, which accepts any signature and reads the region from it.
async fn create_sqs(endpoint: &str, name: &str) {
    let request = Request::post(format!("{endpoint}/"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "AmazonSQS.CreateQueue")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-central-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(Full::from(format!(r#"{{"QueueName":"{name}"}}"#)))
        .unwrap();
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}
