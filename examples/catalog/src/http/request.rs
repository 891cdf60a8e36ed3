//! What a request brings: its path, its query string and its body, read as Consul's clients write
//! them.

use std::collections::BTreeMap;
use std::ops::Deref;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::MAX_BODY;
use super::error::{HttpError, require};
use crate::app::{App, DATACENTER};
use crate::schema::CatalogView;

/// What is asked of this node.
pub struct Asked {
    pub app: App,
    /// What the end of the path names; empty, if its route ends before.
    pub name: String,
    params: Params,
}

impl Deref for Asked {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.params
    }
}

/// The parameters of a query string: bare (`?recurse`), with values, or repeated.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Params(pairs.into_owned().collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The first value of a parameter; a bare one has an empty value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The same; empty, if it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, HttpError> {
        match self.get(name).map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(HttpError::bad_request(format!("Invalid value for ?{name}"))),
        }
    }

    /// A bare parameter is true.
    pub fn flag(&self, name: &str) -> Result<bool, HttpError> {
        match self.get(name) {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some("" | "1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some(_) => Err(HttpError::bad_request(format!("Invalid value for ?{name}"))),
        }
    }

    /// Which of these is there: at most one may be.
    pub fn one_of<'n>(&self, names: &[&'n str]) -> Result<Option<&'n str>, HttpError> {
        let mut there = names.iter().filter(|name| self.has(name));
        let first = there.next().copied();
        if there.next().is_some() {
            let names = names.join(", ");
            return Err(HttpError::bad_request(format!(
                "Conflicting flags: {names}"
            )));
        }
        Ok(first)
    }

    /// Whether a service with these tags has every `?tag` asked for.
    pub fn wants_tags(&self, tags: &[String]) -> bool {
        self.all("tag")
            .all(|wanted| tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted)))
    }

    /// Whether a node is there, and is one that is asked for.
    pub fn wants_node(&self, db: &CatalogView, name: &str) -> bool {
        let node = db.nodes().get(name);
        node.is_some_and(|node| self.wants_meta(&node.meta))
    }

    /// Whether a node with this `meta` has every pair that `?node-meta=key:value` asks for.
    pub fn wants_meta(&self, meta: &BTreeMap<String, String>) -> bool {
        self.all("node-meta").all(|pair| {
            let (key, value) = pair.split_once(':').unwrap_or((pair, ""));
            meta.get(key).is_some_and(|found| found == value)
        })
    }
}

impl FromRequestParts<App> for Asked {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, HttpError> {
        let params = Params::parse(parts.uri.query().unwrap_or_default());
        own_datacenter(params.text("dc"))?;
        let both = "Cannot specify ?stale with ?consistent, conflicting semantics.";
        require(!(params.has("stale") && params.has("consistent")), both)?;
        let filters = !params.text("filter").is_empty();
        require(!filters, "?filter is not supported by this catalog")?;
        let name = Option::<Path<String>>::from_request_parts(parts, app).await;
        let name = name.map_err(|rejection| HttpError::bad_request(rejection.body_text()))?;
        Ok(Asked {
            app: app.clone(),
            name: name.map(|Path(name)| name).unwrap_or_default(),
            params,
        })
    }
}

/// There is only one datacenter.
pub fn own_datacenter(name: &str) -> Result<(), HttpError> {
    if name.is_empty() || name == DATACENTER {
        return Ok(());
    }
    let text = "No path to datacenter".to_owned();
    Err(HttpError(StatusCode::INTERNAL_SERVER_ERROR, text))
}

/// The bytes of a body, refused with 413 beyond the limit.
#[derive(Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let body = Bytes::from_request(request, state).await;
        body.map(RawBody).map_err(|rejection| {
            let status = rejection.status();
            let text = match status {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    format!("Request body too large, max size: {MAX_BODY} bytes")
                }
                _ => rejection.body_text(),
            };
            HttpError(status, text)
        })
    }
}

/// A body of JSON, whatever its content type says. Names are read without regard to case or
/// underscores (`ServiceID`, `service_id`), and what is `null` or an empty string is read as absent:
/// clients write all of this. An empty body is an empty object.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        let json = if bytes.is_empty() { b"{}" } else { &*bytes };
        serde_json::from_slice(json)
            .map(canonical)
            .and_then(serde_json::from_value)
            .map(JsonBody)
            .map_err(|error| HttpError::bad_request(format!("Request decode failed: {error}")))
    }
}

/// Members whose own members are named by the user.
const NAMED_BY_USER: [&str; 4] = ["meta", "nodemeta", "taggedaddresses", "header"];

fn canonical(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let given = |member: &Value| !member.is_null() && member != "";
            let given = members.into_iter().filter(|(_, member)| given(member));
            let named = given.map(|(name, member)| {
                let name = name.replace('_', "").to_ascii_lowercase();
                let member = match member {
                    Value::Object(named) if NAMED_BY_USER.contains(&name.as_str()) => {
                        let named = named.into_iter();
                        named.map(|(key, value)| (key, canonical(value))).collect()
                    }
                    other => canonical(other),
                };
                (name, member)
            });
            named.collect()
        }
        Value::Array(items) => {
            let given = items.into_iter().filter(|item| !item.is_null());
            given.map(canonical).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn query_strings() {
        let params = Params::parse("recurse&tag=a%20b&tag=c&cas=07&passing=maybe&keys=");
        assert!(params.has("recurse") && params.has("keys") && !params.has("raw"));
        assert_eq!(params.all("tag").collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(params.number("cas").unwrap(), Some(7));
        assert_eq!(params.number("flags").unwrap(), None);
        assert!(params.number("tag").is_err());
        assert!(params.flag("recurse").unwrap());
        assert!(!params.flag("stale").unwrap());
        assert!(params.flag("passing").is_err());
        assert_eq!(params.one_of(&["raw", "recurse"]).unwrap(), Some("recurse"));
        assert_eq!(params.one_of(&["raw", "stale"]).unwrap(), None);
        assert!(params.one_of(&["recurse", "cas"]).is_err());
    }

    #[test]
    fn node_meta() {
        let meta = BTreeMap::from([("rack".to_owned(), "7:b".to_owned())]);
        assert!(Params::parse("node-meta=rack:7:b").wants_meta(&meta));
        assert!(!Params::parse("node-meta=rack:7").wants_meta(&meta));
        assert!(!Params::parse("node-meta=rack:7:b&node-meta=os:x").wants_meta(&meta));
        assert!(Params::parse("").wants_meta(&meta));
    }

    #[test]
    fn names_in_any_spelling() {
        let body = json!({
            "ServiceID": "a", "enable_tag_override": true, "Tags": null, "Status": "", "checks": [null, {"TTL": "1s"}],
            "Meta": {"Some_Key": "Kept", "Empty": ""},
            "TaggedAddresses": {"WAN_v4": {"Address": "x"}},
        });
        assert_eq!(
            canonical(body),
            json!({
                "serviceid": "a", "enabletagoverride": true, "checks": [{"ttl": "1s"}],
                "meta": {"Some_Key": "Kept", "Empty": ""},
                "taggedaddresses": {"WAN_v4": {"address": "x"}},
            })
        );
    }
}
