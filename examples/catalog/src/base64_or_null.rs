//! Bytes in JSON as Consul writes them: base64, and `null` for none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub fn serialize<S: Serializer>(value: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    if value.is_empty() {
        to.serialize_none()
    } else {
        to.serialize_str(&STANDARD.encode(value))
    }
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    let value = STANDARD.decode(text).map_err(Error::custom)?;
    Ok(Bytes::from(value))
}
