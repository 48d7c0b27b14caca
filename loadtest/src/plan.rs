//! Plans: what a run does and what it must keep to, read from TOML.
//!
//! Every key is known and has a default that does nothing; an unknown key, a
//! wrong type and a value that makes no sense are refused with file, line and
//! key. A [`Plan`] that was read is runnable: nothing behind it checks again.

mod check;
mod limits;
mod read;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::check::{Wrong, need};
pub(crate) use self::limits::Limits;
pub(crate) use self::read::{PlanError, read, read_as};
use crate::site::QUIC_PER_ADDRESS;

/// One run of the load generator.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Plan {
    /// One sentence for the report.
    pub(crate) about: String,
    /// Rooms that run side by side.
    pub(crate) rooms: u32,
    /// Viewers of each room.
    pub(crate) viewers: u32,
    /// Clients that share a source address 127.0.0.x.
    pub(crate) clients_per_address: u32,
    /// Threads that drive clients; 0: half the cores.
    pub(crate) workers: u32,
    /// Processes that these are spread over; 0: threads of one. Each may have as
    /// many files open as the system allows to a process.
    pub(crate) processes: u32,
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Which transports the viewers take.
    pub(crate) transport: Mix,
    /// What happens when.
    pub(crate) phases: Phases,
    /// What is said.
    pub(crate) messages: Messages,
    /// The live and its host.
    pub(crate) host: Host,
    /// Viewers that stop reading.
    pub(crate) slow_readers: SlowReaders,
    /// Connections that mean harm.
    pub(crate) hostile: Hostile,
    /// The gateway, when the run starts it.
    pub(crate) gateway: Gateway,
    /// What the run must keep to.
    pub(crate) limits: Limits,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            about: String::new(),
            rooms: 1,
            viewers: 0,
            clients_per_address: 1_000,
            workers: 0,
            processes: 0,
            seed: 1,
            transport: Mix::default(),
            phases: Phases::default(),
            messages: Messages::default(),
            host: Host::default(),
            slow_readers: SlowReaders::default(),
            hostile: Hostile::default(),
            gateway: Gateway::default(),
            limits: Limits::default(),
        }
    }
}

/// Shares of the transports: `tls = 3, quic = 1` puts every fourth viewer on
/// QUIC. Hosts and publishers take the transport with the greater share.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mix {
    /// TLS over TCP.
    pub(crate) tls: u32,
    /// QUIC.
    pub(crate) quic: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { tls: 1, quic: 0 }
    }
}

/// The phases, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Phases {
    /// Clients that connect each second.
    pub(crate) ramp: u32,
    /// Messages flow, nothing is measured yet; sequences are checked already.
    #[serde(with = "crate::span")]
    pub(crate) warm_up: Duration,
    /// Messages flow and are measured.
    #[serde(with = "crate::span")]
    pub(crate) steady: Duration,
    /// Most time for what is under way to arrive after the last message.
    #[serde(with = "crate::span")]
    pub(crate) drain: Duration,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            ramp: 500,
            warm_up: Duration::from_secs(2),
            steady: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// What is said in each room. Rates are per second and room.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Messages {
    /// Who says it.
    pub(crate) from: From,
    /// Clients of each room that take turns at sending.
    pub(crate) publishers: u32,
    /// Texts (danmaku).
    pub(crate) text: f64,
    /// Custom messages.
    pub(crate) custom: f64,
    /// Gifts.
    pub(crate) gift: f64,
    /// Likes; they merge into the room's running total.
    pub(crate) like: f64,
    /// Bytes of content of a text, custom message or gift.
    pub(crate) payload_bytes: usize,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            from: From::Publishers,
            publishers: 1,
            text: 0.0,
            custom: 0.0,
            gift: 0.0,
            like: 0.0,
            payload_bytes: 200,
        }
    }
}

/// Who sends the messages of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// Clients of their own.
    Publishers,
    /// The host.
    Host,
}

/// The host of each room: owns the room and may broadcast.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Host {
    /// Whether the host starts a live before the viewers come.
    pub(crate) live: bool,
    /// How long the room waits for a lost host.
    #[serde(with = "crate::span")]
    pub(crate) grace: Duration,
    /// The host crashes.
    pub(crate) crash: Option<Crash>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            live: true,
            grace: Duration::from_secs(10),
            crash: None,
        }
    }
}

/// The host's socket closes without a word.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crash {
    /// When, counted from the beginning of the steady phase.
    #[serde(with = "crate::span")]
    pub(crate) at: Duration,
    /// When the host comes back, counted from the crash; absent: never.
    #[serde(
        default,
        with = "crate::span::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) returns_after: Option<Duration>,
}

