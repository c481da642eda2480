//! Adapter from the crate's HTTP client to `aws-config`.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::Full;

use crate::http_client::{ServiceCallError, ServiceClient};

/// Longest duration of an exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP client for sources of credentials.
#[derive(Clone, Debug)]
pub(super) struct CredentialsHttpClient {
    client: ServiceClient,
    deadline: Duration,
}

impl CredentialsHttpClient {
    pub(super) fn new(client: ServiceClient) -> Self {
        Self { client, deadline: EXCHANGE_TIMEOUT }
    }

    async fn exchange(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (head, body) = request.into_parts();
        let body = body.bytes().map(Bytes::copy_from_slice);
        let body = body.ok_or_else(|| ConnectorError::user("a body that is streamed".into()))?;
        let request = http::Request::from_parts(head, Full::new(body));
        let answer = self.client.call(request, self.deadline).await.map_err(|error| match error {
            ServiceCallError::TimedOut => ConnectorError::timeout(error.into()),
            ServiceCallError::Broken(_) | ServiceCallError::TooLarge => ConnectorError::io(error.into()),
        })?;
        let mut response = HttpResponse::new(answer.status.into(), SdkBody::from(answer.body));
        *response.headers_mut() =
            answer.headers.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
        Ok(response)
    }
}

impl HttpConnector for CredentialsHttpClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().exchange(request))
    }
}

impl HttpClient for CredentialsHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // Outside Amazon nothing responds at the address of the instance metadata; the wait for it is short.
        let asked = settings.connect_timeout().unwrap_or(EXCHANGE_TIMEOUT)
            + settings.read_timeout().unwrap_or(EXCHANGE_TIMEOUT);
        SharedHttpConnector::new(Self { deadline: asked.min(EXCHANGE_TIMEOUT), ..self.clone() })
    }
}
