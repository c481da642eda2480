//! `cargo xtask bench load`: the whole product under load, on servers of its own.

use std::process::Command;

use crate::services;
use crate::step::{self, Failure};
use crate::workspace::Workspace;
use crate::{component, test};

const USAGE: &str = "\
Usage: cargo xtask bench load [--profile release|dev] [--appendfsync everysec|always] [ARGS]

ARGS go to the load, `--help` tells which. The servers are started for it, unless REDIS_URL and DATABASE_URL name
others, which nobody else may use meanwhile.";

/// Builds what is measured, starts the servers and runs the load.
///
/// # Errors
/// Something does not build or start, or the load reports a failure.
pub(crate) fn run(workspace: &Workspace, mut args: Vec<String>) -> Result<(), Failure> {
    if args.first().is_none_or(|kind| kind != "load") {
        return Err(Failure::new(format!("there is one bench of this kind\n\n{USAGE}")));
    }
    args.remove(0);
    let appendfsync = take(&mut args, "--appendfsync", &["everysec", "always"])?;
    let folder = if take(&mut args, "--profile", &["release", "dev"])? == "dev" {
        test::build_programs(workspace)?;
        "debug"
    } else {
        let packages = ["--package", "chargegate", "--package", "chargegate-load"];
        step::run(workspace.cargo(&["build", "--release"]).args(packages))?;
        "release"
    };
    let mut load = Command::new(workspace.program(folder, "chargegate-load"));
    load.args(&args).env("CHARGEGATE_PROGRAM", workspace.program(folder, "chargegate"));
    if args.iter().any(|arg| matches!(arg.as_str(), "-h" | "--help")) {
        return step::run(&mut load);
    }
    if std::env::var_os("CHARGEGATE_EDGE_COMPONENT").is_none() {
        load.env("CHARGEGATE_EDGE_COMPONENT", component::build_edge(workspace)?.0);
    }
    // They run as long as the load.
    let servers = services::for_load(appendfsync)?;
    step::run(load.envs(servers.variables()))
}

/// Takes `--name VALUE` or `--name=VALUE` out of `args`; without it, the first of the values it may have.
fn take(args: &mut Vec<String>, name: &str, values: &[&'static str]) -> Result<&'static str, Failure> {
    let wrong = || Failure::new(format!("{name} is one of {}\n\n{USAGE}", values.join(", ")));
    let joined = format!("{name}=");
    let given = match args.iter().position(|arg| *arg == name || arg.starts_with(&joined)) {
        None => return values.first().copied().ok_or_else(wrong),
        Some(at) => match args.remove(at).strip_prefix(&joined) {
            Some(value) => value.to_owned(),
            None if at < args.len() => args.remove(at),
            None => return Err(wrong()),
        },
    };
    values.iter().find(|value| **value == given).copied().ok_or_else(wrong)
}
