//! From a request to its answer.

use chargegate_core::{ProblemDetails, ProblemKind};

use crate::body::Body;
use crate::host::Host;
use crate::http::{Request, Response};
use crate::{problem, session};

/// The description of the API, in `OpenAPI` 3.1.
const OPENAPI: &str = include_str!("../openapi.json");

/// Answers one request.
///
/// `body` is read only for a request that may have one, and no further than it may be long. Every answer carries
/// `content-length`; 202 is answered only after `host` has confirmed the message.
pub async fn accept(request: Request<'_>, mut body: impl Body, host: &impl Host) -> Response {
    match Route::of(&request) {
        Ok(Route::Sessions) => session::start(&request, &mut body, host).await,
        Ok(Route::Health) => match host.settings().await {
            Ok(_) => Response::new(200, "application/json", r#"{"status":"ok"}"#),
            Err(error) => problem::response(&error.into()),
        },
        Ok(Route::Openapi) => Response::new(200, "application/json", OPENAPI),
        Err(refused) => refused,
    }
}

enum Route {
    Sessions,
    Health,
    Openapi,
}

impl Route {
    fn of(request: &Request<'_>) -> Result<Self, Response> {
        let path = request.path.split_once('?').map_or(request.path, |(path, _)| path);
        let (route, allowed) = match path {
            "/v1/charging-sessions" => (Self::Sessions, "POST"),
            "/healthz" => (Self::Health, "GET, HEAD"),
            "/openapi.json" => (Self::Openapi, "GET, HEAD"),
            _ => return Err(problem::response(&ProblemDetails::new(ProblemKind::NotFound))),
        };
        if allowed.split(", ").any(|method| method == request.method) {
            Ok(route)
        } else {
            let refused = problem::response(&ProblemDetails::new(ProblemKind::MethodNotAllowed));
            Err(refused.with("allow", allowed))
        }
    }
}
