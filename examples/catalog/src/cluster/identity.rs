//! Who a node is: the number it is started with, and the life of its data.
//!
//! A node that lost its data has lost its votes and what it acknowledged. It is somebody new, who
//! must not speak for the old one: so each new folder begins a new life, and Raft knows nodes by
//! number and life.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::uuid;
use crate::log::Failure;

/// A member as Raft knows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MemberId {
    /// The node's number, which its user gives.
    pub number: u64,
    /// Drawn when its folder was made.
    pub life: u64,
}

impl MemberId {
    /// The ID of its node in the catalog.
    pub fn uuid(&self) -> Uuid {
        uuid(fastrand::Rng::with_seed(self.life).u128(..))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.number, self.life)
    }
}

/// What Raft keeps about a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The node's name in the catalog.
    pub name: String,
    /// Where it takes what other nodes ask.
    pub address: String,
}

impl Member {
    /// The host of its address, in no brackets, and the port.
    pub fn host_and_port(&self) -> (String, u16) {
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            return (address.ip().to_string(), address.port());
        }
        let (host, port) = self.address.rsplit_once(':').unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        (host.to_owned(), port.parse().unwrap_or_default())
    }
}

const FILE: &str = "life";

/// The id of the node whose data is in `folder`, which is made if it is not there.
pub fn of_folder(number: u64, folder: &Path) -> Result<MemberId, Failure> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let life = u64::from_str_radix(text.trim(), 16)
                .map_err(|_| format!("{}: it has no hexadecimal number", path.display()))?;
            return Ok(MemberId { number, life });
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{}: {error}", path.display()).into()),
    }
    let id = MemberId {
        number,
        life: fastrand::u64(..),
    };
    fs::create_dir_all(folder)?;
    let unfinished = folder.join("life.new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{:016x}", id.life)?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (address, host, port) in [
            ("10.0.0.9:95", "10.0.0.9", 95),
            ("[fd00::2]:95", "fd00::2", 95),
            ("node-2:95", "node-2", 95),
        ] {
            let member = Member {
                address: address.to_owned(),
                ..Member::default()
            };
            assert_eq!(member.host_and_port(), (host.to_owned(), port));
        }
    }

    #[test]
    fn a_folder_is_a_life() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = of_folder(7, &one.path().join("deep")).unwrap();
        assert_eq!(of_folder(7, &one.path().join("deep")).unwrap(), id);
        assert_ne!(of_folder(7, other.path()).unwrap(), id);
        fs::write(other.path().join(FILE), "x").unwrap();
        assert!(of_folder(7, other.path()).is_err());
    }
}
