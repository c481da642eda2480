//! The Cargo workspace and its target directory.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::step::{self, XtaskError};

/// The Cargo workspace of this repository.
pub(crate) struct CargoWorkspace {
    root: PathBuf,
    target: PathBuf,
}

impl CargoWorkspace {
    /// Locates the workspace with `cargo metadata`, which honours `CARGO_TARGET_DIR` and Cargo's configuration.
    ///
    /// # Errors
    /// Returns an error if Cargo cannot read the workspace.
    pub(crate) fn find() -> Result<Self, XtaskError> {
        let mut command = Command::new(cargo_program());
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        // Runs at the root like every other command, since a relative `CARGO_TARGET_DIR` is relative to the current folder.
        let xtask = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        if let Some(root) = xtask.as_deref().and_then(Path::parent) {
            command.current_dir(root);
        }
        let metadata: Value = serde_json::from_str(&step::read_output(&mut command)?)
            .map_err(|error| XtaskError::new(format!("cargo metadata is unreadable: {error}")))?;
        let path = |key: &str| {
            let path = metadata.get(key).and_then(Value::as_str).map(PathBuf::from);
            path.ok_or_else(|| XtaskError::new(format!("cargo metadata has no {key}")))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// Returns a Cargo command that runs at the root of the workspace.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cargo_program());
        command.args(args).current_dir(&self.root);
        // Cargo sets these variables for xtask's own package. Inherited, they would differ from those of a Cargo started
        // by hand, and make it rerun build scripts and rebuild half of the dependencies.
        for (name, _) in env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Returns the root folder of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of a built program; `profile` is the folder of the profile.
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// Returns the target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

/// Returns the path of the Cargo that runs this task.
fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
