//! Installation of Moto with the packages that its server needs.

use std::fs;
use std::process::Command;

use super::{LocatedProgram, fetch, find};
use crate::setup;
use crate::step::{self, XtaskError};

/// Moto and the dependencies of its server that the tests need: a third of those of the package `moto[server]`.
const MOTO_PACKAGES: [&str; 3] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
/// Name of the program that starts Moto.
const MOTO_PROGRAM: &str = "chargegate-moto";
/// Source of that program, and its version, which is part of the name of the cache folder.
const MOTO_SCRIPT: &str = include_str!("moto.py");
const MOTO_SCRIPT_VERSION: u32 = 2;

/// Locates the program that starts Moto.
///
/// # Errors
/// Returns an error if it is missing and cannot be downloaded.
pub(crate) fn moto() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_MOTO";
    let [package, ..] = MOTO_PACKAGES;
    find(VARIABLE, || {
        let PythonInterpreter { path: python, version } = servers_python()?;
        // Compiled modules work with one Python version only: the one that will run them.
        let edition = format!("{package} for Python {version}, start {MOTO_SCRIPT_VERSION}");
        fetch(&edition, VARIABLE, MOTO_PROGRAM, |folder| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "--python", &python, "install", "-q", "--root-user-action=ignore"]);
            pip.args(["--only-binary=:all:", "--target", "."]).args(MOTO_PACKAGES);
            step::run(pip.current_dir(folder))?;
            let start = format!("#!{python} -s\n{MOTO_SCRIPT}");
            fs::write(folder.join(MOTO_PROGRAM), start).map_err(|error| XtaskError::new(error.to_string()))
        })
    })
}

/// The path of a Python interpreter and its version, like 3.11.
struct PythonInterpreter {
    path: String,
    version: String,
}

/// Locates a Python that the servers' user may run: one in root's home is not accessible to other users.
fn servers_python() -> Result<PythonInterpreter, XtaskError> {
    const VERSION_SCRIPT: &str =
        "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='\\n')";
    let locate = |python: &str| {
        let mut command = Command::new(if setup::is_root() { "setpriv" } else { python });
        if setup::is_root() {
            command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", python]);
        }
        let found = step::read_output(command.args(["-c", VERSION_SCRIPT]).current_dir("/")).ok()?;
        let (path, version) = found.trim().split_once('\n')?;
        Some(PythonInterpreter { path: path.to_owned(), version: version.to_owned() })
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find_map(locate)
        .ok_or_else(|| XtaskError::new("found no python3 that the servers' user may run"))
}
