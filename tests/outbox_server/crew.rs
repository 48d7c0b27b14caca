//! People who load a server: a host in each room, who talks and starts and ends
//! lives; a guest who looks into one after another; a backend that says
//! something by the v4 API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use futures_util::future::join_all;
use livegate_client::wire::{LivePhase, SendReply};
use livegate_client::{Code, RequestError, RoomHandle, TransportPreference};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::gateway::{Gateway, ask};
use crate::people::{Login, Person};
use crate::running::{APP, Site};
use crate::script::{Kind, Script, Who, Writer};

/// The rooms, and the host of each.
const ROOMS: [(&str, &str); 4] = [
    ("north", "host-north"),
    ("east", "host-east"),
    ("south", "host-south"),
    ("west", "host-west"),
];

/// Who looks into rooms.
pub(crate) const GUEST: &str = "guest";

/// Things that a host says at once, at most.
const BURST: u64 = 6;

/// One person, in one room or from room to room.
#[derive(Clone)]
struct Actor {
    script: Arc<Script>,
    round: u64,
    /// How long texts are.
    bytes: Range<u64>,
    dice: Dice,
    /// Whether to do anything now.
    busy: watch::Receiver<bool>,
    /// To come to an end.
    stop: CancellationToken,
    /// There is no server any more.
    killed: CancellationToken,
}

/// All of them.
pub(crate) struct Crew {
    /// What each tells last is the event id of the end of its last live.
    hosts: JoinSet<Option<(String, Person)>>,
    visitors: JoinSet<Option<()>>,
    busy: watch::Sender<bool>,
    last_orders: CancellationToken,
    curtain: CancellationToken,
    killed: CancellationToken,
}

impl Crew {
    pub(crate) fn start(
        gateway: &Gateway,
        script: &Arc<Script>,
        round: u64,
        bytes: Range<u64>,
        dice: &Dice,
    ) -> Self {
        let mut crew = Self {
            hosts: JoinSet::new(),
            visitors: JoinSet::new(),
            busy: watch::Sender::new(true),
            last_orders: CancellationToken::new(),
            curtain: CancellationToken::new(),
            killed: CancellationToken::new(),
        };
        let actor = |number: usize, stop: &CancellationToken| Actor {
            script: Arc::clone(script),
            round,
            bytes: bytes.clone(),
            dice: dice.fork(number as u64),
            busy: crew.busy.subscribe(),
            stop: stop.clone(),
            killed: crew.killed.clone(),
        };
        let site = Arc::new(gateway.site.clone());
        for (number, (room, user)) in ROOMS.into_iter().enumerate() {
            let over = match number {
                0 => TransportPreference::Quic,
                _ => TransportPreference::Tls,
            };
            let (actor, login) = (actor(number, &crew.curtain), Login::new(user, over));
            let site = Arc::clone(&site);
            crew.hosts
                .spawn(async move { actor.hosts(&site, login, room).await });
        }
        let guest = actor(ROOMS.len(), &crew.last_orders);
        let backend = actor(ROOMS.len() + 1, &crew.last_orders);
        let internal = gateway.internal;
        crew.visitors
            .spawn(async move { guest.visits(&site).await });
        crew.visitors
            .spawn(async move { backend.pushes(internal).await });
        crew
    }

    /// Whether they do anything, from the next deed on.
    pub(crate) fn is_busy(&self, busy: bool) {
        self.busy.send_replace(busy);
    }

    /// The server was killed: nobody waits for an answer any more.
    pub(crate) async fn killed(self) {
        self.killed.cancel();
        self.hosts.join_all().await;
        self.visitors.join_all().await;
    }

    /// Lets everybody come to an end, the hosts last. The last event of each
    /// room, recorded behind all else that was done there, and the hosts, whose
    /// going would be one more.
    pub(crate) async fn finish(self) -> (BTreeSet<String>, Vec<Person>) {
        self.last_orders.cancel();
        let visitors = self.visitors.join_all().await;
        assert!(visitors.iter().all(Option::is_some), "somebody was lost");
        self.curtain.cancel();
        let last = self.hosts.join_all().await.into_iter();
        last.map(|last| last.expect("a host was lost")).unzip()
    }
}

