//! Rooms on a store of their own, with hands to do everything by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use livegate_proto::client::room_message::Content;
use livegate_proto::client::{Reply, Role, ServerFrame, Text, live_event, push};
use livegate_proto::{Message, client as wire};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::APP;
use crate::callback::{CallbackConfig, Teller};
use crate::clock::{Clock, Moment, Unix};
use crate::dispatch::{Dispatch, Input, SessionEvent};
use crate::engine::{Engine, EngineConfig, Stepper};
use crate::event::{EndReason, Origin};
use crate::id::{RoomId, RoomKey, SessionId, ShardId, UserId};
use crate::rooms::live::Asker;
use crate::rooms::*;
use crate::telemetry::Metrics;

/// Rooms with all that they stand on.
pub(super) struct World {
    pub(super) rooms: Arc<Rooms>,
    pub(super) dispatch: Dispatch,
    pub(super) metrics: Arc<Metrics>,
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Clock,
    pub(super) dir: TempDir,
    pub(super) outcomes: Option<tokio::sync::mpsc::Receiver<crate::engine::Outcome>>,
    pub(super) stepper: Option<Stepper>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: RoomsConfig) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::simulated(Unix(1_700_000_000_000));
        Self::open(config, dir, clock, EngineConfig::default().queue)
    }

    pub(super) fn with_queue(queue: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::simulated(Unix(1_700_000_000_000));
        Self::open(config(), dir, clock, queue)
    }

    pub(super) fn open(config: RoomsConfig, dir: TempDir, clock: Clock, queue: usize) -> Self {
        let engine = EngineConfig {
            dir: dir.path().to_owned(),
            queue,
            ..EngineConfig::default()
        };
        let metrics = Metrics::new(2);
        let (engine, mut recovered, outcomes, stepper) =
            Engine::open_stepped(&engine, clock.clone(), Arc::clone(&metrics)).unwrap();
        let engine = Arc::new(engine);
        let dispatch = Dispatch::new(2);
        let rooms = Rooms::new(
            config,
            dispatch.clone(),
            Arc::clone(&engine),
            Arc::new(Teller::new(
                &CallbackConfig::default(),
                Arc::clone(&engine),
                Arc::clone(&metrics),
            )),
            clock.clone(),
            Arc::clone(&metrics),
        );
        rooms.recover(&mut recovered, clock.now()).unwrap();
        rooms.accepting(clock.now()).unwrap();
        Self {
            rooms,
            dispatch,
            metrics,
            engine,
            clock,
            dir,
            outcomes: Some(outcomes),
            stepper: Some(stepper),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }
    }

    pub(super) fn run_store(&mut self) -> tokio::task::JoinHandle<()> {
        let stepper = self.stepper.take().unwrap();
        self.tasks.spawn(stepper.run())
    }

    pub(super) fn run(&mut self) {
        self.run_store();
        let outcomes = self.outcomes.take().unwrap();
        let (rooms, clock) = (Arc::clone(&self.rooms), self.clock.clone());
        let driver = driver::run(rooms, outcomes, clock, self.shutdown.clone());
        self.tasks.spawn(driver);
    }

    /// Takes what the store says by hand, where no driver runs.
    pub(super) async fn outcomes(&mut self) {
        let outcomes = self.outcomes.as_mut().unwrap();
        let outcome = outcomes.recv().await.unwrap();
        self.rooms.outcome(outcome, self.clock.now());
    }

    /// Lets what is under way come to its end.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Kills the process as far as the store can tell, with `guards` still in
    /// their rooms, and opens the next one.
    pub(super) async fn restart(self, guards: Entered) -> Self {
        self.engine.close();
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        drop(guards);
        let Self {
            rooms,
            engine,
            clock,
            dir,
            stepper,
            outcomes,
            ..
        } = self;
        drop((rooms, engine, stepper, outcomes));
        Self::open(config(), dir, clock, EngineConfig::default().queue)
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn enter(&self, room: &str, slot: u32, name: &str) -> Entered {
        self.enter_as(room, session(slot), name)
    }

    pub(super) fn enter_as(&self, room: &str, session: SessionId, name: &str) -> Entered {
        let args = EnterArgs {
            session,
            user: user(name),
            profile: Arc::default(),
            role: Role::Viewer,
            may_publish: None,
            origin: Origin::Unknown,
        };
        let room = self.rooms.find_or_open(&key(room), self.now()).unwrap();
        room.enter(args, self.now()).unwrap()
    }

    pub(super) fn start(&self, host: &Entered, slot: u32, start_id: &str) {
        let args = StartLiveArgs {
            asker: asker(slot),
            start_id: start_id.into(),
            grace: None,
        };
        let room = host.membership.room();
        room.start_live(args, self.now()).unwrap();
    }

    pub(super) fn create(&self, room: Option<&str>, owner: &str) -> Result<(), Refusal> {
        let args = CreateArgs {
            asker: asker(1),
            origin: Origin::Unknown,
            operator: owner.into(),
            owner: Some(user(owner)),
            info: Bytes::from("info"),
            profile: ProfileChange::default(),
            kind: String::new(),
        };
        let id = room.map(|id| RoomId::new(id).unwrap());
        self.rooms.create(APP, id, args, self.now())
    }

    pub(super) fn inputs(&self, shard: u16) -> Vec<Input> {
        let mut inputs = Vec::new();
        self.dispatch.inbox(ShardId(shard)).take(&mut inputs);
        inputs
    }

    pub(super) fn replies(&self, shard: u16) -> Vec<Reply> {
        let reply = |input| match input {
            Input::Event(_, SessionEvent::Answered(reply)) => Some(*reply),
            _ => None,
        };
        self.inputs(shard).into_iter().filter_map(reply).collect()
    }
}

