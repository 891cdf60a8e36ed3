//! What the measurements were made on.

use std::process::Command;

/// This workspace's lock file: which versions were built.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Processor, number of cores, compiler.
pub(crate) fn line() -> String {
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
pub(crate) fn versions() -> Vec<(&'static str, &'static str)> {
    [
        "arc-swap",
        "highwater",
        "im",
        "imbl",
        "redb",
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

/// The compiler that cargo would use here, and so did.
fn compiler() -> Option<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