impl Actor {
    /// `None` when the server is killed first.
    async fn answer<T>(&self, deed: impl Future<Output = T>) -> Option<T> {
        self.killed.run_until_cancelled(deed).await
    }

    /// Waits until there is something to do; false at the end.
    async fn goes_on(&self) -> bool {
        let (stop, killed, mut busy) = (&self.stop, &self.killed, self.busy.clone());
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = killed.cancelled() => false,
            _ = busy.wait_for(|busy| *busy) => true,
        }
    }

    fn who(&self, room: &'static str, writer: Writer) -> Who {
        Who {
            room,
            writer,
            round: self.round,
        }
    }

    async fn hosts(
        mut self,
        site: &Site,
        login: Login,
        room: &'static str,
    ) -> Option<(String, Person)> {
        let roots = site.roots.clone();
        let connected = self.answer(login.try_connect(site, roots)).await?;
        let mut person = connected.ok()?;
        let who = self.who(room, Writer::Host);
        let stage = self.takes_the_stage(&person, who).await?;
        let mut live = open_live(&stage);
        while self.goes_on().await {
            person.rest();
            match (self.dice.within(0..4), live.take()) {
                (0, None) => live = self.starts(&stage, who).await?,
                (0, Some(open)) => live = self.ends(&stage, who, open).await?,
                (_, same) => {
                    live = same;
                    self.talks(&stage, who).await?;
                }
            }
        }
        let last = self.closes(&stage, who, live).await?;
        Some((last, person))
    }

    /// Enters the room, which is made when it is not there.
    async fn takes_the_stage(&self, person: &Person, who: Who) -> Option<RoomHandle> {
        let entered = self.enters(person, who).await?;
        if let Ok(stage) = entered {
            return Some(stage);
        }
        let made = person.client.create_room(who.room, "");
        self.answer(made).await?.ok()?;
        self.enters(person, who).await?.ok()
    }

    async fn enters(&self, person: &Person, who: Who) -> Option<Result<RoomHandle, RequestError>> {
        let deed = self.script.asks(who, Kind::Entered);
        let entered = self.answer(person.client.enter(who.room)).await?;
        self.notes(deed, &entered, 0);
        Some(entered)
    }

    fn notes<T>(&self, deed: usize, answer: &Result<T, RequestError>, seq: u64) {
        match answer {
            Ok(_) => self.script.done(deed, seq),
            Err(RequestError::Refused(_)) => self.script.refused(deed),
            Err(_) => {}
        }
    }

    /// Says several things, without waiting for an answer in between.
    async fn talks(&mut self, stage: &RoomHandle, who: Who) -> Option<()> {
        let count = self.dice.within(1..BURST + 1);
        let texts: Vec<_> = (0..count).map(|_| self.text(who)).collect();
        let here = &*self;
        let said = texts.into_iter().map(|(deed, text)| async move {
            let answer = stage.send_text(text).await;
            let place = answer.as_ref().map_or(0, place);
            here.notes(deed, &answer, place);
        });
        self.answer(join_all(said)).await?;
        Some(())
    }

    /// A text that nobody has said yet, noted as asked for.
    fn text(&mut self, who: Who) -> (usize, String) {
        let deed = self.script.asks(who, Kind::Said);
        let bytes = self.dice.within(self.bytes.clone()) as usize;
        let text = format!("{deed} {}", "x".repeat(bytes));
        self.script.names(deed, text.clone());
        (deed, text)
    }

    /// The id of the live, if it was started.
    async fn starts(&self, stage: &RoomHandle, who: Who) -> Option<Option<String>> {
        let deed = self.script.asks(who, Kind::Started);
        let start = stage.start_live(format!("start {deed}"), None);
        let answer = self.answer(start).await?;
        let live = answer.as_ref().ok().map(|started| started.live_id.clone());
        if let Some(live) = &live {
            self.script.names(deed, format!("{live}:started"));
        }
        self.notes(deed, &answer, 0);
        Some(live)
    }

    /// The id of the live, if it was not ended.
    async fn ends(&self, stage: &RoomHandle, who: Who, live: String) -> Option<Option<String>> {
        let deed = self.script.asks(who, Kind::Ended);
        self.script.names(deed, format!("{live}:ended"));
        let answer = self.answer(stage.end_live(&live)).await?;
        self.notes(deed, &answer, 0);
        Some(answer.is_err().then_some(live))
    }

    /// Ends what is open, and has one more live behind all that was done.
    async fn closes(
        &self,
        stage: &RoomHandle,
        who: Who,
        mut live: Option<String>,
    ) -> Option<String> {
        while let Some(open) = live {
            live = self.ends(stage, who, open).await?;
        }
        let last = loop {
            if let Some(live) = self.starts(stage, who).await? {
                break live;
            }
        };
        let mut open = Some(last.clone());
        while let Some(live) = open {
            open = self.ends(stage, who, live).await?;
        }
        Some(format!("{last}:ended"))
    }

    async fn visits(mut self, site: &Site) -> Option<()> {
        let login = Login::new(GUEST, TransportPreference::Tls);
        let roots = site.roots.clone();
        let connected = self.answer(login.try_connect(site, roots)).await?;
        let mut person = connected.ok()?;
        for (room, _) in ROOMS.into_iter().cycle() {
            if !self.goes_on().await {
                break;
            }
            person.rest();
            let who = self.who(room, Writer::Guest);
            let seat = match self.enters(&person, who).await? {
                Ok(seat) => seat,
                // The host has not made it yet.
                Err(error) if error.code() == Some(Code::NO_ROOM) => continue,
                Err(_) => return None,
            };
            let (deed, text) = self.text(who);
            let answer = self.answer(seat.send_text(text)).await?;
            self.notes(deed, &answer, answer.as_ref().map_or(0, place));
            let deed = self.script.asks(who, Kind::Left);
            let answer = self.answer(seat.leave()).await?;
            self.notes(deed, &answer, 0);
        }
        Some(())
    }

    async fn pushes(mut self, internal: SocketAddr) -> Option<()> {
        let sig = Login::new("administrator", TransportPreference::Tls).sig();
        let what = format!(
            "POST /v4/group_open_http_svc/send_group_msg?sdkappid={APP}\
             &identifier=administrator&usersig={sig}&random=7&contenttype=json"
        );
        for (room, _) in ROOMS.into_iter().cycle() {
            if !self.goes_on().await {
                break;
            }
            let (deed, text) = self.text(self.who(room, Writer::Api));
            let said = json!({"MsgType": "TIMTextElem", "MsgContent": {"Text": text}});
            let body = json!({"GroupId": room, "Random": deed, "MsgBody": [said]}).to_string();
            let answer = ask(internal, &what, &body);
            let answer = self.answer(answer).await?.ok()?;
            let answer: Value = serde_json::from_str(&answer).unwrap();
            match answer["MsgSeq"].as_u64() {
                Some(seq) => self.script.done(deed, seq),
                None => self.script.refused(deed),
            }
        }
        Some(())
    }
}

/// The live that the room had when it was entered.
fn open_live(stage: &RoomHandle) -> Option<String> {
    let room = stage.entered()?.room.as_ref()?;
    let live = room.summary.as_ref()?.live.as_ref()?;
    let is_open = matches!(live.phase(), LivePhase::Live | LivePhase::Away);
    is_open.then(|| live.live_id.clone())
}

/// The place that a message got.
fn place(reply: &SendReply) -> u64 {
    assert_eq!(reply.drop_reason, "", "the limits are too low for the test");
    reply.seq
}
