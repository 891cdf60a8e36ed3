//! A durable service catalog with Consul's HTTP interface, on `highwater`.
//!
//! `schema.rs` has the tables and `command.rs` what changes them. Each file of `http/` has the
//! endpoints of one part of the interface: a read is a function of the tables, a write a command.
#![expect(unreachable_pub, reason = "a program has no public interface")]

mod app;
mod command;
mod duration;
mod http;
mod kv;
mod log;
mod options;
mod probe;
mod schema;
mod timers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use app::{Agent, App};
use command::{Command, Registration};
use log::{Failure, Log};
use options::{Keep, Options};
use schema::{Check, Definition, Node, Status};
use timers::{Heard, Timers};

#[tokio::main]
async fn main() -> ExitCode {
    let (listen, keep) = match options::parse(std::env::args().skip(1)) {
        Ok(Options::Run { listen, keep }) => (listen, keep),
        Ok(Options::Help) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("catalog: {error}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(listen, keep).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("catalog: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(listen: SocketAddr, keep: Keep) -> Result<(), Failure> {
    // A held query is an open socket.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let log = match keep {
        Keep::Nothing => log::in_memory(),
        Keep::Folder(folder) => log::open(&folder)?,
        Keep::OwnFolder => log::open(&options::own_folder(|name| std::env::var(name).ok()))?,
    };
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let agent = agent(&log, listener.local_addr()?);
    let (timers, heard) = Timers::new();
    let app = App::new(log, agent, timers);
    register_self(&app).await?;
    tokio::spawn(timers::run(app.clone(), heard));

    let mut terminate = signal(SignalKind::terminate())?;
    let closing = app.clone();
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        // Held queries are answered now.
        closing.store.close();
    };
    println!("catalog: listening on http://{}", app.agent.address);
    let listener = listener.tap_io(|socket| {
        // An answer is one write: nothing is won by waiting for more.
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, http::router(app.clone()))
        .with_graceful_shutdown(shutdown)
        .await?;
    app.close()
}

/// This node: named after the machine, with the id it was given at its first start.
fn agent(log: &Log, address: SocketAddr) -> Agent {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    let known = log.store().snapshot();
    let known = known.nodes().get(&name);
    let reachable = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    Agent {
        node: Node {
            id: known.map_or_else(new_id, |node| node.id.clone()),
            name,
            address: reachable.to_string(),
            tagged_addresses: known
                .map(|node| node.tagged_addresses.clone())
                .unwrap_or_default(),
            meta: known.map(|node| node.meta.clone()).unwrap_or_default(),
        },
        address,
    }
}

/// A random UUID (version 4).
fn new_id() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

async fn register_self(app: &App) -> Result<(), Failure> {
    let node = app.agent.node.clone();
    let alive = Check {
        node: node.name.clone(),
        id: "serfHealth".to_owned(),
        name: "Serf Health Status".to_owned(),
        status: Status::Passing,
        notes: String::new(),
        output: "Agent alive and reachable".to_owned(),
        service_id: String::new(),
        kind: String::new(),
        definition: Definition::default(),
    };
    let registration = Registration {
        node,
        skip_node_update: false,
        service: None,
        checks: vec![alive],
        keep_status: false,
        replace_checks: false,
    };
    let outcome = app.propose(Command::Register(Box::new(registration))).await;
    outcome
        .map_err(|error| format!("cannot register this node: {error:?}"))?
        .map_err(|rejected| format!("cannot register this node: {rejected}"))?;
    for check in app.store.snapshot().checks().leading(&app.agent.node.name) {
        app.timers.heard(Heard::Begun(check.id.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_random_uuids() {
        let id = super::new_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, super::new_id());
    }
}
