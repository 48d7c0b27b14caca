//! How long a chaos run waits for what must come, and whether it judges how
//! soon it came.
//!
//! How often and in which order something happens must hold on any machine; how
//! soon is up to what else the machine does.

use std::time::Duration;

/// Most time for anything when times are not judged: whoever waits this long
/// waits for something that does not come.
const LONG: Duration = Duration::from_secs(180);

/// What is asked of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// They are held to their limits.
    Timed,
    /// They are only told.
    Untimed,
}

impl Bounds {
    /// Whether times are judged.
    pub(crate) fn timed(self) -> bool {
        self == Self::Timed
    }

    /// How long to wait for what comes within `usual` on a machine that has
    /// nothing else to do.
    pub(crate) fn wait(self, usual: Duration) -> Duration {
        match self {
            Self::Timed => usual,
            Self::Untimed => usual.max(LONG),
        }
    }
}
