//! `chargegate`: acknowledges requests to start a charging session at once, decides them later and calls the
//! client back. The only binary; each subcommand is in the module with its name.

#![cfg_attr(
    not(all(
        feature = "cloudflare",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite",
        feature = "sqs"
    )),
    allow(dead_code, reason = "a small build accepts all flags, and uses those of its engines")
)]

mod acl;
mod audit;
mod callbacks;
mod decisions;
mod duration;
mod edge;
mod engines;
mod forget;
mod hosts;
mod keys;
mod log;
mod migrate;
mod operators;
mod output;
mod poison;
mod reconcile;
mod reference;
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
use clap::{CommandFactory as _, Parser, Subcommand};

/// Accepts requests to start a charging session, decides them and calls the client back.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct CliArgs {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    Acl(acl::AclArgs),
    Audit(Box<audit::AuditArgs>),
    Callbacks(Box<callbacks::CallbacksArgs>),
    Decisions(decisions::DecisionsArgs),
    Edge(Box<edge::EdgeArgs>),
    Forget(Box<forget::ForgetArgs>),
    Hosts(Box<hosts::HostsArgs>),
    Keys(keys::KeysArgs),
    Migrate(migrate::MigrateArgs),
    Poison(Box<poison::PoisonArgs>),
    Reconcile(reconcile::ReconcileArgs),
    /// Print the settings as Markdown
    #[command(hide = true)]
    Reference,
    Send(Box<send::SendArgs>),
    Up(Box<up::UpArgs>),
    Worker(Box<worker::WorkerArgs>),
}

fn main() -> ExitCode {
    match run(CliArgs::parse().command) {
        Ok(code) => code,
        Err(error) => {
            output::error_line(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: CliCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start: has the limit of threads or open files been reached?")?;
    let code = runtime.block_on(async {
        let stop = system::stop_on_signal().context("cannot install the signal handlers")?;
        match command {
            CliCommand::Acl(acl::AclArgs { command: Some(acl::AclCommand::Check(args)), .. }) => {
                anyhow::Ok(acl::check(*args).await?)
            }
            CliCommand::Acl(args) => {
                acl::run(args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
            CliCommand::Audit(args) => Ok(audit::run(*args).await?),
            CliCommand::Callbacks(args) => Ok(callbacks::run(*args, stop).await?),
            CliCommand::Decisions(args) => Ok(decisions::run(args).await?),
            CliCommand::Edge(args) => {
                log::start(&args.log)?;
                edge::run(*args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
            CliCommand::Forget(args) => Ok(forget::run(*args, stop).await?),
            CliCommand::Hosts(args) => Ok(hosts::run(*args).await?),
            CliCommand::Keys(args) => {
                keys::run(&args)?;
                Ok(ExitCode::SUCCESS)
            }
            CliCommand::Migrate(args) => {
                migrate::run(args).await?;
                Ok(ExitCode::SUCCESS)
            }
            CliCommand::Poison(args) => Ok(poison::run(*args).await?),
            CliCommand::Reconcile(args) => Ok(reconcile::run(args).await?),
            CliCommand::Reference => {
                output::line(reference::markdown(&CliArgs::command()).trim_end());
                Ok(ExitCode::SUCCESS)
            }
            CliCommand::Send(args) => Ok(send::run(*args, stop).await?),
            CliCommand::Up(args) => {
                log::start(&args.log)?;
                up::run(*args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
            CliCommand::Worker(args) => {
                log::start(&args.log)?;
                worker::run(*args, stop).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })?;
    // Only connections of peers remain, and nothing waits for those.
    runtime.shutdown_background();
    Ok(code)
}
