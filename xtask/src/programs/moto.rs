//! Moto, installed with the packages it needs.

use std::fs;
use std::process::Command;

use super::{Found, fetch, find};
use crate::setup;
use crate::step::{self, Failure};

/// Moto, and what its server needs besides: its own list of that is three times as large.
const MOTO_PACKAGES: [&str; 3] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
/// What runs Moto from where it was installed.
const MOTO_PROGRAM: &str = "chargegate-moto";
/// What that does, and the number of its version.
const MOTO_START: &str = include_str!("moto.py");
const MOTO_START_VERSION: u32 = 2;

/// The server of Moto.
///
/// # Errors
/// It is missing and cannot be fetched.
pub(crate) fn moto() -> Result<Found, Failure> {
    const VARIABLE: &str = "CHARGEGATE_MOTO";
    let [package, ..] = MOTO_PACKAGES;
    find(VARIABLE, || {
        let Python { path: python, version } = servers_python()?;
        // Compiled parts fit one Python only: the one that will run them.
        let edition = format!("{package} for Python {version}, start {MOTO_START_VERSION}");
        fetch(&edition, VARIABLE, MOTO_PROGRAM, |folder| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "--python", &python, "install", "-q", "--root-user-action=ignore"]);
            pip.args(["--only-binary=:all:", "--target", "."]).args(MOTO_PACKAGES);
            step::run(pip.current_dir(folder))?;
            let start = format!("#!{python} -s\n{MOTO_START}");
            fs::write(folder.join(MOTO_PROGRAM), start).map_err(|error| Failure::new(error.to_string()))
        })
    })
}

/// A Python and its version, like 3.11.
struct Python {
    path: String,
    version: String,
}

/// A Python that may be run by whoever runs the servers: root's own is closed to others.
fn servers_python() -> Result<Python, Failure> {
    const QUESTION: &str = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='\\n')";
    let locate = |python: &str| {
        let mut command = Command::new(if setup::is_root() { "setpriv" } else { python });
        if setup::is_root() {
            command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", python]);
        }
        let found = step::read(command.args(["-c", QUESTION]).current_dir("/")).ok()?;
        let (path, version) = found.trim().split_once('\n')?;
        Some(Python { path: path.to_owned(), version: version.to_owned() })
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find_map(locate)
        .ok_or_else(|| Failure::new("there is no python3 that the servers' user may run"))
}
