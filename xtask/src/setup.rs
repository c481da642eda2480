//! Installation of the tools that a task needs.

use std::path::Path;
use std::process::Command;

use crate::step::{self, XtaskError, say};

/// Adds the standard library of a target if it is missing.
///
/// # Errors
/// Returns an error if it is missing and cannot be added.
pub(crate) fn ensure_target(target: &str) -> Result<(), XtaskError> {
    let mut libraries = Command::new("rustc");
    libraries.args(["--print", "target-libdir", "--target", target]);
    if Path::new(step::read_output(&mut libraries)?.trim()).is_dir() {
        return Ok(());
    }
    say(format_args!("the Rust target {target} is missing: adding it"));
    rustup(&["target", "add", target])
}

/// Adds a component of the toolchain if its program is missing.
///
/// # Errors
/// Returns an error if it is missing and cannot be added.
pub(crate) fn ensure_component(component: &str, program: &str) -> Result<(), XtaskError> {
    if step::is_installed(program) {
        return Ok(());
    }
    say(format_args!("{component} is missing: adding it"));
    rustup(&["component", "add", component])
}

/// Installs a Debian package of the same name if a program is missing and this process may install packages.
///
/// # Errors
/// Returns an error if it is missing and cannot be installed.
pub(crate) fn ensure_program(program: &str) -> Result<(), XtaskError> {
    if step::is_installed(program) { Ok(()) } else { install_package(program, program) }
}

/// Installs the Debian package that contains `program`, if this process may install packages.
///
/// # Errors
/// Returns an error if it cannot be installed.
pub(crate) fn install_package(program: &str, package: &str) -> Result<(), XtaskError> {
    if !is_root() || !step::is_installed("apt-get") {
        return Err(XtaskError::new(format!(
            "`{program}` is missing: install it, on Debian with `sudo apt-get install {package}`"
        )));
    }
    say(format_args!("`{program}` is missing: installing the package {package}"));
    let install = |args: &[&str]| {
        step::run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    install(&["install", "-y", "-q", package]).or_else(|_| {
        // A fresh machine has no package lists.
        install(&["update", "-q"])?;
        install(&["install", "-y", "-q", package])
    })
}

fn rustup(args: &[&str]) -> Result<(), XtaskError> {
    if !step::is_installed("rustup") {
        return Err(XtaskError::new(format!(
            "rustup is missing: install it from https://rustup.rs, or do the equivalent of \
             `rustup {}` with your toolchain",
            args.join(" ")
        )));
    }
    step::run(Command::new("rustup").args(args))
}

/// Returns whether this process runs as root.
pub(crate) fn is_root() -> bool {
    step::read_output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
