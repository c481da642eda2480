//! The routes of the API.

use chargegate_core::{ProblemDetails, ProblemKind};

use crate::body::RequestBody;
use crate::host::EdgeHost;
use crate::http::{EdgeRequest, EdgeResponse};
use crate::settings::EdgeSettings;
use crate::{problem, session};

/// The description of the API in `OpenAPI` 3.1.
const OPENAPI: &str = include_str!("../openapi.json");

/// Answers one request.
///
/// `body` is read only for a request that may have one, and only up to the size limit. Every response carries
/// `content-length`; 202 is sent only after `host` has confirmed the message.
pub async fn accept(
    request: EdgeRequest<'_>,
    mut body: impl RequestBody,
    host: &impl EdgeHost,
) -> EdgeResponse {
    match ApiRoute::match_request(&request) {
        Ok(ApiRoute::Sessions) => session::start(&request, &mut body, host).await,
        Ok(ApiRoute::Health) => match host.settings().await {
            Ok(_) => EdgeResponse::new(200, "application/json", r#"{"status":"ok"}"#),
            Err(error) => problem::response(&error.into()),
        },
        Ok(ApiRoute::PublicKeys) => match host.settings().await {
            Ok(settings) => public_keys(settings),
            Err(error) => problem::response(&error.into()),
        },
        Ok(ApiRoute::Openapi) => EdgeResponse::new(200, "application/json", OPENAPI),
        Err(refused) => refused,
    }
}

/// Returns the keys with which receivers verify callbacks.
fn public_keys(settings: &EdgeSettings) -> EdgeResponse {
    match &settings.public_keys {
        Some(keys) => EdgeResponse::new(200, "application/jwk-set+json", keys.clone())
            .with_header("cache-control", "public, max-age=300"),
        None => problem::response(&ProblemDetails::new(ProblemKind::NotFound)),
    }
}

enum ApiRoute {
    Sessions,
    Health,
    PublicKeys,
    Openapi,
}

impl ApiRoute {
    fn match_request(request: &EdgeRequest<'_>) -> Result<Self, EdgeResponse> {
        let path = request.path.split_once('?').map_or(request.path, |(path, _)| path);
        let (route, allowed) = match path {
            "/v1/charging-sessions" => (Self::Sessions, "POST"),
            "/healthz" => (Self::Health, "GET, HEAD"),
            "/.well-known/jwks.json" => (Self::PublicKeys, "GET, HEAD"),
            "/openapi.json" => (Self::Openapi, "GET, HEAD"),
            _ => return Err(problem::response(&ProblemDetails::new(ProblemKind::NotFound))),
        };
        if allowed.split(", ").any(|method| method == request.method) {
            Ok(route)
        } else {
            let refused = problem::response(&ProblemDetails::new(ProblemKind::MethodNotAllowed));
            Err(refused.with_header("allow", allowed))
        }
    }
}
