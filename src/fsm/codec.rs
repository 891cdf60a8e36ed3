//! A proposal: a command with its time and seed, as bytes and as a value.

use crate::image::msgpack;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

const FORMAT: u8 = 1;
const HEAD: usize = 17;

/// A command that is ready for the log: its bytes, and the command those bytes decode to.
#[derive(Debug)]
pub struct Proposal<C> {
    bytes: Vec<u8>,
    command: C,
}

impl<C: Serialize + DeserializeOwned> Proposal<C> {
    /// Encodes a command, and decodes it again: what cannot be read back must not get into a log,
    /// where it would halt every replica for good.
    ///
    /// `time_ms` is the proposer's clock, in milliseconds since the Unix epoch; `seed` is drawn at
    /// random. Cost: one encoding and one decoding of the command.
    pub fn new(command: &C, time_ms: u64, seed: u64) -> Result<Self, ProposalError> {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&time_ms.to_be_bytes());
        bytes.extend_from_slice(&seed.to_be_bytes());
        rmp_serde::encode::write_named(&mut bytes, command)
            .map_err(|e| ProposalError::Encode(e.to_string()))?;
        let (_, command) = decode(&bytes).map_err(ProposalError::Decode)?;
        Ok(Proposal { bytes, command })
    }
}

impl<C> Proposal<C> {
    /// What goes into the log.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_parts(self) -> (Vec<u8>, Stamp, C) {
        let stamp = Stamp::read(&self.bytes).unwrap_or_default();
        (self.bytes, stamp, self.command)
    }
}

/// When a command was proposed, and its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) time_ms: u64,
    pub(super) seed: u64,
}

impl Stamp {
    /// `None` if the bytes are no proposal of this format.
    fn read(bytes: &[u8]) -> Option<Stamp> {
        let (&[FORMAT, ref rest @ ..], _) = bytes.split_first_chunk::<HEAD>()? else {
            return None;
        };
        let (time, seed) = rest.split_first_chunk::<8>()?;
        Some(Stamp {
            time_ms: u64::from_be_bytes(*time),
            seed: u64::from_be_bytes(*seed.first_chunk()?),
        })
    }
}

/// Reads the bytes of a proposal. Whatever the bytes: no deep recursion, no allocation beyond
/// their own size; what the command's own `Deserialize` does is its author's.
pub(super) fn decode<C: DeserializeOwned>(bytes: &[u8]) -> Result<(Stamp, C), String> {
    let stamp = Stamp::read(bytes).ok_or_else(|| match bytes.first() {
        Some(&FORMAT) | None => {
            format!("it has {} bytes, an entry has at least {HEAD}", bytes.len())
        }
        Some(format) => {
            format!("it has format {format}, this program reads format {FORMAT}")
        }
    })?;
    let command = &bytes[HEAD..];
    msgpack::check(command).map_err(|fault| fault.to_string())?;
    let command = rmp_serde::from_slice(command).map_err(|e| e.to_string())?;
    Ok((stamp, command))
}

/// Why a command cannot go into a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposalError {
    /// Its `Serialize` failed.
    Encode(String),
    /// It was encoded, but those bytes do not decode to a command: its `Serialize` and
    /// `Deserialize` do not agree, or it nests deeper than 128 levels.
    Decode(String),
}

impl fmt::Display for ProposalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposalError::Encode(why) => write!(f, "the command cannot be encoded: {why}"),
            ProposalError::Decode(why) => write!(
                f,
                "the command cannot be read back from its own encoding: {why}; \
                 make its Serialize and Deserialize agree"
            ),
        }
    }
}

impl std::error::Error for ProposalError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Request {
        Put { key: String, value: Vec<u8> },
        Clear,
        Nest(Vec<Request>),
    }

    #[test]
    fn a_proposal_reads_back() {
        let put = Request::Put {
            key: "k".into(),
            value: vec![0, 255],
        };
        let proposal = Proposal::new(&put, 5, 6).unwrap();
        assert_eq!(
            proposal.bytes()[..17],
            [1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6]
        );
        assert_eq!(
            decode::<Request>(proposal.bytes()),
            Ok((
                Stamp {
                    time_ms: 5,
                    seed: 6
                },
                put.clone()
            ))
        );
        let (_, stamp, command) = proposal.into_parts();
        assert_eq!(
            (stamp, command),
            (
                Stamp {
                    time_ms: 5,
                    seed: 6
                },
                put
            )
        );
    }

    #[test]
    fn what_cannot_be_read_back_is_refused() {
        let mut deep = Request::Clear;
        for _ in 0..200 {
            deep = Request::Nest(vec![deep]);
        }
        assert!(matches!(
            Proposal::new(&deep, 0, 0),
            Err(ProposalError::Decode(_))
        ));

        let lossy = Lossy { needed: 1, kept: 2 };
        assert_eq!(lossy.needed + lossy.kept, 3);
        assert!(matches!(
            Proposal::new(&lossy, 0, 0),
            Err(ProposalError::Decode(_))
        ));
    }

    /// Written without a field that its reader wants.
    #[derive(Serialize, Deserialize)]
    struct Lossy {
        #[serde(skip_serializing)]
        needed: u8,
        kept: u8,
    }

    #[test]
    fn wrong_formats_say_so() {
        let said = |bytes: &[u8]| decode::<Request>(bytes).unwrap_err();
        assert!(said(&[]).contains("0 bytes"));
        assert!(said(&[1, 2]).contains("2 bytes"));
        assert!(said(&[9; 40]).contains("format 9"));
        let mut unknown = vec![1; 17];
        rmp_serde::encode::write_named(&mut unknown, "Unheard").unwrap();
        assert!(said(&unknown).contains("Unheard"), "{}", said(&unknown));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..64),
            format in prop::bool::ANY,
        ) {
            if format && let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            let _ = decode::<Request>(&bytes);
        }

        #[test]
        fn a_changed_length_is_refused(key in ".{0,20}", value: Vec<u8>, cut in 1_usize..20) {
            let mut bytes =
                Proposal::new(&Request::Put { key, value }, 1, 2).unwrap().into_parts().0;
            let mut longer = bytes.clone();
            longer.push(0);
            prop_assert!(decode::<Request>(&longer).is_err());
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert!(decode::<Request>(&bytes).is_err());
        }
    }
}
