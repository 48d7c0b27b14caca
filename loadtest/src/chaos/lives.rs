//! Hosts that go on air, come and go, under a gateway that is being killed.
//!
//! Each live gets a room of its own and a watcher. A steadfast host always
//! comes back and ends its live only when the run does; a fickle one does what
//! the dice say: goes on, ends, blinks, or leaves for good.

use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, LivePhase, live_event, push, reply, send_request};
use livegate_proto::code::Code;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::caller::{Caller, Ground};
use super::deeds::Deeds;
use crate::client::Failed;
use crate::dice::Dice;

/// How long rooms of this part wait for a lost host.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// From a lost connection to the next try.
const RETRY: Duration = Duration::from_millis(20);

/// What hosts do now. Stages only go forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scene {
    /// They come and go while the gateway is killed.
    Storm,
    /// Fickle ones leave, steadfast ones stay.
    Calm,
    /// Everybody ends.
    End,
}

/// A live that somebody should watch.
#[derive(Debug, Clone)]
pub(crate) struct Aired {
    /// Where.
    pub(crate) room: String,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// Where it plays.
    pub(crate) ground: Arc<Ground>,
    /// What it was promised.
    pub(crate) deeds: Arc<Mutex<Deeds>>,
    /// Who it is.
    pub(crate) user: String,
    /// Over QUIC instead of TLS.
    pub(crate) quic: bool,
    /// Whether it always comes back.
    pub(crate) steadfast: bool,
    /// Its moods.
    pub(crate) dice: Dice,
    /// What the others do.
    pub(crate) scene: watch::Receiver<Scene>,
    /// Where it tells that it is on air.
    pub(crate) aired: mpsc::Sender<Aired>,
}

/// A live as its host holds it.
#[derive(Debug)]
struct Live {
    room: String,
    start_id: String,
    live: String,
}

/// Why a host no longer holds its connection.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// The time was over.
    On,
    /// The connection was lost.
    Lost,
    /// The live is over.
    Over,
}

impl Host {
    /// Broadcasts live after live until the end.
    pub(crate) async fn play(mut self) {
        for number in 0.. {
            let limit = if self.steadfast {
                Scene::End
            } else {
                Scene::Calm
            };
            if *self.scene.borrow() >= limit {
                return;
            }
            let room = format!("{}-{number}", self.user);
            let start_id = format!("{room}-start");
            if let Some((live, caller)) = self.begin(room, start_id).await {
                self.hold(&live, caller).await;
            }
        }
    }

