//! One node that serves HTTP, from its start to its end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::app::{Agent, App};
use crate::command::{Command, uuid};
use crate::http::{self, HttpError};
use crate::log::{ALONE, Failure, Log};
use crate::schema::Node;
use crate::{keeper, members, prober};

/// Serves until `end` is true or the node is asked to leave. At its end another may be asked to
/// lead.
pub async fn run(
    log: Log,
    name: String,
    listener: TcpListener,
    mut end: watch::Receiver<bool>,
    hand_over: bool,
    least_ttl: Duration,
) -> Result<(), Failure> {
    let agent = agent(&log, name, listener.local_addr()?);
    let app = App::new(log, agent, least_ttl);
    // They end with this.
    let mut tasks = JoinSet::new();
    if app.log.cluster().is_some() {
        // It may take its time, and reads need not wait for it.
        tasks.spawn(register_in_cluster(app.clone()));
    } else {
        app.log.begin(ALONE).await?;
        let registered = register(&app).await;
        registered.map_err(|error| format!("cannot register this node: {error}"))?;
    }
    let keeper = tasks.spawn(keeper::run(app.clone()));
    tasks.spawn(prober::run(app.clone()));

    let (ended, ending) = oneshot::channel();
    let this = app.clone();
    let shutdown = async move {
        let failed = tokio::select! {
            _ = end.wait_for(|end| *end) => None,
            () = this.end.notified() => None,
            why = this.log.failed() => Some(format!("{}: {why}", this.agent.node.name)),
        };
        // Another lets time pass, or nobody does.
        keeper.abort();
        // What is under way is answered; then the store is closed, and held queries are.
        let closed = this.log.close(hand_over).await;
        let _ = ended.send(failed.map_or(closed, |why| Err(why.into())));
    };
    let listener = listener.tap_io(|socket| {
        // An answer is one write: nothing is won by waiting for more.
        let _ = socket.set_nodelay(true);
    });
    // The routes are made once; as a router they would be for each connection, of 30 KB.
    let routes = http::router(app.clone()).into_make_service();
    let serving = axum::serve(listener, routes);
    serving.with_graceful_shutdown(shutdown).await?;
    ending.await?
}

/// This node, with the id it was given at its first start.
pub fn agent(log: &Log, name: String, address: SocketAddr) -> Agent {
    let db = log.store().snapshot();
    let known = db.nodes().get(&name).map(|known| known.id.clone());
    let id = match log.cluster() {
        Some(node) => node.id.uuid().to_string(),
        None => known.unwrap_or_else(|| uuid(fastrand::u128(..)).to_string()),
    };
    let reachable = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    Agent {
        node: Node {
            id,
            name,
            address: reachable.to_string(),
            ..Node::default()
        },
        address,
    }
}

/// Until it is done: when there is a leader.
async fn register_in_cluster(app: App) {
    while register(&app).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Puts this node into the catalog, as what is known of it otherwise says.
async fn register(app: &App) -> Result<(), HttpError> {
    let index = app.log.read_index().await?;
    let patience = tokio::time::sleep(Duration::from_secs(10));
    let db = app.store.snapshot_at_least_async(index, patience).await?;
    // Or it was before, and registers once more.
    let _ = app.caught_up.set(());
    let mut node = app.agent.node.clone();
    if let Some(known) = db.nodes().get(&node.name) {
        node.tagged_addresses.clone_from(&known.tagged_addresses);
        node.meta.clone_from(&known.meta);
    }
    let register = members::registration(node);
    app.write(Command::Register(Box::new(register))).await?;
    Ok(())
}
