//! The parts of a message, as the v4 API's MsgBody has them.
//!
//! Whatever a client says natively can be read as elements and the other way
//! round, so that an app sees one kind of message however it was sent. Source of
//! names and fields: the vendor's description of MsgBody.
//!
//! Invariant: an element of an unknown type, and unknown fields of a known one,
//! pass through unchanged.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Element, Elements, room_message, user_message};

/// One part of a message, typed.
#[derive(Debug, Clone, PartialEq)]
pub enum MsgElement {
    /// `TIMTextElem`.
    Text(TextElem),
    /// `TIMCustomElem`.
    Custom(CustomElem),
    /// `TIMFaceElem`.
    Face(FaceElem),
    /// `TIMLocationElem`.
    Location(LocationElem),
    /// Any other: pictures, sounds, files, videos, and what came later.
    Other {
        /// Such as `TIMImageElem`.
        kind: String,
        /// `MsgContent`, a JSON object.
        content: Value,
    },
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TextElem {
    /// UTF-8.
    #[serde(rename = "Text")]
    pub text: String,
}

/// The app's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomElem {
    /// Mostly a JSON text.
    #[serde(rename = "Data")]
    pub data: String,
    /// What a notification shows.
    #[serde(rename = "Desc")]
    pub desc: String,
    /// Further data.
    #[serde(rename = "Ext")]
    pub ext: String,
    /// Name of a sound.
    #[serde(rename = "Sound")]
    pub sound: String,
}

/// A smiley.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FaceElem {
    /// Which.
    #[serde(rename = "Index")]
    pub index: i64,
    /// The app's own.
    #[serde(rename = "Data")]
    pub data: String,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LocationElem {
    /// Its name.
    #[serde(rename = "Desc")]
    pub desc: String,
    /// Degrees.
    #[serde(rename = "Latitude")]
    pub latitude: f64,
    /// Degrees.
    #[serde(rename = "Longitude")]
    pub longitude: f64,
}

const TEXT: &str = "TIMTextElem";
const CUSTOM: &str = "TIMCustomElem";
const FACE: &str = "TIMFaceElem";
const LOCATION: &str = "TIMLocationElem";

impl MsgElement {
    /// Its `MsgType`.
    pub fn kind(&self) -> &str {
        match self {
            Self::Text(_) => TEXT,
            Self::Custom(_) => CUSTOM,
            Self::Face(_) => FACE,
            Self::Location(_) => LOCATION,
            Self::Other { kind, .. } => kind,
        }
    }

    /// Reads a part; one that is not as its type says is [`Other`](Self::Other).
    pub fn read(element: &Element) -> Self {
        fn typed<'a, T: Deserialize<'a>>(content: &'a str) -> Option<T> {
            serde_json::from_str(content).ok()
        }
        let content = element.content.as_str();
        let known = match element.r#type.as_str() {
            TEXT => typed(content).map(Self::Text),
            CUSTOM => typed(content).map(Self::Custom),
            FACE => typed(content).map(Self::Face),
            LOCATION => typed(content).map(Self::Location),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other {
            kind: element.r#type.clone(),
            content: typed(content).unwrap_or_default(),
        })
    }

    /// As it travels.
    pub fn wire(&self) -> Element {
        let content = match self {
            Self::Text(it) => serde_json::to_string(it),
            Self::Custom(it) => serde_json::to_string(it),
            Self::Face(it) => serde_json::to_string(it),
            Self::Location(it) => serde_json::to_string(it),
            Self::Other { content, .. } => serde_json::to_string(content),
        };
        Element {
            r#type: self.kind().to_owned(),
            content: content.unwrap_or_default(),
        }
    }
}

/// The text of a message that is one text and nothing else.
pub fn lone_text(said: &Elements) -> Option<String> {
    let [only] = said.elements.as_slice() else {
        return None;
    };
    if only.r#type != TEXT || !said.cloud_custom_data.is_empty() {
        return None;
    }
    /// With anything beside the text it stays a message of parts.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Only {
        #[serde(rename = "Text")]
        text: String,
    }
    let only: Only = serde_json::from_str(&only.content).ok()?;
    (!only.text.is_empty()).then_some(only.text)
}

