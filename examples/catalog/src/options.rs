//! The command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::uri::Authority;
use clap::{ArgGroup, Parser, value_parser};

use crate::duration::GoDuration;

/// A durable service catalog with Consul's HTTP interface.
#[derive(Debug, Parser)]
#[command(args_override_self = true, group = ArgGroup::new("members").args(["cluster", "node"]))]
pub struct Options {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8500")]
    pub listen: SocketAddr,
    /// Where to keep the log [default: a folder of its own, said at start].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep nothing: everything is gone when the program ends.
    #[arg(long, conflicts_with_all = ["data", "members"])]
    pub memory: bool,
    /// The least TTL that a session can have.
    #[arg(long, value_name = "TTL", default_value = "10s", value_parser = ttl)]
    pub session_ttl_min: Duration,
    /// So many nodes in this process, each listening on the port after that of the one before; they
    /// talk to each other 1000 ports above those.
    #[arg(long, value_name = "NODES", value_parser = value_parser!(u16).range(1..=9))]
    pub cluster: Option<u16>,
    /// One node of a cluster, by its number.
    #[arg(long, value_name = "ID", value_parser = value_parser!(u64).range(1..), requires = "peers")]
    pub node: Option<u64>,
    /// Where nodes talk to each other, this one too: those that begin the cluster, or, for a node
    /// that joins it, some that are in it.
    #[arg(long, value_name = "ID=ADDR,…", value_parser = peers, requires = "node")]
    pub peers: Option<BTreeMap<u64, String>>,
    /// How many entries of the log a node of a cluster keeps for those that are behind.
    #[arg(
        long, value_name = "ENTRIES", value_parser = value_parser!(u64).range(1..),
        default_value_t = 8192, requires = "members"
    )]
    pub keep: u64,
}

impl Options {
    /// The folder with the log.
    pub fn folder(&self) -> PathBuf {
        let own = || own_folder(|name| std::env::var(name).ok());
        self.data.clone().unwrap_or_else(own)
    }
}

fn ttl(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(GoDuration(ttl)) if !ttl.is_zero() => Ok(ttl),
        _ => Err("expected a time, as 10s".to_owned()),
    }
}

fn peers(text: &str) -> Result<BTreeMap<u64, String>, String> {
    let mut peers = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let expected = || format!("{pair:?}: expected ID=ADDR, as 2=10.0.0.2:9500");
        let (id, address) = pair.split_once('=').ok_or_else(expected)?;
        let id = id.trim().parse().map_err(|_| expected())?;
        let address = address.trim();
        let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
        if id == 0 || host.is_empty() || port.parse::<u16>().is_err() {
            return Err(expected());
        }
        if let Err(error) = address.parse::<Authority>() {
            return Err(format!(
                "{pair:?}: {error}; an IPv6 address is in brackets, as 2=[fd00::2]:9500"
            ));
        }
        if peers.insert(id, address.to_owned()).is_some() {
            return Err(format!("node {id} is there twice"));
        }
    }
    Ok(peers)
}

/// The folder that is taken if none is named: `$XDG_DATA_HOME/highwater-catalog`, or
/// `~/.local/share/highwater-catalog`, or, without a home, `highwater-catalog` where it is started.
fn own_folder(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let base = match (set("XDG_DATA_HOME"), set("HOME")) {
        (Some(data), _) => PathBuf::from(data),
        (None, Some(home)) => Path::new(&home).join(".local/share"),
        (None, None) => PathBuf::new(),
    };
    base.join("highwater-catalog")
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(words: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(format!("catalog {words}").split_whitespace())
    }

    #[test]
    fn the_least_ttl() {
        let least = |words| parse(words).ok().map(|options| options.session_ttl_min);
        assert_eq!(least(""), Some(Duration::from_secs(10)));
        assert_eq!(least("--session-ttl-min 1m"), Some(Duration::from_mins(1)));
        assert_eq!(least("--session-ttl-min=0s"), None);
        assert_eq!(least("--session-ttl-min 5"), None);
    }

    #[test]
    fn all_forms() {
        for (words, listen, memory, data) in [
            ("", "127.0.0.1:8500", false, None),
            ("--memory", "127.0.0.1:8500", true, None),
            (
                "--data a/b --listen [::1]:80",
                "[::1]:80",
                false,
                Some("a/b"),
            ),
            (
                "--data=a/b --listen=0.0.0.0:0",
                "0.0.0.0:0",
                false,
                Some("a/b"),
            ),
        ] {
            let options = parse(words).unwrap();
            assert!(options.cluster.is_none() && options.node.is_none());
            assert_eq!(options.listen.to_string(), listen);
            assert_eq!(
                (options.memory, options.data),
                (memory, data.map(PathBuf::from))
            );
        }
        let help = parse("--memory --help").unwrap_err();
        assert_eq!(help.kind(), ErrorKind::DisplayHelp);
        let cluster = parse("--cluster 3 --data a/b --listen 127.0.0.1:80").unwrap();
        assert_eq!((cluster.cluster, cluster.keep), (Some(3), 8192));
        let node = parse("--node=2 --peers=1=[fd00::1]:95,2=node-2:96 --keep 7").unwrap();
        assert_eq!((node.node, node.keep), (Some(2), 7));
        let peers = [(1, "[fd00::1]:95"), (2, "node-2:96")];
        let peers = peers.map(|(id, at)| (id, at.to_owned()));
        assert_eq!(node.peers, Some(peers.into()));
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
            "--cluster",
            "--cluster 0",
            "--cluster 100",
            "--cluster 3 --memory",
            "--cluster 3 --node 1",
            "--node 1",
            "--peers 1=a:1",
            "--node 1 --peers 1=a",
            "--node 1 --peers 1=a:x",
            "--node 1 --peers 1=::1:9500",
            "--node 1 --peers 1=a/b:95",
            "--node 1 --peers 1=a:1,1=b:2",
            "--node 0 --peers 0=a:1",
            "--keep 7",
        ] {
            assert!(parse(words).is_err(), "{words}");
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
