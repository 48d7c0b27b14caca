//! What is said: MsgBody, CloudCustomData, From_Account.

use std::sync::Arc;

use livegate_proto::client::{Element, Elements, Profile, RoomMessage, room_message};
use livegate_proto::code::Code;
use serde_json::{Map, Value};

use super::answer::{Problem, object};
use super::command::Call;
use super::fields::{Fields, bad};
use crate::actions::command::Sender;
use crate::actions::content::Content;

/// Reads MsgBody and CloudCustomData, within the limits of a message. An
/// element of any type is taken as it is.
pub(super) fn content(fields: &Fields<'_>) -> Result<Content, Problem> {
    let list = fields.list("MsgBody")?;
    let list = list.ok_or_else(|| bad("MsgBody", "is missing"))?;
    let elements = list.iter().map(element).collect::<Option<_>>();
    let malformed = || bad("MsgBody", "must hold {MsgType, MsgContent}");
    let said = Elements {
        elements: elements.ok_or_else(malformed)?,
        cloud_custom_data: fields
            .text("CloudCustomData")?
            .unwrap_or_default()
            .to_owned(),
    };
    Ok(Content::Elements(said).checked()?)
}

fn element(value: &Value) -> Option<Element> {
    let kind = value.get("MsgType")?.as_str()?;
    let content = value.get("MsgContent").filter(|it| it.is_object())?;
    Some(Element {
        r#type: kind.to_owned(),
        content: content.to_string(),
    })
}

/// A digest of what is said, by which a repeat is known.
pub(super) fn digest(content: &Content) -> String {
    let bytes = |said: &Elements| {
        let elements = said.elements.iter();
        let parts = elements.flat_map(|it| [it.r#type.as_str(), it.content.as_str()]);
        let mut joined = Vec::new();
        for part in parts.chain([said.cloud_custom_data.as_str()]) {
            joined.extend_from_slice(&part.len().to_be_bytes());
            joined.extend_from_slice(part.as_bytes());
        }
        joined
    };
    let said = Elements::from(&room_message::Content::from(content.clone()));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes(&said));
    let short = digest.as_ref().iter().take(16);
    short.map(|byte| format!("{byte:02x}")).collect()
}

/// MsgBody as it is answered.
pub(super) fn msg_body(said: &Elements) -> Value {
    let element = |it: &Element| {
        let content: Value = serde_json::from_str(&it.content).unwrap_or_default();
        Value::Object(object! {"MsgType": it.r#type.as_str(), "MsgContent": content})
    };
    said.elements.iter().map(element).collect()
}

/// What a message of a room says.
pub(super) fn said(message: &RoomMessage) -> Elements {
    let content = message.content.as_ref();
    content.map(Elements::from).unwrap_or_default()
}

/// From_Account with what the backend fixed of its profile; not given: the
/// admin who calls.
pub(super) fn sender(call: &Call<'_>) -> Result<Sender, Problem> {
    let user = match call.fields.account(&["From_Account"]) {
        Ok(user) => user.unwrap_or_else(|| call.admin.clone()),
        Err(problem) if problem.code == Code::BAD_PARAMETER => {
            return Err(Code::BAD_USER_ID.into());
        }
        Err(problem) => return Err(problem),
    };
    let key = call.user(user);
    let profile = call.actions().directory().fix(&key, Arc::default());
    Ok(Sender {
        user: key.user,
        profile: Profile::clone(&profile),
    })
}

/// Key and value pairs, such as AppDefinedData.
pub(super) fn pairs(
    fields: &Fields<'_>,
    name: &str,
    max: usize,
    (key, value): (&str, &str),
) -> Result<Vec<(String, bytes::Bytes)>, Problem> {
    let pair = |pair: &Fields<'_>| {
        let key = pair.need_text(key)?.to_owned();
        let value = pair.text(value)?.unwrap_or_default();
        Ok((key, bytes::Bytes::copy_from_slice(value.as_bytes())))
    };
    fields.objects(name, max)?.iter().map(pair).collect()
}

/// The same as they are answered.
pub(super) fn told_pairs<'a>(
    pairs: impl IntoIterator<Item = (&'a String, &'a bytes::Bytes)>,
    (key_name, value_name): (&str, &str),
) -> Value {
    let pair = |(key, value): (&String, &bytes::Bytes)| {
        let mut map = Map::new();
        map.insert(key_name.to_owned(), Value::from(key.as_str()));
        let value = String::from_utf8_lossy(value);
        map.insert(value_name.to_owned(), Value::from(value));
        Value::Object(map)
    };
    pairs.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Content, Problem> {
        let map: Map<String, Value> = serde_json::from_str(text).unwrap();
        content(&Fields::new(&map))
    }

    fn elements(text: &str) -> Elements {
        Elements::from(&room_message::Content::from(read(text).unwrap()))
    }

    #[test]
    fn elements_of_every_type_pass_through() {
        let text = r#"{"MsgBody":[
            {"MsgType":"TIMTextElem","MsgContent":{"Text":"a\u0000b"}},
            {"MsgType":"TIMLocationElem","MsgContent":{"Desc":"x","Latitude":29.340656774469956}},
            {"MsgType":"TIMNewElem","MsgContent":{"Deep":[{"x":null}]}}],
            "CloudCustomData":"c"}"#;
        let said = elements(text);
        let given: Value = serde_json::from_str(text).unwrap();
        assert_eq!(msg_body(&said), given["MsgBody"]);
        assert_eq!(said.cloud_custom_data, "c");
    }

    #[test]
    fn a_malformed_body_and_a_long_one_are_told_apart() {
        for body in [
            "{}",
            r#"{"MsgBody":{}}"#,
            r#"{"MsgBody":[]}"#,
            r#"{"MsgBody":[1]}"#,
            r#"{"MsgBody":[{"MsgType":"T"}]}"#,
            r#"{"MsgBody":[{"MsgType":"T","MsgContent":"{}"}]}"#,
        ] {
            assert_eq!(read(body).unwrap_err().code, Code::BAD_PARAMETER, "{body}");
        }
        let text = "x".repeat(12 << 10);
        let body = format!(
            r#"{{"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}}]}}"#
        );
        assert_eq!(read(&body).unwrap_err().code, Code::TOO_LONG);
    }

    #[test]
    fn a_digest_knows_content_and_its_order() {
        let text = |text: &str| {
            read(&format!(
                r#"{{"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}}]}}"#
            ))
            .unwrap()
        };
        assert_eq!(digest(&text("a")), digest(&text("a")));
        assert_ne!(digest(&text("a")), digest(&text("b")));
    }
}
