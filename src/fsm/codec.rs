//! A proposal: a command with its time and seed, as bytes and as a value.

use crate::image::msgpack;
use crate::session::{RequestId, SessionId, SessionOptions};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::time::SystemTime;

/// The kinds of entries: their first byte.
mod kind {
    pub(super) const COMMAND: u8 = 1;
    pub(super) const REQUEST: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const RENEW: u8 = 4;
    pub(super) const CLOSE: u8 = 5;
}

/// A command that is ready for the log: its bytes, and the command those bytes decode to. Or what
/// opens, renews or closes a session.
#[derive(Debug)]
#[must_use = "a proposal does nothing until it is in a log"]
pub struct Proposal<C> {
    bytes: Vec<u8>,
    content: Content<C>,
}

/// What an entry is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<C> {
    /// A command, perhaps a session's.
    Command(Option<RequestId>, C),
    Open {
        ttl_ms: u64,
        window: u32,
    },
    Renew(SessionId),
    Close(SessionId),
}

impl<C: Serialize + DeserializeOwned> Proposal<C> {
    /// Encodes a command, and decodes it again: what cannot be read back must not get into a log,
    /// where it would halt every replica for good.
    ///
    /// `now` is the proposer's clock, of which the log has whole milliseconds since the Unix epoch,
    /// rounded down; a time before the epoch becomes the epoch. `seed` is drawn at random. Cost: one
    /// encoding and one decoding of the command.
    pub fn new(command: &C, now: SystemTime, seed: u64) -> Result<Self, ProposalError> {
        Self::command(head(kind::COMMAND, now, seed), command)
    }

    /// A command of a session: proposed again with the same session and sequence number, it is not
    /// applied again, and its first answer comes back ([`Outcome::Repeated`](super::Outcome)). `now`
    /// and `seed` are as in [`new`](Self::new), and may differ each time.
    pub fn in_session(
        request: RequestId,
        command: &C,
        now: SystemTime,
        seed: u64,
    ) -> Result<Self, ProposalError> {
        let mut bytes = head(kind::REQUEST, now, seed);
        for number in [request.session.0, request.sequence, request.answered] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Self::command(bytes, command)
    }

    fn command(mut bytes: Vec<u8>, command: &C) -> Result<Self, ProposalError> {
        rmp_serde::encode::write_named(&mut bytes, command)
            .map_err(|e| ProposalError::Encode(e.to_string()))?;
        Self::read(bytes).map_err(ProposalError::Decode)
    }

    /// Reads what [`bytes`](Self::bytes) gave: a proposal that another process made, say. Bytes that
    /// are none are [`ProposalError::Foreign`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ProposalError> {
        Self::read(bytes).map_err(ProposalError::Foreign)
    }

    /// The error says what is wrong with the bytes.
    fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let (_, content) = decode(&bytes)?;
        Ok(Proposal { bytes, content })
    }
}

impl<C> Proposal<C> {
    /// What opens a session; its outcome names it. `now` is as in [`new`](Self::new).
    pub fn open_session(options: SessionOptions, now: SystemTime) -> Self {
        let ttl_ms = u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX);
        let window = options.window;
        let mut bytes = head(kind::OPEN, now, 0);
        bytes.extend_from_slice(&ttl_ms.to_be_bytes());
        bytes.extend_from_slice(&window.to_be_bytes());
        Proposal {
            bytes,
            content: Content::Open { ttl_ms, window },
        }
    }

    /// What puts the end of a session off, as each command in it does. `now` is as in
    /// [`new`](Self::new).
    pub fn renew_session(session: SessionId, now: SystemTime) -> Self {
        let mut bytes = head(kind::RENEW, now, 0);
        bytes.extend_from_slice(&session.0.to_be_bytes());
        Proposal {
            bytes,
            content: Content::Renew(session),
        }
    }

    /// What ends a session, and frees the answers kept for it. `now` is as in [`new`](Self::new).
    pub fn close_session(session: SessionId, now: SystemTime) -> Self {
        let mut bytes = head(kind::CLOSE, now, 0);
        bytes.extend_from_slice(&session.0.to_be_bytes());
        Proposal {
            bytes,
            content: Content::Close(session),
        }
    }

    /// What goes into the log.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_parts(self) -> (Vec<u8>, Stamp, Content<C>) {
        let mut bytes = &self.bytes[1..];
        let stamp = Stamp::take(&mut bytes).unwrap_or_default();
        (self.bytes, stamp, self.content)
    }
}

