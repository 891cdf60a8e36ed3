//! A node: started on what its directory has, and killed.

use crate::cluster::{Registers, Write};
use crate::network::Network;
use crate::world::{Bug, Shared};
use crate::{Raft, Types};
use highwater::Store;
use highwater::openraft_next::{Blocking, Inbox, NodeOptions, open};
use openraft_next::{Config, SnapshotPolicy};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) raft: Raft,
    pub(crate) store: Store<Registers>,
    pub(crate) inbox: Inbox,
    dir: PathBuf,
}

fn config() -> Arc<Config> {
    let config = Config {
        heartbeat_interval: 50,
        election_timeout_min: 150,
        election_timeout_max: 300,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(40),
        max_in_snapshot_log_to_keep: 5,
        purge_batch_size: 1,
        ..Config::default()
    };
    Arc::new(config.validate().unwrap())
}

/// Starts a node on what a directory has.
pub(crate) async fn start(shared: &Shared, id: u64, dir: PathBuf) -> Result<(), String> {
    let options = NodeOptions {
        blocking: Blocking::Inline,
        ..NodeOptions::default()
    };
    let (log, machine) =
        open::<Registers, Write, Types>(&id, &dir, options).map_err(|fault| fault.to_string())?;
    let (store, inbox) = (machine.store().clone(), machine.inbox());
    let network = Network {
        from: id,
        shared: shared.clone(),
    };
    let raft = Raft::new(id, config(), network, log, machine)
        .await
        .map_err(|error| error.to_string())?;
    let node = Node {
        raft,
        store,
        inbox,
        dir,
    };
    shared.lock().nodes.insert(id, node);
    Ok(())
}

/// As `kill -9`: what the files hold at this moment is what the next start finds.
pub(crate) async fn crash(shared: &Shared, id: u64) -> Option<PathBuf> {
    let node = shared.lock().nodes.remove(&id)?;
    let (dir, bug) = {
        let mut world = shared.lock();
        world.started += 1;
        world.met.crashes += 1;
        (world.dir.join(format!("{id}-{}", world.started)), world.bug)
    };
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(&node.dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if bug == Bug::Volatile && name.starts_with("image") {
            continue;
        }
        fs::copy(entry.path(), dir.join(name)).unwrap();
    }
    node.raft.shutdown().await.unwrap();
    let _ = fs::remove_dir_all(&node.dir);
    Some(dir)
}
