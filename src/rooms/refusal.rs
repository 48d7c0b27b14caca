//! Why a room says no: a reply code, a text, and when to try again.

use std::borrow::Cow;
use std::time::Duration;

use livegate_proto::client::Reply;
use livegate_proto::code::Code;

/// A refused request. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the reply carries as its code.
    pub code: Code,
    /// For people; free to change.
    pub message: Cow<'static, str>,
    /// When it is worth trying again; `None`: not by itself.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with the code's own text.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.text()),
            retry_after: None,
        }
    }

    /// A refusal that tells more than the code's own text.
    pub fn with(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self {
            message,
            ..Self::new(code)
        }
    }

    /// The same, worth another try after `delay`.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        Self {
            retry_after: Some(delay),
            ..self
        }
    }

    /// The reply to the request `request_id`.
    pub fn reply(&self, request_id: u64) -> Reply {
        let retry_after = self.retry_after.unwrap_or_default().as_millis();
        Reply {
            request_id,
            code: self.code.0,
            message: self.message.to_string(),
            retry_after_ms: u32::try_from(retry_after).unwrap_or(u32::MAX),
            body: None,
        }
    }
}

impl From<Code> for Refusal {
    /// Those that pass by themselves advise a second's wait.
    fn from(code: Code) -> Self {
        let refusal = Self::new(code);
        match code {
            Code::OVERLOADED | Code::STORE_UNAVAILABLE => {
                refusal.retry_after(Duration::from_secs(1))
            }
            _ => refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_carries_code_text_and_delay() {
        let reply = Refusal::from(Code::OVERLOADED).reply(9);
        assert_eq!((reply.request_id, reply.code), (9, Code::OVERLOADED.0));
        assert_eq!(reply.retry_after_ms, 1000);
        assert_eq!(reply.message, Code::OVERLOADED.text());
        assert_eq!(Refusal::from(Code::NO_ROOM).reply(1).retry_after_ms, 0);
    }
}
