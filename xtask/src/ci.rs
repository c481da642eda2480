//! `cargo xtask ci`: everything a change must pass.

use crate::component::TARGET;
use crate::step::{XtaskError, run as execute, say, timed};
use crate::workspace::CargoWorkspace;
use crate::{docs, setup, test, workers};

/// The target that has no standard library: what checks there is `no_std` for certain.
const BARE_TARGET: &str = "wasm32v1-none";

/// Runs every check; the first that fails ends it.
///
/// # Errors
/// A check fails.
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
        execute(clippy.args(["--", "-D", "warnings"]))
    })?;
    timed("lints of the components", &mut times, || {
        let mut clippy = workspace.cargo(&[
            "clippy",
            "--package",
            "chargegate-edge",
            "--package",
            "chargegate-queue",
            "--package",
            "chargegate-queue-redis",
            "--package",
            "chargegate-queue-sqs",
        ]);
        if guest {
            clippy.args(["--package", "chargegate-guest"]);
        }
        execute(clippy.args(["--target", TARGET, "--", "-D", "warnings"]))
    })?;
    timed("lints of the workers", &mut times, || {
        let mut clippy = workspace.cargo(&["clippy", "--package", "chargegate-edge"]);
        if guest {
            clippy.args(["--package", "chargegate-guest"]);
        }
        execute(clippy.args(["--target", workers::TARGET, "--", "-D", "warnings"]))
    })?;
    timed("documentation", &mut times, || {
        let mut doc = workspace.cargo(&["doc", "--workspace", "--no-deps"]);
        if guest {
            doc.args(["--exclude", "chargegate-guest"]);
        }
        execute(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    timed("generated documentation", &mut times, || docs::check(workspace))?;
    timed("core and signatures without a standard library", &mut times, || {
        execute(&mut workspace.cargo(&[
            "check",
            "--package",
            "chargegate-core",
            "--package",
            "chargegate-sigv4",
            "--target",
            BARE_TARGET,
        ]))
    })?;
    timed("deployment of the worker", &mut times, || workers::check_deployment(workspace))?;
    timed("tests", &mut times, || test::run(workspace, &[]))?;
    for (name, took) in times {
        say(format_args!("{:>7.1} s  {name}", took.as_secs_f64()));
    }
    Ok(())
}
