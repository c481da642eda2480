//! Running other programs, visibly.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why a task ended early: one text for people.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with its remedy.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what is being done.
pub(crate) fn say(text: impl fmt::Display) {
    eprintln!("xtask: {text}");
}

/// Runs a program to its end with this terminal.
///
/// # Errors
/// It is not there, or it fails; what it has to say stands above.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    say(Shown(command));
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{}` failed: {status}", Shown(command))))
    }
}

/// Runs a program to its end and gives what it prints.
///
/// # Errors
/// It is not there, or it fails.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{}` failed: {}", Shown(command), output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("`{}` printed something unreadable", Shown(command))))
}

/// Whether a program is there and answers `--version`.
pub(crate) fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a named step and keeps its time.
///
/// # Errors
/// The step fails; the failure names it.
pub(crate) fn timed<T>(
    name: &'static str,
    times: &mut Vec<(&'static str, Duration)>,
    step: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    say(format_args!("== {name}"));
    let start = Instant::now();
    let done = step().map_err(|failure| Failure(format!("{name}: {failure}")))?;
    let took = start.elapsed();
    say(format_args!("== {name}: passed in {:.1} s", took.as_secs_f64()));
    times.push((name, took));
    Ok(done)
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("`{}` does not start: {error}", command.get_program().display()))
}

/// A command as it would be typed.
struct Shown<'a>(&'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = std::path::Path::new(self.0.get_program());
        write!(f, "{}", program.file_name().unwrap_or(program.as_os_str()).display())?;
        self.0.get_args().try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}
