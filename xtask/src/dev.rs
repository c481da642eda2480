//! `cargo xtask dev`: the whole product on this machine.

use std::process::Command;

use crate::component;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// Builds everything and becomes `chargegate up --demo`.
///
/// # Errors
/// Something does not build, or the program does not start.
pub(crate) fn run(workspace: &Workspace, mut args: Vec<String>) -> Result<(), Failure> {
    let own = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let passed_on = args.split_off(own);
    let release = match args.as_slice() {
        [] => false,
        [flag] if flag == "--release" => true,
        _ => return Err(Failure::new("dev takes --release; what is for chargegate stands after `--`")),
    };
    let (edge, _) = component::build_edge(workspace)?;
    let mut build = workspace.cargo(&["build", "--package", "chargegate"]);
    if release {
        build.arg("--release");
    }
    step::run(&mut build)?;
    let mut up = Command::new(workspace.program(if release { "release" } else { "debug" }));
    up.args(["up", "--demo"]).args(passed_on.iter().skip(1));
    if std::env::var_os("CHARGEGATE_EDGE_COMPONENT").is_none() {
        up.env("CHARGEGATE_EDGE_COMPONENT", edge);
    }
    replace(&mut up)
}

/// Replaces this process by the program: signals reach it directly, and whoever waits, waits for it.
#[cfg(unix)]
fn replace(command: &mut Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt as _;
    Err(Failure::new(format!("chargegate does not start: {}", command.exec())))
}

#[cfg(not(unix))]
fn replace(command: &mut Command) -> Result<(), Failure> {
    step::run(command)
}
