//! `cargo xtask dev`: the product with its demo on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cloudflare::LocalCloudflare;
use crate::services::{self, LocalServices};
use crate::step::{self, XtaskError};
use crate::workspace::CargoWorkspace;
use crate::{component, test, workers};

/// The environment that the product runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DevEnvironment {
    /// One process and a data folder.
    SingleProcess,
    /// Queue and store on Redis and PostgreSQL.
    Servers,
    /// The edge in workerd, the queue in the emulator of Cloudflare Queues, the store on PostgreSQL.
    Workers,
}

/// The parsed arguments of `cargo xtask dev`.
struct DevOptions {
    environment: DevEnvironment,
    release: bool,
    program_args: Vec<String>,
}

impl DevOptions {
    fn parse(mut args: Vec<String>) -> Result<Self, XtaskError> {
        let separator = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let program_args = args.split_off(separator).into_iter().skip(1).collect();
        let (mut release, mut edge, mut engine) = (false, None, None);
        let mut args = args.iter().flat_map(|arg| arg.splitn(2, '='));
        while let Some(arg) = args.next() {
            match arg {
                "--release" => release = true,
                "--edge" => edge = args.next(),
                "--engine" => engine = args.next(),
                _ => return Err(Self::usage_error()),
            }
        }
        let environment = match (edge, engine) {
            (None | Some("wasmtime"), None | Some("sqlite")) => DevEnvironment::SingleProcess,
            (None | Some("wasmtime"), Some("redis")) => DevEnvironment::Servers,
            (Some("workers"), None | Some("cloudflare")) => DevEnvironment::Workers,
            _ => return Err(Self::usage_error()),
        };
        Ok(Self { environment, release, program_args })
    }

    fn usage_error() -> XtaskError {
        XtaskError::new(
            "options of dev: --release, and --engine sqlite|redis or --edge workers; arguments of chargegate follow `--`",
        )
    }
}

/// Builds the programs and runs `chargegate up --demo`.
///
/// # Errors
/// Returns an error if a build fails or a program does not start.
pub(crate) fn run(workspace: &CargoWorkspace, args: Vec<String>) -> Result<(), XtaskError> {
    let options = DevOptions::parse(args)?;
    match options.environment {
        DevEnvironment::SingleProcess => {
            let mut up = with_component(workspace, &options)?;
            replace(up.env_remove("QUEUE_URL").env_remove("DATABASE_URL"))
        }
        DevEnvironment::Servers => {
            let mut up = with_component(workspace, &options)?;
            let services = services::for_development()?;
            let queue = services.url("REDIS_URL").unwrap_or_default().to_owned();
            run_with_servers(&services, up.env("QUEUE_URL", queue))
        }
        DevEnvironment::Workers => {
            let modules = workers::build_edge(workspace)?;
            let mut up = up(workspace, &options, &["chargegate", "cloudflare-queues-emulator"])?;
            let services = services::for_cloudflare()?;
            let emulator = program(workspace, &options, "cloudflare-queues-emulator");
            let cloudflare = LocalCloudflare::start(&emulator, modules)?;
            run_with_servers(
                &services,
                up.envs(cloudflare.variables()).args(["--external-edge", &cloudflare.edge_url()]),
            )
        }
    }
}

/// Returns the command that runs the product with the edge component in its process.
fn with_component(workspace: &CargoWorkspace, options: &DevOptions) -> Result<Command, XtaskError> {
    let (edge, _) = component::build_edge(workspace)?;
    let mut up = up(workspace, options, &["chargegate"])?;
    if std::env::var_os("CHARGEGATE_EDGE_COMPONENT").is_none() {
        up.env("CHARGEGATE_EDGE_COMPONENT", edge);
    }
    Ok(up)
}

/// Builds `binaries` and returns the command that runs the product.
fn up(workspace: &CargoWorkspace, options: &DevOptions, binaries: &[&str]) -> Result<Command, XtaskError> {
    if options.release {
        step::run(test::build_command(workspace, binaries).arg("--release"))?;
    } else {
        test::build_binaries(workspace, binaries)?;
    }
    let mut up = Command::new(program(workspace, options, "chargegate"));
    up.args(["up", "--demo"]).args(&options.program_args);
    Ok(up)
}

fn program(workspace: &CargoWorkspace, options: &DevOptions, name: &str) -> PathBuf {
    workspace.program(if options.release { "release" } else { "debug" }, name)
}

/// Runs the product with servers that outlive it: it drains when it is interrupted.
fn run_with_servers(services: &LocalServices, up: &mut Command) -> Result<(), XtaskError> {
    // The terminal interrupts the program as well; this process waits for its exit.
    ctrlc::set_handler(|| {})
        .map_err(|error| XtaskError::new(format!("interrupts cannot be caught: {error}")))?;
    let database = services.url("DATABASE_URL").ok_or_else(|| XtaskError::new("the database has no URL"))?;
    let program = Path::new(up.get_program()).to_owned();
    step::run(Command::new(program).arg("migrate").env("DATABASE_URL", database))?;
    eprintln!("{services}");
    step::run(up.env("DATABASE_URL", database))
}

/// Replaces this process by the program, so that signals and the exit status are the program's own.
#[cfg(unix)]
fn replace(command: &mut Command) -> Result<(), XtaskError> {
    use std::os::unix::process::CommandExt as _;
    Err(XtaskError::new(format!("chargegate did not start: {}", command.exec())))
}

#[cfg(not(unix))]
fn replace(command: &mut Command) -> Result<(), XtaskError> {
    step::run(command)
}
