//! One request and its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError, ProxyHandler, TrapOrPanicError};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use crate::answer::Refusal;
use crate::instances::Instances;
use crate::settings::Limits;

/// Answers requests by the component, within the limits.
#[derive(Clone)]
pub(crate) struct Exchange {
    handler: ProxyHandler<Instances>,
    turns: Arc<Semaphore>,
    limits: Limits,
}

impl Exchange {
    pub(crate) fn new(instances: Instances) -> Self {
        let limits = instances.loaded.settings.limits;
        Self {
            handler: ProxyHandler::new(instances),
            turns: Arc::new(Semaphore::new(limits.requests)),
            limits,
        }
    }

    /// Answers one request: the component's answer, or the host's own.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let deadline = Instant::now() + self.limits.request_timeout;
        match self.ask(request, deadline).await {
            Ok(response) => response.map(Full::new),
            Err(refusal) => refusal.response(),
        }
    }

    async fn ask(&self, request: Request<Incoming>, deadline: Instant) -> Result<Response<Bytes>, Refusal> {
        let (head, body) = request.into_parts();
        // The body is read first: however slowly it comes, it holds no instance.
        let body = timeout_at(deadline, self.read(body)).await.map_err(|_| Refusal::SlowBody)??;
        let request =
            Request::from_parts(head, Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let turn = timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Refusal::TimedOut)?.map_err(|_| Refusal::TimedOut)?;
        let (handler, limit) = (self.handler.clone(), self.limits.response_body);
        // A task of its own, since the guest goes on when a client goes away, and then still has its turn.
        let task = tokio::spawn(async move {
            let answer = timeout_at(deadline, async {
                let response = handler.handle(deadline, request).await.map_err(|error| refusal(&error))?;
                let (head, body) = response.into_parts();
                let body = Limited::new(body, limit).collect().await.map_err(|error| {
                    tracing::error!(
                        error = error.to_string(),
                        "the edge component did not finish its answer"
                    );
                    Refusal::Trapped
                })?;
                Ok(Response::from_parts(head, body.to_bytes()))
            });
            let answer = answer.await.unwrap_or(Err(Refusal::TimedOut));
            drop(turn);
            answer
        });
        task.await.unwrap_or(Err(Refusal::Trapped))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limit = self.limits.request_body;
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(Refusal::BodyTooLarge);
        }
        match Limited::new(body, limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
            Err(_) => Err(Refusal::CutBody),
        }
    }
}

/// What the client is told when the component gave no answer.
fn refusal(error: &wasmtime::Error) -> Refusal {
    if error.is::<ExpirationError>() {
        Refusal::TimedOut
    } else if error.is::<TrapOrPanicError>() {
        Refusal::Trapped
    } else if let Some(failed) = error.downcast_ref::<InstantiationError<Instant>>() {
        tracing::error!(
            error = format!("{:#}", failed.error),
            "the edge component could not be instantiated"
        );
        if failed.error.is::<wasmtime::PoolConcurrencyLimitError>() {
            Refusal::TimedOut
        } else {
            Refusal::Trapped
        }
    } else if let Some(ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid) =
        error.downcast_ref()
    {
        Refusal::Malformed
    } else {
        tracing::error!(error = format!("{error:#}"), "the edge component failed");
        Refusal::Trapped
    }
}
