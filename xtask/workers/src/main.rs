//! `xtask-workers MODULE ENTRY FOLDER LIMIT`: builds a Cloudflare worker from a module that uses the crate `worker`,
//! without the network and without Node.
//!
//! `FOLDER` then contains `index.js`, a copy of `ENTRY`, and the modules that it imports as `./worker.js`. The program
//! prints their size, and fails if it exceeds `LIMIT` bytes after compression.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [module, entry, folder, limit] = args.as_slice() else {
        bail!("usage: xtask-workers MODULE ENTRY FOLDER LIMIT");
    };
    let limit: usize = limit.to_str().unwrap_or_default().parse().context("LIMIT is a number of bytes")?;
    let folder = Path::new(folder);
    write(Path::new(module), Path::new(entry), folder)?;
    let (raw, compressed) = size(folder)?;
    writeln!(std::io::stdout(), "{} {raw} bytes, {compressed} compressed", folder.display())?;
    if compressed > limit {
        bail!("{} has {compressed} bytes after compression; the limit is {limit}", folder.display());
    }
    Ok(())
}

fn write(module: &Path, entry: &Path, folder: &Path) -> Result<()> {
    // Files of an earlier build must not be uploaded.
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(folder.display().to_string());
        }
        _ => fs::create_dir_all(folder)?,
    }
    let mut output = Bindgen::new()
        .input_path(module)
        .out_name("worker")
        .module(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate_output()?;
    output.emit(folder)?;
    let script = folder.join("worker.js");
    // Wrangler's bundler does not support source phase imports; in workerd a plain import yields the module as well.
    let (before, after) = ("import source ", "import ");
    let text = fs::read_to_string(&script)?;
    if !text.contains(before) {
        bail!("{} does not import its module as expected", script.display());
    }
    fs::write(&script, text.replacen(before, after, 1))?;
    fs::copy(entry, folder.join("index.js")).with_context(|| entry.display().to_string())?;
    Ok(())
}

/// Returns the size of all files in bytes, before and after compression; the compressed form is uploaded.
fn size(folder: &Path) -> Result<(usize, usize)> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let (mut raw, mut folders) = (0, vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path)?;
                raw += bytes.len();
                encoder.write_all(&bytes)?;
            }
        }
    }
    Ok((raw, encoder.finish()?.len()))
}
