//! `cargo xtask docs`: the page that is generated from the flags of the program.

use std::process::Command;

use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// The generated page, relative to the root of the workspace.
const CONFIGURATION: &str = "docs/configuration.md";

/// Writes the page.
///
/// # Errors
/// The program does not build, or the page cannot be written.
pub(crate) fn write(workspace: &Workspace) -> Result<(), Failure> {
    let page = generate(workspace)?;
    let path = workspace.root().join(CONFIGURATION);
    std::fs::write(&path, page)
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))
}

/// Compares the page with the flags of the program.
///
/// # Errors
/// The program does not build, or the page differs.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let expected = generate(workspace)?;
    let path = workspace.root().join(CONFIGURATION);
    let actual = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
    if actual == expected {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{CONFIGURATION} differs from the flags of the program: run `cargo xtask docs`"
        )))
    }
}

fn generate(workspace: &Workspace) -> Result<String, Failure> {
    crate::test::build_programs(workspace)?;
    step::read(Command::new(workspace.program("debug", "chargegate")).arg("reference"))
}
