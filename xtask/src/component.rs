//! Building the WASM components.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use crate::setup;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// The target of every component.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Components are deployed where size is start-up time.
const MAX_EDGE_BYTES: u64 = 400 * 1024;
const MAX_QUEUE_REDIS_BYTES: u64 = 200 * 1024;
/// It brings its own HTTP requests and signs them.
const MAX_QUEUE_SQS_BYTES: u64 = 250 * 1024;

/// `cargo xtask edge`: builds the edge component and those that bring it a queue, and prints their paths and sizes.
///
/// # Errors
/// One does not build, or is too large.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    for (path, bytes) in [build_edge(workspace)?, build_queue_redis(workspace)?, build_queue_sqs(workspace)?]
    {
        let _ = writeln!(std::io::stdout(), "{} {bytes} bytes", path.display());
    }
    Ok(())
}

/// Builds the edge component and gives its path and size.
///
/// # Errors
/// It does not build, or is too large.
pub(crate) fn build_edge(workspace: &Workspace) -> Result<(PathBuf, u64), Failure> {
    build_within(workspace, "chargegate-edge", MAX_EDGE_BYTES)
}

/// Builds the queue over Redis streams and gives its path and size.
///
/// # Errors
/// It does not build, or is too large.
pub(crate) fn build_queue_redis(workspace: &Workspace) -> Result<(PathBuf, u64), Failure> {
    build_within(workspace, "chargegate-queue-redis", MAX_QUEUE_REDIS_BYTES)
}

/// Builds the queue on Amazon SQS and gives its path and size.
///
/// # Errors
/// It does not build, or is too large.
pub(crate) fn build_queue_sqs(workspace: &Workspace) -> Result<(PathBuf, u64), Failure> {
    build_within(workspace, "chargegate-queue-sqs", MAX_QUEUE_SQS_BYTES)
}

/// Builds the guest that the host's tests run, where there is one, and gives its path.
///
/// # Errors
/// It does not build.
pub(crate) fn build_guest(workspace: &Workspace) -> Result<Option<PathBuf>, Failure> {
    if !workspace.root().join("tests/guest/Cargo.toml").is_file() {
        return Ok(None);
    }
    build(workspace, "chargegate-guest").map(Some)
}

fn build_within(workspace: &Workspace, package: &str, limit: u64) -> Result<(PathBuf, u64), Failure> {
    let path = build(workspace, package)?;
    let bytes = std::fs::metadata(&path)
        .map_err(|error| Failure::new(format!("{} is not there: {error}", path.display())))?
        .len();
    if bytes > limit {
        return Err(Failure::new(format!("{package} has {bytes} bytes, the limit is {limit}")));
    }
    Ok((path, bytes))
}

fn build(workspace: &Workspace, package: &str) -> Result<PathBuf, Failure> {
    setup::ensure_target(TARGET)?;
    step::run(&mut workspace.cargo(&[
        "build",
        "--package",
        package,
        "--profile",
        "edge",
        "--target",
        TARGET,
    ]))?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let built = workspace.target().join(TARGET).join("edge").join(&file);
    // spin.toml names the components where cargo leaves them by itself.
    let named = workspace.root().join("target").join(TARGET).join("edge");
    if !built.starts_with(workspace.root().join("target")) {
        let copied = fs::create_dir_all(&named).and_then(|()| fs::copy(&built, named.join(&file)));
        copied.map_err(|error| Failure::new(format!("{}: {error}", named.display())))?;
    }
    Ok(built)
}
