//! The main job from end to end, the same over TLS and over QUIC: a room, what
//! is said in it, the backend's calls, the host lost and back, the host lost
//! and the one end, told to everybody and to the backend.

use std::time::Duration;

use livegate_client::wire::{
    AwayCause, EndReason, LivePhase, Priority, Role, Text, UserMessage, room_message, user_message,
};
use livegate_client::{
    Code, Disconnect, Event, Outgoing, RequestError, RoomEventKind, RoomHandle, TransportPreference,
};
use livegate_proto::CloseCode;
use livegate_proto::backend::{
    EndLiveRequest, GetRoomRequest, KickUserRequest, ListLivesRequest, PushToRoomRequest,
    PushToUserRequest, push_to_room_request, push_to_user_request,
};
use tempfile::TempDir;

use crate::hook::Hook;
use crate::people::{Login, Person};
use crate::running::{APP, Backend, Running, Setup};

/// Silence is noticed within two seconds, so that a host that is killed behind
/// QUIC (nothing tells) keeps nobody waiting.
const IMPATIENT: &str = "[session.heartbeat]\nhost_interval = \"500ms\"\nhost_allowance = \"2s\"\n\
    [rooms]\ncreate_on_enter = false";

/// How long the lives here wait for their host.
const GRACE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_live_over_tls() {
    live(TransportPreference::Tls).await;
}

#[tokio::test]
async fn a_live_over_quic() {
    live(TransportPreference::Quic).await;
}

