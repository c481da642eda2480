//! Building workers for Cloudflare.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, Failure};
use crate::workspace::Workspace;
use crate::{programs, setup};

/// The target of every worker.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What is uploaded, compressed: Cloudflare's own limit is 3 MB, and size is start-up time.
const MAX_BYTES: u64 = 300 * 1024;

/// `cargo xtask edge --target workers`: builds the edge as a worker, prints its path and size, and gives the folder of
/// its modules.
///
/// # Errors
/// It does not build, or is too large.
pub(crate) fn build_edge(workspace: &Workspace) -> Result<PathBuf, Failure> {
    build(workspace, "chargegate-edge", "workers")
}

/// Builds the guest as a worker, for the tests, and gives the folder of its modules.
///
/// # Errors
/// It does not build.
pub(crate) fn build_guest(workspace: &Workspace) -> Result<PathBuf, Failure> {
    build(workspace, "chargegate-guest", "workers-guest")
}

fn build(workspace: &Workspace, package: &str, folder: &str) -> Result<PathBuf, Failure> {
    setup::ensure_target(TARGET)?;
    step::run(
        workspace
            .cargo(&["build", "--package", package, "--profile", "edge", "--target", TARGET])
            // What the linker would strip tells wasm-bindgen what the module may use; wasm-bindgen strips then.
            .args(["--config", "profile.edge.strip=false"]),
    )?;
    let module = format!("{}.wasm", package.replace('-', "_"));
    let module = workspace.target().join(TARGET).join("edge").join(module);
    // Where wrangler.toml looks, wherever cargo builds.
    let folder = workspace.root().join("target").join(folder);
    let entry = workspace.root().join("edge/src/cloudflare/index.js");
    let mut make = workspace.cargo(&["run", "--quiet", "--package", "xtask-workers", "--"]);
    step::run(make.args([&module, &entry, &folder]).arg(MAX_BYTES.to_string()))?;
    Ok(folder)
}

/// Lets wrangler check everything that deploying would upload, without an account and without the network.
///
/// # Errors
/// Wrangler cannot be had, or refuses or warns.
pub(crate) fn check_deployment(workspace: &Workspace) -> Result<(), Failure> {
    build_edge(workspace)?;
    // Wrangler keeps what it knows of its user in a home, and would ask this one's.
    let home = workspace.target().join("wrangler");
    let unusable = |error: std::io::Error| Failure::new(format!("{}: {error}", home.display()));
    fs::create_dir_all(&home).map_err(unusable)?;
    let output = wrangler(workspace, &home)?.output();
    let output = output.map_err(|error| Failure::new(format!("wrangler does not start: {error}")))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    step::say(said.trim());
    // What it does not know in wrangler.toml it only warns of.
    if !output.status.success() || said.contains("WARNING") {
        return Err(Failure::new("`wrangler deploy` would not do with edge/wrangler.toml: see above"));
    }
    Ok(())
}

fn wrangler(workspace: &Workspace, home: &Path) -> Result<Command, Failure> {
    let mut wrangler = Command::new(programs::wrangler()?.path);
    wrangler.args(["deploy", "--dry-run", "--strict", "--outdir"]).arg(home.join("upload"));
    wrangler.current_dir(workspace.root().join("edge"));
    wrangler.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("CLOUDFLARE_API_TOKEN");
    wrangler.env("CI", "1").env("WRANGLER_HIDE_BANNER", "true").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    wrangler.env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_SEND_ERROR_REPORTS", "false");
    Ok(wrangler)
}