    /// Starts a live, through as many kills as it takes.
    async fn begin(&mut self, room: String, start_id: String) -> Option<(Live, Caller)> {
        loop {
            match self.start(&room, &start_id).await {
                Ok(Some((live, caller))) => {
                    // A full list means that the room is not watched, no more.
                    let _ = self.aired.try_send(Aired { room: room.clone() });
                    let live = Live {
                        room,
                        start_id,
                        live,
                    };
                    return Some((live, caller));
                }
                Ok(None) => return None,
                Err(_) if *self.scene.borrow() == Scene::End => return None,
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// Enters and asks for the start; `None`: the live of this start is over.
    async fn start(&self, room: &str, start_id: &str) -> Result<Option<(String, Caller)>, Failed> {
        let mut caller = Caller::log_in(&self.ground, &self.user, self.quic).await?;
        let create = Body::CreateRoom(wire::CreateRoomRequest {
            room_id: room.to_owned(),
            room_info: Vec::new().into(),
        });
        let created = Code(caller.ask(create, |_| {}).await?.code);
        if created != Code::OK && created != Code::ROOM_ALREADY_OWNED {
            return Err(format!("create: {}", created.0));
        }
        caller.enter(room).await?;
        let start = Body::StartLive(wire::StartLiveRequest {
            room_id: room.to_owned(),
            start_id: start_id.to_owned(),
            grace_ms: Some(u32::try_from(GRACE.as_millis()).expect("a second fits")),
        });
        let reply = caller.ask(start, |_| {}).await?;
        match (Code(reply.code), reply.body) {
            (Code::OK, Some(reply::Body::StartLive(started))) => {
                self.deeds.lock().started(start_id, &started.live_id);
                Ok(Some((started.live_id, caller)))
            }
            (Code::LIVE_ENDED, _) => Ok(None),
            (code, _) => Err(format!("start: {} ({})", reply.message, code.0)),
        }
    }

    /// Keeps the live until it is over or left for good.
    async fn hold(&mut self, live: &Live, caller: Caller) {
        let mut caller = Some(caller);
        loop {
            let Some(mut here) = caller.take() else {
                match self.come_back(live).await {
                    Some(back) => caller = Some(back),
                    None => return,
                }
                continue;
            };
            let scene = *self.scene.borrow();
            let for_long = Duration::from_millis(self.dice.within(50..1_500));
            match self.stay(live, &mut here, for_long).await {
                Held::Over => return,
                Held::Lost if self.steadfast || self.dice.chance(75) => {}
                Held::Lost => return,
                Held::On if scene == Scene::End || !self.steadfast && scene == Scene::Calm => {
                    match self.end(live, &mut here).await {
                        Ok(()) => return,
                        Err(_) => continue,
                    }
                }
                Held::On if self.steadfast => caller = Some(here),
                Held::On => match self.dice.within(0..10) {
                    0..5 => caller = Some(here),
                    5..7 => {
                        if self.end(live, &mut here).await.is_ok() {
                            return;
                        }
                    }
                    7..9 => {
                        drop(here);
                        sleep(Duration::from_millis(self.dice.within(50..600))).await;
                    }
                    _ => return,
                },
            }
        }
    }

    /// Comes back to its live; `None`: it is over.
    async fn come_back(&mut self, live: &Live) -> Option<Caller> {
        loop {
            match self.start(&live.room, &live.start_id).await {
                Ok(Some((again, caller))) => {
                    let mut deeds = self.deeds.lock();
                    deeds.returns += 1;
                    if again != live.live {
                        let what = format!("{}: came back to {again}", live.live);
                        deeds.violation(what);
                    }
                    return Some(caller);
                }
                Ok(None) => return None,
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// Talks and listens for a while.
    async fn stay(&self, live: &Live, caller: &mut Caller, for_long: Duration) -> Held {
        let until = Instant::now() + for_long;
        if caller.ask(text(&live.room), |_| {}).await.is_err() {
            return Held::Lost;
        }
        loop {
            let pushes = match timeout_at(until, caller.next()).await {
                Err(_) => return Held::On,
                Ok(Err(_)) => return Held::Lost,
                Ok(Ok(pushes)) => pushes,
            };
            if let Some(reason) = pushes.iter().find_map(|push| ended(push, &live.live)) {
                self.deeds.lock().ended_under_host(&live.live, reason);
                return Held::Over;
            }
        }
    }

    async fn end(&self, live: &Live, caller: &mut Caller) -> Result<(), Failed> {
        self.deeds.lock().asks_end(&live.live);
        let end = Body::EndLive(wire::EndLiveRequest {
            room_id: live.room.clone(),
            live_id: live.live.clone(),
        });
        let reply = caller.ask(end, |_| {}).await?;
        match Code(reply.code) {
            Code::OK | Code::LIVE_ENDED => {
                self.deeds.lock().ended(&live.live);
                Ok(())
            }
            code => Err(format!("end: {} ({})", reply.message, code.0)),
        }
    }
}

fn text(room: &str) -> Body {
    Body::Send(wire::SendRequest {
        target: Some(send_request::Target::RoomId(room.to_owned())),
        content: Some(send_request::Content::Text(wire::Text {
            text: "still here".to_owned(),
        })),
        ..wire::SendRequest::default()
    })
}

/// The reason, when `push` tells the end of `live`.
fn ended(push: &wire::Push, live: &str) -> Option<wire::EndReason> {
    let Some(push::Body::Live(event)) = &push.body else {
        return None;
    };
    match &event.kind {
        Some(live_event::Kind::Ended(ended)) if event.live_id == live => Some(ended.reason()),
        _ => None,
    }
}

/// Whether a phase found on entering says that the live is over.
pub(crate) fn is_over(phase: LivePhase) -> bool {
    phase == LivePhase::Ended
}