async fn live(over: TransportPreference) {
    let dir = TempDir::new().unwrap();
    let mut hook = Hook::serve().await;
    let setup = Setup {
        sections: IMPATIENT,
        hook: Some(hook.address),
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let mut play = Play::open(running, over).await;
    play.starts(&mut hook).await;
    play.talks().await;
    play.refuses().await;
    play.is_listed().await;
    play.hears_the_backend().await;
    play.loses_the_host_and_has_it_back().await;
    play.loses_the_host_for_good(&mut hook).await;
    play.ends_by_the_backend(&mut hook).await;
    play.kicks_and_closes().await;
    assert!(hook.is_quiet(), "told of more than two lives");
    play.running.stop();
    play.running.stopped().await;
}

/// A host and two viewers in a room, and their backend.
struct Play {
    running: Running,
    backend: Backend,
    over: TransportPreference,
    host: Person,
    anna: Person,
    bert: Person,
    /// The host's, Anna's and Bert's way into the room.
    stage: RoomHandle,
    seat: RoomHandle,
    bench: RoomHandle,
    live_id: String,
}

impl Play {
    /// The room gets its id from the gateway; the viewers see it and each other.
    async fn open(running: Running, over: TransportPreference) -> Self {
        let backend = running.backend().await;
        let host = Login::new("host", over).connect(&running).await;
        let anna = Login::new("anna", over).connect(&running).await;
        let bert = Login::new("bert", over).connect(&running).await;
        let room = host.client.create_room("", "a shop").await.unwrap();
        assert!(!room.is_empty());
        let stage = host.client.enter(&room).await.unwrap();
        let seat = anna.client.enter(&room).await.unwrap();
        let bench = bert.client.enter(&room).await.unwrap();
        let snapshot = bench.entered().unwrap().room.clone().unwrap();
        assert!(snapshot.exact_presence);
        assert_eq!(snapshot.summary.unwrap().room_info, "a shop");
        let mut here: Vec<String> = snapshot
            .members
            .into_iter()
            .filter_map(|member| Some(member.user?.user_id))
            .collect();
        here.sort();
        assert_eq!(here, ["anna", "bert", "host"]);
        let mut play = Self {
            running,
            backend,
            over,
            host,
            anna,
            bert,
            stage,
            seat,
            bench,
            live_id: String::new(),
        };
        play.sees("bert").await;
        play
    }

    /// The host is told by name who came.
    async fn sees(&mut self, user: &str) {
        self.host
            .room(|kind| match kind {
                RoomEventKind::Presence(presence) => presence
                    .changes
                    .iter()
                    .any(|change| {
                        let name = change.user.as_ref().map(|user| user.user_id.as_str());
                        change.entered && name == Some(user)
                    })
                    .then_some(()),
                _ => None,
            })
            .await;
    }

    /// Starting twice with one id is one live; the backend hears of it.
    async fn starts(&mut self, hook: &mut Hook) {
        let started = self.stage.start_live("take 1", Some(GRACE)).await.unwrap();
        let again = self.stage.start_live("take 1", Some(GRACE)).await.unwrap();
        assert_eq!(started.live_id, again.live_id);
        self.live_id = started.live_id;
        for viewer in [&mut self.anna, &mut self.bert] {
            let (live_id, host) = viewer
                .room(|kind| match kind {
                    RoomEventKind::LiveStarted { live_id, started } => {
                        Some((live_id.clone(), started.host.clone()))
                    }
                    _ => None,
                })
                .await;
            assert_eq!(live_id, self.live_id);
            assert_eq!(host.unwrap().user_id, "host");
        }
        let told = hook.told().await;
        assert_eq!(told.event_id, format!("{}:started", self.live_id));
        assert_eq!(told.body["room_id"], self.stage.id());
        assert_eq!(told.body["host"], "host");
    }

    /// What is said reaches all in one order; a retry is one message; likes are
    /// totals; a message to one user reaches that user.
    async fn talks(&mut self) {
        self.stage.send_text("welcome").await.unwrap();
        self.seat.send_text("hello").await.unwrap();
        self.seat.send_custom("wave", "\u{1f44b}").await.unwrap();
        let once = || {
            Outgoing::text("once")
                .message_id("m1")
                .priority(Priority::High)
        };
        let first = self.bench.send(once()).await.unwrap();
        let second = self.bench.send(once()).await.unwrap();
        assert_eq!(first.seq, second.seq);
        self.seat.send_gift("rose", 3).await.unwrap();
        self.bench.like(7).await.unwrap();
        let mut seqs = Vec::new();
        for person in [&mut self.host, &mut self.anna, &mut self.bert] {
            let mut heard = Vec::new();
            for _ in 0..5 {
                heard.push(person.message().await);
            }
            let said: Vec<String> = heard.iter().map(|(_, message)| said(message)).collect();
            assert_eq!(
                said,
                [
                    "host welcome",
                    "anna hello",
                    "anna wave",
                    "bert once",
                    "anna 3 rose"
                ]
            );
            let nick = heard[1]
                .1
                .from
                .as_ref()
                .and_then(|user| user.profile.clone());
            assert_eq!(nick.unwrap().nick, "ANNA");
            assert_eq!(heard[0].1.role(), Role::Host);
            seqs.push(heard.iter().map(|(seq, _)| *seq).collect::<Vec<_>>());
            let likes = person
                .room(|kind| match kind {
                    RoomEventKind::Totals(totals) => Some(totals.likes),
                    _ => None,
                })
                .await;
            assert_eq!(likes, 7);
        }
        assert!(seqs[0].is_sorted());
        assert!(seqs.iter().all(|others| *others == seqs[0]));
        let whisper = Outgoing::text("psst");
        self.seat_client()
            .send_to_user("bert", whisper)
            .await
            .unwrap();
        assert_eq!(direct(&mut self.bert).await, ("anna".into(), "psst".into()));
        let history = self.bench.history(0, 100).await.unwrap();
        assert_eq!(history.head_seq, *seqs[0].last().unwrap());
    }

    fn seat_client(&self) -> &livegate_client::Client {
        &self.anna.client
    }

    /// What a stranger to the rules is answered; nobody else notices.
    async fn refuses(&mut self) {
        let refused = self.seat.start_live("mine", None).await;
        assert_eq!(code(refused), Code::NO_PERMISSION);
        let refused = self.seat.end_live("").await;
        assert_eq!(code(refused), Code::NO_PERMISSION);
        let refused = self.seat.clone().destroy().await;
        assert_eq!(code(refused), Code::NO_PERMISSION);
        let elsewhere = self.anna.client.room("nowhere");
        assert_eq!(code(elsewhere.info().await), Code::NO_ROOM);
        assert_eq!(code(elsewhere.send_text("x").await), Code::NO_ROOM);
        assert_eq!(code(self.anna.client.enter("nowhere").await), Code::NO_ROOM);
        let long = "x".repeat(12_289);
        assert_eq!(code(self.seat.send_text(long).await), Code::TOO_LONG);
        let bad = self.anna.client.enter("not\na\nroom").await;
        assert_eq!(code(bad), Code::BAD_ROOM_ID);
        let nobody = self.anna.client.send_to_user("nobody", Outgoing::text("x"));
        assert_eq!(code(nobody.await), Code::NO_USER);
        let mut second = Login::new("administrator", self.over);
        second.lifetime = Duration::from_secs(60);
        let second = second.connect(&self.running).await;
        let way = second.client.enter(self.stage.id()).await.unwrap();
        let refused = way.start_live("second", None).await;
        assert_eq!(code(refused), Code::LIVE_EXISTS);
        second.client.clone().close().await;
    }

    /// Lists and members.
    async fn is_listed(&mut self) {
        self.anna.client.create_room("empty", "").await.unwrap();
        let unentered = self.anna.client.room("empty").send_text("x").await;
        assert_eq!(code(unentered), Code::NOT_IN_ROOM);
        let rooms = self.bert.client.list_rooms(10, "").await.unwrap().rooms;
        assert_eq!(rooms[0].room_id, self.stage.id());
        assert_eq!(rooms[0].live.as_ref().unwrap().phase(), LivePhase::Live);
        let info = self.bench.info().await.unwrap();
        assert_eq!(info.owner_id, "host");
        let members = self.bench.members(10, "").await.unwrap().members;
        let hosts = members.iter().filter(|member| member.role() == Role::Host);
        assert_eq!(hosts.count(), 1);
    }

    /// The backend says something to the room and to one user, and looks.
    async fn hears_the_backend(&mut self) {
        let text = |text: &str| Text { text: text.into() };
        let push = PushToRoomRequest {
            sdk_app_id: APP,
            room_id: self.stage.id().into(),
            content: Some(push_to_room_request::Content::Text(text("sold out"))),
            ..Default::default()
        };
        let pushed = self.backend.push_to_room(push).await.unwrap().into_inner();
        assert_eq!((pushed.sessions_offered, pushed.sessions_away), (3, 0));
        for person in [&mut self.host, &mut self.anna, &mut self.bert] {
            let heard = person.text().await;
            assert_eq!(heard, ("administrator".into(), "sold out".into()));
        }
        let push = PushToUserRequest {
            sdk_app_id: APP,
            user_id: "anna".into(),
            content: Some(push_to_user_request::Content::Text(text("you won"))),
            ..Default::default()
        };
        let pushed = self.backend.push_to_user(push).await.unwrap().into_inner();
        assert_eq!(pushed.sessions_offered, 1);
        let heard = direct(&mut self.anna).await;
        assert_eq!(heard, ("administrator".into(), "you won".into()));
        let room = self.room().await;
        assert_eq!(room.sessions, 3);
        assert_eq!(room.totals.unwrap().likes, 7);
        let lives = ListLivesRequest {
            sdk_app_id: APP,
            ..Default::default()
        };
        let lives = self
            .backend
            .list_lives(lives)
            .await
            .unwrap()
            .into_inner()
            .lives;
        assert_eq!(lives.len(), 1);
        assert_eq!(lives[0].state.as_ref().unwrap().live_id, self.live_id);
    }

    async fn room(&mut self) -> livegate_proto::backend::GetRoomResponse {
        let room = GetRoomRequest {
            sdk_app_id: APP,
            room_id: self.stage.id().into(),
        };
        self.backend.get_room(room).await.unwrap().into_inner()
    }

    /// The host's process is killed; the viewers see it, and see it come back.
    async fn loses_the_host_and_has_it_back(&mut self) {
        self.kill_the_host().await;
        let room = self.room().await;
        assert_eq!(room.room.unwrap().live.unwrap().phase(), LivePhase::Away);
        self.host = Login::new("host", self.over).connect(&self.running).await;
        self.stage = self.host.client.enter(self.stage.id()).await.unwrap();
        assert_eq!(self.stage.entered().unwrap().role(), Role::Host);
        for viewer in [&mut self.anna, &mut self.bert] {
            let live_id = viewer
                .room(|kind| match kind {
                    RoomEventKind::HostBack { live_id, .. } => Some(live_id.clone()),
                    RoomEventKind::LiveEnded { .. } => panic!("ended, though in time"),
                    _ => None,
                })
                .await;
            assert_eq!(live_id, self.live_id);
        }
    }

    async fn kill_the_host(&mut self) {
        let stranger = Login::new("stand-in", self.over)
            .connect(&self.running)
            .await;
        std::mem::replace(&mut self.host, stranger).kill();
        // A killed process closes its TCP sockets; of QUIC only silence tells.
        let cause = match self.over {
            TransportPreference::Quic => AwayCause::HeartbeatTimeout,
            _ => AwayCause::ConnectionClosed,
        };
        for viewer in [&mut self.anna, &mut self.bert] {
            let away = viewer
                .room(|kind| match kind {
                    RoomEventKind::HostAway { live_id, away } => {
                        Some((live_id.clone(), away.cause()))
                    }
                    _ => None,
                })
                .await;
            assert_eq!(away, (self.live_id.clone(), cause));
        }
    }

    /// Killed again, the host does not come back: one end, with its figures.
    async fn loses_the_host_for_good(&mut self, hook: &mut Hook) {
        self.kill_the_host().await;
        for viewer in [&mut self.anna, &mut self.bert] {
            let (live_id, ended) = ended(viewer).await;
            assert_eq!(live_id, self.live_id);
            assert_eq!(ended.reason(), EndReason::HostCrashed);
            let stats = ended.stats.unwrap();
            // The administrator looked in, too.
            assert_eq!((stats.peak_viewers, stats.total_viewers), (3, 3));
            assert_eq!((stats.likes, stats.gifts), (7, 3));
            assert!(stats.duration_ms > 0);
            assert!(!stats.approximate);
        }
        let told = hook.told().await;
        assert_eq!(told.event_id, format!("{}:ended", self.live_id));
        assert_eq!(told.body["reason"], "host_crashed");
        assert_eq!(told.body["stats"]["likes"], 7);
    }

    /// Another live, which the backend ends.
    async fn ends_by_the_backend(&mut self, hook: &mut Hook) {
        self.host = Login::new("host", self.over).connect(&self.running).await;
        self.stage = self.host.client.enter(self.stage.id()).await.unwrap();
        let next = self.stage.start_live("take 2", Some(GRACE)).await.unwrap();
        assert_ne!(next.live_id, self.live_id);
        let told = hook.told().await;
        assert_eq!(told.event_id, format!("{}:started", next.live_id));
        let end = EndLiveRequest {
            sdk_app_id: APP,
            room_id: self.stage.id().into(),
            live_id: next.live_id.clone(),
        };
        let answer = self.backend.end_live(end).await.unwrap().into_inner();
        assert_eq!(answer.live_id, next.live_id);
        for person in [&mut self.host, &mut self.anna] {
            let (live_id, ended) = ended(person).await;
            assert_eq!(live_id, next.live_id, "an end was told twice");
            assert_eq!(ended.reason(), EndReason::BackendEnded);
        }
        let told = hook.told().await;
        assert_eq!(told.event_id, format!("{}:ended", next.live_id));
    }

    /// One is kicked from the room, one off the gateway; the room is destroyed.
    async fn kicks_and_closes(&mut self) {
        let kick = |user: &str, room: &str| KickUserRequest {
            sdk_app_id: APP,
            user_id: user.into(),
            room_id: room.into(),
            reason: "rude".into(),
        };
        let room = self.stage.id().to_owned();
        self.backend.kick_user(kick("anna", &room)).await.unwrap();
        let reason = self
            .anna
            .room(|kind| match kind {
                RoomEventKind::Kicked(kicked) => Some(kicked.reason.clone()),
                _ => None,
            })
            .await;
        assert_eq!(reason, "rude");
        self.backend.kick_user(kick("bert", "")).await.unwrap();
        let cause = self
            .bert
            .until(|event| match event {
                Event::Disconnected(gone) => {
                    assert_eq!(gone.retry_in, None);
                    Some(gone.cause.clone())
                }
                _ => None,
            })
            .await;
        let Disconnect::Closed { code, .. } = cause else {
            panic!("{cause}");
        };
        assert_eq!(code, i32::from(CloseCode::Kicked));
        self.stage.clone().destroy().await.unwrap();
        let gone = self.anna.client.room(room.as_str()).info().await;
        assert_eq!(self::code(gone), Code::NO_ROOM);
    }
}

/// The next end of a live.
async fn ended(person: &mut Person) -> (String, livegate_client::wire::LiveEnded) {
    person
        .room(|kind| match kind {
            RoomEventKind::LiveEnded { live_id, ended } => Some((live_id.clone(), *ended)),
            _ => None,
        })
        .await
}

/// The next message to this user alone.
async fn direct(person: &mut Person) -> (String, String) {
    let message: UserMessage = person
        .until(|event| match event {
            Event::Direct(direct) => Some(direct.message.clone()),
            _ => None,
        })
        .await;
    let Some(user_message::Content::Text(text)) = message.content else {
        panic!("no text");
    };
    (message.from.unwrap().user_id, text.text)
}

fn said(message: &livegate_client::wire::RoomMessage) -> String {
    let from = message.from.as_ref().unwrap().user_id.as_str();
    match message.content.as_ref().unwrap() {
        room_message::Content::Text(text) => format!("{from} {}", text.text),
        room_message::Content::Custom(custom) => format!("{from} {}", custom.r#type),
        room_message::Content::Elements(said) => format!("{from} {}", said.elements.len()),
        room_message::Content::Gift(gift) => format!("{from} {} {}", gift.count, gift.gift_id),
    }
}

/// The code of what must be a refusal.
#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, RequestError>) -> Code {
    let refused = answer.expect_err("was not refused");
    refused.code().unwrap_or_else(|| panic!("{refused}"))
}
