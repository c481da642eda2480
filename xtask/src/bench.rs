//! `cargo xtask bench`: load tests of the whole product, on dedicated servers.

use std::process::Command;

use crate::services;
use crate::step::{self, XtaskError};
use crate::workspace::CargoWorkspace;
use crate::{component, test};

const USAGE: &str = "\
Usage: cargo xtask bench load|overload [--profile release|dev] [--appendfsync everysec|always] [ARGS]

`load` measures edge and workers, from POST to callback; `overload` measures workers at twice the capacity of the
authorization service. ARGS are arguments of the load test; `--help` lists them. The servers are started for the run,
unless REDIS_URL and DATABASE_URL name running ones, which nothing else may use at the same time.";

/// Builds the programs, starts the servers and runs the load test.
///
/// # Errors
/// Returns an error if a build or a server fails, or the load test reports a failure.
pub(crate) fn run(workspace: &CargoWorkspace, mut args: Vec<String>) -> Result<(), XtaskError> {
    let kind = if args.is_empty() { String::new() } else { args.remove(0) };
    let overload = match kind.as_str() {
        "load" => false,
        "overload" => true,
        _ => return Err(XtaskError::new(format!("the benchmarks are `load` and `overload`\n\n{USAGE}"))),
    };
    let appendfsync = take_option(&mut args, "--appendfsync", &["everysec", "always"])?;
    let folder = if take_option(&mut args, "--profile", &["release", "dev"])? == "dev" {
        test::build_programs(workspace)?;
        "debug"
    } else {
        let packages = ["--package", "chargegate", "--package", "chargegate-load"];
        step::run(workspace.cargo(&["build", "--release"]).args(packages))?;
        "release"
    };
    let mut load = Command::new(workspace.program(folder, "chargegate-load"));
    load.args(overload.then_some("overload"))
        .args(&args)
        .env("CHARGEGATE_PROGRAM", workspace.program(folder, "chargegate"));
    if args.iter().any(|arg| matches!(arg.as_str(), "-h" | "--help")) {
        return step::run(&mut load);
    }
    // Messages of an overload test go directly into the queue.
    if !overload && std::env::var_os("CHARGEGATE_EDGE_COMPONENT").is_none() {
        load.env("CHARGEGATE_EDGE_COMPONENT", component::build_edge(workspace)?.0);
    }
    // The servers run until the load test ends.
    let servers = services::for_load(appendfsync)?;
    step::run(load.envs(servers.variables()))
}

/// Removes `--name VALUE` or `--name=VALUE` from `args` and returns the value, or the first of `values` by default.
fn take_option(
    args: &mut Vec<String>,
    name: &str,
    values: &[&'static str],
) -> Result<&'static str, XtaskError> {
    let invalid = || XtaskError::new(format!("{name} must be one of {}\n\n{USAGE}", values.join(", ")));
    let joined = format!("{name}=");
    let given = match args.iter().position(|arg| *arg == name || arg.starts_with(&joined)) {
        None => return values.first().copied().ok_or_else(invalid),
        Some(at) => match args.remove(at).strip_prefix(&joined) {
            Some(value) => value.to_owned(),
            None if at < args.len() => args.remove(at),
            None => return Err(invalid()),
        },
    };
    values.iter().find(|value| **value == given).copied().ok_or_else(invalid)
}
