//! The end of a session's signature: warned of, then enforced.
//!
//! The end is a time of the wall clock; the deadline by which to look is
//! monotonic. At each look the wall clock decides, so a clock that is put back
//! ends nobody early.

use std::time::Duration;

use crate::clock::{Instant, Moment, Unix};

/// When to say what about a signature's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    /// Told so long before the end.
    pub(super) before: Duration,
    /// Enforced so long after it.
    pub(super) after: Duration,
}

/// What a look at the signature finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing to say yet.
    Fine,
    /// To be told now, once.
    Expiring,
    /// The session ends.
    Expired,
}

/// Watches one signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    expires: Unix,
    due: Instant,
    told: bool,
}

impl Expiry {
    /// Watches a signature that ends at `expires`.
    pub(super) fn new(expires: Unix, notice: Notice, now: Moment) -> Self {
        let mut expiry = Self {
            expires,
            due: now.instant,
            told: false,
        };
        expiry.rearm(notice, now);
        expiry
    }

    /// When to look next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Looks, and sets when to look next.
    pub(super) fn look(&mut self, notice: Notice, now: Moment) -> Look {
        let look = if now.unix >= self.expires + notice.after {
            Look::Expired
        } else if !self.told && now.unix + notice.before >= self.expires {
            self.told = true;
            Look::Expiring
        } else {
            Look::Fine
        };
        self.rearm(notice, now);
        look
    }

    fn rearm(&mut self, notice: Notice, now: Moment) {
        let at = if self.told {
            self.expires + notice.after
        } else {
            let before = u64::try_from(notice.before.as_millis()).unwrap_or(u64::MAX);
            Unix(self.expires.0.saturating_sub(before))
        };
        self.due = now.instant + Duration::from_millis(at.0.saturating_sub(now.unix.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICE: Notice = Notice {
        before: Duration::from_secs(600),
        after: Duration::from_secs(60),
    };

    fn at(seconds: u64) -> Moment {
        Moment {
            instant: Instant::from_millis(seconds * 1000),
            unix: Unix(1_000_000_000 + seconds * 1000),
        }
    }

    #[test]
    fn it_is_told_ten_minutes_before_and_enforced_a_minute_after() {
        let mut expiry = Expiry::new(at(3_600).unix, NOTICE, at(0));
        assert_eq!(expiry.due(), at(3_000).instant);
        assert_eq!(expiry.look(NOTICE, at(2_999)), Look::Fine);
        assert_eq!(expiry.look(NOTICE, at(3_000)), Look::Expiring);
        assert_eq!(expiry.due(), at(3_660).instant);
        assert_eq!(expiry.look(NOTICE, at(3_659)), Look::Fine);
        assert_eq!(expiry.look(NOTICE, at(3_660)), Look::Expired);
    }

    #[test]
    fn a_wall_clock_put_back_ends_nobody_early() {
        let mut expiry = Expiry::new(at(3_600).unix, NOTICE, at(0));
        assert_eq!(expiry.look(NOTICE, at(3_000)), Look::Expiring);
        let mut later = at(3_660);
        later.unix = at(60).unix;
        assert_eq!(expiry.look(NOTICE, later), Look::Fine);
        assert_eq!(expiry.due(), later.instant + Duration::from_secs(3_600));
    }

    #[test]
    fn a_signature_without_end_is_looked_at_never() {
        let expiry = Expiry::new(Unix(u64::MAX), NOTICE, at(0));
        assert_eq!(expiry.due(), Instant::FAR);
    }
}
