//! Where the workspace is and where its builds go.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::step::{self, Failure};

/// The workspace, as cargo sees it.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and cargo's own settings count.
    ///
    /// # Errors
    /// Cargo cannot read the workspace.
    pub(crate) fn find() -> Result<Self, Failure> {
        let mut command = Command::new(cargo_program());
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        // From the root, as every other command: a relative `CARGO_TARGET_DIR` counts from where cargo runs.
        let xtask = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        if let Some(root) = xtask.as_deref().and_then(Path::parent) {
            command.current_dir(root);
        }
        let metadata: Value = serde_json::from_str(&step::read(&mut command)?)
            .map_err(|error| Failure::new(format!("cargo metadata is unreadable: {error}")))?;
        let path = |key: &str| {
            let path = metadata.get(key).and_then(Value::as_str).map(PathBuf::from);
            path.ok_or_else(|| Failure::new(format!("cargo metadata has no {key}")))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// A cargo command at the root of the workspace.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cargo_program());
        command.args(args).current_dir(&self.root);
        // What cargo tells this task of its own package would have build scripts run again, and half the dependencies
        // be built again, each time after a cargo that was started by hand.
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

    /// The folder the repository is in.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo leaves a program, by the folder of the profile.
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// The folder that builds go to.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

/// The cargo that runs this task.
fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
