//! What goes through Raft: proposals as bytes, and what became of them.

use crate::fsm::{Outcome, Proposal};
use crate::position::LogIndex;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A proposal on its way through Raft: the `D` of a type configuration. Cheap to clone.
pub struct Request<C> {
    bytes: Arc<[u8]>,
    command: PhantomData<fn() -> C>,
}

impl<C> Request<C> {
    /// The proposal's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<C> From<&Proposal<C>> for Request<C> {
    fn from(proposal: &Proposal<C>) -> Self {
        Request {
            bytes: proposal.bytes().into(),
            command: PhantomData,
        }
    }
}

impl<C> Clone for Request<C> {
    fn clone(&self) -> Self {
        Request {
            bytes: Arc::clone(&self.bytes),
            command: PhantomData,
        }
    }
}

impl<C> PartialEq for Request<C> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<C> Eq for Request<C> {}

impl<C> fmt::Debug for Request<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} bytes)", self.bytes.len())
    }
}

impl<C> fmt::Display for Request<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request of {} bytes", self.bytes.len())
    }
}

impl<C> Serialize for Request<C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.bytes)
    }
}

impl<'de, C> Deserialize<'de> for Request<C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            /// Formats that have no bytes, as JSON.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Bytes).map(|bytes| Request {
            bytes: bytes.into(),
            command: PhantomData,
        })
    }
}

/// What became of an entry: the `R` of a type configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response<R, E> {
    /// The entry's log index: a reader who waits for it sees what the command did.
    pub index: LogIndex,
    /// What the command answered; [`Outcome::Empty`] for an entry without one.
    pub outcome: Outcome<R, E>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn requests_survive_formats_with_and_without_bytes() {
        let proposal = Proposal::<u32>::new(&7, SystemTime::UNIX_EPOCH, 2).unwrap();
        let request = Request::from(&proposal);
        assert_eq!(request.bytes(), proposal.bytes());
        let packed = rmp_serde::to_vec_named(&request).unwrap();
        assert_eq!(
            rmp_serde::from_slice::<Request<u32>>(&packed).unwrap(),
            request
        );
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(
            serde_json::from_str::<Request<u32>>(&json).unwrap(),
            request
        );
        assert!(serde_json::from_str::<Request<u32>>("[256]").is_err());
    }
}
