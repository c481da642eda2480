//! Proxy between an engine and Moto: counts calls, and responds in place of Moto where a test says so.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Treatment of a call.
#[derive(Clone, Debug)]
pub(crate) enum ProxyReply {
    /// Moto does it.
    Pass,
    /// Moto does it, and the answer is lost.
    Lose,
    /// Moto does it without the first of the entries, which fails with this code.
    FailFirst { code: &'static str, sender_fault: bool },
    /// This answer: a status, header lines and a body.
    Answer { status: u16, headers: String, body: String },
    /// These bytes, and the end of the connection.
    Bytes(&'static str),
    /// Nothing, while the connection stays.
    Hang,
}

impl ProxyReply {
    /// An error as the JSON protocol has it.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "said" }).to_string();
        Self::Answer { status, headers: String::new(), body }
    }

    /// An error as the older protocol has it.
    pub(crate) fn xml(status: u16, code: &str) -> Self {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>said</Message></Error>");
        let body = format!("<?xml version=\"1.0\"?>\n<ErrorResponse>{error}</ErrorResponse>");
        Self::Answer { status, headers: "content-type: text/xml\r\n".to_owned(), body }
    }
}

type ProxyRule = Arc<dyn Fn(&ProxiedCall) -> ProxyReply + Send + Sync>;

/// A call as it came.
pub(crate) struct ProxiedCall {
    pub(crate) operation: String,
    /// The header that says who signed it.
    pub(crate) authorization: String,
}

pub(crate) struct SqsProxy {
    port: u16,
    state: Arc<SqsProxyState>,
}

struct SqsProxyState {
    /// Address of Moto.
    target: String,
    rule: Mutex<ProxyRule>,
    calls: Mutex<HashMap<String, usize>>,
    /// Access key of the last call.
    last_authorization: Mutex<String>,
}

impl SqsProxy {
    /// To the server at `endpoint`, passing everything.
    pub(crate) async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(SqsProxyState {
            target: endpoint.strip_prefix("http://").unwrap().to_owned(),
            rule: Mutex::new(Arc::new(|_| ProxyReply::Pass)),
            calls: Mutex::default(),
            last_authorization: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&serving)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Decides about each call.
    pub(crate) fn rule(&self, rule: impl Fn(&ProxiedCall) -> ProxyReply + Send + Sync + 'static) {
        *self.state.rule.lock() = Arc::new(rule);
    }

    /// Replies so to everything.
    pub(crate) fn always(&self, reply: ProxyReply) {
        self.rule(move |_| reply.clone());
    }

    /// Replies so to the next call of an operation, and passes everything else.
    pub(crate) fn once(&self, operation: &'static str, reply: ProxyReply) {
        let reply = Mutex::new(Some(reply));
        self.rule(move |called| {
            let next = if called.operation == operation { reply.lock().take() } else { None };
            next.unwrap_or(ProxyReply::Pass)
        });
    }

    /// Returns the number of calls of an operation.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.state.calls.lock().get(operation).copied().unwrap_or_default()
    }

    pub(crate) fn last_authorization(&self) -> String {
        self.state.last_authorization.lock().clone()
    }
}

/// Serves one exchange: an engine opens another connection for the next.
async fn serve(mut client: TcpStream, state: Arc<SqsProxyState>) -> Option<()> {
    let mut request = Vec::new();
    let head_end = loop {
        if let Some(end) = find(&request, b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&request[..head_end]).into_owned();
    let length: usize = header(&head, "content-length")?.parse().ok()?;
    while request.len() < head_end + length {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let body = request[head_end..].to_vec();
    let operation = header(&head, "x-amz-target")?.trim_start_matches("AmazonSQS.").to_owned();
    let call = ProxiedCall { operation, authorization: header(&head, "authorization")? };
    *state.calls.lock().entry(call.operation.clone()).or_default() += 1;
    *state.last_authorization.lock() = call.authorization.clone();
    let rule = Arc::clone(&state.rule.lock());
    let answer = match rule(&call) {
        ProxyReply::Pass => forward(&state.target, &head, &body).await?,
        ProxyReply::Lose => {
            forward(&state.target, &head, &body).await?;
            return None;
        }
        ProxyReply::FailFirst { code, sender_fault } => {
            fail_first(&state.target, &head, &body, code, sender_fault).await?
        }
        ProxyReply::Answer { status, headers, body } => answer(status, &headers, &body),
        ProxyReply::Bytes(bytes) => bytes.as_bytes().to_vec(),
        ProxyReply::Hang => std::future::pending().await,
    };
    client.write_all(&answer).await.ok()?;
    client.shutdown().await.ok()
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

async fn fail_first(
    target: &str,
    head: &str,
    body: &[u8],
    code: &str,
    sender_fault: bool,
) -> Option<Vec<u8>> {
    let mut question: Value = serde_json::from_slice(body).ok()?;
    let entries = question["Entries"].as_array_mut()?;
    let first = entries.remove(0);
    let mut said = if entries.is_empty() {
        json!({})
    } else {
        let passed = forward(target, head, question.to_string().as_bytes()).await?;
        let body = &passed[find(&passed, b"\r\n\r\n")? + 4..];
        serde_json::from_slice(body).ok()?
    };
    let failed = json!({ "Id": first["Id"], "Code": code, "SenderFault": sender_fault, "Message": "said" });
    said["Failed"] = json!([failed]);
    Some(answer(200, "", &said.to_string()))
}

/// Returns the response of Moto, which then closes the connection.
async fn forward(target: &str, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(target).await.ok()?;
    let mut request = String::from("POST / HTTP/1.0\r\n");
    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
        if !line.to_ascii_lowercase().starts_with("content-length:") {
            request.extend([line, "\r\n"]);
        }
    }
    request.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    server.write_all(request.as_bytes()).await.ok()?;
    server.write_all(body).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    Some(answer)
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.trim().to_owned())
}
