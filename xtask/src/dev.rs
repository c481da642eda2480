//! `cargo xtask dev`: the whole product on this machine.

use std::path::Path;
use std::process::Command;

use crate::component;
use crate::services;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// Which engines it runs on.
enum Engine {
    /// A data folder.
    Folder,
    /// Redis and PostgreSQL.
    Servers,
}

/// Builds everything and runs `chargegate up --demo`.
///
/// # Errors
/// Something does not build, or a program does not start.
pub(crate) fn run(workspace: &Workspace, mut args: Vec<String>) -> Result<(), Failure> {
    let own = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let passed_on = args.split_off(own);
    let (mut release, mut engine) = (false, Engine::Folder);
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match (arg, arg == "--engine") {
            ("--release", _) => release = true,
            ("--engine=sqlite", _) => engine = Engine::Folder,
            ("--engine=redis", _) => engine = Engine::Servers,
            (_, true) => {
                engine = match args.next() {
                    Some("sqlite") => Engine::Folder,
                    Some("redis") => Engine::Servers,
                    _ => return Err(Failure::new("--engine is sqlite or redis")),
                }
            }
            _ => {
                return Err(Failure::new(
                    "dev takes --release and --engine sqlite|redis; what is for chargegate stands after `--`",
                ));
            }
        }
    }
    let (edge, _) = component::build_edge(workspace)?;
    let mut build = workspace.cargo(&["build", "--package", "chargegate"]);
    if release {
        build.arg("--release");
    }
    step::run(&mut build)?;
    let program = workspace.program(if release { "release" } else { "debug" }, "chargegate");
    let mut up = Command::new(&program);
    up.args(["up", "--demo"]).args(passed_on.iter().skip(1));
    if std::env::var_os("CHARGEGATE_EDGE_COMPONENT").is_none() {
        up.env("CHARGEGATE_EDGE_COMPONENT", edge);
    }
    match engine {
        Engine::Folder => replace(up.env_remove("QUEUE_URL").env_remove("DATABASE_URL")),
        Engine::Servers => on_servers(&program, &mut up),
    }
}

/// Starts the servers and runs beside them: they outlive the program, which drains when it is interrupted.
fn on_servers(program: &Path, up: &mut Command) -> Result<(), Failure> {
    // The terminal interrupts the program as well, and its end is awaited.
    ctrlc::set_handler(|| {})
        .map_err(|error| Failure::new(format!("interrupts cannot be caught: {error}")))?;
    let services = services::for_development()?;
    let (Some(queue), Some(database)) = (services.url("REDIS_URL"), services.url("DATABASE_URL")) else {
        return Err(Failure::new("the servers have no URLs"));
    };
    step::run(Command::new(program).arg("migrate").env("DATABASE_URL", database))?;
    eprintln!("{services}");
    step::run(up.env("QUEUE_URL", queue).env("DATABASE_URL", database))
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
