//! What the measurements were made on, and where their files are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This workspace's lock file: which versions were built.
const LOCK: &str = include_str!("../../Cargo.lock");

/// Processor, number of cores, compiler.
pub fn line() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = if cores == 1 {
        "1 core".to_owned()
    } else {
        format!("{cores} cores")
    };
    [
        Some(cores),
        processor(),
        Some(std::env::consts::OS.to_owned()),
        compiler(),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}

/// The versions of the crates that are compared.
pub fn versions() -> Vec<(&'static str, &'static str)> {
    [
        "arc-swap",
        "highwater",
        "im",
        "imbl",
        "rart",
        "redb",
        "rpds",
        "rusqlite",
        "libsqlite3-sys",
    ]
    .into_iter()
    .filter_map(|name| Some((name, locked(name)?)))
    .collect()
}

fn locked(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Bytes of memory that this process occupies, where Linux tells.
pub fn resident() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// A name for a run: when it began, and which commit it measures.
pub fn run_name() -> String {
    let now = said("date", &["-u", "+%Y-%m-%d %H:%M"]).unwrap_or_default();
    let commit = said("git", &["describe", "--always", "--dirty"]).unwrap_or_default();
    format!("{now} {commit}").trim().to_owned()
}

/// What a program prints, if it can be run.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8(text).ok()?.trim().to_owned())
}

/// The compiler that cargo would use here, and so did.
fn compiler() -> Option<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    said(rustc.to_str()?, &["--version"])
}

/// A file as the command line names it. Cargo runs benches in their package's folder, which is nobody's idea of where they are.
pub fn from_workspace(file: &str) -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .as_deref()
        .map(OsStr::as_ref)
        .and_then(Path::parent)
        .unwrap_or(Path::new(""))
        .join(file)
}
