//! Running programs, with their command lines printed.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The reason why a task failed, as a message for its user.
#[derive(Debug)]
pub(crate) struct XtaskError(String);

impl XtaskError {
    /// Creates an error from its message, which includes a remedy where one is known.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for XtaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints a progress message.
pub(crate) fn say(text: impl fmt::Display) {
    eprintln!("xtask: {text}");
}

/// Runs a program to its end on this terminal.
///
/// # Errors
/// Returns an error if it does not start or fails; its own output precedes the error.
pub(crate) fn run(command: &mut Command) -> Result<(), XtaskError> {
    say(CommandLine(command));
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(XtaskError::new(format!("`{}` failed: {status}", CommandLine(command))))
    }
}

/// Runs a program to its end and returns its output.
///
/// # Errors
/// Returns an error if it does not start or fails.
pub(crate) fn read_output(command: &mut Command) -> Result<String, XtaskError> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(XtaskError::new(format!("`{}` failed: {}", CommandLine(command), output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| XtaskError::new(format!("`{}` printed text that is not UTF-8", CommandLine(command))))
}

/// Returns whether a program is installed and accepts `--version`.
pub(crate) fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a named step and records its duration.
///
/// # Errors
/// Returns the step's error with the name of the step.
pub(crate) fn timed<T>(
    name: &'static str,
    times: &mut Vec<(&'static str, Duration)>,
    step: impl FnOnce() -> Result<T, XtaskError>,
) -> Result<T, XtaskError> {
    say(format_args!("== {name}"));
    let start = Instant::now();
    let done = step().map_err(|error| XtaskError(format!("{name}: {error}")))?;
    let duration = start.elapsed();
    say(format_args!("== {name}: passed in {:.1} s", duration.as_secs_f64()));
    times.push((name, duration));
    Ok(done)
}

fn not_started(command: &Command, error: &std::io::Error) -> XtaskError {
    XtaskError::new(format!("`{}` did not start: {error}", command.get_program().display()))
}

/// Displays a command as a shell user would type it.
struct CommandLine<'a>(&'a Command);

impl fmt::Display for CommandLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = std::path::Path::new(self.0.get_program());
        write!(f, "{}", program.file_name().unwrap_or(program.as_os_str()).display())?;
        self.0.get_args().try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}
