//! The authorization service over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::DecisionStatus;
use chargegate_storage::Effects;
use http::{HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use reqwest::Request;
use tokio::time::Instant;

use super::answer;
use super::check::{AclCheckReport, CallRecord};
use super::connections::{Connections, ServiceResponse};
use super::credential::{AclCredential, CredentialFile};
use super::failure;
use super::files::AclFileError;
use super::health::AclHealth;
use super::profile::{AclProfile, RequestValues};
use super::resolver::HostResolver;
use super::tls::{AclTlsFiles, TlsSource};
use super::url::AclUrl;
use super::{AclCallError, AuthorizationRequest, Authorizer};

/// Shortest time between two looks at the files.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Settings of the client of an authorization service.
#[derive(Clone, Debug)]
pub struct AclClientSettings {
    /// Base URL.
    pub url: AclUrl,
    /// Shape of requests and responses.
    pub profile: AclProfile,
    /// Credential that the service requires.
    pub credential: Option<AclCredential>,
    /// Files for TLS.
    pub tls: AclTlsFiles,
    /// Most connections that are kept without a call.
    pub connections: usize,
}

/// Client that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AclClientError {
    /// A file is unusable.
    #[error(transparent)]
    File(#[from] AclFileError),
    /// The machine has no certificate authorities.
    #[error("this machine has no certificate authorities")]
    NoAuthorities,
    /// The TLS library has no usable protocol version.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client refuses its settings.
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// Client of the authorization service over kept connections: no redirects, no proxy from the environment.
pub struct HttpAuthorizer {
    url: AclUrl,
    profile: AclProfile,
    credential: Option<CredentialFile>,
    tls: TlsSource,
    connections: Connections,
    effects: Effects,
    health: AclHealth,
    next_file_check: Mutex<Instant>,
}

impl HttpAuthorizer {
    /// Creates a client after reading its files.
    ///
    /// # Errors
    /// [`AclClientError`]: a file is unusable, or TLS cannot be set up.
    pub async fn open(
        settings: AclClientSettings,
        resolver: Arc<dyn HostResolver>,
        effects: Effects,
    ) -> Result<Self, AclClientError> {
        let AclClientSettings { url, profile, credential, tls, connections } = settings;
        let credential = match credential {
            Some(settings) => Some(CredentialFile::open(settings, profile.credential()).await?),
            None => None,
        };
        let (tls, config) = TlsSource::open(tls, url.is_https()).await?;
        let connections = Connections::new(config, resolver, connections, effects.clone())?;
        let health = AclHealth::default();
        let next_file_check = Mutex::new(Instant::now() + FILE_CHECK_INTERVAL);
        Ok(Self { url, profile, credential, tls, connections, effects, health, next_file_check })
    }

    /// Returns the problems with certificates and the credential, which change while the client is used.
    #[must_use]
    pub fn health(&self) -> AclHealth {
        self.health.clone()
    }

    /// Calls the service once and records each step; `masked_token` stands for the driver token in the record.
    pub async fn check(
        &self,
        request: AuthorizationRequest<'_>,
        masked_token: &str,
        timeout: Duration,
    ) -> AclCheckReport {
        let traceparent = request.traceparent;
        let shown = RequestValues { driver_token: masked_token, ..values(&request) };
        let shown = self.profile.request(&shown);
        let mut headers: Vec<_> = shown
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .chain([format!("{TRACEPARENT}: {}", traceparent.as_str())])
            .collect();
        if let Some(credential) = &self.credential {
            headers.push(format!("{}: (from {})", credential.header().0, credential.path().display()));
        }
        let mut record = CallRecord::default();
        let result = self.exchange_within(request, timeout, Some(&mut record)).await;
        let CallRecord { response, steps, failure } = record;
        let request_line = format!("{} {}{}", shown.method, self.url, shown.path);
        AclCheckReport { request_line, headers, body: shown.body, response, steps, failure, result }
    }

    async fn exchange_within(
        &self,
        request: AuthorizationRequest<'_>,
        timeout: Duration,
        record: Option<&mut CallRecord>,
    ) -> Result<DecisionStatus, AclCallError> {
        let exchange = self.exchange(request, record);
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(AclCallError::TimedOut))
    }

    async fn exchange(
        &self,
        request: AuthorizationRequest<'_>,
        mut record: Option<&mut CallRecord>,
    ) -> Result<DecisionStatus, AclCallError> {
        self.refresh_files().await;
        let credential = self.credential.as_ref().map(CredentialFile::header);
        let mut sent = self.connections.send(self.message(&request, credential.as_ref())?).await;
        // A credential that was replaced a moment ago is no reason to fail.
        if let Ok(ServiceResponse { response, .. }) = &sent
            && response.status() == StatusCode::UNAUTHORIZED
            && let (Some(file), Some((_, refused))) = (&self.credential, &credential)
            && file.replaced(refused, &self.health).await
        {
            sent = self.connections.send(self.message(&request, Some(&file.header()))?).await;
        }
        let sent = sent.map_err(|error| {
            if let Some(reason) = failure::tls_reason(&error) {
                self.health.tls_failed(&reason);
            }
            if let Some(record) = record.as_deref_mut() {
                record.failed(&error);
            }
            failure::classify(&error)
        })?;
        let ServiceResponse { response, clients } = sent;
        let result = answer::read(&self.profile, response, self.effects.clock.now(), record).await;
        // The connection has returned to its pool.
        drop(clients);
        match result {
            Err(AclCallError::Status(status @ (401 | 403))) => {
                self.health.responded(false);
                self.health.refused(status);
            }
            _ => self.health.responded(true),
        }
        result
    }

    /// Builds the message of a call. The URL is valid, as base URL and path were checked.
    fn message(
        &self,
        request: &AuthorizationRequest<'_>,
        credential: Option<&(HeaderName, HeaderValue)>,
    ) -> Result<Request, AclCallError> {
        let rendered = self.profile.request(&values(request));
        let url = format!("{}{}", self.url, rendered.path).parse().map_err(|_| AclCallError::Unreachable)?;
        let mut message = Request::new(rendered.method, url);
        let headers = message.headers_mut();
        headers.extend(rendered.headers);
        if let Ok(traceparent) = HeaderValue::from_str(request.traceparent.as_str()) {
            headers.entry(TRACEPARENT).or_insert(traceparent);
        }
        if let Some((name, value)) = credential {
            headers.insert(name, value.clone());
        }
        *message.body_mut() = rendered.body.map(Into::into);
        Ok(message)
    }

    /// Looks for changed files, at most once a second for all calls.
    async fn refresh_files(&self) {
        {
            let mut next = self.next_file_check.lock();
            let now = Instant::now();
            if now < *next {
                return;
            }
            *next = now + FILE_CHECK_INTERVAL;
        }
        if let Some(credential) = &self.credential {
            credential.refresh(&self.health).await;
        }
        if let Some(config) = self.tls.refresh(&self.health).await {
            self.connections.replace_tls(config);
        }
    }
}

fn values<'a>(request: &'a AuthorizationRequest<'_>) -> RequestValues<'a> {
    RequestValues {
        driver_token: request.driver_token.as_str(),
        station_id: request.station_id.as_str(),
        traceparent: &request.traceparent,
    }
}

#[async_trait]
impl Authorizer for HttpAuthorizer {
    async fn authorize(
        &self,
        request: AuthorizationRequest<'_>,
        timeout: Duration,
    ) -> Result<DecisionStatus, AclCallError> {
        self.exchange_within(request, timeout, None).await
    }
}
