//! `chargegate reconcile`: checks that every message and every decision is accounted for. It only reads, works whether
//! or not processes are running, and is exact at any moment, except for figures that a queue does not provide.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use chargegate_core::RequestId;
use chargegate_storage::reconcile::{Reconciliation, SequenceRange, reconcile, reconcile_uncounted};
use chargegate_storage::{Effects, EngineError, QueueError, StoreError};
use serde_json::json;

use crate::engines::{EngineOpenError, queue_connector, reconcile_folder, store_connector};
use crate::output;
use crate::settings::{DatabaseArgs, QueueArgs, SettingError};

/// Check that nothing is lost: every message and every decision is accounted for
#[derive(Debug, clap::Args)]
pub(crate) struct ReconcileArgs {
    /// Data folder, used if neither queue nor database URL is set
    #[arg(long, env = "CHARGEGATE_DATA_DIR", value_name = "PATH", default_value = ".chargegate")]
    data_dir: PathBuf,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print one JSON object
    #[arg(long, env = "CHARGEGATE_JSON")]
    json: bool,
}

/// Prints the reconciliation; the exit status is a failure if it does not balance.
///
/// # Errors
/// The engines cannot be read.
pub(crate) async fn run(args: ReconcileArgs) -> Result<ExitCode, ReconcileCommandError> {
    let reconciliation = match (args.queue.configured_url(), args.database.configured_url()) {
        (None, None) => reconcile_folder(&args.data_dir).await??,
        (Some(_), Some(_)) => {
            let effects = Effects::system();
            let queue = queue_connector(&args.queue)?;
            let store = store_connector(&args.database)?.open_counters().await?;
            if let Some(counters) = queue.open_counters(&effects).await? {
                reconcile(&*counters, &*store).await?
            } else {
                let queue = queue.open(&effects).await?;
                let depth = queue.queue.depth().await;
                queue.handle.close().await;
                reconcile_uncounted(depth?.waiting, &*store).await?
            }
        }
        _ => return Err(SettingError::HalfRemote.into()),
    };
    if args.json {
        output::line(json(&reconciliation));
    } else {
        output::line(ReconciliationText(&reconciliation));
    }
    Ok(if reconciliation.balanced() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Error of `chargegate reconcile`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An engine cannot be opened.
    #[error(transparent)]
    Open(#[from] EngineOpenError),
    /// A count cannot be read.
    #[error("the counts cannot be read")]
    Read(#[source] EngineError),
    /// The database is a standby, which may lag behind: decisions would seem to be lost.
    #[error(
        "the counts cannot be read from a standby, which lags behind: DATABASE_URL must name the primary"
    )]
    Standby,
}

impl From<EngineError> for ReconcileCommandError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(StoreError::Standby) => Self::Standby,
            error => Self::Read(error),
        }
    }
}

impl From<QueueError> for ReconcileCommandError {
    fn from(error: QueueError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<StoreError> for ReconcileCommandError {
    fn from(error: StoreError) -> Self {
        EngineError::from(error).into()
    }
}

/// Displays a reconciliation for people.
struct ReconciliationText<'a>(&'a Reconciliation);

impl fmt::Display for ReconciliationText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reconciliation {
            enqueued, decided, duplicates, poison, waiting, delivered, dead, in_flight, ..
        } = self.0;
        match enqueued {
            Some(enqueued) => write!(f, "enqueued {enqueued} = ")?,
            None => f.write_str(
                "this queue does not count the messages that it accepted, deleted or dead-lettered; recorded, and \
                 waiting (approximate): ",
            )?,
        }
        writeln!(f, "decided {decided} + duplicates {duplicates} + poison {poison} + waiting {waiting}")?;
        writeln!(f, "decided {decided} = delivered {delivered} + dead {dead} + in flight {in_flight}")?;
        if self.0.forgotten > 0 {
            writeln!(f, "the queue has lost {} messages that it had confirmed", self.0.forgotten)?;
        }
        // Messages with numbers are listed below.
        if let Some(lost @ 1..) = self.0.lost()
            && self.0.missing.is_empty()
        {
            writeln!(f, "missing: {lost} messages were enqueued and cannot be found")?;
        }
        if let Some(unexplained @ 1..) = self.0.unexplained() {
            writeln!(
                f,
                "unexplained: {unexplained} messages are recorded or waiting that the queue never accepted: do QUEUE_URL \
                 and DATABASE_URL belong together?"
            )?;
        }
        for range in &self.0.missing {
            let SequenceRange { first, last } = range;
            if first == last {
                writeln!(f, "missing: message {first} was enqueued and cannot be found")?;
            } else {
                writeln!(
                    f,
                    "missing: messages {first} to {last} were enqueued and cannot be found ({})",
                    range.count()
                )?;
            }
        }
        for id in &self.0.decisions_without_callback {
            writeln!(f, "missing: the callback of request {id}")?;
        }
        for id in &self.0.callbacks_without_decision {
            writeln!(f, "missing: the decision of request {id}, which has a callback")?;
        }
        f.write_str(if self.0.balanced() { "balanced" } else { "NOT BALANCED" })
    }
}

fn json(books: &Reconciliation) -> serde_json::Value {
    let ids = |ids: &[RequestId]| -> Vec<String> { ids.iter().map(ToString::to_string).collect() };
    let missing: Vec<_> =
        books.missing.iter().map(|range| json!({"first": range.first, "last": range.last})).collect();
    json!({
        "enqueued": books.enqueued,
        "decided": books.decided,
        "duplicates": books.duplicates,
        "poison": books.poison,
        "waiting": books.waiting,
        "delivered": books.delivered,
        "dead": books.dead,
        "in_flight": books.in_flight,
        "forgotten": books.forgotten,
        "lost": books.lost(),
        "unexplained": books.unexplained(),
        "missing": missing,
        "decisions_without_callback": ids(&books.decisions_without_callback),
        "callbacks_without_decision": ids(&books.callbacks_without_decision),
        "balanced": books.balanced(),
    })
}

#[cfg(test)]
mod tests;
