//! `cargo xtask docs`: the page that is generated from the flags of the program.

use std::process::Command;

use crate::step::{self, XtaskError};
use crate::workspace::CargoWorkspace;

/// The generated page, relative to the root of the workspace.
const CONFIGURATION: &str = "docs/configuration.md";

/// Writes the page.
///
/// # Errors
/// The program does not build, or the page cannot be written.
pub(crate) fn write(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    let page = generate(workspace)?;
    let path = workspace.root().join(CONFIGURATION);
    std::fs::write(&path, page)
        .map_err(|error| XtaskError::new(format!("{} cannot be written: {error}", path.display())))
}

/// Compares the page with the flags of the program.
///
/// # Errors
/// The program does not build, or the page differs.
pub(crate) fn check(workspace: &CargoWorkspace) -> Result<(), XtaskError> {
    let expected = generate(workspace)?;
    let path = workspace.root().join(CONFIGURATION);
    let actual = std::fs::read_to_string(&path)
        .map_err(|error| XtaskError::new(format!("{} cannot be read: {error}", path.display())))?;
    if actual == expected {
        Ok(())
    } else {
        Err(XtaskError::new(format!(
            "{CONFIGURATION} differs from the flags of the program: run `cargo xtask docs`"
        )))
    }
}

fn generate(workspace: &CargoWorkspace) -> Result<String, XtaskError> {
    crate::test::build_programs(workspace)?;
    step::read_output(Command::new(workspace.program("debug", "chargegate")).arg("reference"))
}
