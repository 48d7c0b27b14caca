//! The JSON document, read strictly: an object, known keys only, each once,
//! none null, numbers as plain unsigned integers.
//!
//! Key order, white space and escapes are free: libraries differ in them and
//! sign the unescaped values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::auth::SigError;

/// Every key that a signature of either version may have.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document<'a> {
    #[serde(borrow, rename = "TLS.identifier")]
    pub(super) identifier: Text<'a>,
    #[serde(borrow, rename = "TLS.time")]
    pub(super) time: Figure<'a>,
    #[serde(borrow, rename = "TLS.sig")]
    pub(super) sig: Text<'a>,
    #[serde(borrow, rename = "TLS.userbuf", default, deserialize_with = "given")]
    pub(super) userbuf: Option<Text<'a>>,

    // Version 2 only.
    #[serde(borrow, rename = "TLS.ver", default, deserialize_with = "given")]
    pub(super) ver: Option<Text<'a>>,
    #[serde(rename = "TLS.sdkappid", default, deserialize_with = "given")]
    pub(super) sdkappid: Option<u32>,
    #[serde(rename = "TLS.expire", default, deserialize_with = "given")]
    pub(super) expire: Option<u64>,

    // Version 1 only.
    #[serde(
        borrow,
        rename = "TLS.account_type",
        default,
        deserialize_with = "given"
    )]
    pub(super) account_type: Option<Text<'a>>,
    #[serde(
        borrow,
        rename = "TLS.appid_at_3rd",
        default,
        deserialize_with = "given"
    )]
    pub(super) appid_at_3rd: Option<Text<'a>>,
    #[serde(borrow, rename = "TLS.sdk_appid", default, deserialize_with = "given")]
    pub(super) sdk_appid: Option<Text<'a>>,
    #[serde(
        borrow,
        rename = "TLS.expire_after",
        default,
        deserialize_with = "given"
    )]
    pub(super) expire_after: Option<Text<'a>>,
    /// The library's build, not signed and not used.
    #[serde(borrow, rename = "TLS.version", default, deserialize_with = "given")]
    pub(super) version: Option<Text<'a>>,
}

impl<'a> Document<'a> {
    /// Reads `json`.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, SigError> {
        // serde would take an array for the fields in order.
        let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') {
            return Err(SigError::Malformed("not a JSON object"));
        }
        serde_json::from_slice(json).map_err(|_| SigError::Malformed("not the JSON of a signature"))
    }
}

/// A string, borrowed when it has no escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// A figure as its version writes it: a number in v2, a string in v1.
#[derive(Debug)]
pub(super) enum Figure<'a> {
    Number(u64),
    Text(Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match input.deserialize_any(FigureVisitor)? {
            Figure::Text(text) => Ok(Self(text)),
            Figure::Number(_) => Err(D::Error::custom("expected a string")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Figure<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(FigureVisitor)
    }
}

struct FigureVisitor;

impl<'de> Visitor<'de> for FigureVisitor {
    type Value = Figure<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unsigned integer or a string")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Figure::Number(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Figure::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Figure::Text(Cow::Owned(text.to_owned())))
    }
}

/// Takes a value that is there, so that null is refused and not read as absent.
fn given<'de, D, T>(input: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(input).map(Some)
}
