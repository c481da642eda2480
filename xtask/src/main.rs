//! `cargo xtask`: development tasks that plain Cargo cannot do.

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

use crate::step::XtaskError;
use crate::workspace::CargoWorkspace;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  dev [--release] [--engine sqlite|redis] [--edge workers] [-- ARGS]
                             Set up, build and run `chargegate up --demo` with ARGS. With `redis` the queue
                             is on Redis and the store on PostgreSQL, both started for the run; with `workers`
                             the edge runs in workerd and its queue in an emulator of Cloudflare Queues
  test [ARGS]                Set up and run the tests; ARGS are passed to `cargo test`, for example a test name
  ci                         Format, lints, documentation, the no_std check, then every test
  bench load|overload [ARGS] Build the product, run a load test on Redis and PostgreSQL, and report: `load` of edge
                             and workers, `overload` of workers at twice the capacity of the authorization
                             service; --help lists the ARGS
  services                   Start a disposable Redis and PostgreSQL, print their URLs, and wait
  docs [--check]             Write docs/configuration.md from the flags of the program; `--check` fails if it differs
  edge                       Build the WASM components; print their paths and sizes
  edge --target workers [--dry-run]
                             Build the worker that `wrangler deploy` uploads; print its path and size. With
                             `--dry-run` Wrangler then checks the upload, without an account";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Vec<String>) -> Result<(), XtaskError> {
    let command = if args.is_empty() { String::new() } else { args.remove(0) };
    match (command.as_str(), args.as_slice()) {
        ("dev", _) => dev::run(&CargoWorkspace::find()?, args),
        ("test", _) => test::run(&CargoWorkspace::find()?, &args),
        ("bench", _) => bench::run(&CargoWorkspace::find()?, args),
        ("ci", []) => ci::run(&CargoWorkspace::find()?),
        ("docs", []) => docs::write(&CargoWorkspace::find()?),
        ("docs", [option]) if option == "--check" => docs::check(&CargoWorkspace::find()?),
        ("services", []) => services::run(),
        ("edge", []) => component::run(&CargoWorkspace::find()?),
        ("edge", [option, target, rest @ ..]) if option == "--target" && target == "workers" => match rest {
            [] => workers::build_edge(&CargoWorkspace::find()?).map(drop),
            [option] if option == "--dry-run" => workers::check_deployment(&CargoWorkspace::find()?),
            _ => Err(XtaskError::new(format!("invalid arguments of `edge`\n\n{USAGE}"))),
        },
        ("help" | "-h" | "--help", _) => {
            eprintln!("{USAGE}");
            Ok(())
        }
        ("", _) => Err(XtaskError::new(format!("missing command\n\n{USAGE}"))),
        (command, _) => {
            Err(XtaskError::new(format!("unknown command or invalid arguments: `{command}`\n\n{USAGE}")))
        }
    }
}
