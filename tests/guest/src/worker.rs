//! The guest as a worker: minimal routes, and traps.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use worker::{Context, Delay, Env, QueueContentType, RawMessageBuilder, Request, Response, Result, event};

#[event(fetch)]
async fn handle(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    match request.path().as_str() {
        "/served" => Response::ok(served.to_string()),
        "/hello" => Response::ok("Hello, World!"),
        "/minimal" => minimal(&request.text().await?, &env).await,
        "/trap" => process::abort(),
        "/trap-later" => {
            // After an await, the trap no longer happens in the call of the entry point.
            Delay::from(Duration::from_millis(1)).await;
            process::abort()
        }
        _ => Response::error("", 404),
    }
}

/// Enqueues the body, which is the least that an edge can do.
async fn minimal(body: &str, env: &Env) -> Result<Response> {
    let message = RawMessageBuilder::new(body.into()).build_with_content_type(QueueContentType::Text);
    env.queue("JOBS")?.send_raw(message).await?;
    Ok(Response::ok(r#"{"status":"accepted"}"#)?.with_status(202))
}
