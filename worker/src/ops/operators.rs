//! The routes of operators on the ops port.
//!
//! They exist only with a token, which each of them requires.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chargegate_core::{RequestId, UnixMillis};
use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{
    BulkAction, BulkProgress, CallbackBatch, CallbackFilter, CallbackState, ForgetBatch, ForgetProgress,
    HostAction, HostChange, HostRequest, OperatorIdentity, OperatorName, Operators, PoisonBatch,
    ReceiverHostName, RequestError, find_callbacks,
};
use chargegate_storage::{Effects, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::OperatorToken;

/// Header with the name of the operator, for the audit trail.
const OPERATOR_HEADER: &str = "x-operator";
/// Name of an operator who does not say it.
const UNNAMED: &str = "token";
/// Default and largest number of rows in a list.
const LIST_ROWS: u32 = 50;
const MAX_LIST_ROWS: u32 = 1000;

/// State behind the routes of operators.
#[derive(Clone)]
struct OperatorRoutes {
    operators: Operators,
    effects: Effects,
}

/// Returns the routes of operators over a store.
pub(super) fn router(operators: Operators, token: OperatorToken, effects: Effects) -> Router {
    let routes = Router::new()
        .route("/callbacks", get(list_callbacks))
        .route("/callbacks/{id}", get(show_callback))
        .route("/hosts", get(list_hosts))
        .route("/poison", get(list_poison))
        .route("/audit", get(list_audit))
        .route("/callbacks/retry", post(retry_callbacks))
        .route("/callbacks/discard", post(discard_callbacks))
        .route("/hosts/pause", post(pause_host))
        .route("/hosts/resume", post(resume_host))
        .route("/poison/discard", post(discard_poison))
        .route("/forget", post(forget));
    let routes = routes.with_state(OperatorRoutes { operators, effects });
    routes.route_layer(middleware::from_fn_with_state(token, require_token))
}

async fn require_token(State(token): State<OperatorToken>, request: Request, next: Next) -> Response {
    let value = request.headers().get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
    let presented = value.and_then(|value| value.split_at_checked(b"Bearer ".len()));
    match presented {
        Some((scheme, presented)) if scheme.eq_ignore_ascii_case(b"bearer ") && token.accepts(presented) => {
            next.run(request).await
        }
        _ => {
            let problem = RouteError::new(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
            ([("www-authenticate", "Bearer")], problem).into_response()
        }
    }
}

/// Start and length of a list.
#[derive(Deserialize)]
struct ListQuery {
    cursor: Option<PageCursor>,
    limit: Option<u32>,
}

impl ListQuery {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIST_ROWS).clamp(1, MAX_LIST_ROWS)
    }
}

type RouteResult<T> = Result<Json<T>, RouteError>;

async fn list_callbacks(
    State(routes): State<OperatorRoutes>,
    list: Result<Query<ListQuery>, QueryRejection>,
    filter: Result<Query<ListedFilter>, QueryRejection>,
) -> RouteResult<impl Serialize> {
    let (Query(list), Query(filter)) = (list?, filter?);
    let limit = usize::try_from(list.limit()).unwrap_or(usize::MAX);
    Ok(Json(find_callbacks(&*routes.operators.view, &filter.into(), limit, list.cursor).await?))
}

/// A filter in a query, beside the parameters of the list.
#[derive(Deserialize)]
struct ListedFilter {
    #[serde(default)]
    state: CallbackState,
    host: Option<ReceiverHostName>,
    status: Option<String>,
    reason: Option<String>,
    give_up: Option<String>,
    since: Option<u64>,
    until: Option<u64>,
}

impl From<ListedFilter> for CallbackFilter {
    fn from(listed: ListedFilter) -> Self {
        let ListedFilter { state, host, status, reason, give_up, since, until } = listed;
        let time = UnixMillis;
        Self { state, host, status, reason, give_up, since: since.map(time), until: until.map(time) }
    }
}

async fn show_callback(
    State(routes): State<OperatorRoutes>,
    Path(id): Path<String>,
) -> RouteResult<impl Serialize> {
    let unknown = || RouteError::new(StatusCode::NOT_FOUND, "no decision has this id");
    let id: RequestId = id.parse().map_err(|_| unknown())?;
    routes.operators.view.decision(&id).await?.map(Json).ok_or_else(unknown)
}

async fn list_hosts(State(routes): State<OperatorRoutes>) -> RouteResult<impl Serialize> {
    Ok(Json(json!({ "hosts": routes.operators.view.hosts().await? })))
}

