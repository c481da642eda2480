//! `cargo xtask test`: the tests, with their programs, components and servers.

use std::process::Command;

use crate::step::{self, XtaskError};
use crate::workspace::CargoWorkspace;
use crate::{component, services, setup, workers};

/// The programs that the integration tests run.
const TESTED_PROGRAMS: [&str; 3] = ["chargegate", "chargegate-load", "cloudflare-queues-emulator"];

/// Sets up and runs the tests; `args` are passed to `cargo test`.
///
/// # Errors
/// Returns an error if the set-up or a test fails.
pub(crate) fn run(workspace: &CargoWorkspace, args: &[String]) -> Result<(), XtaskError> {
    // strace shows the sync between a request and its acknowledgement.
    if cfg!(target_os = "linux") {
        setup::ensure_program("strace")?;
        // Receivers in these languages verify signatures of callbacks.
        setup::ensure_program("ruby")?;
        for (program, package) in [("php", "php-cli"), ("javac", "default-jdk-headless")] {
            if !step::is_installed(program) {
                setup::install_package(program, package)?;
            }
        }
    }
    let (edge, _) = component::build_edge(workspace)?;
    let (queue_redis, _) = component::build_queue_redis(workspace)?;
    let (queue_sqs, _) = component::build_queue_sqs(workspace)?;
    let guest = component::build_guest(workspace)?;
    let (worker, guest_worker) = (workers::build_edge(workspace)?, workers::build_guest(workspace)?);
    // Without a selection Cargo runs all tests, and builds the programs as dependencies of their own packages' tests.
    let selects = args.iter().take_while(|arg| *arg != "--").any(|arg| arg.starts_with('-'));
    if selects {
        build_programs(workspace)?;
    }
    // The servers run until the tests end.
    let servers = services::for_tests()?;
    let mut test = workspace.cargo(&["test"]);
    select_workspace(workspace, &mut test);
    test.envs(servers.variables())
        .env("CHARGEGATE_PROGRAM", workspace.program("debug", "chargegate"))
        .env("CHARGEGATE_EDGE_COMPONENT", edge)
        .env("CHARGEGATE_QUEUE_REDIS_COMPONENT", queue_redis)
        .env("CHARGEGATE_QUEUE_SQS_COMPONENT", queue_sqs)
        .env("CHARGEGATE_EDGE_WORKER", worker)
        .env("CHARGEGATE_GUEST_WORKER", guest_worker);
    if let Some(guest) = guest {
        test.env("CHARGEGATE_GUEST_COMPONENT", guest);
    }
    step::run(test.args(args))
}

/// Builds the programs that the tests run.
///
/// # Errors
/// Returns an error if a program does not build.
pub(crate) fn build_programs(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    build_binaries(workspace, &TESTED_PROGRAMS)
}

/// Builds binaries of the workspace, in the development profile with the same features as for the tests.
///
/// # Errors
/// Returns an error if a binary does not build.
pub(crate) fn build_binaries(workspace: &CargoWorkspace, binaries: &[&str]) -> Result<(), XtaskError> {
    // Cargo unifies the features of dev-dependencies only if a target of the build may need dev-dependencies, as an
    // example may. Otherwise `cargo test` would compile most dependencies again, with features such as Tokio's
    // `test-util`.
    step::run(build_command(workspace, binaries).args(["--example", "compare"]))
}

/// Returns the command that builds binaries of the workspace.
pub(crate) fn build_command(workspace: &CargoWorkspace, binaries: &[&str]) -> Command {
    let mut build = workspace.cargo(&["build"]);
    select_workspace(workspace, &mut build);
    for binary in binaries {
        build.args(["--bin", binary]);
    }
    build
}

/// Selects the packages of the workspace that build natively. The selection decides about the features of shared
/// dependencies, so commands that share artifacts must make the same one.
fn select_workspace(workspace: &CargoWorkspace, command: &mut Command) {
    command.arg("--workspace");
    if workspace.root().join("tests/guest").is_dir() {
        command.args(["--exclude", "chargegate-guest"]);
    }
}