pub(super) fn config() -> RoomsConfig {
    RoomsConfig {
        open_hosting: true,
        ..RoomsConfig::default()
    }
}

pub(super) fn say(room: &Room, slot: u32, text: &str, now: Moment) {
    let publish = Publish {
        session: session(slot),
        content: Content::Text(Text { text: text.into() }),
        priority: wire::Priority::Normal,
        message_id: "".into(),
    };
    assert_eq!(room.publish(publish, now).unwrap().drop_reason, "");
}

pub(super) fn live_events(entered: &Entered) -> Vec<String> {
    let room = entered.membership.room();
    let pushes = room.read(|log| {
        let frames = log.after(0).map(|entry| entry.frame.payload());
        let frames: Vec<_> = frames.collect();
        frames
    });
    let text = |frame: Bytes| {
        let frame = ServerFrame::decode(frame).unwrap();
        let Some(push::Body::Live(event)) = frame.pushes.into_iter().next()?.body else {
            return None;
        };
        Some(match event.kind? {
            live_event::Kind::Started(_) => "started".to_owned(),
            live_event::Kind::Away(_) => "away".to_owned(),
            live_event::Kind::Back(_) => "back".to_owned(),
            live_event::Kind::Ended(ended) => {
                let mut reasons = EndReason::ALL.into_iter();
                let reason = reasons.find(|r| r.wire() == ended.reason());
                format!("ended {}", reason.unwrap().as_str())
            }
        })
    };
    pushes.into_iter().filter_map(text).collect()
}

pub(super) fn rings(inputs: &[Input]) -> usize {
    let rings = inputs.iter();
    rings
        .filter(|input| matches!(input, Input::Ring(_)))
        .count()
}

pub(super) fn asker(slot: u32) -> Asker {
    Asker {
        session: session(slot),
        request_id: 9,
    }
}

pub(super) fn key(room: &str) -> RoomKey {
    RoomKey {
        app: APP,
        room: RoomId::new(room).unwrap(),
    }
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(super) fn session(slot: u32) -> SessionId {
    SessionId::new(ShardId(0), slot, 1)
}
