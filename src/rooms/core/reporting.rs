//! What a room tells its app's backend, beside its lives.
//!
//! Everything here is for apps that chose it: for all others the choice is
//! empty and nothing is made. What is recorded goes with its record
//! ([`Core::report_record`]); what is only said goes behind it, in the order
//! of the decisions.

use std::sync::Arc;

use livegate_proto::client::{self as wire, AwayCause};
use smallvec::SmallVec;

use super::{Behind, Core, Out, Record, Recording};
use crate::callback::payload::{self, HostMoved};
use crate::callback::tell::{self, Event, InfoChange, Moved, Said, Site, Tell, Tells};
use crate::clock::{Instant, Moment, Unix};
use crate::engine::OutboxRow;
use crate::event::Origin;
use crate::id::{SessionId, UserId};
use crate::rooms::charter::Charter;
use crate::rooms::live::{Commitment, Notice};
use crate::rooms::merge::Window;

/// Changes of what a room shows that may wait for their record.
const MAX_CHANGES: usize = 64;

/// What a room is to tell and has not told yet.
#[derive(Debug)]
pub(crate) struct Reports {
    tells: Tells,
    /// Events so far: with the room's epoch, the next one's id.
    count: u64,
    /// Comings and goings that wait for their window, in their order.
    moves: Vec<(Moved, UserId, Origin)>,
    moves_due: Option<Instant>,
    /// Changes of what the room shows, to go with the next record of it.
    changes: Vec<OutboxRow>,
    /// How many of them are being recorded.
    recording: usize,
}

/// How a message came about, beside what it shows.
#[derive(Debug, Default)]
pub(super) struct Cause {
    pub(super) origin: Origin,
    /// Who had it said; `None`: who is shown to have said it.
    pub(super) operator: Option<Arc<str>>,
    /// The vendor's number of it; `None`: what its id makes.
    pub(super) random: Option<u32>,
}

impl From<Origin> for Cause {
    fn from(origin: Origin) -> Self {
        Self {
            origin,
            ..Self::default()
        }
    }
}

impl Reports {
    /// Tells what the app chose.
    pub(crate) fn new(tells: Tells) -> Self {
        Self {
            tells,
            count: 0,
            moves: Vec::new(),
            moves_due: None,
            changes: Vec::new(),
            recording: 0,
        }
    }

    /// When comings and goings are to be told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.moves_due
    }
}

impl Core {
    /// Whether the backend is told of this.
    pub(super) fn tells(&self, tell: Tell) -> bool {
        self.reports.tells.has(tell)
    }

    fn event(&mut self, time: Unix, origin: Origin) -> Event {
        self.reports.count += 1;
        Event {
            app: self.key.app,
            id: format!("{:x}:{}", self.log.epoch(), self.reports.count),
            time,
            origin,
        }
    }

    /// As the v4 API names its type; empty: nobody said.
    pub(crate) fn kind(&self) -> &str {
        &self.charter.profile.r#type
    }

