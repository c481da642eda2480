//! `chargegate hosts`: lists the hosts that receive callbacks, and pauses and resumes them.

use std::process::ExitCode;

use chargegate_storage::operate::{HostAction, HostRequest, ReceiverHostName, ReceiverHostSummary};
use serde_json::json;

use crate::operators::{OperatorArgs, OperatorCommandError};
use crate::output::{UntrustedText, json_line, line};
use crate::timestamp::UtcTimestamp;

/// List the hosts that receive callbacks, pause or resume them
#[derive(Debug, clap::Args)]
pub(crate) struct HostsArgs {
    #[command(subcommand)]
    command: HostsCommand,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, clap::Subcommand)]
enum HostsCommand {
    /// List hosts with pending callbacks or dead letters, and paused, unavailable and recently called hosts
    List,
    /// Let the callbacks of a host wait; the time does not count against the 24 h of their attempts
    Pause {
        /// Host, as in the callback URL
        host: ReceiverHostName,
    },
    /// Continue the callbacks of a paused host
    Resume {
        /// Host, as in the callback URL
        host: ReceiverHostName,
    },
}

/// Performs a command.
///
/// # Errors
/// [`OperatorCommandError`].
pub(crate) async fn run(args: HostsArgs) -> Result<ExitCode, OperatorCommandError> {
    let HostsArgs { command, operator } = args;
    let (action, host) = match command {
        HostsCommand::List => {
            let hosts = operator.view().await?.hosts().await?;
            if operator.json {
                line(json!({ "hosts": hosts }));
            } else {
                print(&hosts);
            }
            return Ok(ExitCode::SUCCESS);
        }
        HostsCommand::Pause { host } => (HostAction::Pause, HostRequest { host }),
        HostsCommand::Resume { host } => (HostAction::Resume, HostRequest { host }),
    };
    let session = operator.open().await?;
    let change = session.change_host(action, &host).await;
    session.close().await;
    let change = change?;
    if operator.json {
        json_line(&change);
    } else {
        line(match (action, change.changed) {
            (HostAction::Pause, true) => "paused",
            (HostAction::Pause, false) => "it was paused already",
            (HostAction::Resume, true) => "resumed",
            (HostAction::Resume, false) => "it was not paused",
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn print(hosts: &[ReceiverHostSummary]) {
    if hosts.is_empty() {
        line("no hosts");
        return;
    }
    line(format_args!("{:<40}  {:>8}  {:>8}  {:<30}  STATE", "HOST", "PENDING", "DEAD", "LAST ANSWER"));
    for host in hosts {
        let answer = host.last_answer.as_ref().map_or_else(String::new, |last| {
            let status = last.http_status.map_or_else(String::new, |status| format!(" {status}"));
            format!("{}{status}", last.result)
        });
        let mut state = Vec::new();
        if let Some(at) = host.paused_at {
            state.push(format!("paused since {}", UtcTimestamp(at)));
        }
        for receiver in &host.unavailable {
            let (name, at) = (&receiver.receiver, UtcTimestamp(receiver.probe_at));
            state.push(format!("{name} unavailable, probe {} at {at}", receiver.probes.saturating_add(1)));
        }
        if state.is_empty() {
            state.push("ok".to_owned());
        }
        line(format_args!(
            "{:<40}  {:>8}  {:>8}  {answer:<30}  {}",
            UntrustedText(&host.host).to_string(),
            host.pending,
            host.dead,
            state.join("; ")
        ));
    }
}
