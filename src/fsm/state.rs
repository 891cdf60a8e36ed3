//! The driver state: the log's clock and a driver's own bytes, stored with every commit.

const FORMAT: u8 = 1;
const HEAD: usize = 9;

/// What the entries applied so far leave for those to come, beside the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The running maximum of the entries' times, in milliseconds since the Unix epoch.
    pub(crate) clock: u64,
    /// What the driver keeps for itself.
    pub(crate) driver: Vec<u8>,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.driver.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.clock.to_be_bytes());
        bytes.extend_from_slice(&self.driver);
        bytes
    }

    /// `None` stands for a store that has had no entry.
    pub(crate) fn decode(bytes: Option<&[u8]>) -> Result<State, String> {
        let Some(bytes) = bytes else {
            return Ok(State::default());
        };
        let Some((head, driver)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(format!(
                "the driver state has {} bytes, at least {HEAD} wanted",
                bytes.len()
            ));
        };
        let [format, clock @ ..] = *head;
        if format != FORMAT {
            return Err(format!(
                "the driver state has format {format}, this program reads format {FORMAT}"
            ));
        }
        Ok(State {
            clock: u64::from_be_bytes(clock),
            driver: driver.to_vec(),
        })
    }
}

/// The driver's own part of a snapshot's driver state: what was last given to
/// [`Batch::driver_state`](super::Batch::driver_state). `None` if there is none, or if something
/// else than a [`Batch`](super::Batch) wrote it.
pub fn driver_bytes(driver_state: &[u8]) -> Option<&[u8]> {
    match driver_state.split_first_chunk::<HEAD>() {
        Some(([FORMAT, ..], driver)) if !driver.is_empty() => Some(driver),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_reads_back() {
        let state = State {
            clock: 0x0102_0304_0506_0708,
            driver: b"term 3".to_vec(),
        };
        let bytes = state.encode();
        assert_eq!(bytes[..9], [1, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(State::decode(Some(&bytes)), Ok(state));
        assert_eq!(driver_bytes(&bytes), Some(&b"term 3"[..]));
        assert_eq!(State::decode(None), Ok(State::default()));
    }

    #[test]
    fn foreign_state_is_refused() {
        assert!(State::decode(Some(&[])).is_err());
        assert!(State::decode(Some(&[1, 0, 0])).is_err());
        assert!(State::decode(Some(&[2; 12])).is_err());
        assert_eq!(driver_bytes(&[2; 12]), None);
        assert_eq!(driver_bytes(&State::default().encode()), None);
    }
}
