//! `chargegate`: acknowledges a request to start a charging session at once, decides it later and calls the
//! client back. This is the one binary; every subcommand is a module of its name.

mod acl;
mod decisions;
mod duration;
mod edge;
mod engines;
mod log;
mod migrate;
mod output;
mod reconcile;
mod running;
mod send;
mod serve;
mod settings;
mod sink;
mod system;
mod timestamp;
mod up;
mod worker;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Accepts requests to start a charging session, decides them and calls the client back.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Acl(acl::Args),
    Decisions(decisions::Args),
    Edge(Box<edge::Args>),
    Migrate(migrate::Args),
    Reconcile(reconcile::Args),
    Send(Box<send::Args>),
    Up(Box<up::Args>),
    Worker(Box<worker::Args>),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            output::error_line(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start: is the limit of threads or open files reached?")?;
    let code = runtime.block_on(async {
        let stop = system::stop_on_signal().context("signals cannot be listened to")?;
        match command {
            Command::Acl(args) => {
                acl::run(args, stop).await?;
                anyhow::Ok(ExitCode::SUCCESS)
            }
            Command::Decisions(args) => Ok(decisions::run(args).await?),
            Command::Edge(args) => {
                log::start(&args.log)?;
                edge::run(*args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Migrate(args) => {
                migrate::run(args).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Reconcile(args) => Ok(reconcile::run(args).await?),
            Command::Send(args) => Ok(send::run(*args, stop).await?),
            Command::Up(args) => {
                log::start(&args.log)?;
                up::run(*args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Worker(args) => {
                log::start(&args.log)?;
                worker::run(*args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })?;
    // What is left are connections of peers: nothing waits for those.
    runtime.shutdown_background();
    Ok(code)
}