fn head(kind: u8, now: SystemTime, seed: u64) -> Vec<u8> {
    let time_ms = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
    let mut bytes = Vec::with_capacity(128);
    bytes.push(kind);
    bytes.extend_from_slice(&time_ms.to_be_bytes());
    bytes.extend_from_slice(&seed.to_be_bytes());
    bytes
}

/// When a command was proposed, and its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) time_ms: u64,
    pub(super) seed: u64,
}

impl Stamp {
    fn take(bytes: &mut &[u8]) -> Option<Stamp> {
        Some(Stamp {
            time_ms: take_u64(bytes)?,
            seed: take_u64(bytes)?,
        })
    }
}

/// Takes the first bytes away.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

/// Reads the bytes of a proposal. Whatever the bytes: no deep recursion, no allocation beyond
/// their own size; what the command's own `Deserialize` does is its author's.
pub(super) fn decode<C: DeserializeOwned>(bytes: &[u8]) -> Result<(Stamp, Content<C>), String> {
    let short = || format!("it has {} bytes, too few for its kind", bytes.len());
    let mut rest = bytes;
    let [kind] = take(&mut rest).ok_or_else(short)?;
    if !(kind::COMMAND..=kind::CLOSE).contains(&kind) {
        return Err(format!(
            "it is of kind {kind}, this program reads kinds {} to {}",
            kind::COMMAND,
            kind::CLOSE
        ));
    }
    let stamp = Stamp::take(&mut rest).ok_or_else(short)?;
    let session = |rest: &mut &[u8]| take_u64(rest).map(SessionId).ok_or_else(short);
    let content = match kind {
        kind::COMMAND => return Ok((stamp, Content::Command(None, command(rest)?))),
        kind::REQUEST => {
            let request = RequestId {
                session: session(&mut rest)?,
                sequence: take_u64(&mut rest).ok_or_else(short)?,
                answered: take_u64(&mut rest).ok_or_else(short)?,
            };
            return Ok((stamp, Content::Command(Some(request), command(rest)?)));
        }
        kind::OPEN => Content::Open {
            ttl_ms: take_u64(&mut rest).ok_or_else(short)?,
            window: take(&mut rest).map(u32::from_be_bytes).ok_or_else(short)?,
        },
        kind::RENEW => Content::Renew(session(&mut rest)?),
        _ => Content::Close(session(&mut rest)?),
    };
    if !rest.is_empty() {
        return Err(format!("{} bytes follow it", rest.len()));
    }
    Ok((stamp, content))
}

fn command<C: DeserializeOwned>(bytes: &[u8]) -> Result<C, String> {
    msgpack::check(bytes).map_err(|fault| fault.to_string())?;
    rmp_serde::from_slice(bytes).map_err(|e| e.to_string())
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
    /// Bytes from elsewhere are no proposal of this program: they were damaged, or another program,
    /// or another version of this one, has made them.
    Foreign(String),
}

