//! What the backend may hear of: facts and the names of their parts.
//!
//! Everything here is plain data, recorded by the engine and told by callbacks.

use std::net::IpAddr;

use livegate_proto::client as wire;
use serde::{Deserialize, Serialize};

use crate::clock::Unix;
use crate::id::{AppId, LiveId, RoomId, UserId};

/// How something came in: what callbacks say of the far end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// Not known.
    #[default]
    Unknown,
    /// By the internal API.
    Api,
    /// From a client.
    Client(wire::Platform, IpAddr),
}

impl Origin {
    /// The platform as the vendor names it.
    pub fn platform(self) -> &'static str {
        use wire::Platform as P;

        match self {
            Self::Unknown => "Unknown",
            Self::Api => "RESTAPI",
            Self::Client(platform, _) => match platform {
                P::Android => "Android",
                P::Ios => "iOS",
                P::Web | P::MiniProgram => "Web",
                P::Windows => "Windows",
                P::Mac => "Mac",
                P::Linux => "Linux",
                P::Ipad => "iPad",
                P::Unspecified => "Unknown",
            },
        }
    }

    /// The client's address; for everything else the loopback, which the
    /// vendor says of itself.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Unknown | Self::Api => IpAddr::from([127, 0, 0, 1]),
            Self::Client(_, address) => address.to_canonical(),
        }
    }
}

/// Why a live ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The host ended it.
    HostEnded,
    /// The host was lost and did not come back within the grace.
    HostCrashed,
    /// Another live took its place.
    Replaced,
    /// The host was kicked.
    Kicked,
    /// The room was destroyed.
    RoomDestroyed,
    /// The host's signature ran out and was not renewed.
    SignatureExpired,
    /// The business backend ended it.
    BackendEnded,
    /// The gateway was restarted and the host did not come back to it.
    HostLostInRestart,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::HostEnded,
        Self::HostCrashed,
        Self::Replaced,
        Self::Kicked,
        Self::RoomDestroyed,
        Self::SignatureExpired,
        Self::BackendEnded,
        Self::HostLostInRestart,
    ];

    /// The stable text: logs, metrics, callbacks, the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostEnded => "host_ended",
            Self::HostCrashed => "host_crashed",
            Self::Replaced => "replaced",
            Self::Kicked => "kicked",
            Self::RoomDestroyed => "room_destroyed",
            Self::SignatureExpired => "signature_expired",
            Self::BackendEnded => "backend_ended",
            Self::HostLostInRestart => "host_lost_in_restart",
        }
    }

    /// As the client contract carries it.
    pub fn wire(self) -> wire::EndReason {
        match self {
            Self::HostEnded => wire::EndReason::HostEnded,
            Self::HostCrashed => wire::EndReason::HostCrashed,
            Self::Replaced => wire::EndReason::Replaced,
            Self::Kicked => wire::EndReason::Kicked,
            Self::RoomDestroyed => wire::EndReason::RoomDestroyed,
            Self::SignatureExpired => wire::EndReason::SignatureExpired,
            Self::BackendEnded => wire::EndReason::BackendEnded,
            Self::HostLostInRestart => wire::EndReason::HostLostInRestart,
        }
    }
}

/// Figures of a live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LiveStats {
    /// From the start to the end, or to now.
    pub duration_ms: u64,
    /// Most distinct viewers at one time, the host not counted.
    pub peak_viewers: u32,
    /// Distinct viewers in all, the host not counted.
    pub total_viewers: u64,
    /// Text, custom messages and gifts stamped.
    pub messages: u64,
    /// Likes, counted one by one.
    pub likes: u64,
    /// Gifts, by their counts.
    pub gifts: u64,
    /// Counts are not exact: the gateway was restarted in between, or there were
    /// more distinct viewers than are counted exactly.
    pub approximate: bool,
}

impl LiveStats {
    /// As the client contract carries it.
    pub fn wire(&self) -> wire::LiveStats {
        wire::LiveStats {
            duration_ms: i64::try_from(self.duration_ms).unwrap_or(i64::MAX),
            peak_viewers: self.peak_viewers,
            total_viewers: self.total_viewers,
            messages: self.messages,
            likes: self.likes,
            gifts: self.gifts,
            approximate: self.approximate,
        }
    }
}

/// A live that is about to be, or was, recorded as started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveStarted {
    /// The tenant.
    pub app: AppId,
    /// Where.
    pub room: RoomId,
    /// The live.
    pub live: LiveId,
    /// Who broadcasts.
    pub host: UserId,
    /// When it was asked for.
    pub started: Unix,
}

/// A live that is about to be, or was, recorded as ended: once per `live`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveEnded {
    /// The tenant.
    pub app: AppId,
    /// Where.
    pub room: RoomId,
    /// The live.
    pub live: LiveId,
    /// Who broadcast.
    pub host: UserId,
    /// When it started.
    pub started: Unix,
    /// When the end was decided.
    pub ended: Unix,
    /// Why.
    pub reason: EndReason,
    /// Its figures.
    pub stats: LiveStats,
    /// How long after the host was last heard the end was decided; 0 for an
    /// end that was asked for.
    pub detection_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_text_and_number() {
        let texts: std::collections::HashSet<_> = EndReason::ALL.map(EndReason::as_str).into();
        let numbers: std::collections::HashSet<_> =
            EndReason::ALL.map(|r| i32::from(r.wire())).into();
        assert_eq!(texts.len(), 8);
        assert_eq!(numbers.len(), 8);
        for reason in EndReason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.as_str()));
        }
    }
}
