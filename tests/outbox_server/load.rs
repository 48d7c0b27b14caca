//! The configuration under which a server is loaded.

use std::net::SocketAddr;

use crate::running::Setup;

/// Nobody is held back, and a backend that fails is tried again at once. The
/// answers have as long as `moody::TIMEOUT`.
const SECTIONS: &str = "[session.quota]\nabuse_factor = 1000\n\
    [session.quota.chat]\nper_second = 100000\nburst = 100000\n\
    [session.quota.control]\nper_second = 100000\nburst = 100000\n\
    [rooms]\ncreate_on_enter = false\nrestart_grace = \"2m\"\n\
    [rooms.rate]\nper_second = 100000\nburst = 100000\n\
    [internal.v4]\ncalls_per_second = 100000\n\
    [callback]\ntimeout = \"300ms\"\nfirst_backoff = \"20ms\"\nlongest_backoff = \"100ms\"\n\
    breaker_rest = \"50ms\"";

/// What the backend is told.
const TELL: &str = "tell = [\"live_started\", \"live_ended\", \"host_away\", \"host_back\", \
    \"Group.CallbackAfterCreateGroup\", \"Group.CallbackAfterSendMsg\", \
    \"Group.CallbackAfterNewMemberJoin\", \"Group.CallbackAfterMemberExit\"]";

impl Setup {
    /// A server that tells a backend everything.
    pub(crate) fn under_load(hook: SocketAddr) -> Self {
        Self {
            sections: SECTIONS,
            hook: Some(hook),
            callback: TELL,
            ..Self::default()
        }
    }
}
