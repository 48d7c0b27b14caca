//! What a room decides, without locks, threads or disks.

use std::collections::BTreeMap;
use std::time::Duration;

use livegate_proto::Message;
use livegate_proto::client::room_message::Content;
use livegate_proto::client::{
    self as wire, LeaveReason, LivePhase, Priority, Push, ServerFrame, live_event, push,
};

use super::*;
use crate::clock::Unix;
use crate::dispatch::Class;
use crate::event::EndReason;
use crate::event::Origin;
use crate::id::{AppId, UserId};
use crate::rooms::live::CommitResult;

mod combos;
mod entering;
mod figures;
mod governing;
mod hosting;
mod lasting;
mod liking;
mod mic;
mod model;
mod reporting;
mod speaking;

/// A room with the moment and everything that came out of it.
struct Room {
    core: Core,
    out: Out,
    now: u64,
    tickets: BTreeMap<SessionId, u64>,
}

impl Room {
    fn new() -> Self {
        let config = Arc::new(RoomsConfig {
            open_hosting: true,
            ..RoomsConfig::default()
        });
        let budget = Arc::new(Budget::new(config.log_budget));
        let birth = Birth {
            key: RoomKey {
                app: AppId(7),
                room: RoomId::new("demo").unwrap(),
            },
            uid: RoomUid(1),
            epoch: 42,
            charter: Charter::passing(Unix(1_000)),
            tells: Tells::LIVES,
            asks: false,
        };
        let metrics = Metrics::new(1);
        let core = Core::new(birth, &config, &budget, &metrics, Moment::default());
        Self {
            core,
            out: Out::default(),
            now: 0,
            tickets: BTreeMap::new(),
        }
    }

    fn configure(&mut self, change: impl FnOnce(&mut RoomsConfig)) {
        let mut config = RoomsConfig::clone(&self.core.config);
        change(&mut config);
        self.core.config = Arc::new(config);
    }

    fn own(&mut self, owner: &str) {
        self.create(owner).unwrap();
        self.out.records.clear();
        self.core.recorded(true, self.moment(), &mut self.out);
        self.out.answers.clear();
    }

    fn create(&mut self, owner: &str) -> Result<(), Refusal> {
        let args = CreateArgs {
            asker: asker(0, 1),
            origin: Origin::Unknown,
            operator: owner.into(),
            owner: Some(user(owner)),
            info: bytes::Bytes::new(),
            profile: ProfileChange::default(),
            kind: String::new(),
        };
        self.core.create(args, self.moment(), &mut self.out)
    }

    fn enter(&mut self, slot: u32, name: &str) -> Result<Admission, Refusal> {
        self.enter_with(slot, name, Role::Viewer, None)
    }

    fn enter_with(
        &mut self,
        slot: u32,
        name: &str,
        role: Role,
        may_publish: Option<bool>,
    ) -> Result<Admission, Refusal> {
        let args = EnterArgs {
            session: session(slot),
            user: user(name),
            profile: Arc::default(),
            role,
            may_publish,
            origin: Origin::Unknown,
        };
        self.admit(&args)
    }

    fn enter_as(&mut self, session: SessionId, name: &str) -> Result<Admission, Refusal> {
        let args = EnterArgs {
            session,
            user: user(name),
            profile: Arc::default(),
            role: Role::Viewer,
            may_publish: None,
            origin: Origin::Unknown,
        };
        self.admit(&args)
    }

    fn admit(&mut self, args: &EnterArgs) -> Result<Admission, Refusal> {
        let admission = self.core.enter(args, self.moment(), &mut self.out)?;
        self.tickets.insert(args.session, admission.ticket);
        Ok(admission)
    }

    fn leave(&mut self, slot: u32, cause: LeaveCause) -> bool {
        self.leave_session(session(slot), cause)
    }

    fn leave_session(&mut self, session: SessionId, cause: LeaveCause) -> bool {
        let Some(ticket) = self.tickets.remove(&session) else {
            return false;
        };
        let now = self.moment();
        self.core
            .leave((session, ticket), cause, now.instant, now, &mut self.out)
    }

    /// Lets `host` enter on session 1 and start a live that is recorded.
    fn live(&mut self, host: &str) -> SessionId {
        self.enter(1, host).unwrap();
        self.start(1, "start").unwrap();
        self.commit(CommitResult::Recorded);
        assert_eq!(self.answer_codes(), [Code::OK]);
        self.out.events.clear();
        session(1)
    }

    fn start(&mut self, slot: u32, start_id: &str) -> Result<(), Refusal> {
        let args = StartLiveArgs {
            asker: asker(slot, 5),
            start_id: start_id.into(),
            grace: None,
        };
        let live = LiveId(uuid::Uuid::from_u128(1 + u128::from(slot)));
        self.core
            .start_live(args, live, self.moment(), &mut self.out)
    }

    fn commit(&mut self, result: CommitResult) {
        for record in std::mem::take(&mut self.out.records) {
            let Record::Live(commitment) = record else {
                continue;
            };
            let now = self.moment();
            match *commitment {
                Commitment::Started { fact, .. } => {
                    self.core
                        .start_committed(fact.live, result, now, &mut self.out);
                }
                Commitment::Ended { fact, .. } => {
                    self.core
                        .end_committed(fact.live, result, now, &mut self.out);
                }
            }
        }
    }

