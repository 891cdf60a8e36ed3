//! What the entries applied so far leave for those to come, beside the data: the log's clock and
//! the sessions of clients.

use super::session::{Sessions, Stored};
use crate::image::msgpack;
use crate::store::Machine;
use serde::{Deserialize, Serialize};
use std::any::Any;

const FORMAT: u8 = 1;

/// A value: a clone shares all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The running maximum of the entries' times, in milliseconds since the Unix epoch.
    pub(super) clock: u64,
    pub(super) sessions: Sessions,
}

/// As it is written to an image, a `MessagePack` map.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub(super) format: u8,
    pub(super) clock: u64,
    pub(super) sessions: Vec<Stored>,
}

impl Machine for State {
    fn encode(&self) -> Vec<u8> {
        let image = Image {
            format: FORMAT,
            clock: self.clock,
            sessions: self.sessions.to_stored(),
        };
        rmp_serde::to_vec_named(&image).expect("numbers and bytes serialize")
    }
}

impl State {
    /// The state that a store keeps; `None` stands for a store that has had no entry.
    pub(super) fn of(machine: Option<&dyn Machine>) -> Result<State, String> {
        let Some(machine) = machine else {
            return Ok(State::default());
        };
        match (machine as &dyn Any).downcast_ref::<State>() {
            Some(state) => Ok(state.clone()),
            None => State::decode(&machine.encode()),
        }
    }

    fn decode(bytes: &[u8]) -> Result<State, String> {
        let wrong = |what: &dyn std::fmt::Display| format!("the log's clock and sessions: {what}");
        msgpack::check(bytes).map_err(|fault| wrong(&fault))?;
        let image: Image = rmp_serde::from_slice(bytes).map_err(|error| wrong(&error))?;
        if image.format != FORMAT {
            return Err(wrong(&format_args!(
                "format {}, this program reads format {FORMAT}",
                image.format
            )));
        }
        Ok(State {
            clock: image.clock,
            sessions: Sessions::from_stored(image.sessions).map_err(|what| wrong(&what))?,
        })
    }
}
