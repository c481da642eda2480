//! `cargo xtask test`: every test, with all that they need.

use std::process::Command;

use crate::step::{self, Failure};
use crate::workspace::Workspace;
use crate::{component, services, setup, workers};

/// Sets up and runs the tests. `args` go to `cargo test`.
///
/// # Errors
/// The set-up fails, or a test does.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<(), Failure> {
    // strace shows the sync that stands between a request and its acknowledgement.
    if cfg!(target_os = "linux") {
        setup::ensure_program("strace")?;
    }
    let (edge, _) = component::build_edge(workspace)?;
    let (queue_redis, _) = component::build_queue_redis(workspace)?;
    let (queue_sqs, _) = component::build_queue_sqs(workspace)?;
    let guest = component::build_guest(workspace)?;
    let (worker, guest_worker) = (workers::build_edge(workspace)?, workers::build_guest(workspace)?);
    // Cargo builds the program that the integration tests run only with the tests of its own package.
    let selects = args.iter().take_while(|arg| *arg != "--").any(|arg| arg.starts_with('-'));
    if selects {
        build_programs(workspace)?;
    }
    // They run as long as the tests.
    let servers = services::for_tests()?;
    let mut test = cargo_test(workspace);
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
    step::run(test.arg("--tests").args(args))
}

/// Builds the programs as the tests build them, each being a test's of its package.
///
/// # Errors
/// They do not build.
pub(crate) fn build_programs(workspace: &Workspace) -> Result<(), Failure> {
    step::run(cargo_test(workspace).args(["--no-run", "--test", "program"]))
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut test = workspace.cargo(&["test", "--workspace"]);
    if workspace.root().join("tests/guest").is_dir() {
        // It runs as a component only.
        test.args(["--exclude", "chargegate-guest"]);
    }
    test
}