/// Whether `content` is a JSON object.
pub fn is_object(content: &str) -> bool {
    let object = content.trim_start().starts_with('{');
    object && serde_json::from_str::<serde::de::IgnoredAny>(content).is_ok()
}

impl From<&room_message::Content> for Elements {
    /// A custom message's `type` becomes `Desc`; a gift becomes a
    /// `TIMCustomElem` whose `Data` is JSON: `{"cmd":"gift","gift_id",...}`.
    fn from(content: &room_message::Content) -> Self {
        match content {
            room_message::Content::Elements(said) => said.clone(),
            room_message::Content::Text(it) => one(&MsgElement::Text(TextElem {
                text: it.text.clone(),
            })),
            room_message::Content::Custom(it) => one(&MsgElement::Custom(CustomElem {
                data: String::from_utf8_lossy(&it.data).into_owned(),
                desc: it.r#type.clone(),
                ..CustomElem::default()
            })),
            room_message::Content::Gift(it) => {
                let data = serde_json::json!({
                    "cmd": "gift",
                    "gift_id": it.gift_id,
                    "count": it.count,
                    "combo_id": it.combo_id,
                    "combo_total": it.combo_total,
                    "combo_ended": it.combo_ended,
                    "data": String::from_utf8_lossy(&it.data),
                });
                one(&MsgElement::Custom(CustomElem {
                    data: data.to_string(),
                    desc: "gift".to_owned(),
                    ..CustomElem::default()
                }))
            }
        }
    }
}

impl From<&user_message::Content> for Elements {
    /// As for a message to a room.
    fn from(content: &user_message::Content) -> Self {
        let content = match content.clone() {
            user_message::Content::Text(it) => room_message::Content::Text(it),
            user_message::Content::Custom(it) => room_message::Content::Custom(it),
            user_message::Content::Gift(it) => room_message::Content::Gift(it),
            user_message::Content::Elements(it) => room_message::Content::Elements(it),
        };
        Self::from(&content)
    }
}

fn one(element: &MsgElement) -> Elements {
    Elements {
        elements: vec![element.wire()],
        ..Elements::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Text;

    fn element(kind: &str, content: &str) -> Element {
        Element {
            r#type: kind.to_owned(),
            content: content.to_owned(),
        }
    }

    #[test]
    fn a_text_alone_is_a_text_and_with_anything_else_is_not() {
        let mut said = Elements {
            elements: vec![element(TEXT, r#"{"Text":"hi"}"#)],
            ..Elements::default()
        };
        assert_eq!(lone_text(&said).as_deref(), Some("hi"));
        said.cloud_custom_data = "x".to_owned();
        assert_eq!(lone_text(&said), None);
        said.cloud_custom_data.clear();
        said.elements[0].content = r#"{"Text":"hi","New":1}"#.to_owned();
        assert_eq!(lone_text(&said), None);
    }

    #[test]
    fn what_is_not_known_passes_through() {
        let content = r#"{"UUID":"u","ImageInfoArray":[{"Type":1}]}"#;
        let read = MsgElement::read(&element("TIMImageElem", content));
        assert_eq!(read.kind(), "TIMImageElem");
        let again: Value = serde_json::from_str(&read.wire().content).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(content).unwrap());
        let odd = MsgElement::read(&element(TEXT, r#"{"Text":7}"#));
        assert!(matches!(odd, MsgElement::Other { .. }));
    }

    #[test]
    fn a_text_of_a_client_reads_as_a_text_element() {
        let text = Text { text: "hi".into() };
        let said = Elements::from(&room_message::Content::Text(text));
        let read = MsgElement::read(&said.elements[0]);
        assert_eq!(read, MsgElement::Text(TextElem { text: "hi".into() }));
        assert_eq!(lone_text(&said).as_deref(), Some("hi"));
    }

    #[test]
    fn only_objects_are_contents() {
        assert!(is_object(r#" {"a":1}"#));
        assert!(!is_object("[1]"));
        assert!(!is_object(r#"{"a":"#));
    }
}