    fn site(&self) -> Site<'_> {
        Site {
            room: &self.key.room,
            kind: &self.charter.profile.r#type,
        }
    }

    /// From where a member's session came in.
    pub(super) fn origin_of(&self, session: SessionId) -> Origin {
        let seat = self.members.of(session);
        seat.map(|(_, seat)| seat.origin).unwrap_or_default()
    }

    /// Something was said and has got its place.
    pub(super) fn report_said(
        &mut self,
        message: &wire::RoomMessage,
        cause: &Cause,
        seq: u64,
        now: Moment,
        out: &mut Out,
    ) {
        let Some(content) = &message.content else {
            return;
        };
        if !self.tells(Tell::AfterSendMsg) {
            return;
        }
        let content = wire::Elements::from(content);
        let event = self.event(now.unix, cause.origin);
        let from = message.from.as_ref().map_or("", |from| &from.user_id);
        let random = tell::random_of(&message.client_message_id);
        let said = Said {
            from,
            operator: cause.operator.as_deref().unwrap_or(from),
            random: cause.random.or(random),
            content: &content,
        };
        out.tells.push(tell::said(event, &self.site(), &said, seq));
    }

    /// A window of likes is over: one event for all of them, from nobody in
    /// particular and without a place in the order.
    pub(super) fn report_likes(&mut self, window: Window, now: Moment, out: &mut Out) {
        let message = wire::RoomMessage {
            content: Some(window.content()),
            ..wire::RoomMessage::default()
        };
        self.report_said(&message, &Cause::default(), 0, now, out);
    }

    /// A user came or went. In a room that is told of by name each is told at
    /// once; a larger one gathers them for a moment.
    pub(super) fn report_moved(
        &mut self,
        how: Moved,
        user: &UserId,
        origin: Origin,
        now: Moment,
        out: &mut Out,
    ) {
        let wanted = match how {
            Moved::Joined => self.tells(Tell::AfterNewMemberJoin),
            Moved::Quit | Moved::Kicked | Moved::Lost => self.tells(Tell::AfterMemberExit),
        };
        if !wanted && !self.tells(Tell::OnMemberStateChange) {
            return;
        }
        self.reports.moves.push((how, user.clone(), origin));
        let gathers = !self.presence.is_exact();
        if !gathers || self.reports.moves.len() >= self.config.report_names {
            return self.report_moves(now, out);
        }
        let due = now.instant + self.config.report_every;
        self.reports.moves_due.get_or_insert(due);
    }

    /// Tells the comings and goings whose window is over.
    pub(super) fn report_due(&mut self, now: Moment, out: &mut Out) {
        if self.reports.moves_due.is_some_and(|at| at <= now.instant) {
            self.report_moves(now, out);
        }
    }

    /// Tells the comings and goings that wait, those of one kind together.
    fn report_moves(&mut self, now: Moment, out: &mut Out) {
        self.reports.moves_due = None;
        let moves = std::mem::take(&mut self.reports.moves);
        for run in moves.chunk_by(|one, next| one.0 == next.0) {
            let Some((how, _, origin)) = run.first() else {
                continue;
            };
            let users: SmallVec<[UserId; 1]> =
                run.iter().map(|(_, user, _)| user.clone()).collect();
            let list = match how {
                Moved::Joined => Tell::AfterNewMemberJoin,
                Moved::Quit | Moved::Kicked | Moved::Lost => Tell::AfterMemberExit,
            };
            if self.tells(list) {
                let event = self.event(now.unix, *origin);
                out.tells
                    .push(tell::moved(event, &self.site(), *how, &users));
            }
            if self.tells(Tell::OnMemberStateChange) {
                let event = self.event(now.unix, *origin);
                let row = tell::state_in_room(event, &self.site(), *how, &users);
                out.tells.push(row);
            }
        }
    }

    /// Whether one more change of what the room shows can be kept until it is
    /// recorded.
    pub(super) fn may_report_change(&self) -> bool {
        self.reports.changes.len() < MAX_CHANGES
    }

    /// What the room shows was changed from `before`.
    pub(super) fn report_changed(
        &mut self,
        before: &wire::RoomProfile,
        (origin, operator): (Origin, &str),
        now: Moment,
        out: &mut Out,
    ) {
        let change = difference(before, &self.charter.profile);
        if !self.tells(Tell::AfterGroupInfoChanged) || change == InfoChange::default() {
            return;
        }
        let event = self.event(now.unix, origin);
        let row = tell::info_changed(event, &self.site(), operator, &change);
        if self.charter.durable {
            self.reports.changes.push(row);
        } else {
            out.tells.push(row);
        }
    }

    /// Somebody has begun to publish.
    pub(super) fn publisher_joined(&mut self, user: &UserId, now: Moment, out: &mut Out) {
        self.report_publisher(user, true, now, out);
    }

    /// Somebody has ceased to publish.
    pub(super) fn publisher_left(&mut self, user: &UserId, now: Moment, out: &mut Out) {
        self.report_publisher(user, false, now, out);
    }

    fn report_publisher(&mut self, user: &UserId, joined: bool, now: Moment, out: &mut Out) {
        let tell = match joined {
            true => Tell::PublisherJoined,
            false => Tell::PublisherLeft,
        };
        if self.tells(tell) {
            let id = self.event(now.unix, Origin::Unknown).id;
            let row = payload::publisher(&self.key, user, joined, &id, now.unix);
            out.tells.push(row);
        }
    }

    /// The room is told that its host was lost, or came back.
    pub(super) fn report_host(&mut self, notice: &Notice, now: Moment, out: &mut Out) {
        let (live, away, tell) = match notice {
            Notice::Away {
                live, until, cause, ..
            } => (*live, Some((until.unix, text(*cause))), Tell::HostAway),
            Notice::Back { live, .. } => (*live, None, Tell::HostBack),
            Notice::Started { .. } | Notice::Ended(_) => return,
        };
        if !self.tells(tell) {
            return;
        }
        let what = if away.is_some() { "away" } else { "back" };
        let id = self.event(now.unix, Origin::Unknown).id;
        let event_id = format!("{live}:{what}:{id}");
        let Some((host, _)) = self.live.host() else {
            return;
        };
        let time = now.unix;
        out.tells.push(payload::host_moved(&HostMoved {
            room: &self.key,
            live,
            host,
            time,
            event_id: &event_id,
            away,
        }));
    }

    /// A room that nobody recorded was destroyed.
    pub(super) fn report_vanished(&mut self, now: Moment, out: &mut Out) {
        self.report_moves(now, out);
        if !self.charter.durable && self.tells(Tell::AfterGroupDestroyed) {
            let row = self.destroyed(now);
            out.tells.push(row);
        }
    }

    fn destroyed(&mut self, now: Moment) -> OutboxRow {
        let origin = self.destroyer.as_ref().map(|(_, origin)| *origin);
        let event = self.event(now.unix, origin.unwrap_or_default());
        let (owner, name) = (self.charter.owner_text(), &self.charter.profile.name);
        tell::destroyed(event, &self.site(), &owner, name)
    }

    fn created(&mut self, charter: &Charter, now: Moment) -> OutboxRow {
        let (origin, operator) = match &self.recording {
            Recording::Creating { cause, .. } => (cause.origin, cause.operator.clone()),
            Recording::Nothing | Recording::Removing => (Origin::Unknown, None),
        };
        let event = self.event(now.unix, origin);
        let owner = charter.owner_text();
        let operator = operator.as_deref().unwrap_or(&owner);
        let by = (operator, owner.as_str());
        tell::created(event, &self.site(), by, &charter.profile)
    }

    /// Adds to `rows` what goes into one transaction with `record`, and takes
    /// out what the app did not choose.
    pub(crate) fn report_record(
        &mut self,
        record: &Record,
        rows: &mut Vec<OutboxRow>,
        now: Moment,
    ) {
        match record {
            Record::Live(commitment) => {
                let tell = match commitment.as_ref() {
                    Commitment::Started { .. } => Tell::LiveStarted,
                    Commitment::Ended { .. } => Tell::LiveEnded,
                };
                if !self.tells(tell) {
                    rows.clear();
                }
            }
            Record::Room(charter) if self.tells(Tell::AfterCreateGroup) => {
                rows.push(self.created(charter, now));
            }
            Record::Gone if self.tells(Tell::AfterGroupDestroyed) => {
                rows.push(self.destroyed(now));
            }
            Record::Changed(_) => {
                self.reports.recording = self.reports.changes.len();
                rows.extend(self.reports.changes.iter().cloned());
            }
            Record::Room(_) | Record::Gone | Record::Stats(..) => {}
        }
    }

    /// What became of a change of the room: what went with it is told, or goes
    /// with the next one.
    pub(super) fn changes_recorded(&mut self, done: bool) {
        let recording = std::mem::take(&mut self.reports.recording);
        if done {
            self.reports.changes.drain(..recording);
        } else if !self.reports.changes.is_empty() {
            debug_assert_ne!(self.behind, Behind::Level, "it is tried again");
        }
    }
}