    fn publish(
        &mut self,
        slot: u32,
        text: &str,
        priority: Priority,
        id: &str,
    ) -> Result<Published, Refusal> {
        let publish = Publish {
            session: session(slot),
            content: Content::Text(wire::Text { text: text.into() }),
            priority,
            message_id: id.into(),
        };
        self.core.publish(publish, self.moment(), &mut self.out)
    }

    fn say(&mut self, slot: u32, text: &str) {
        let published = self.publish(slot, text, Priority::Normal, "").unwrap();
        assert_eq!(published.drop_reason, "");
    }

    fn gift(&mut self, slot: u32, count: u32) -> Result<Published, Refusal> {
        let gift = wire::Gift {
            gift_id: "rose".into(),
            count,
            ..wire::Gift::default()
        };
        let publish = Publish {
            session: session(slot),
            content: Content::Gift(gift),
            priority: Priority::Normal,
            message_id: "".into(),
        };
        self.core.publish(publish, self.moment(), &mut self.out)
    }

    fn moment(&self) -> Moment {
        Moment::default() + Duration::from_millis(self.now)
    }

    fn advance(&mut self, ms: u64) {
        self.now += ms;
    }

    fn tick(&mut self) {
        self.core.tick(self.moment(), true, &mut self.out);
    }

    /// Lets all windows pass.
    fn rest(&mut self) {
        for _ in 0..20 {
            self.advance(500);
            self.tick();
        }
    }

    fn pushes(&self) -> Vec<Push> {
        let frames = self.core.log.after(0);
        let decode = |entry: &crate::rooms::log::Entry| {
            let frame = ServerFrame::decode(entry.frame.payload()).unwrap();
            assert_eq!(frame.pushes.len(), 1);
            let push = frame.pushes.into_iter().next().unwrap();
            assert_eq!((push.epoch, push.seq), (42, entry.seq));
            assert_eq!(push.room_id, "demo");
            push
        };
        frames.map(decode).collect()
    }

    fn texts_after(&self, seq: u64) -> Vec<String> {
        let text = |push: Push| match push.body {
            Some(push::Body::RoomMessage(message)) if push.seq > seq => match message.content {
                Some(Content::Text(text)) => Some(text.text),
                _ => None,
            },
            _ => None,
        };
        self.pushes().into_iter().filter_map(text).collect()
    }

    fn presence(&self) -> Vec<String> {
        let changes = |push: Push| match push.body {
            Some(push::Body::Presence(presence)) => presence.changes,
            _ => Vec::new(),
        };
        let text = |change: wire::PresenceChange| {
            let reason = change.reason();
            let name = change.user.unwrap().user_id;
            match reason {
                LeaveReason::Unspecified => format!("+{name}"),
                reason => format!("-{name} {reason:?}"),
            }
        };
        self.pushes()
            .into_iter()
            .flat_map(changes)
            .map(text)
            .collect()
    }

    fn live_events(&self) -> Vec<String> {
        let text = |push: Push| match push.body {
            Some(push::Body::Live(event)) => Some(match event.kind.unwrap() {
                live_event::Kind::Started(_) => "started".to_owned(),
                live_event::Kind::Away(_) => "away".to_owned(),
                live_event::Kind::Back(_) => "back".to_owned(),
                live_event::Kind::Ended(ended) => {
                    let reason = EndReason::ALL
                        .into_iter()
                        .find(|r| r.wire() == ended.reason());
                    format!("ended {}", reason.unwrap().as_str())
                }
            }),
            _ => None,
        };
        self.pushes().into_iter().filter_map(text).collect()
    }

    fn answer_codes(&mut self) -> Vec<Code> {
        let code = |(_, result): (Asker, Result<Done, Refusal>)| match result {
            Ok(_) => Code::OK,
            Err(refusal) => refusal.code,
        };
        std::mem::take(&mut self.out.answers)
            .into_iter()
            .map(code)
            .collect()
    }

    fn take_hosting(&mut self) -> Vec<(SessionId, bool)> {
        let hosting = |(session, event)| match event {
            SessionEvent::Hosting(uid, on) => {
                assert_eq!(uid, RoomUid(1));
                Some((session, on))
            }
            _ => None,
        };
        std::mem::take(&mut self.out.events)
            .into_iter()
            .filter_map(hosting)
            .collect()
    }

    fn removed(&self) -> Vec<SessionId> {
        let removed = |(session, event): &(SessionId, SessionEvent)| {
            matches!(event, SessionEvent::Removed(..)).then_some(*session)
        };
        self.out.events.iter().filter_map(removed).collect()
    }
}

fn code(result: Result<(), Refusal>) -> Code {
    result.map_or_else(|refusal| refusal.code, |()| Code::OK)
}

fn asker(slot: u32, request_id: u64) -> Asker {
    Asker {
        session: session(slot),
        request_id,
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn session(slot: u32) -> SessionId {
    session_on(0, slot)
}

fn session_on(shard: u16, slot: u32) -> SessionId {
    SessionId::new(ShardId(shard), slot, 1)
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_millis(ms)
}
