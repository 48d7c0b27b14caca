//! Makes lines of events.

use livegate_client::wire::{
    AwayCause, Custom, Elements, EndReason, EnterRoomReply, Gift, HostAway, LiveEnded, LivePhase,
    LiveState, Presence, PresenceDigest, Priority, Role, RoomMessage, Text, User, broadcast,
    room_message, user_message,
};
use livegate_client::{
    DirectMessage, Disconnect, Entered, Event, GapCause, RoomEvent, RoomEventKind, Source,
};

use super::line::{Content, Live, Place, Shown, What};

impl From<&Event> for Shown {
    fn from(event: &Event) -> Self {
        let place = match event {
            Event::Room(event) => Some(place(event)),
            _ => None,
        };
        Self {
            place,
            what: what(event),
        }
    }
}

impl From<What> for Shown {
    fn from(what: What) -> Self {
        Self { place: None, what }
    }
}

fn place(event: &RoomEvent) -> Place {
    Place {
        room: event.room_id.clone(),
        epoch: event.epoch,
        seq: event.seq,
        time_ms: event.time_ms,
        source: match event.source {
            Source::Push => "push",
            Source::History => "history",
            Source::Snapshot => "snapshot",
        },
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn what(event: &Event) -> What {
    match event {
        Event::Connected(connected) => What::Connected {
            session_id: connected.session_id.to_string(),
            transport: connected.transport.to_string(),
            again: connected.again,
        },
        Event::Disconnected(gone) => What::Disconnected {
            cause: gone.cause.to_string(),
            code: match gone.cause {
                Disconnect::Closed { code, .. } => Some(code),
                _ => None,
            },
            retry_in_ms: gone.retry_in.map(millis),
        },
        Event::ConnectFailed { error, retry_in } => What::ConnectFailed {
            error: error.to_string(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::Entered(entered) => entered_room(entered),
        Event::ReenterFailed { room_id, error } => What::ReenterFailed {
            room: room_id.clone(),
            error: error.to_string(),
        },
        Event::Room(event) => in_room(&event.kind),
        Event::Direct(direct) => direct_message(direct),
        Event::Gap(gap) => What::Gap {
            room: gap.room_id.clone(),
            epoch: gap.epoch,
            from_seq: gap.from_seq,
            to_seq: gap.to_seq,
            cause: match gap.cause {
                GapCause::Reconnect => "reconnect",
                GapCause::NewEpoch => "new_epoch",
                GapCause::Skipped => "skipped",
            },
        },
        Event::Lagged { skipped } => What::Lagged { skipped: *skipped },
        Event::SigExpiring { expires_at } => What::SigExpiring {
            expires_at: *expires_at,
        },
        Event::SigRenewed { expires_at } => What::SigRenewed {
            expires_at: *expires_at,
        },
        Event::SigRenewFailed { error } => What::SigRenewFailed {
            error: error.clone(),
        },
        Event::GoAway {
            reconnect_after,
            reason,
        } => What::GoAway {
            reason: reason.clone(),
            reconnect_after_ms: millis(*reconnect_after),
        },
        _ => What::Unknown {},
    }
}

fn entered_room(entered: &Entered) -> What {
    let EnterRoomReply { room, role, .. } = &entered.reply;
    let room = room.clone().unwrap_or_default();
    let summary = room.summary.unwrap_or_default();
    What::Entered {
        room: entered.room_id.clone(),
        epoch: room.epoch,
        seq: room.seq,
        again: entered.again,
        role: role_name(Role::try_from(*role).unwrap_or_default()),
        online: summary.online,
        exact_presence: room.exact_presence,
        likes: room.totals.unwrap_or_default().likes,
        live: summary.live.map(|live| shown_live(&live)),
    }
}

fn shown_live(live: &LiveState) -> Live {
    Live {
        live_id: live.live_id.clone(),
        phase: match live.phase() {
            LivePhase::Unspecified => "unknown",
            LivePhase::Live => "live",
            LivePhase::Away => "away",
            LivePhase::Ended => "ended",
        },
        host: name(live.host.as_ref()),
        started_ms: live.started_ms,
        away_until_ms: live.away_until_ms,
    }
}

fn in_room(kind: &RoomEventKind) -> What {
    match kind {
        RoomEventKind::Message(message) => said(message),
        RoomEventKind::Presence(presence) => came_and_went(presence),
        RoomEventKind::Digest(digest) => in_numbers(digest),
        RoomEventKind::LiveStarted { live_id, started } => What::LiveStarted {
            live_id: live_id.clone(),
            host: name(started.host.as_ref()),
            started_ms: started.started_ms,
        },
        RoomEventKind::HostAway { live_id, away } => host_away(live_id, away),
        RoomEventKind::HostBack { live_id, back } => What::HostBack {
            live_id: live_id.clone(),
            host: name(back.host.as_ref()),
        },
        RoomEventKind::LiveEnded { live_id, ended } => live_ended(live_id, ended),
        RoomEventKind::Totals(totals) => What::Totals {
            likes: totals.likes,
        },
        RoomEventKind::Attributes(attributes) => What::Attributes {
            version: attributes.version,
            attributes: attributes
                .attributes
                .iter()
                .map(|a| a.key.clone())
                .collect(),
        },
        RoomEventKind::Publisher(publisher) => What::Publisher {
            user: name(publisher.user.as_ref()),
            joined: publisher.joined,
        },
        RoomEventKind::Invitation(invitation) => What::Invitation {
            from: name(invitation.from.as_ref()),
            invitation_id: invitation.invitation_id.clone(),
        },
        RoomEventKind::Broadcast(broadcast) => What::Broadcast {
            from: name(broadcast.from.as_ref()),
            content: broadcast
                .content
                .as_ref()
                .map_or(Content::Empty {}, Content::from),
        },
        RoomEventKind::Muted(muted) => What::Muted {
            until_ms: muted.until_ms,
        },
        RoomEventKind::Kicked(kicked) => What::Kicked {
            reason: kicked.reason.clone(),
        },
        RoomEventKind::Dropped(dropped) => What::Dropped {
            count: dropped.count,
            from_seq: dropped.from_seq,
            to_seq: dropped.to_seq,
        },
        RoomEventKind::RoleChanged(changed) => What::RoleChanged {
            role: role_name(changed.role()),
        },
        RoomEventKind::Destroyed(destroyed) => What::RoomDestroyed {
            reason: destroyed.reason.clone(),
        },
        other => governed(other),
    }
}

/// What was changed in the room itself.
fn governed(kind: &RoomEventKind) -> What {
    match kind {
        RoomEventKind::InfoChanged(changed) => What::InfoChanged {
            name: (changed.profile.as_ref())
                .map(|profile| profile.name.clone())
                .unwrap_or_default(),
            keys: (changed.profile.iter())
                .flat_map(|profile| &profile.app_defined)
                .map(|field| field.key.clone())
                .collect(),
        },
        RoomEventKind::Recalled(recalled) => What::Recalled {
            seqs: recalled.seqs.clone(),
        },
        RoomEventKind::Notice(notice) => What::Notice {
            content: notice.content.clone(),
        },
        RoomEventKind::InvitationEnded(ended) => What::InvitationEnded {
            invitation_id: ended.invitation_id.clone(),
            outcome: ended.outcome().as_str_name(),
        },
        _ => What::Unknown {},
    }
}

fn said(message: &RoomMessage) -> What {
    What::Message {
        from: name(message.from.as_ref()),
        nick: nick(message.from.as_ref()),
        role: role_name(message.role()),
        priority: match message.priority() {
            Priority::Unspecified | Priority::Normal => "normal",
            Priority::High => "high",
            Priority::Low => "low",
            Priority::Lowest => "lowest",
        },
        content: message
            .content
            .as_ref()
            .map_or(Content::Empty {}, Content::from),
    }
}

fn direct_message(direct: &DirectMessage) -> What {
    let message = &direct.message;
    What::Direct {
        time_ms: direct.time_ms,
        from: name(message.from.as_ref()),
        nick: nick(message.from.as_ref()),
        content: message
            .content
            .as_ref()
            .map_or(Content::Empty {}, Content::from),
    }
}

fn came_and_went(presence: &Presence) -> What {
    let of = |entered: bool| {
        let changes = presence
            .changes
            .iter()
            .filter(|change| change.entered == entered);
        changes.map(|change| name(change.user.as_ref())).collect()
    };
    What::Presence {
        entered: of(true),
        left: of(false),
        online: presence.online,
    }
}

fn in_numbers(digest: &PresenceDigest) -> What {
    What::PresenceDigest {
        online: digest.online,
        entered_total: digest.entered_total,
        left_total: digest.left_total,
        newest: digest
            .newest
            .iter()
            .map(|user| user.user_id.clone())
            .collect(),
    }
}

fn host_away(live_id: &str, away: &HostAway) -> What {
    What::HostAway {
        live_id: live_id.to_owned(),
        until_ms: away.until_ms,
        grace_ms: away.grace_ms,
        cause: match away.cause() {
            AwayCause::Unspecified => "unknown",
            AwayCause::ConnectionClosed => "connection_closed",
            AwayCause::HeartbeatTimeout => "heartbeat_timeout",
            AwayCause::ServerRestarted => "server_restarted",
        },
        last_seen_ms: away.last_seen_ms,
    }
}

fn live_ended(live_id: &str, ended: &LiveEnded) -> What {
    let stats = ended.stats.unwrap_or_default();
    What::LiveEnded {
        live_id: live_id.to_owned(),
        reason: match ended.reason() {
            EndReason::Unspecified => "unknown",
            EndReason::HostEnded => "host_ended",
            EndReason::HostCrashed => "host_crashed",
            EndReason::Replaced => "replaced",
            EndReason::Kicked => "kicked",
            EndReason::RoomDestroyed => "room_destroyed",
            EndReason::SignatureExpired => "signature_expired",
            EndReason::BackendEnded => "backend_ended",
            EndReason::HostLostInRestart => "host_lost_in_restart",
        },
        ended_ms: ended.ended_ms,
        detection_ms: ended.detection_ms,
        duration_ms: stats.duration_ms,
        peak_viewers: stats.peak_viewers,
        total_viewers: stats.total_viewers,
        messages: stats.messages,
        likes: stats.likes,
        gifts: stats.gifts,
        approximate: stats.approximate,
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Viewer => "viewer",
        Role::Host => "host",
        Role::Publisher => "publisher",
        Role::Admin => "admin",
    }
}

fn name(user: Option<&User>) -> String {
    user.map(|user| user.user_id.clone()).unwrap_or_default()
}

fn nick(user: Option<&User>) -> String {
    let profile = user.and_then(|user| user.profile.as_ref());
    profile
        .map(|profile| profile.nick.clone())
        .unwrap_or_default()
}

macro_rules! content_of {
    ($($module:ident: $($variant:ident),*;)*) => {$(
        impl From<&$module::Content> for Content {
            fn from(content: &$module::Content) -> Self {
                match content {
                    $($module::Content::$variant(body) => Self::from(body)),*
                }
            }
        }
    )*};
}
content_of! {
    room_message: Text, Custom, Gift, Elements;
    user_message: Text, Custom, Gift, Elements;
    broadcast: Text, Custom, Elements;
}

impl From<&Elements> for Content {
    fn from(said: &Elements) -> Self {
        let kinds = said.elements.iter().map(|element| element.r#type.clone());
        Self::Elements {
            kinds: kinds.collect(),
        }
    }
}

impl From<&Text> for Content {
    fn from(text: &Text) -> Self {
        Self::Text {
            text: text.text.clone(),
        }
    }
}

impl From<&Custom> for Content {
    fn from(custom: &Custom) -> Self {
        Self::Custom {
            custom_type: custom.r#type.clone(),
            bytes: custom.data.len(),
        }
    }
}

impl From<&Gift> for Content {
    fn from(gift: &Gift) -> Self {
        Self::Gift {
            gift_id: gift.gift_id.clone(),
            count: gift.count,
            combo_id: gift.combo_id.clone(),
            combo_total: gift.combo_total,
            combo_ended: gift.combo_ended,
        }
    }
}
