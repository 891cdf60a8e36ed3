//! A durable service catalog with Consul's HTTP interface, on `highwater`.
//!
//! `schema.rs` has the tables and `command.rs` what changes them. Each file of `http/` has the
//! endpoints of one part of the interface: a read is a function of the tables, a write a command.
//! `log.rs` takes commands to the store: through a journal, or, in `cluster/`, through Raft.
#![expect(unreachable_pub, reason = "a program has no public interface")]

mod app;
mod base64_or_null;
mod clock;
mod cluster;
mod command;
mod deadlines;
mod duration;
mod events;
mod http;
mod keeper;
mod kv;
mod log;
#[cfg(test)]
mod machine;
mod members;
mod options;
mod probe;
mod prober;
mod registry;
mod schema;
mod server;
mod sessions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use cluster::Setup;
use log::{Failure, Log};
use options::{Keep, Options, Role, Run};

/// How far a node's port for other nodes is above that for clients, if it is not given.
const PEER_PORT: u16 = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    let run = match options::parse(std::env::args().skip(1)) {
        Ok(Options::Run(run)) => run,
        Ok(Options::Help) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("catalog: {error}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match start(run).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("catalog: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(
    Run {
        listen,
        keep,
        role,
        least_ttl,
    }: Run,
) -> Result<(), Failure> {
    // A held query is an open socket.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let (ending, end) = watch::channel(false);
    let mut nodes = JoinSet::new();
    match role {
        Role::Alone => {
            let log = match keep {
                Keep::Nothing => log::in_memory(),
                Keep::Folder(folder) => log::open(&folder)?,
                Keep::OwnFolder => log::open(&own_folder())?,
            };
            let listener = bind(listen).await?;
            nodes.spawn(server::run(log, host, listener, end, false, least_ttl));
        }
        Role::Cluster {
            nodes: count,
            entries,
        } => {
            let folder = folder(keep).join("cluster");
            let mut listeners = BTreeMap::new();
            for number in 1..=count {
                let client = bind(above(listen, number - 1)?).await?;
                let peer = bind(above(client.local_addr()?, PEER_PORT)?).await?;
                listeners.insert(u64::from(number), (client, peer));
            }
            let addresses = listeners.iter().map(|(&number, (_, peer))| {
                let address = peer.local_addr()?;
                Ok::<_, Failure>((number, address.to_string()))
            });
            let peers: BTreeMap<u64, String> = addresses.collect::<Result<_, _>>()?;
            for (number, (client, peer)) in listeners {
                let setup = Setup {
                    number,
                    name: format!("{host}-{number}"),
                    folder: folder.join(format!("node-{number}")),
                    listener: peer,
                    peers: peers.clone(),
                    keep: entries,
                };
                // Where all end at once, nobody is left to lead.
                let (log, name) = member(setup).await?;
                nodes.spawn(server::run(
                    log,
                    name,
                    client,
                    end.clone(),
                    false,
                    least_ttl,
                ));
            }
        }
        Role::Node {
            number,
            peers,
            entries,
        } => {
            let address = peers.get(&number).cloned().unwrap_or_default();
            let setup = Setup {
                number,
                name: format!("{host}-{number}"),
                folder: folder(keep).join(format!("node-{number}")),
                listener: TcpListener::bind(&address)
                    .await
                    .map_err(|error| format!("cannot listen on {address}: {error}"))?,
                peers,
                keep: entries,
            };
            let client = bind(listen).await?;
            let (log, name) = member(setup).await?;
            nodes.spawn(server::run(log, name, client, end, true, least_ttl));
        }
    }
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => drop(ending.send(true)),
            _ = terminate.recv() => drop(ending.send(true)),
            ended = nodes.join_next() => match ended {
                Some(ended) => ended??,
                None => return Ok(()),
            }
        }
    }
}

/// A node of a cluster, and its name.
async fn member(setup: Setup) -> Result<(Log, String), Failure> {
    let (number, name) = (setup.number, setup.name.clone());
    let folder = setup.folder.display().to_string();
    let node = cluster::Node::start(setup).await?;
    println!(
        "catalog: node {number}: data in {folder}, talks to others on {}",
        node.address()
    );
    Ok((Log::Cluster(node), name))
}

fn own_folder() -> PathBuf {
    options::own_folder(|name| std::env::var(name).ok())
}

fn folder(keep: Keep) -> PathBuf {
    match keep {
        Keep::Folder(folder) => folder,
        Keep::OwnFolder | Keep::Nothing => own_folder(),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    Ok(listener.map_err(|error| format!("cannot listen on {address}: {error}"))?)
}

/// The same address, some ports on. Port 0 is any.
fn above(mut address: SocketAddr, ports: u16) -> Result<SocketAddr, Failure> {
    if address.port() != 0 {
        let port = address.port().checked_add(ports);
        address.set_port(port.ok_or_else(|| format!("{address}: no port is {ports} above it"))?);
    }
    Ok(address)
}
