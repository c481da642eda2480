//! One request and its response.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError, ProxyHandler, TrapOrPanicError};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use crate::answer::HostRefusal;
use crate::instances::InstanceFactory;
use crate::settings::HostLimits;

/// Passes requests to the component, within the limits.
#[derive(Clone)]
pub(crate) struct ExchangeHandler {
    handler: ProxyHandler<InstanceFactory>,
    permits: Arc<Semaphore>,
    limits: HostLimits,
}

impl ExchangeHandler {
    pub(crate) fn new(instances: InstanceFactory) -> Self {
        let limits = instances.loaded.settings.limits;
        Self {
            handler: ProxyHandler::new(instances),
            permits: Arc::new(Semaphore::new(limits.requests)),
            limits,
        }
    }

    /// Returns the response to one request: the component's, or the host's own.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let deadline = Instant::now() + self.limits.request_timeout;
        match self.forward(request, deadline).await {
            Ok(response) => response.map(Full::new),
            Err(refusal) => refusal.response(),
        }
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, HostRefusal> {
        let (head, body) = request.into_parts();
        // The body is read first, so that a slow client does not occupy an instance.
        let body = timeout_at(deadline, self.read_body(body)).await.map_err(|_| HostRefusal::SlowBody)??;
        let request =
            Request::from_parts(head, Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| HostRefusal::TimedOut)?.map_err(|_| HostRefusal::TimedOut)?;
        let (handler, limit) = (self.handler.clone(), self.limits.response_body);
        // A separate task, since the guest continues when its client disconnects, and still occupies the permit.
        let task = tokio::spawn(async move {
            let response = timeout_at(deadline, async {
                let response = handler.handle(deadline, request).await.map_err(|error| refusal(&error))?;
                let (head, body) = response.into_parts();
                let body = Limited::new(body, limit).collect().await.map_err(|error| {
                    tracing::error!(
                        error = error.to_string(),
                        "the edge component did not complete its response"
                    );
                    HostRefusal::Trapped
                })?;
                Ok(Response::from_parts(head, body.to_bytes()))
            });
            let response = response.await.unwrap_or(Err(HostRefusal::TimedOut));
            drop(permit);
            response
        });
        task.await.unwrap_or(Err(HostRefusal::Trapped))
    }

    async fn read_body(&self, body: Incoming) -> Result<Bytes, HostRefusal> {
        let limit = self.limits.request_body;
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(HostRefusal::BodyTooLarge);
        }
        match Limited::new(body, limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(HostRefusal::BodyTooLarge),
            Err(_) => Err(HostRefusal::TruncatedBody),
        }
    }
}

/// Returns the reason to report to the client when the component did not respond.
fn refusal(error: &wasmtime::Error) -> HostRefusal {
    if error.is::<ExpirationError>() {
        HostRefusal::TimedOut
    } else if error.is::<TrapOrPanicError>() {
        HostRefusal::Trapped
    } else if let Some(failed) = error.downcast_ref::<InstantiationError<Instant>>() {
        tracing::error!(
            error = format!("{:#}", failed.error),
            "the edge component could not be instantiated"
        );
        if failed.error.is::<wasmtime::PoolConcurrencyLimitError>() {
            HostRefusal::TimedOut
        } else {
            HostRefusal::Trapped
        }
    } else if let Some(ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid) =
        error.downcast_ref()
    {
        HostRefusal::Malformed
    } else {
        tracing::error!(error = format!("{error:#}"), "the edge component failed");
        HostRefusal::Trapped
    }
}