/// Viewers that stop reading, one after another. While one is stopped the
/// others' latency is recorded apart, so that one run compares both.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SlowReaders {
    /// How many in all; 0: none.
    pub(crate) count: u32,
    /// When the first stops, counted from the beginning of the steady phase.
    #[serde(with = "crate::span")]
    pub(crate) first_at: Duration,
    /// From one stop to the next.
    #[serde(with = "crate::span")]
    pub(crate) every: Duration,
    /// How long each stays stopped before it looks what became of it.
    #[serde(with = "crate::span")]
    pub(crate) stopped_for: Duration,
    /// Bytes of the kernel's receive buffer of these clients: without a bound
    /// the kernel takes megabytes before the gateway notices anything.
    pub(crate) receive_buffer: u32,
}

impl Default for SlowReaders {
    fn default() -> Self {
        Self {
            count: 0,
            first_at: Duration::from_secs(5),
            every: Duration::from_secs(20),
            stopped_for: Duration::from_secs(12),
            receive_buffer: 4_096,
        }
    }
}

/// Connections that open and then misbehave; they are opened again when the
/// gateway closes them, as long as the steady phase lasts.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hostile {
    /// How many at once; 0: none.
    pub(crate) connections: u32,
    /// How many are opened each second.
    pub(crate) per_second: u32,
    /// Share that says nothing after the TCP handshake.
    pub(crate) silent: u32,
    /// Share that sends half of a TLS ClientHello.
    pub(crate) half_hello: u32,
    /// Share that completes the TLS handshake and does not log in.
    pub(crate) no_login: u32,
    /// Share that sends its login a byte a second.
    pub(crate) drip: u32,
    /// Share that announces a frame and sends half of it.
    pub(crate) half_frame: u32,
    /// The time after which none may be open any more.
    #[serde(with = "crate::span")]
    pub(crate) closed_within: Duration,
}

impl Default for Hostile {
    fn default() -> Self {
        Self {
            connections: 0,
            per_second: 1_000,
            silent: 1,
            half_hello: 1,
            no_login: 1,
            drip: 1,
            half_frame: 1,
            closed_within: Duration::from_secs(20),
        }
    }
}

/// How a spawned gateway is configured.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gateway {
    /// TOML that is put into the gateway's configuration file as it is.
    pub(crate) settings: String,
}

impl Plan {
    /// Clients of the plan that log in.
    pub(crate) fn clients(&self) -> u32 {
        self.rooms * (1 + self.publishers() + self.viewers)
    }

    /// Publishers of each room that are clients of their own.
    pub(crate) fn publishers(&self) -> u32 {
        match self.messages.from {
            From::Publishers if self.messages.per_second() > 0.0 => self.messages.publishers,
            From::Publishers | From::Host => 0,
        }
    }

    /// Sockets that the clients open at once, hostile ones included.
    pub(crate) fn sockets(&self) -> u64 {
        let viewers = u64::from(self.rooms) * u64::from(self.viewers);
        let shares = u64::from(self.transport.tls) + u64::from(self.transport.quic);
        let quic = viewers * u64::from(self.transport.quic) / shares.max(1);
        let shared = quic.div_ceil(QUIC_PER_ADDRESS.into());
        u64::from(self.clients()) - quic + shared + u64::from(self.hostile.connections)
    }

    /// From the first client to the end of everything, at most.
    pub(crate) fn longest(&self) -> Duration {
        let ramp = Duration::from_secs(u64::from(self.clients() / self.phases.ramp.max(1)));
        let phases = self.phases.warm_up + self.phases.steady + self.phases.drain;
        ramp * 2 + phases + self.hostile.closed_within + Duration::from_secs(60)
    }
}

impl Messages {
    /// Everything that is sent to a room in a second, likes too.
    pub(crate) fn per_second(&self) -> f64 {
        self.text + self.custom + self.gift + self.like
    }
}

impl Host {
    /// How long after a crash its end is told at the latest: the grace and a
    /// second.
    pub(crate) fn told_within(&self) -> Duration {
        self.grace + Duration::from_secs(1)
    }
}

impl Hostile {
    /// The sum of the shares.
    pub(crate) fn shares(&self) -> u32 {
        self.silent + self.half_hello + self.no_login + self.drip + self.half_frame
    }
}

impl Mix {
    /// Whether client `index` takes QUIC.
    pub(crate) fn quic(&self, index: u32) -> bool {
        let sum = (self.tls + self.quic).max(1);
        let before = u64::from(index) * u64::from(self.quic) / u64::from(sum);
        let after = (u64::from(index) + 1) * u64::from(self.quic) / u64::from(sum);
        after > before
    }

    /// Whether hosts and publishers take QUIC.
    pub(crate) fn mostly_quic(&self) -> bool {
        self.quic > self.tls
    }
}
