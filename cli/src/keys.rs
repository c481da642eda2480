//! `chargegate keys`: the keys that sign callbacks.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chargegate_worker::{CallbackKeyError, CallbackKeys};

use crate::output;

/// Create, show and rotate the keys that sign callbacks
#[derive(Debug, clap::Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeysCommand {
    /// Create a file with a new key, readable by its owner only
    New(KeyFileArgs),
    /// Print the public halves of the keys as a JSON Web Key Set, for receivers
    Show(KeyFileArgs),
    /// Add a new key that signs from now on; the current one signs too until the next rotation
    Rotate {
        #[command(flatten)]
        file: KeyFileArgs,
        /// Drop the current key at once, because it is no longer secret
        #[arg(long)]
        drop_previous: bool,
    },
}

#[derive(Debug, clap::Args)]
struct KeyFileArgs {
    /// File with the keys that sign callbacks
    #[arg(value_name = "PATH", env = "CHARGEGATE_CALLBACK_KEY_FILE")]
    key_file: PathBuf,
}

/// Performs a command and prints the public keys.
///
/// # Errors
/// [`KeysCommandError`].
pub(crate) fn run(args: &KeysArgs) -> Result<(), KeysCommandError> {
    let keys = match &args.command {
        KeysCommand::New(KeyFileArgs { key_file }) => {
            let keys = CallbackKeys::generate()?;
            create(key_file, &keys).map_err(|source| KeysCommandError::write(key_file, source))?;
            keys
        }
        KeysCommand::Show(KeyFileArgs { key_file }) => read(key_file)?,
        KeysCommand::Rotate { file: KeyFileArgs { key_file }, drop_previous } => {
            let keys = read(key_file)?.rotate(*drop_previous)?;
            replace(key_file, &keys).map_err(|source| KeysCommandError::write(key_file, source))?;
            keys
        }
    };
    output::line(keys.public_text());
    Ok(())
}

fn read(path: &Path) -> Result<CallbackKeys, KeysCommandError> {
    let text = fs::read_to_string(path)
        .map_err(|source| KeysCommandError::Read { path: path.to_owned(), source })?;
    CallbackKeys::parse(&text).map_err(|source| KeysCommandError::Content { path: path.to_owned(), source })
}

/// Creates a file, which must not exist.
fn create(path: &Path, keys: &CallbackKeys) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", keys.private_text())?;
    file.sync_all()
}

/// Replaces a file at once: workers that read it meanwhile find either the earlier content or the new one. Owner and mode
/// stay, so that the workers may still read it.
fn replace(path: &Path, keys: &CallbackKeys) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // An interrupted rotation may have left one.
    let _ = fs::remove_file(&new);
    let replaced =
        create(&new, keys).and_then(|()| copy_access(path, &new)).and_then(|()| fs::rename(&new, path));
    replaced.inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

#[cfg(unix)]
fn copy_access(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let (expected, found) = (fs::metadata(from)?, fs::metadata(to)?);
    if (expected.uid(), expected.gid()) != (found.uid(), found.gid()) {
        chown(to, Some(expected.uid()), Some(expected.gid()))?;
    }
    fs::set_permissions(to, expected.permissions())
}

#[cfg(not(unix))]
fn copy_access(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Error of `chargegate keys`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysCommandError {
    /// The file cannot be read.
    #[error("{}: cannot be read; `chargegate keys new` creates it", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The file has other content.
    #[error("{}", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        #[source]
        source: CallbackKeyError,
    },
    /// A key cannot be created.
    #[error(transparent)]
    Key(#[from] CallbackKeyError),
}

impl KeysCommandError {
    fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
