//! Why a connection ends and what the client does then: one table.
//!
//! The numbers live in the contract ([`CloseCode`]); what they advise follows
//! from their band, so a client that meets a code it does not know still does
//! the right thing.

use crate::client::{Close, CloseCode};

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Reconnect at once, spread by the client's own jitter.
    Now,
    /// Reconnect after the delay that the close carries.
    Later,
    /// Do not reconnect without the user or the app doing something.
    Final,
}

/// The advice of a close code's band: 3000 to 3199 now, 3200 to 3499 later,
/// anything else final.
pub fn retry(code: i32) -> Retry {
    match code {
        3000..=3199 => Retry::Now,
        3200..=3499 => Retry::Later,
        _ => Retry::Final,
    }
}

/// Every close code with its stable text, in the order of the contract.
pub const TABLE: &[(CloseCode, &str)] = &[
    (CloseCode::SlowConsumer, "slow_consumer"),
    (CloseCode::HeartbeatTimeout, "heartbeat_timeout"),
    (CloseCode::Internal, "internal"),
    (CloseCode::ShuttingDown, "shutting_down"),
    (CloseCode::Overloaded, "overloaded"),
    (CloseCode::RateLimited, "rate_limited"),
    (CloseCode::LoggedOut, "logged_out"),
    (CloseCode::Displaced, "displaced"),
    (CloseCode::Kicked, "kicked"),
    (CloseCode::LoginRefused, "login_refused"),
    (CloseCode::SigExpired, "sig_expired"),
    (CloseCode::LoginTimeout, "login_timeout"),
    (CloseCode::ProtocolError, "protocol_error"),
    (CloseCode::FrameTooLarge, "frame_too_large"),
    (CloseCode::SlowFrame, "slow_frame"),
];

impl CloseCode {
    /// The short stable text of this code, also used in logs and metrics.
    pub fn reason(self) -> &'static str {
        TABLE
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("unspecified", |(_, reason)| reason)
    }

    /// What this code advises.
    pub fn retry(self) -> Retry {
        retry(self as i32)
    }

    /// The closing word with this code and its stable text.
    pub fn close(self, retry_after_ms: u32) -> Close {
        Close {
            code: self.into(),
            reason: self.reason().to_owned(),
            retry_after_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_of_the_contract_is_in_the_table_once_with_its_own_text() {
        let known: HashSet<i32> = (0..5000)
            .filter(|n| *n != 0 && CloseCode::try_from(*n).is_ok())
            .collect();
        let listed: HashSet<i32> = TABLE.iter().map(|(code, _)| *code as i32).collect();
        let texts: HashSet<&str> = TABLE.iter().map(|(_, text)| *text).collect();
        assert_eq!(known, listed);
        assert_eq!(texts.len(), TABLE.len());
    }

    #[test]
    fn the_band_decides_for_codes_of_a_later_version_too() {
        assert_eq!(retry(3042), Retry::Now);
        assert_eq!(retry(3250), Retry::Later);
        assert_eq!(retry(3999), Retry::Final);
        assert_eq!(CloseCode::SlowConsumer.retry(), Retry::Now);
        assert_eq!(CloseCode::ShuttingDown.retry(), Retry::Later);
        assert_eq!(CloseCode::Displaced.retry(), Retry::Final);
    }
}