/// A list of poison messages, or one of them.
#[derive(Deserialize)]
struct PoisonQuery {
    id: Option<String>,
}

async fn list_poison(
    State(routes): State<OperatorRoutes>,
    list: Result<Query<ListQuery>, QueryRejection>,
    one: Result<Query<PoisonQuery>, QueryRejection>,
) -> Result<Response, RouteError> {
    let (Query(list), Query(one)) = (list?, one?);
    let view = &routes.operators.view;
    if let Some(id) = one.id {
        let unknown = || RouteError::new(StatusCode::NOT_FOUND, "no poison message has this id");
        return Ok(Json(view.poison_message(&id).await?.ok_or_else(unknown)?).into_response());
    }
    Ok(Json(view.poison(list.limit(), list.cursor.as_ref()).await?).into_response())
}

async fn list_audit(
    State(routes): State<OperatorRoutes>,
    list: Result<Query<ListQuery>, QueryRejection>,
) -> RouteResult<impl Serialize> {
    let Query(list) = list?;
    Ok(Json(routes.operators.view.audit(list.limit(), list.cursor.as_ref()).await?))
}

async fn retry_callbacks(
    State(routes): State<OperatorRoutes>,
    operator: NamedOperator,
    batch: Result<Json<CallbackBatch>, JsonRejection>,
) -> RouteResult<BulkProgress> {
    Ok(Json(routes.operators.change_callbacks(BulkAction::Retry, batch?.0, &operator.0).await?))
}

async fn discard_callbacks(
    State(routes): State<OperatorRoutes>,
    operator: NamedOperator,
    batch: Result<Json<CallbackBatch>, JsonRejection>,
) -> RouteResult<BulkProgress> {
    Ok(Json(routes.operators.change_callbacks(BulkAction::Discard, batch?.0, &operator.0).await?))
}

async fn pause_host(
    State(routes): State<OperatorRoutes>,
    operator: NamedOperator,
    host: Result<Json<HostRequest>, JsonRejection>,
) -> RouteResult<HostChange> {
    Ok(Json(routes.operators.change_host(HostAction::Pause, &host?.0, &operator.0).await?))
}

async fn resume_host(
    State(routes): State<OperatorRoutes>,
    operator: NamedOperator,
    host: Result<Json<HostRequest>, JsonRejection>,
) -> RouteResult<HostChange> {
    Ok(Json(routes.operators.change_host(HostAction::Resume, &host?.0, &operator.0).await?))
}

async fn discard_poison(
    State(routes): State<OperatorRoutes>,
    operator: NamedOperator,
    batch: Result<Json<PoisonBatch>, JsonRejection>,
) -> RouteResult<BulkProgress> {
    Ok(Json(routes.operators.discard_poison(batch?.0, &operator.0).await?))
}

async fn forget(
    State(routes): State<OperatorRoutes>,
    operator: NamedOperator,
    batch: Result<Json<ForgetBatch>, JsonRejection>,
) -> RouteResult<ForgetProgress> {
    Ok(Json(routes.operators.forget(batch?.0, &operator.0).await?))
}

/// The operator that a request names.
struct NamedOperator(OperatorIdentity);

impl FromRequestParts<OperatorRoutes> for NamedOperator {
    type Rejection = RouteError;

    async fn from_request_parts(parts: &mut Parts, routes: &OperatorRoutes) -> Result<Self, RouteError> {
        let name = match parts.headers.get(OPERATOR_HEADER) {
            Some(name) => name.to_str().unwrap_or_default(),
            None => UNNAMED,
        };
        let name: OperatorName = name.parse().map_err(|_| {
            RouteError::new(StatusCode::BAD_REQUEST, "x-operator has 1 to 64 printable ASCII characters")
        })?;
        Ok(Self(OperatorIdentity { name, random: routes.effects.random.clone() }))
    }
}

/// A refused request, as problem details (RFC 9457). The text never echoes input.
struct RouteError {
    status: StatusCode,
    detail: String,
}

impl RouteError {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let Self { status, detail } = self;
        let body = json!({ "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail });
        (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

impl From<StoreError> for RouteError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::ForeignCursor => return Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            StoreError::OtherAction => return Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            _ => {}
        }
        tracing::warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "an operator's request failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<RequestError> for RouteError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Store(error) => error.into(),
            error => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        }
    }
}

impl From<JsonRejection> for RouteError {
    fn from(rejection: JsonRejection) -> Self {
        // Its text may quote the body, and with it a token.
        Self::new(rejection.status(), "the body is not the JSON object that this route expects")
    }
}

impl From<QueryRejection> for RouteError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "a query parameter is malformed")
    }
}
