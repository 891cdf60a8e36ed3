//! The command line. So few options need no more than a loop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::duration::GoDuration;

pub const USAGE: &str = "\
A durable service catalog with Consul's HTTP interface.

Usage: catalog [--listen ADDR] [--data DIR | --memory]
       catalog --cluster NODES [--listen ADDR] [--data DIR]
       catalog --node ID --peers ID=ADDR,… [--listen ADDR] [--data DIR]

  --listen ADDR   where to listen [default: 127.0.0.1:8500]
  --data DIR      where to keep the log [default: a folder of its own, said at start]
  --memory        keep nothing: everything is gone when the program ends
  --session-ttl-min TTL
                  the least TTL that a session can have [default: 10s]
  --help          print this

A cluster:

  --cluster NODES   so many nodes in this process, each listening on the port after that of the
                    one before; they talk to each other 1000 ports above those
  --node ID         one node of a cluster, by its number
  --peers ID=ADDR,… where nodes talk to each other, this one too: those that begin the cluster,
                    or, for a node that joins it, some that are in it
  --keep ENTRIES    how many entries of the log are kept for nodes that are behind
                    [default: 8192]
";

/// What was asked for.
#[derive(Debug, PartialEq)]
pub enum Options {
    Help,
    Run(Run),
}

#[derive(Debug, PartialEq)]
pub struct Run {
    pub listen: SocketAddr,
    pub keep: Keep,
    pub role: Role,
    /// The least TTL of a session.
    pub least_ttl: Duration,
}

/// What is kept, and where.
#[derive(Debug, PartialEq)]
pub enum Keep {
    Nothing,
    Folder(PathBuf),
    OwnFolder,
}

/// Who else there is.
#[derive(Debug, PartialEq)]
pub enum Role {
    Alone,
    /// All nodes of a cluster.
    Cluster {
        nodes: u16,
        entries: u64,
    },
    /// One of them.
    Node {
        number: u64,
        peers: BTreeMap<u64, String>,
        entries: u64,
    },
}

const MOST_NODES: u16 = 9;
const ENTRIES: u64 = 8192;
const LEAST_TTL: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Given {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    memory: bool,
    cluster: Option<u16>,
    node: Option<u64>,
    peers: Option<BTreeMap<u64, String>>,
    entries: Option<u64>,
    least_ttl: Option<Duration>,
}

pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut given = Given::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        if attached.is_some() && matches!(name, "--memory" | "--help" | "-h") {
            return Err(format!("{name} takes no value"));
        }
        let mut value = || {
            let value = attached.clone().or_else(|| args.next());
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "--listen" => given.listen = Some(address(&value()?)?),
            "--data" => given.data = Some(PathBuf::from(value()?)),
            "--memory" => given.memory = true,
            "--session-ttl-min" => given.least_ttl = Some(ttl(name, &value()?)?),
            "--cluster" => given.cluster = Some(number(name, &value()?, MOST_NODES)?),
            "--node" => given.node = Some(number(name, &value()?, u64::MAX)?),
            "--peers" => given.peers = Some(peers(&value()?)?),
            "--keep" => given.entries = Some(number(name, &value()?, u64::MAX)?),
            "--help" | "-h" => return Ok(Options::Help),
            _ => return Err(format!("unknown option {arg:?}")),
        }
    }
    given.run().map(Options::Run)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("--listen: {text:?} is no address: expected IP:PORT, as 127.0.0.1:8500")
    })
}

/// A number from 1 on.
fn number<N>(name: &str, text: &str, most: N) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + From<u8> + std::fmt::Display,
{
    text.parse()
        .ok()
        .filter(|number| (N::from(1)..=most).contains(number))
        .ok_or_else(|| format!("{name}: {text:?} is no number from 1 on that is possible here"))
}

fn ttl(name: &str, text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(GoDuration(ttl)) if !ttl.is_zero() => Ok(ttl),
        _ => Err(format!("{name}: {text:?} is no time: expected one as 10s")),
    }
}

