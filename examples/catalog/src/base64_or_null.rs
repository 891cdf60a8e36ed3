//! Bytes in JSON as Consul writes them: base64, and `null` for none. In the log they are bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub fn encode(value: &Bytes) -> Option<String> {
    (!value.is_empty()).then(|| STANDARD.encode(value))
}

pub fn serialize<S: Serializer>(value: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() {
        encode(value).serialize(to)
    } else {
        value.serialize(to)
    }
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    if !from.is_human_readable() {
        return Bytes::deserialize(from);
    }
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    let value = STANDARD.decode(text).map_err(Error::custom)?;
    Ok(Bytes::from(value))
}
