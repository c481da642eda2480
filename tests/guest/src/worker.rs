//! The guest as a worker: as little as can be, and one trap.

use std::future::pending;

use worker::{Context, Env, QueueContentType, RawMessageBuilder, Request, Response, Result, event};

#[event(fetch)]
async fn handle(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    match request.path().as_str() {
        "/hello" => Response::ok("Hello, World!"),
        "/minimal" => minimal(&request.text().await?, &env).await,
        "/trap" => std::process::abort(),
        "/trap-later" => {
            // After its answer to a microtask: in no call from the entry.
            worker::Delay::from(std::time::Duration::from_millis(1)).await;
            std::process::abort()
        }
        "/hang" => pending().await,
        _ => Response::error("", 404),
    }
}

/// The least an edge can do.
async fn minimal(body: &str, env: &Env) -> Result<Response> {
    let message = RawMessageBuilder::new(body.into()).build_with_content_type(QueueContentType::Text);
    env.queue("JOBS")?.send_raw(message).await?;
    Ok(Response::ok(r#"{"status":"accepted"}"#)?.with_status(202))
}
