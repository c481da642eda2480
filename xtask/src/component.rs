//! Building the WASM components.

use std::io::Write as _;
use std::path::PathBuf;

use crate::setup;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// The target of every component.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The edge is deployed where size is start-up time.
const MAX_EDGE_BYTES: u64 = 400 * 1024;

/// `cargo xtask edge`: builds the edge component and prints its path and size.
///
/// # Errors
/// It does not build, or is too large.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let (path, bytes) = build_edge(workspace)?;
    let _ = writeln!(std::io::stdout(), "{} {bytes} bytes", path.display());
    Ok(())
}

/// Builds the edge component and gives its path and size.
///
/// # Errors
/// It does not build, or is too large.
pub(crate) fn build_edge(workspace: &Workspace) -> Result<(PathBuf, u64), Failure> {
    let path = build(workspace, "chargegate-edge")?;
    let bytes = std::fs::metadata(&path)
        .map_err(|error| Failure::new(format!("{} is not there: {error}", path.display())))?
        .len();
    if bytes > MAX_EDGE_BYTES {
        return Err(Failure::new(format!("the component has {bytes} bytes, the limit is {MAX_EDGE_BYTES}")));
    }
    Ok((path, bytes))
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
    Ok(workspace.target().join(TARGET).join("edge").join(file))
}