fn text(cause: AwayCause) -> &'static str {
    match cause {
        AwayCause::ConnectionClosed => "connection_closed",
        AwayCause::HeartbeatTimeout => "heartbeat_timeout",
        AwayCause::ServerRestarted => "server_restarted",
        AwayCause::Unspecified => "unknown",
    }
}

/// What is different in `after`.
fn difference(before: &wire::RoomProfile, after: &wire::RoomProfile) -> InfoChange {
    let other = |old: &String, new: &String| (old != new).then(|| new.clone());
    let is_new = |it: &&wire::Attribute| !before.app_defined.contains(it);
    let keys =
        |profile: &wire::RoomProfile, key: &str| profile.app_defined.iter().any(|it| it.key == key);
    let put = after.app_defined.iter().filter(is_new);
    let put = put.map(|it| (it.key.clone(), it.value.clone()));
    let gone = before.app_defined.iter().filter(|it| !keys(after, &it.key));
    let gone = gone.map(|it| (it.key.clone(), bytes::Bytes::new()));
    InfoChange {
        name: other(&before.name, &after.name),
        introduction: other(&before.introduction, &after.introduction),
        notification: other(&before.notification, &after.notification),
        face_url: other(&before.face_url, &after.face_url),
        fields: put.chain(gone).collect(),
    }
}
