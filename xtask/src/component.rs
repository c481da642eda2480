//! Builds of the WASM components.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use crate::setup;
use crate::step::{self, XtaskError};
use crate::workspace::CargoWorkspace;

/// Compilation target of the components.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Size limit of the edge: a platform that starts instances on demand loads it at every cold start.
const MAX_EDGE_BYTES: u64 = 400 * 1024;
const MAX_QUEUE_REDIS_BYTES: u64 = 200 * 1024;
/// Larger limit, since this component sends its own HTTP requests and signs them.
const MAX_QUEUE_SQS_BYTES: u64 = 250 * 1024;

/// Runs `cargo xtask edge`: builds the edge and queue components, and prints their paths and sizes.
///
/// # Errors
/// Returns an error if a component does not build or is too large.
pub(crate) fn run(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    for (path, bytes) in [build_edge(workspace)?, build_queue_redis(workspace)?, build_queue_sqs(workspace)?]
    {
        let _ = writeln!(std::io::stdout(), "{} {bytes} bytes", path.display());
    }
    Ok(())
}

/// Builds the edge component and returns its path and size.
///
/// # Errors
/// Returns an error if it does not build or is too large.
pub(crate) fn build_edge(workspace: &CargoWorkspace) -> Result<(PathBuf, u64), XtaskError> {
    build_within(workspace, "chargegate-edge", MAX_EDGE_BYTES)
}

/// Builds the queue component for a Redis stream and returns its path and size.
///
/// # Errors
/// Returns an error if it does not build or is too large.
pub(crate) fn build_queue_redis(workspace: &CargoWorkspace) -> Result<(PathBuf, u64), XtaskError> {
    build_within(workspace, "chargegate-queue-redis", MAX_QUEUE_REDIS_BYTES)
}

/// Builds the queue component for Amazon SQS and returns its path and size.
///
/// # Errors
/// Returns an error if it does not build or is too large.
pub(crate) fn build_queue_sqs(workspace: &CargoWorkspace) -> Result<(PathBuf, u64), XtaskError> {
    build_within(workspace, "chargegate-queue-sqs", MAX_QUEUE_SQS_BYTES)
}

/// Builds the guest of the host's tests, if the checkout has one, and returns its path.
///
/// # Errors
/// Returns an error if it does not build.
pub(crate) fn build_guest(workspace: &CargoWorkspace) -> Result<Option<PathBuf>, XtaskError> {
    if !workspace.root().join("tests/guest/Cargo.toml").is_file() {
        return Ok(None);
    }
    build(workspace, "chargegate-guest").map(Some)
}

fn build_within(workspace: &CargoWorkspace, package: &str, limit: u64) -> Result<(PathBuf, u64), XtaskError> {
    let path = build(workspace, package)?;
    let bytes = std::fs::metadata(&path)
        .map_err(|error| XtaskError::new(format!("{} cannot be read: {error}", path.display())))?
        .len();
    if bytes > limit {
        return Err(XtaskError::new(format!("{package} has {bytes} bytes; the limit is {limit}")));
    }
    Ok((path, bytes))
}

fn build(workspace: &CargoWorkspace, package: &str) -> Result<PathBuf, XtaskError> {
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
    // spin.toml refers to the default target directory.
    let default = workspace.root().join("target").join(TARGET).join("edge");
    if !built.starts_with(workspace.root().join("target")) {
        let copied = fs::create_dir_all(&default).and_then(|()| fs::copy(&built, default.join(&file)));
        copied.map_err(|error| XtaskError::new(format!("{}: {error}", default.display())))?;
    }
    Ok(built)
}
