//! One line of output as a value: what scripts read, and what the line for
//! humans is made of. Nothing is decided here.
//!
//! Invariant: the JSON names are documented in docs/events.md and only ever
//! added to.

use serde::Serialize;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::cli) struct Shown {
    #[serde(flatten)]
    pub(in crate::cli) what: What,
    /// Where, when it is something that a room says.
    #[serde(flatten)]
    pub(in crate::cli) place: Option<Place>,
}

/// Where in which room.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::cli) struct Place {
    pub(in crate::cli) room: String,
    pub(in crate::cli) epoch: u64,
    pub(in crate::cli) seq: u64,
    pub(in crate::cli) time_ms: i64,
    pub(in crate::cli) source: &'static str,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::cli) enum What {
    Connected {
        session_id: String,
        transport: String,
        again: bool,
    },
    Disconnected {
        cause: String,
        code: Option<i32>,
        retry_in_ms: Option<u64>,
    },
    ConnectFailed {
        error: String,
        retry_in_ms: Option<u64>,
    },
    /// The room does not exist yet.
    Waiting {
        room: String,
    },
    Entered {
        room: String,
        epoch: u64,
        seq: u64,
        again: bool,
        role: &'static str,
        online: u32,
        exact_presence: bool,
        likes: u64,
        live: Option<Live>,
    },
    ReenterFailed {
        room: String,
        error: String,
    },
    Message {
        from: String,
        nick: String,
        role: &'static str,
        priority: &'static str,
        #[serde(flatten)]
        content: Content,
    },
    Direct {
        time_ms: i64,
        from: String,
        nick: String,
        #[serde(flatten)]
        content: Content,
    },
    Broadcast {
        from: String,
        #[serde(flatten)]
        content: Content,
    },
    Presence {
        entered: Vec<String>,
        left: Vec<String>,
        online: u32,
    },
    PresenceDigest {
        online: u32,
        entered_total: u64,
        left_total: u64,
        newest: Vec<String>,
    },
    LiveStarted {
        live_id: String,
        host: String,
        started_ms: i64,
    },
    HostAway {
        live_id: String,
        until_ms: i64,
        grace_ms: u32,
        cause: &'static str,
        last_seen_ms: i64,
    },
    HostBack {
        live_id: String,
        host: String,
    },
    LiveEnded {
        live_id: String,
        reason: &'static str,
        ended_ms: i64,
        detection_ms: u32,
        duration_ms: i64,
        peak_viewers: u32,
        total_viewers: u64,
        messages: u64,
        likes: u64,
        gifts: u64,
        approximate: bool,
    },
    Totals {
        likes: u64,
    },
    Attributes {
        version: u64,
        attributes: Vec<String>,
    },
    Publisher {
        user: String,
        joined: bool,
    },
    Invitation {
        from: String,
        invitation_id: String,
    },
    Muted {
        until_ms: i64,
    },
    Kicked {
        reason: String,
    },
    Dropped {
        count: u64,
        from_seq: u64,
        to_seq: u64,
    },
    RoleChanged {
        role: &'static str,
    },
    RoomDestroyed {
        reason: String,
    },
    InfoChanged {
        name: String,
        keys: Vec<String>,
    },
    Recalled {
        seqs: Vec<u64>,
    },
    Notice {
        content: String,
    },
    InvitationEnded {
        invitation_id: String,
        outcome: &'static str,
    },
    Gap {
        room: String,
        epoch: u64,
        from_seq: u64,
        to_seq: u64,
        cause: &'static str,
    },
    Lagged {
        skipped: u64,
    },
    SigExpiring {
        expires_at: i64,
    },
    SigRenewed {
        expires_at: i64,
    },
    SigRenewFailed {
        error: String,
    },
    GoAway {
        reason: String,
        reconnect_after_ms: u64,
    },
    /// Something that this version does not know.
    Unknown {},
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::cli) enum Content {
    Text {
        text: String,
    },
    Custom {
        custom_type: String,
        bytes: usize,
    },
    Gift {
        gift_id: String,
        count: u32,
        combo_id: String,
        /// Of the combo so far; 0 without one.
        combo_total: u32,
        combo_ended: bool,
    },
    Elements {
        kinds: Vec<String>,
    },
    Empty {},
}

/// The live of a room that was entered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::cli) struct Live {
    pub(in crate::cli) live_id: String,
    pub(in crate::cli) phase: &'static str,
    pub(in crate::cli) host: String,
    pub(in crate::cli) started_ms: i64,
    pub(in crate::cli) away_until_ms: i64,
}
