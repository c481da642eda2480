//! Drives the whole product on Redis and PostgreSQL, from POST to callback, and measures it: `cargo xtask bench load`.

mod args;
mod bench;
mod book;
mod client;
mod duration;
mod failure;
mod fill;
mod latency;
mod peak;
mod peers;
mod process;
mod program;
mod report;
mod servers;
mod sizes;
mod system;

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser as _;

use crate::args::{Args, Mode};
use crate::bench::Bench;
use crate::failure::Failure;
use crate::report::Report;

fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    match run(args) {
        Ok(report) => {
            if json {
                print(&report.json());
            } else {
                print(&report);
            }
            if report.is_failure() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {}", Chain(&failure));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<Report, Failure> {
    let mode = args.mode()?;
    // The clients have this thread; the peers have their own.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let json = args.json;
        let mut bench = Bench::open(args, now).await?;
        let report = match mode {
            Mode::Open(load) | Mode::Soak(load) => bench.open_loop(mode, load).await,
            Mode::Drain { messages } => bench.drain(mode, messages.get().into()).await,
            Mode::Peak { from, duration, limit } => {
                let show = |step: &report::Step| {
                    if !json {
                        print(step);
                    }
                };
                peak::find(&mut bench, from, duration, limit, show).await
            }
        };
        let closed = bench.close().await;
        let report = report?;
        closed?;
        Ok(report)
    })
}

#[expect(clippy::disallowed_methods, reason = "the composition root's one clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Writes to standard output. A reader that went away is no reason to fail.
pub(crate) fn print(text: &impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// An error and its causes.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