fn peers(text: &str) -> Result<BTreeMap<u64, String>, String> {
    let mut peers = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let expected = || format!("--peers: {pair:?}: expected ID=ADDR, as 2=10.0.0.2:9500");
        let (id, address) = pair.split_once('=').ok_or_else(expected)?;
        let id = number("--peers", id.trim(), u64::MAX)?;
        let address = address.trim();
        if address
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return Err(expected());
        }
        if peers.insert(id, address.to_owned()).is_some() {
            return Err(format!("--peers: node {id} is there twice"));
        }
    }
    Ok(peers)
}

impl Given {
    fn run(self) -> Result<Run, String> {
        let entries = self.entries.unwrap_or(ENTRIES);
        let role = match (self.cluster, self.node, self.peers) {
            (None, None, None) => Role::Alone,
            (Some(nodes), None, None) => Role::Cluster { nodes, entries },
            (None, Some(number), Some(peers)) => {
                if !peers.contains_key(&number) {
                    return Err(format!(
                        "--peers: node {number} itself is missing: where is it to listen for others?"
                    ));
                }
                Role::Node {
                    number,
                    peers,
                    entries,
                }
            }
            (Some(_), ..) => {
                return Err("--cluster excludes --node and --peers".to_owned());
            }
            (None, ..) => return Err("--node and --peers need each other".to_owned()),
        };
        if role == Role::Alone && self.entries.is_some() {
            return Err("--keep is for nodes of a cluster".to_owned());
        }
        let keep = match (self.data, self.memory) {
            (Some(_), true) => return Err("--data and --memory exclude each other".to_owned()),
            (None, true) if role != Role::Alone => {
                return Err("--memory is for a node alone: a cluster's log is on disk".to_owned());
            }
            (Some(folder), false) => Keep::Folder(folder),
            (None, true) => Keep::Nothing,
            (None, false) => Keep::OwnFolder,
        };
        let listen = self.listen;
        Ok(Run {
            listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8500))),
            keep,
            role,
            least_ttl: self.least_ttl.unwrap_or(LEAST_TTL),
        })
    }
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
    fn the_least_ttl() {
        let least = |words| match parse_words(words) {
            Ok(Options::Run(run)) => Some(run.least_ttl),
            _ => None,
        };
        assert_eq!(least(""), Some(LEAST_TTL));
        assert_eq!(least("--session-ttl-min 1m"), Some(Duration::from_mins(1)));
        assert_eq!(least("--session-ttl-min=0s"), None);
        assert_eq!(least("--session-ttl-min 5"), None);
    }

    #[test]
    fn all_forms() {
        let run = |listen: &str, keep, role| {
            Ok(Options::Run(Run {
                listen: listen.parse().unwrap(),
                keep,
                role,
                least_ttl: LEAST_TTL,
            }))
        };
        let alone = |listen, keep| run(listen, keep, Role::Alone);
        assert_eq!(parse_words(""), alone("127.0.0.1:8500", Keep::OwnFolder));
        assert_eq!(
            parse_words("--memory"),
            alone("127.0.0.1:8500", Keep::Nothing)
        );
        let folder = || Keep::Folder(PathBuf::from("a/b"));
        assert_eq!(
            parse_words("--data a/b --listen [::1]:80"),
            alone("[::1]:80", folder())
        );
        assert_eq!(
            parse_words("--data=a/b --listen=0.0.0.0:0"),
            alone("0.0.0.0:0", folder())
        );
        assert_eq!(parse_words("--memory --help"), Ok(Options::Help));
        assert_eq!(
            parse_words("--cluster 3 --data a/b --listen 127.0.0.1:80"),
            run(
                "127.0.0.1:80",
                folder(),
                Role::Cluster {
                    nodes: 3,
                    entries: ENTRIES
                }
            )
        );
        let peers = [(1, "10.0.0.1:95"), (2, "node-2:96")];
        assert_eq!(
            parse_words("--node=2 --peers=1=10.0.0.1:95,2=node-2:96 --keep 7"),
            run(
                "127.0.0.1:8500",
                Keep::OwnFolder,
                Role::Node {
                    number: 2,
                    peers: peers.map(|(id, at)| (id, at.to_owned())).into(),
                    entries: 7
                }
            )
        );
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
            "--node 3 --peers 1=a:1",
            "--node 1 --peers 1=a",
            "--node 1 --peers 1=a:x",
            "--node 1 --peers 1=a:1,1=b:2",
            "--node 0 --peers 0=a:1",
            "--keep 7",
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
