//! Settings of the RoomService door.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::span;

/// The RoomService door: HTTP on the public port, for mini programs and apps
/// that were written for the vendor's RoomService.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomServiceConfig {
    /// Whether it is there: by ALPN `http/1.1` over TLS on the public port.
    pub enabled: bool,
    /// Whether `utils/get_login_info` makes signatures for whoever asks: for
    /// development only.
    pub login_info: bool,
    /// A pusher that was not heard for so long is lost, as one whose connection
    /// broke (the vendor's figure).
    #[serde(with = "span")]
    pub allowance: Duration,
    /// How often it is looked.
    #[serde(with = "span")]
    pub sweep_every: Duration,
    /// A room without a pusher is destroyed after so long, once its live is
    /// over (the vendor's figure).
    #[serde(with = "span")]
    pub idle_room: Duration,
    /// How long a token of a login holds.
    #[serde(with = "span")]
    pub token_lifetime: Duration,
    /// Most logins that are remembered; beyond it the oldest ends.
    pub tokens: usize,
    /// Most pushers of a live_room and of a multi_room.
    pub pushers: usize,
    /// Most listed members of an audience.
    pub audience: usize,
    /// Most bytes of a request's body.
    pub body_bytes: usize,
    /// How long a connection may take for a request's head, and be idle.
    #[serde(with = "span")]
    pub header_deadline: Duration,
    /// How long one connection may be used.
    #[serde(with = "span")]
    pub connection_lifetime: Duration,
    /// The URL to which a pusher pushes its media, with `{app}` and `{user}`
    /// in it; empty: livegate carries no media, and says so.
    pub push_url: String,
}

impl Default for RoomServiceConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            login_info: false,
            allowance: Duration::from_secs(20),
            sweep_every: Duration::from_secs(5),
            idle_room: Duration::from_secs(30),
            token_lifetime: Duration::from_secs(24 * 3_600),
            tokens: 100_000,
            pushers: 4,
            audience: 30,
            body_bytes: 64 << 10,
            header_deadline: Duration::from_secs(30),
            connection_lifetime: Duration::from_secs(600),
            push_url: String::new(),
        }
    }
}
