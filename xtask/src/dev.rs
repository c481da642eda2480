//! `cargo xtask dev`: the whole product on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cloudflare::Cloudflare;
use crate::services::{self, Services};
use crate::step::{self, Failure};
use crate::workspace::Workspace;
use crate::{component, workers};

/// What it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything in one process and a data folder.
    Folder,
    /// Queue and store on Redis and PostgreSQL.
    Servers,
    /// The edge in workerd, the queue in the emulator of Cloudflare Queues, the store on PostgreSQL.
    Workers,
}

/// What is asked for, and what is for the program.
struct Wish {
    stage: Stage,
    release: bool,
    passed_on: Vec<String>,
}

impl Wish {
    fn read(mut args: Vec<String>) -> Result<Self, Failure> {
        let own = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let passed_on = args.split_off(own).into_iter().skip(1).collect();
        let (mut release, mut edge, mut engine) = (false, None, None);
        let mut args = args.iter().flat_map(|arg| arg.splitn(2, '='));
        while let Some(arg) = args.next() {
            match arg {
                "--release" => release = true,
                "--edge" => edge = args.next(),
                "--engine" => engine = args.next(),
                _ => return Err(Self::usage()),
            }
        }
        let stage = match (edge, engine) {
            (None | Some("wasmtime"), None | Some("sqlite")) => Stage::Folder,
            (None | Some("wasmtime"), Some("redis")) => Stage::Servers,
            (Some("workers"), None | Some("cloudflare")) => Stage::Workers,
            _ => return Err(Self::usage()),
        };
        Ok(Self { stage, release, passed_on })
    }

    fn usage() -> Failure {
        Failure::new(
            "dev takes --release, and --engine sqlite|redis or --edge workers; what is for chargegate stands after `--`",
        )
    }
}

/// Builds everything and runs `chargegate up --demo`.
///
/// # Errors
/// Something does not build, or a program does not start.
pub(crate) fn run(workspace: &Workspace, args: Vec<String>) -> Result<(), Failure> {
    let wish = Wish::read(args)?;
    match wish.stage {
        Stage::Folder => {
            let mut up = with_component(workspace, &wish)?;
            replace(up.env_remove("QUEUE_URL").env_remove("DATABASE_URL"))
        }
        Stage::Servers => {
            let mut up = with_component(workspace, &wish)?;
            let services = services::for_development()?;
            let queue = services.url("REDIS_URL").unwrap_or_default().to_owned();
            beside(&services, up.env("QUEUE_URL", queue))
        }
        Stage::Workers => {
            let modules = workers::build_edge(workspace)?;
            let mut up = up(workspace, &wish, &["chargegate", "chargegate-cloudflare-emulator"])?;
            let services = services::for_cloudflare()?;
            let emulator = program(workspace, &wish, "cloudflare-queues-emulator");
            let cloudflare = Cloudflare::start(&emulator, modules)?;
            beside(
                &services,
                up.envs(cloudflare.variables()).args(["--external-edge", &cloudflare.edge_url()]),
            )
        }
    }
}

/// The program with its own edge.
fn with_component(workspace: &Workspace, wish: &Wish) -> Result<Command, Failure> {
    let (edge, _) = component::build_edge(workspace)?;
    let mut up = up(workspace, wish, &["chargegate"])?;
    if std::env::var_os("CHARGEGATE_EDGE_COMPONENT").is_none() {
        up.env("CHARGEGATE_EDGE_COMPONENT", edge);
    }
    Ok(up)
}

/// Builds `packages` and gives the command that runs the product.
fn up(workspace: &Workspace, wish: &Wish, packages: &[&str]) -> Result<Command, Failure> {
    let mut build = workspace.cargo(&["build"]);
    for package in packages {
        build.args(["--package", package]);
    }
    if wish.release {
        build.arg("--release");
    }
    step::run(&mut build)?;
    let mut up = Command::new(program(workspace, wish, "chargegate"));
    up.args(["up", "--demo"]).args(&wish.passed_on);
    Ok(up)
}

fn program(workspace: &Workspace, wish: &Wish, name: &str) -> PathBuf {
    workspace.program(if wish.release { "release" } else { "debug" }, name)
}

/// Runs it beside servers: they outlive the program, which drains when it is interrupted.
fn beside(services: &Services, up: &mut Command) -> Result<(), Failure> {
    // The terminal interrupts the program as well, and its end is awaited.
    ctrlc::set_handler(|| {})
        .map_err(|error| Failure::new(format!("interrupts cannot be caught: {error}")))?;
    let database = services.url("DATABASE_URL").ok_or_else(|| Failure::new("the database has no URL"))?;
    let program = Path::new(up.get_program()).to_owned();
    step::run(Command::new(program).arg("migrate").env("DATABASE_URL", database))?;
    eprintln!("{services}");
    step::run(up.env("DATABASE_URL", database))
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
