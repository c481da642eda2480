//! Builds of the workers for Cloudflare.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, XtaskError};
use crate::workspace::CargoWorkspace;
use crate::{programs, setup};

/// Compilation target of the workers.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Limit on the compressed upload: Cloudflare's own limit is 3 MB, and the size adds to every cold start.
const MAX_UPLOAD_BYTES: u64 = 300 * 1024;

/// Runs `cargo xtask edge --target workers`: builds the edge as a worker, prints its path and size, and returns the folder
/// of its modules.
///
/// # Errors
/// Returns an error if it does not build or is too large.
pub(crate) fn build_edge(workspace: &CargoWorkspace) -> Result<PathBuf, XtaskError> {
    build(workspace, "chargegate-edge", "workers")
}

/// Builds the guest of the tests as a worker, and returns the folder of its modules.
///
/// # Errors
/// Returns an error if it does not build.
pub(crate) fn build_guest(workspace: &CargoWorkspace) -> Result<PathBuf, XtaskError> {
    build(workspace, "chargegate-guest", "workers-guest")
}

fn build(workspace: &CargoWorkspace, package: &str, folder: &str) -> Result<PathBuf, XtaskError> {
    setup::ensure_target(TARGET)?;
    step::run(
        workspace
            .cargo(&["build", "--package", package, "--profile", "edge", "--target", TARGET])
            // wasm-bindgen reads sections that the linker would strip, and strips the module afterwards.
            .args(["--config", "profile.edge.strip=false"]),
    )?;
    let module = format!("{}.wasm", package.replace('-', "_"));
    let module = workspace.target().join(TARGET).join("edge").join(module);
    // wrangler.toml refers to this folder, independently of the target directory.
    let folder = workspace.root().join("target").join(folder);
    let entry = workspace.root().join("edge/src/cloudflare/index.js");
    let mut make = workspace.cargo(&["run", "--quiet", "--package", "xtask-workers", "--"]);
    step::run(make.args([&module, &entry, &folder]).arg(MAX_UPLOAD_BYTES.to_string()))?;
    Ok(folder)
}

/// Checks with Wrangler, offline and without an account, everything that a deployment would upload.
///
/// # Errors
/// Returns an error if Wrangler cannot be installed, or reports an error or a warning.
pub(crate) fn check_deployment(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    build_edge(workspace)?;
    // A home of its own keeps Wrangler from reading the user's credentials.
    let home = workspace.target().join("wrangler");
    let unusable = |error: std::io::Error| XtaskError::new(format!("{}: {error}", home.display()));
    fs::create_dir_all(&home).map_err(unusable)?;
    let output = wrangler(workspace, &home)?.output();
    let output = output.map_err(|error| XtaskError::new(format!("wrangler did not start: {error}")))?;
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log);
    step::say(log.trim());
    // Wrangler only warns about unknown keys in wrangler.toml.
    if !output.status.success() || log.contains("WARNING") {
        return Err(XtaskError::new(
            "`wrangler deploy` does not accept edge/wrangler.toml; see its output above",
        ));
    }
    Ok(())
}

fn wrangler(workspace: &CargoWorkspace, home: &Path) -> Result<Command, XtaskError> {
    let mut wrangler = Command::new(programs::wrangler()?.path);
    wrangler.args(["deploy", "--dry-run", "--strict", "--outdir"]).arg(home.join("upload"));
    wrangler.current_dir(workspace.root().join("edge"));
    wrangler.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("CLOUDFLARE_API_TOKEN");
    wrangler.env("CI", "1").env("WRANGLER_HIDE_BANNER", "true").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    wrangler.env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_SEND_ERROR_REPORTS", "false");
    Ok(wrangler)
}
