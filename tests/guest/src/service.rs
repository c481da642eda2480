//! The HTTP service and its one import.

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_service;

use crate::routes;

#[expect(clippy::same_length_and_capacity, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        world: "edge",
        path: "../../wit",
        generate_all,
    });
}

pub(crate) use bindings::chargegate::edge::queue;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path().to_owned();
    let argument = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let (status, text) = routes::respond(&path, &argument, body).await;
    let length = text.len();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-length", length.into());
    response
}
