//! Our HTTP client, for AWS's crate that fetches credentials.

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

use crate::engine::{ServiceCallError, ServiceClient};

/// No exchange takes longer, where nothing else is asked for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Connections like any other of ours.
#[derive(Clone, Debug)]
pub(super) struct PlainHttp {
    client: ServiceClient,
    deadline: Duration,
}

impl PlainHttp {
    pub(super) fn new(client: ServiceClient) -> Self {
        Self { client, deadline: DEADLINE }
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

impl HttpConnector for PlainHttp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().exchange(request))
    }
}

impl HttpClient for PlainHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // A machine that is none of Amazon's has nobody at the address of its metadata: that is not waited for long.
        let asked =
            settings.connect_timeout().unwrap_or(DEADLINE) + settings.read_timeout().unwrap_or(DEADLINE);
        SharedHttpConnector::new(Self { deadline: asked.min(DEADLINE), ..self.clone() })
    }
}
