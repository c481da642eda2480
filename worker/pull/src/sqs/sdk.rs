//! Adapters from the worker's HTTP client and clock to the AWS SDK.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::config::{BehaviorVersion, HttpClient};
use aws_sdk_sqs::error::ConnectorError;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use chargegate_core::UnixMillis;
use http_body_util::Full;

use crate::http_client::{ServiceCallError, ServiceClient, ServiceResponse};
use chargegate_storage::Clock;

/// Returns the version of the SDK's defaults, pinned so that an update of the SDK does not change them.
pub(super) fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// HTTP client of the SDK with a deadline for each exchange.
#[derive(Clone, Debug)]
pub(super) struct SdkHttpClient {
    client: ServiceClient,
    deadline: Duration,
}

impl SdkHttpClient {
    /// Creates a client whose exchanges last `deadline` at most, or less if the SDK's settings require it.
    pub(super) fn new(client: ServiceClient, deadline: Duration) -> Self {
        Self { client, deadline }
    }

    async fn exchange(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (head, body) = request.into_parts();
        let body = body.bytes().map(Bytes::copy_from_slice);
        let body = body.ok_or_else(|| ConnectorError::user("a body that is streamed".into()))?;
        let request = http::Request::from_parts(head, Full::new(body));
        let response = self.client.call(request, self.deadline).await.map_err(|error| match error {
            ServiceCallError::TimedOut => ConnectorError::timeout(error.into()),
            ServiceCallError::Broken(_) | ServiceCallError::TooLarge => ConnectorError::io(error.into()),
        })?;
        Ok(sdk_response(response))
    }
}

fn sdk_response(ServiceResponse { status, headers, body }: ServiceResponse) -> HttpResponse {
    let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
    for (name, value) in &headers {
        // The SDK's headers are text. It needs no header that is not, so that one is left out.
        if let Ok(value) = str::from_utf8(value.as_bytes()) {
            let _ = response.headers_mut().try_append(name.as_str().to_owned(), value.to_owned());
        }
    }
    response
}

impl HttpConnector for SdkHttpClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().exchange(request))
    }
}

impl HttpClient for SdkHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // Outside Amazon nothing responds at the address of the instance metadata; the wait for it is short.
        let asked = settings.connect_timeout().unwrap_or(self.deadline)
            + settings.read_timeout().unwrap_or(self.deadline);
        SharedHttpConnector::new(Self { deadline: asked.min(self.deadline), ..self.clone() })
    }
}

/// The worker's clock as the time source of the SDK.
#[derive(Clone)]
pub(super) struct SdkClock(pub(super) Arc<dyn Clock>);

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().0)
    }
}

impl fmt::Debug for SdkClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Converts a time of the SDK; times before 1970 become that of 1970.
pub(super) fn unix_millis(time: SystemTime) -> UnixMillis {
    UnixMillis::default().plus(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
