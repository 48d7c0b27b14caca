//! What a backend answers to a question, as the vendor documents it.

use livegate_proto::client::{Element, Elements};
use livegate_proto::code::Code;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Verdict};
use crate::telemetry::AskResult;

/// What a backend puts in place of parts of a message; what it does not name
/// stays as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    /// `MsgBody`.
    pub elements: Option<Vec<Element>>,
    /// `CloudCustomData`.
    pub cloud_custom_data: Option<String>,
}

impl Replacement {
    /// The message with it.
    pub fn into_message(self, message: Elements) -> Elements {
        let data = self.cloud_custom_data;
        Elements {
            elements: self.elements.unwrap_or(message.elements),
            cloud_custom_data: data.unwrap_or(message.cloud_custom_data),
        }
    }
}

/// What a backend answers; what else it says is passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answer {
    #[serde(default)]
    action_status: String,
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    error_info: String,
    msg_body: Option<Vec<Part>>,
    cloud_custom_data: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    msg_type: String,
    msg_content: Box<RawValue>,
}

/// Most characters of a refusal's text that a client is told.
const MAX_INFO: usize = 256;

impl Answer {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Codes of the backend's own are passed on in the ranges that the vendor
    /// gives them; any other refuses in the usual way.
    pub(super) fn verdict(self, ask: Ask) -> (Verdict, AskResult) {
        let code = match self.error_code {
            0 if self.action_status == "FAIL" => ask.refusal(),
            0 => return (Verdict::Allowed(self.replacement(ask)), AskResult::Allowed),
            2 if ask.is_message() => return (Verdict::Swallowed, AskResult::Swallowed),
            custom @ (10_100..=10_200 | 120_001..=130_000) => {
                Code(i32::try_from(custom).unwrap_or(Code::BACKEND_REFUSED.0))
            }
            _ => ask.refusal(),
        };
        let given: String = self.error_info.chars().take(MAX_INFO).collect();
        let message = match given.is_empty() {
            true => code.text().to_owned(),
            false => given,
        };
        (Verdict::Refused { code, message }, AskResult::Refused)
    }

    fn replacement(self, ask: Ask) -> Option<Box<Replacement>> {
        let element = |part: Part| Element {
            r#type: part.msg_type,
            content: part.msg_content.get().to_owned(),
        };
        let parts = self.msg_body;
        let given = Replacement {
            elements: parts.map(|parts| parts.into_iter().map(element).collect()),
            cloud_custom_data: self.cloud_custom_data,
        };
        let any = given.elements.is_some() || given.cloud_custom_data.is_some();
        (any && ask.is_message()).then(|| Box::new(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ask: Ask, body: &str) -> Verdict {
        Answer::parse(body.as_bytes()).unwrap().verdict(ask).0
    }

    fn code(ask: Ask, error: i64) -> Option<Code> {
        match verdict(
            ask,
            &format!(r#"{{"ErrorCode":{error},"ErrorInfo":"why"}}"#),
        ) {
            Verdict::Refused { code, .. } => Some(code),
            Verdict::Allowed(_) | Verdict::Swallowed => None,
        }
    }

    #[test]
    fn answers_decide_as_the_vendor_documents_them() {
        let group = Ask::BeforeSendMsg;
        let ok = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;
        assert_eq!(verdict(group, ok), Verdict::Allowed(None));
        assert_eq!(code(group, 1), Some(Code::BACKEND_REFUSED));
        assert_eq!(
            code(Ask::DirectBeforeSendMsg, 1),
            Some(Code::DIRECT_REFUSED)
        );
        assert_eq!(verdict(group, r#"{"ErrorCode":2}"#), Verdict::Swallowed);
        assert_eq!(
            code(Ask::BeforeApplyJoinGroup, 2),
            Some(Code::BACKEND_REFUSED)
        );
        assert_eq!(code(group, 10_150), Some(Code(10_150)));
        assert_eq!(code(Ask::DirectBeforeSendMsg, 125_000), Some(Code(125_000)));
        assert_eq!(code(group, 99), Some(Code::BACKEND_REFUSED));
        let failed = r#"{"ActionStatus":"FAIL","ErrorCode":0}"#;
        assert!(matches!(verdict(group, failed), Verdict::Refused { .. }));
    }

    #[test]
    fn the_message_may_be_replaced_and_nothing_else() {
        let body = r#"{"ErrorCode":0,"CloudCustomData":"c","MsgBody":[
            {"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#;
        let said = replaced(body);
        assert_eq!(said.elements[0].content, r#"{"Text":"***"}"#);
        assert_eq!(said.cloud_custom_data, "c");
        let join = verdict(Ask::BeforeApplyJoinGroup, body);
        assert_eq!(join, Verdict::Allowed(None));
    }

    #[test]
    fn what_an_answer_does_not_name_stays_as_it_was() {
        let body = r#"{"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#;
        let said = replaced(body);
        assert_eq!(said.elements[0].content, r#"{"Text":"***"}"#);
        assert_eq!(said.cloud_custom_data, "own");
        let said = replaced(r#"{"CloudCustomData":"c"}"#);
        assert_eq!(said.elements, own().elements);
        assert_eq!(said.cloud_custom_data, "c");
        assert_eq!(replaced(r#"{"CloudCustomData":""}"#).cloud_custom_data, "");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for text in ["", "ok", "[]x", "{\"ErrorCode\":\"1\"}", "null"] {
            assert!(Answer::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    fn own() -> Elements {
        Elements {
            elements: vec![Element {
                r#type: "TIMTextElem".to_owned(),
                content: r#"{"Text":"own"}"#.to_owned(),
            }],
            cloud_custom_data: "own".to_owned(),
        }
    }

    /// [`own`] with what the answer puts in place of it.
    fn replaced(body: &str) -> Elements {
        let Verdict::Allowed(Some(given)) = verdict(Ask::BeforeSendMsg, body) else {
            panic!("not replaced");
        };
        given.into_message(own())
    }
}