impl fmt::Display for ProposalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposalError::Encode(why) => write!(
                f,
                "the command cannot be encoded: {why}; mend its Serialize"
            ),
            ProposalError::Decode(why) => write!(
                f,
                "the command cannot be read back from its own encoding: {why}; \
                 make its Serialize and Deserialize agree"
            ),
            ProposalError::Foreign(why) => write!(
                f,
                "the bytes are no proposal of this program: {why}; take proposals only from a \
                 program with the same commands"
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
    use std::time::Duration;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Request {
        Put { key: String, value: Vec<u8> },
        Clear,
        Nest(Vec<Request>),
    }

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_proposal_has_whole_milliseconds_since_the_epoch() {
        let time_ms = |now| {
            let proposal = Proposal::<Request>::renew_session(SessionId(1), now);
            proposal.into_parts().1.time_ms
        };
        assert_eq!(time_ms(SystemTime::UNIX_EPOCH), 0);
        assert_eq!(time_ms(at(7) + Duration::from_nanos(999_999)), 7);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(time_ms(before), 0);
    }

    #[test]
    fn a_proposal_reads_back() {
        let put = Request::Put {
            key: "k".into(),
            value: vec![0, 255],
        };
        let proposal = Proposal::new(&put, at(5), 6).unwrap();
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
                Content::Command(None, put.clone())
            ))
        );
        let (_, stamp, content) = proposal.into_parts();
        assert_eq!(
            (stamp, content),
            (
                Stamp {
                    time_ms: 5,
                    seed: 6
                },
                Content::Command(None, put)
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
            Proposal::new(&deep, at(0), 0),
            Err(ProposalError::Decode(_))
        ));

        let lossy = Lossy { needed: 1, kept: 2 };
        assert_eq!(lossy.needed + lossy.kept, 3);
        assert!(matches!(
            Proposal::new(&lossy, at(0), 0),
            Err(ProposalError::Decode(_))
        ));
    }

    #[test]
    fn bytes_from_elsewhere_that_are_no_proposal_are_foreign() {
        let mut unknown = head(kind::COMMAND, at(0), 0);
        rmp_serde::encode::write_named(&mut unknown, "Unheard").unwrap();
        for (bytes, says) in [(vec![9; 40], "kind 9"), (unknown, "Unheard")] {
            let error = Proposal::<Request>::from_bytes(bytes).unwrap_err();
            assert!(matches!(error, ProposalError::Foreign(_)), "{error:?}");
            let told = error.to_string();
            assert!(told.contains(says) && !told.contains("Serialize"), "{told}");
        }
    }

    #[test]
    fn what_sessions_need_reads_back() {
        let request = RequestId {
            session: SessionId(7),
            sequence: 8,
            answered: 3,
        };
        let options = SessionOptions {
            ttl: Duration::MAX,
            window: 9,
        };
        let ttl_ms = u64::MAX;
        let contents = [
            (
                Proposal::in_session(request, &Request::Clear, at(1), 2).unwrap(),
                Content::Command(Some(request), Request::Clear),
            ),
            (
                Proposal::open_session(options, at(1)),
                Content::Open { ttl_ms, window: 9 },
            ),
            (
                Proposal::renew_session(SessionId(4), at(1)),
                Content::Renew(SessionId(4)),
            ),
            (
                Proposal::close_session(SessionId(5), at(1)),
                Content::Close(SessionId(5)),
            ),
        ];
        for (proposal, content) in contents {
            let again = Proposal::<Request>::from_bytes(proposal.bytes().to_vec()).unwrap();
            assert_eq!(again.into_parts().2, content);
            let (_, stamp, own) = proposal.into_parts();
            assert_eq!((stamp.time_ms, own), (1, content));
        }
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
        assert!(said(&[9; 40]).contains("kind 9"));
        assert!(said(&[3; 28]).contains("28 bytes"));
        assert!(said(&[4; 26]).contains("1 bytes follow"));
        let mut unknown = vec![1; 17];
        rmp_serde::encode::write_named(&mut unknown, "Unheard").unwrap();
        assert!(said(&unknown).contains("Unheard"), "{}", said(&unknown));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..64),
            kind in 0_u8..7,
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let _ = decode::<Request>(&bytes);
        }

        #[test]
        fn a_changed_length_is_refused(key in ".{0,20}", value: Vec<u8>, cut in 1_usize..20) {
            let mut bytes =
                Proposal::new(&Request::Put { key, value }, at(1), 2).unwrap().into_parts().0;
            let mut longer = bytes.clone();
            longer.push(0);
            prop_assert!(decode::<Request>(&longer).is_err());
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert!(decode::<Request>(&bytes).is_err());
        }
    }
}
