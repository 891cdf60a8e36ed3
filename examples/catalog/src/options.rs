//! The command line. Three options need no more than a loop.

use std::net::SocketAddr;
use std::path::PathBuf;

pub const USAGE: &str = "\
A durable service catalog with Consul's HTTP interface.

Usage: catalog [--listen ADDR] [--data DIR | --memory]

  --listen ADDR   where to listen [default: 127.0.0.1:8500]
  --data DIR      where to keep the log [default: a folder of its own, said at start]
  --memory        keep nothing: everything is gone when the program ends
  --help          print this
";

/// What was asked for.
#[derive(Debug, PartialEq)]
pub enum Options {
    Help,
    Run { listen: SocketAddr, keep: Keep },
}

/// What is kept, and where.
#[derive(Debug, PartialEq)]
pub enum Keep {
    Nothing,
    Folder(PathBuf),
    OwnFolder,
}

pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 8500));
    let (mut data, mut memory) = (None, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        let takes_value = matches!(name, "--listen" | "--data");
        if attached.is_some() && !takes_value {
            return Err(format!("unknown option {arg:?}"));
        }
        let mut value = || {
            let value = attached.clone().or_else(|| args.next());
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "--listen" => {
                let text = value()?;
                listen = text.parse().map_err(|_| {
                    format!("--listen: {text:?} is no address: expected IP:PORT, as 127.0.0.1:8500")
                })?;
            }
            "--data" => data = Some(PathBuf::from(value()?)),
            "--memory" => memory = true,
            "--help" | "-h" => return Ok(Options::Help),
            _ => return Err(format!("unknown option {arg:?}")),
        }
    }
    let keep = match (data, memory) {
        (Some(_), true) => return Err("--data and --memory exclude each other".to_owned()),
        (Some(folder), false) => Keep::Folder(folder),
        (None, true) => Keep::Nothing,
        (None, false) => Keep::OwnFolder,
    };
    Ok(Options::Run { listen, keep })
}

/// The folder that is taken if none is named: `$XDG_DATA_HOME/highwater-catalog`, or
/// `~/.local/share/highwater-catalog`, or, without a home, `highwater-catalog` where it is started.
pub fn own_folder(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local").join("share")))
        .unwrap_or_default();
    base.join("highwater-catalog")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Options, String> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn all_forms() {
        let run = |listen: &str, keep| {
            Ok(Options::Run {
                listen: listen.parse().unwrap(),
                keep,
            })
        };
        assert_eq!(parse_words(""), run("127.0.0.1:8500", Keep::OwnFolder));
        assert_eq!(
            parse_words("--memory"),
            run("127.0.0.1:8500", Keep::Nothing)
        );
        let folder = || Keep::Folder(PathBuf::from("a/b"));
        assert_eq!(
            parse_words("--data a/b --listen [::1]:80"),
            run("[::1]:80", folder())
        );
        assert_eq!(
            parse_words("--data=a/b --listen=0.0.0.0:0"),
            run("0.0.0.0:0", folder())
        );
        assert_eq!(parse_words("--memory --help"), Ok(Options::Help));
    }

    #[test]
    fn mistakes() {
        for words in [
            "--listen",
            "--listen 8500",
            "--data",
            "--data=",
            "--memory=1",
            "--memory --data x",
            "x",
            "--verbose",
        ] {
            assert!(parse_words(words).is_err(), "{words}");
        }
    }

    #[test]
    fn folders() {
        let home = |name: &str| (name == "HOME").then(|| "/h/u".to_owned());
        assert_eq!(
            own_folder(home),
            PathBuf::from("/h/u/.local/share/highwater-catalog")
        );
        let xdg = |name: &str| Some(if name == "HOME" { "/h" } else { "/x" }.to_owned());
        assert_eq!(own_folder(xdg), PathBuf::from("/x/highwater-catalog"));
        assert_eq!(own_folder(|_| None), PathBuf::from("highwater-catalog"));
    }
}
