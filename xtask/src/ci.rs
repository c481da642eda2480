//! `cargo xtask ci`: the checks that a change must pass.

use std::process::Command;

use crate::component::TARGET;
use crate::step::{XtaskError, run as execute, say, timed};
use crate::workspace::CargoWorkspace;
use crate::{bench, docs, setup, test, workers};

/// A target without a standard library, on which only `no_std` code compiles.
const BARE_TARGET: &str = "wasm32v1-none";
/// The crates that compile there: core, the edge's signatures, and what the edge and the worker have to do alike.
const BARE_PACKAGES: [&str; 4] =
    ["chargegate-core", "chargegate-redis-layout", "chargegate-sigv4", "chargegate-sqs-protocol"];
/// The components for Spin and for the embedded host.
const COMPONENTS: [&str; 4] =
    ["chargegate-edge", "chargegate-queue", "chargegate-queue-redis", "chargegate-queue-sqs"];
/// The smallest useful sets of the program's features: a queue and a store.
const ENGINE_FEATURES: [&str; 4] = ["sqlite", "redis,postgres", "sqs,postgres", "cloudflare,postgres"];

/// Runs the checks, up to the first that fails.
///
/// # Errors
/// Returns an error if a check fails.
pub(crate) fn run(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    let mut times = Vec::new();
    timed("set-up", &mut times, || {
        setup::ensure_component("rustfmt", "cargo-fmt")?;
        setup::ensure_component("clippy", "cargo-clippy")?;
        setup::ensure_target(TARGET)?;
        setup::ensure_target(workers::TARGET)?;
        setup::ensure_target(BARE_TARGET)
    })?;
    timed("format", &mut times, || execute(&mut workspace.cargo(&["fmt", "--all", "--check"])))?;
    let guest = workspace.root().join("tests/guest").is_dir();
    timed("lints", &mut times, || {
        let mut clippy = workspace.cargo(&["clippy", "--workspace", "--all-targets"]);
        if guest {
            clippy.args(["--exclude", "chargegate-guest"]);
        }
        deny_warnings(&mut clippy)
    })?;
    timed("lints of the components", &mut times, || {
        let mut clippy = clippy_of(workspace, &COMPONENTS, guest);
        deny_warnings(clippy.args(["--target", TARGET]))
    })?;
    timed("lints of the workers", &mut times, || {
        let mut clippy = clippy_of(workspace, &["chargegate-edge"], guest);
        deny_warnings(clippy.args(["--target", workers::TARGET]))
    })?;
    timed("documentation", &mut times, || {
        let mut doc = workspace.cargo(&["doc", "--workspace", "--no-deps"]);
        if guest {
            doc.args(["--exclude", "chargegate-guest"]);
        }
        execute(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    timed("generated documentation", &mut times, || docs::check(workspace))?;
    timed("core and the protocols without a standard library", &mut times, || {
        let packages = BARE_PACKAGES.iter().flat_map(|package| ["--package", package]);
        execute(workspace.cargo(&["check"]).args(packages).args(["--target", BARE_TARGET]))
    })?;
    timed("engines one by one", &mut times, || check_engines(workspace))?;
    timed("deployment of the worker", &mut times, || workers::check_deployment(workspace))?;
    timed("tests", &mut times, || test::run(workspace, &[]))?;
    // The limit of calls holds on any machine; how much of it is used depends on what else the machine does.
    let overload = ["overload", "--profile", "dev", "--short", "--assert", "--min-goodput", "50"];
    timed("overload, in short", &mut times, || bench::run(workspace, overload.map(str::to_owned).into()))?;
    for (name, duration) in times {
        say(format_args!("{:>7.1} s  {name}", duration.as_secs_f64()));
    }
    Ok(())
}

/// Checks that the program compiles with a single queue engine and a single store.
fn check_engines(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    ENGINE_FEATURES.iter().try_for_each(|features| {
        let mut check = workspace.cargo(&["check", "--package", "chargegate", "--no-default-features"]);
        execute(check.args(["--features", features]))
    })
}

/// Returns the command that lints `packages`, and the guest of the tests if the checkout has one.
fn clippy_of(workspace: &CargoWorkspace, packages: &[&str], guest: bool) -> Command {
    let mut clippy = workspace.cargo(&["clippy"]);
    for package in packages.iter().copied().chain(guest.then_some("chargegate-guest")) {
        clippy.args(["--package", package]);
    }
    clippy
}

fn deny_warnings(clippy: &mut Command) -> Result<(), XtaskError> {
    execute(clippy.args(["--", "-D", "warnings"]))
}
