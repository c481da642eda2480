//! Making sure that what a task needs is installed.

use std::path::Path;
use std::process::Command;

use crate::step::{self, Failure, say};

/// Adds the standard library for a target where it is missing, and says so.
///
/// # Errors
/// It is missing and cannot be added.
pub(crate) fn ensure_target(target: &str) -> Result<(), Failure> {
    let mut libraries = Command::new("rustc");
    libraries.args(["--print", "target-libdir", "--target", target]);
    if Path::new(step::read(&mut libraries)?.trim()).is_dir() {
        return Ok(());
    }
    say(format_args!("the Rust target {target} is missing: adding it"));
    rustup(&["target", "add", target])
}

/// Adds a component of the toolchain where its program is missing, and says so.
///
/// # Errors
/// It is missing and cannot be added.
pub(crate) fn ensure_component(component: &str, program: &str) -> Result<(), Failure> {
    if step::is_there(program) {
        return Ok(());
    }
    say(format_args!("{component} is missing: adding it"));
    rustup(&["component", "add", component])
}

/// Installs a Debian package where its program is missing and that is allowed, and says so.
///
/// # Errors
/// It is missing and cannot be installed from here.
pub(crate) fn ensure_program(program: &str) -> Result<(), Failure> {
    if step::is_there(program) { Ok(()) } else { install_package(program, program) }
}

/// Installs the Debian package that has `program`, where that is allowed, and says so.
///
/// # Errors
/// It cannot be installed from here.
pub(crate) fn install_package(program: &str, package: &str) -> Result<(), Failure> {
    if !is_root() || !step::is_there("apt-get") {
        return Err(Failure::new(format!(
            "`{program}` is missing: install it, on Debian with `sudo apt-get install {package}`"
        )));
    }
    say(format_args!("`{program}` is missing: installing the package {package}"));
    let install = |args: &[&str]| {
        step::run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    install(&["install", "-y", "-q", package]).or_else(|_| {
        // The package lists of a fresh machine are empty.
        install(&["update", "-q"])?;
        install(&["install", "-y", "-q", package])
    })
}

fn rustup(args: &[&str]) -> Result<(), Failure> {
    if !step::is_there("rustup") {
        return Err(Failure::new(format!(
            "rustup is missing: install it from https://rustup.rs, or do with your own toolchain what \
             `rustup {}` does",
            args.join(" ")
        )));
    }
    step::run(Command::new("rustup").args(args))
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    step::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
