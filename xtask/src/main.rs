//! `cargo xtask`: what plain cargo cannot do.

mod bench;
mod ci;
mod cloudflare;
mod component;
mod dev;
mod docs;
mod programs;
mod services;
mod setup;
mod step;
mod test;
mod workers;
mod workspace;

use std::process::ExitCode;

use crate::step::Failure;
use crate::workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  dev [--release] [--engine sqlite|redis] [--edge workers] [-- ARGS]
                             Set up, build and run `chargegate up --demo`; ARGS go to it. With `redis` the
                             queue is on Redis and the store on PostgreSQL, both started for it; with
                             `workers` the edge runs in workerd, its queue in an emulator of Cloudflare Queues
  test [ARGS]                Set up and run every test; ARGS go to `cargo test`, a name filters
  ci                         Format, lints, documentation, the no_std check, then every test
  bench load [ARGS]          Set up, build and drive the whole on Redis and PostgreSQL, and measure; ARGS go to
                             the load, --help tells which
  services                   Start a throw-away Redis and PostgreSQL, print their URLs, and wait
  docs [--check]             Write docs/configuration.md from the flags of the program; `--check` fails if it differs
  edge                       Build the WASM components; print their paths and sizes
  edge --target workers [--dry-run]
                             Build the worker that `wrangler deploy` uploads; print its path and size. With
                             `--dry-run` Wrangler then checks what it would upload, without an account";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Vec<String>) -> Result<(), Failure> {
    let command = if args.is_empty() { String::new() } else { args.remove(0) };
    match (command.as_str(), args.as_slice()) {
        ("dev", _) => dev::run(&Workspace::find()?, args),
        ("test", _) => test::run(&Workspace::find()?, &args),
        ("bench", _) => bench::run(&Workspace::find()?, args),
        ("ci", []) => ci::run(&Workspace::find()?),
        ("docs", []) => docs::write(&Workspace::find()?),
        ("docs", [option]) if option == "--check" => docs::check(&Workspace::find()?),
        ("services", []) => services::run(),
        ("edge", []) => component::run(&Workspace::find()?),
        ("edge", [option, target, rest @ ..]) if option == "--target" && target == "workers" => match rest {
            [] => workers::build_edge(&Workspace::find()?).map(drop),
            [option] if option == "--dry-run" => workers::check_deployment(&Workspace::find()?),
            _ => Err(Failure::new(format!("the edge takes no such arguments\n\n{USAGE}"))),
        },
        ("help" | "-h" | "--help", _) => {
            eprintln!("{USAGE}");
            Ok(())
        }
        ("", _) => Err(Failure::new(format!("no command\n\n{USAGE}"))),
        (command, _) => {
            Err(Failure::new(format!("`{command}` is no command, or takes no such arguments\n\n{USAGE}")))
        }
    }
}
