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

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use cluster::{Member, Node, Setup};
use log::{Failure, Log};
use options::Options;

/// How far a node's port for other nodes is above that for clients, if it is not given.
const PEER_PORT: u16 = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("catalog: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Until all nodes of this process have ended.
async fn run(options: Options) -> Result<(), Failure> {
    // A held query is an open socket.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let (ending, end) = watch::channel(false);
    let mut nodes = JoinSet::new();
    for (log, name, listener) in open(&options).await? {
        // Where all nodes end at once, nobody is left to lead.
        let hand_over = options.node.is_some();
        let least_ttl = options.session_ttl_min;
        println!("catalog: listening on http://{}", listener.local_addr()?);
        let node = server::run(log, name, listener, end.clone(), hand_over, least_ttl);
        nodes.spawn(node);
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

/// The logs of the nodes that run in this process, with the nodes' names and where they listen.
async fn open(options: &Options) -> Result<Vec<(Log, String, TcpListener)>, Failure> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let mut folder = options.folder();
    let mut peers = options.peers.clone().unwrap_or_default();
    let mut listeners = Vec::new();
    if let Some(count) = options.cluster {
        folder.push("cluster");
        for number in 1..=count {
            let client = bind(above(options.listen, number - 1)?).await?;
            let peer = bind(above(options.listen, number - 1 + PEER_PORT)?).await?;
            peers.insert(number.into(), peer.local_addr()?.to_string());
            listeners.push((number.into(), client, peer));
        }
    } else if let Some(number) = options.node {
        let own = peers.get(&number).ok_or_else(|| {
            format!("--peers: node {number} itself is missing: where is it to listen for others?")
        });
        let peer = bind(own?).await?;
        listeners.push((number, bind(options.listen).await?, peer));
    } else {
        let log = if options.memory {
            log::in_memory()
        } else {
            log::open(&folder)?
        };
        return Ok(vec![(log, host, bind(options.listen).await?)]);
    }
    let mut nodes = Vec::new();
    for (number, client, peer) in listeners {
        let folder = folder.join(format!("node-{number}"));
        let node = Node::start(Setup {
            number,
            name: format!("{host}-{number}"),
            folder: folder.clone(),
            listener: peer,
            peers: peers.clone(),
            keep: options.keep,
        });
        let node = node.await?;
        let (folder, Member { name, address }) = (folder.display(), node.member.clone());
        println!("catalog: node {number}: data in {folder}, talks to others on {address}");
        nodes.push((Log::Cluster(node), name, client));
    }
    Ok(nodes)
}

async fn bind(address: impl ToSocketAddrs + Display) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(&address).await;
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
