//! `Earlier`: a form that the records of a table had in an earlier version of the program; and
//! records from the bytes that serde wrote.

use serde::de::value::Error;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use std::fmt;

/// A form that the records `T` had before, and the way from it to the present one.
pub struct Earlier<T> {
    /// Names of its fields, or `None` if its `Deserialize` does not say.
    pub(crate) fields: fn() -> Option<&'static [&'static str]>,
    /// A record in that form, from its bytes, as it is now.
    pub(crate) read: fn(bytes: &[u8]) -> Result<T, String>,
}

impl<T> Earlier<T> {
    /// For generated code. `fields` is [`fields_of`], `read` is [`record`] and then what makes a `T`
    /// of it.
    #[must_use]
    pub const fn new(
        fields: fn() -> Option<&'static [&'static str]>,
        read: fn(bytes: &[u8]) -> Result<T, String>,
    ) -> Self {
        Earlier { fields, read }
    }
}

impl<T> fmt::Debug for Earlier<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Earlier")
            .field("fields", &(self.fields)())
            .finish_non_exhaustive()
    }
}

/// A record from the `MessagePack` that it was written to, and nothing else.
pub fn record<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let record = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
        .map_err(|error| error.to_string())?;
    match rest.len() {
        0 => Ok(record),
        extra => Err(format!("{extra} bytes follow the record")),
    }
}

/// The names, aliases included, of the fields that a struct reads. That is what a derived
/// `Deserialize` says before it reads anything; one that says nothing has `None`.
#[must_use]
pub fn fields_of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut said = None;
    // Never anything but an error: there is nothing to be read.
    let _ = T::deserialize(Asked(&mut said));
    said
}

/// Notes which fields are asked for, and has none.
struct Asked<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("only the names of fields are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn a_struct_says_its_fields() {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Service {
            #[serde(alias = "key")]
            _long_name: String,
            #[serde(skip)]
            _skipped: u8,
            #[serde(rename = "p")]
            _port: u16,
        }
        let mut fields = fields_of::<Service>().unwrap().to_vec();
        fields.sort_unstable();
        assert_eq!(fields, ["key", "longName", "p"]);
        assert_eq!(fields_of::<std::collections::BTreeMap<String, u8>>(), None);
        assert_eq!(fields_of::<u8>(), None);
    }

    #[test]
    fn a_record_is_all_of_its_bytes() {
        assert_eq!(record::<u8>(&[7]), Ok(7));
        assert!(record::<u8>(&[7, 7]).unwrap_err().contains("1 bytes"));
        assert!(record::<u8>(&[]).is_err());
    }
}
