//! A logged-in connection at work: the app's requests out, replies matched,
//! pushes through the rooms to the app, signatures renewed.
//!
//! One loop, one owner; it ends with the reason why the connection ended, and
//! whoever waits for a reply then is told.

use std::time::Duration;

use livegate_proto::client::{
    EnterRoomReply, EnterRoomRequest, HistoryRequest, LeaveRoomRequest, Push, RenewSigRequest,
    Reply, ServerFrame, SigExpiring, client_frame, push, reply,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::config::{BoxError, BoxFuture, SigProvider};
use crate::connection::Connection;
use crate::error::{Disconnect, Refusal, RequestError};
use crate::event::{DirectMessage, Event};
use crate::queue;
use crate::requests::Requests;
use crate::rooms::Rooms;
use crate::supervisor::Shared;
use crate::tracker::Fetch;

/// How long after a failed renewal it is tried again.
const RENEW_PAUSE: Duration = Duration::from_secs(30);

/// A sleep that nothing waits for.
const FAR: Duration = Duration::from_secs(86_400);

pub(crate) type Answer<T> = oneshot::Sender<Result<T, RequestError>>;

/// What the app asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Request(Box<client_frame::Body>, Answer<Reply>),
    Enter(EnterRoomRequest, Answer<EnterRoomReply>),
    Leave(String, Answer<Reply>),
    Renew,
    Close,
}

impl Command {
    /// Tells the one who asked that there is no connection.
    pub(crate) fn refuse(self) {
        let error = RequestError::NotConnected;
        match self {
            Self::Request(_, answer) | Self::Leave(_, answer) => drop(answer.send(Err(error))),
            Self::Enter(_, answer) => drop(answer.send(Err(error))),
            Self::Renew | Self::Close => {}
        }
    }
}

/// Who waits for a reply.
#[derive(Debug)]
enum Waiter {
    App(Answer<Reply>),
    Enter(EnterRoomRequest, Option<Answer<EnterRoomReply>>),
    History(String),
    Renew,
}

/// A logged-in connection and what it works for.
pub(crate) struct Online<'a> {
    connection: Connection,
    shared: &'a Shared,
    events: &'a queue::Sender,
    sig: &'a SigProvider,
    rooms: &'a mut Rooms,
    requests: Requests<Waiter>,
    renewal: Option<BoxFuture<Result<String, BoxError>>>,
    renew_at: Option<Instant>,
    reenter_at: Option<Instant>,
}

impl<'a> Online<'a> {
    pub(crate) fn new(
        connection: Connection,
        shared: &'a Shared,
        events: &'a queue::Sender,
        sig: &'a SigProvider,
        rooms: &'a mut Rooms,
    ) -> Self {
        let limits = &shared.limits;
        Self {
            connection,
            shared,
            events,
            sig,
            rooms,
            requests: Requests::new(limits.requests, limits.request_timeout),
            renewal: None,
            renew_at: None,
            reenter_at: None,
        }
    }

    /// Works until the connection ends.
    pub(crate) async fn run(mut self, commands: &mut mpsc::Receiver<Command>) -> Disconnect {
        self.enter_wanted();
        let ended = self.work(commands).await;
        for waiter in self.requests.drain() {
            match waiter {
                Waiter::App(answer) => drop(answer.send(Err(RequestError::Lost))),
                Waiter::Enter(_, Some(answer)) => drop(answer.send(Err(RequestError::Lost))),
                Waiter::Enter(_, None) | Waiter::History(_) | Waiter::Renew => {}
            }
        }
        self.rooms.lost();
        if ended == Disconnect::ByApp {
            self.connection.close().await;
        }
        ended
    }

    async fn work(&mut self, commands: &mut mpsc::Receiver<Command>) -> Disconnect {
        loop {
            let full = self.events.is_full();
            let timer = self.due();
            tokio::select! {
                biased;
                // 1. what the app asks for: bounded by the requests in flight
                command = commands.recv() => match command {
                    None | Some(Command::Close) => return Disconnect::ByApp,
                    Some(command) => self.command(command),
                },
                // 2. the connection, unless the app does not keep up
                frame = self.connection.next_unless(full) => match frame {
                    Ok(frame) => self.frame(frame),
                    Err(ended) => return ended,
                },
                () = self.events.has_room(), if full => {}
                // 3. a signature that was asked for
                given = given(&mut self.renewal) => self.renew_with(given),
                // 4. what waited long enough
                () = sleep_until(timer) => self.on_timer(Instant::now()),
            }
        }
    }

    fn due(&self) -> Instant {
        [self.requests.due(), self.renew_at, self.reenter_at]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| Instant::now() + FAR)
    }

    fn on_timer(&mut self, now: Instant) {
        while let Some(waiter) = self.requests.expired(now) {
            self.answer(waiter, Err(RequestError::Timeout));
        }
        if self.renew_at.take_if(|at| *at <= now).is_some() {
            self.ask_for_signature();
        }
        if self.reenter_at.take_if(|at| *at <= now).is_some() {
            self.enter_wanted();
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Request(body, answer) => self.send(*body, Waiter::App(answer)),
            Command::Enter(request, answer) => self.enter(request, Some(answer)),
            Command::Leave(room_id, answer) => {
                self.rooms.forget(&room_id);
                let body = client_frame::Body::LeaveRoom(LeaveRoomRequest { room_id });
                self.send(body, Waiter::App(answer));
            }
            Command::Renew => self.ask_for_signature(),
            Command::Close => {}
        }
    }

    fn enter_wanted(&mut self) {
        for request in self.rooms.to_enter() {
            self.enter(request, None);
        }
    }

    fn enter(&mut self, request: EnterRoomRequest, answer: Option<Answer<EnterRoomReply>>) {
        let body = client_frame::Body::EnterRoom(request.clone());
        self.send(body, Waiter::Enter(request, answer));
    }

    /// Sends a request, or answers at once that it cannot be sent.
    fn send(&mut self, body: client_frame::Body, waiter: Waiter) {
        if !self.requests.has_room() {
            self.answer(waiter, Err(RequestError::TooMany));
            return;
        }
        match self.connection.send(body) {
            Ok(id) => self.requests.insert(id, waiter, Instant::now()),
            Err(_) => self.answer(waiter, Err(RequestError::Backlogged)),
        }
    }

    fn frame(&mut self, frame: ServerFrame) {
        if let Some(reply) = frame.reply
            && let Some(waiter) = self.requests.take(reply.request_id)
        {
            let refusal = Refusal::of(&reply).map(RequestError::Refused);
            self.answer(waiter, refusal.map_or(Ok(reply), Err));
        }
        for push in frame.pushes {
            self.push(push);
        }
        if let Some(rtt) = self.connection.rtt() {
            self.shared.set_rtt(rtt);
        }
    }

    fn answer(&mut self, waiter: Waiter, result: Result<Reply, RequestError>) {
        match waiter {
            Waiter::App(answer) => drop(answer.send(result)),
            Waiter::Enter(request, answer) => self.entered(request, answer, result),
            Waiter::History(room_id) => self.history(&room_id, result),
            Waiter::Renew => self.renewed(result),
        }
    }

    fn entered(
        &mut self,
        request: EnterRoomRequest,
        answer: Option<Answer<EnterRoomReply>>,
        result: Result<Reply, RequestError>,
    ) {
        let entered = result.and_then(|reply| match reply.body {
            Some(reply::Body::EnterRoom(entered)) => Ok(entered),
            _ => Err(RequestError::WrongReply),
        });
        let mut out = Vec::new();
        let told = match entered {
            Ok(entered) => {
                let room_id = request.room_id.clone();
                let fetch = self.rooms.entered(request, entered.clone(), &mut out);
                self.fetch(room_id, fetch);
                Ok(entered)
            }
            Err(error) if answer.is_some() => Err(error),
            Err(error) => {
                let again = self.rooms.refused(request.room_id, error.clone(), &mut out);
                if let Some(pause) = again {
                    self.reenter_at = Some(Instant::now() + pause);
                }
                Err(error)
            }
        };
        self.tell(out);
        if let Some(answer) = answer {
            drop(answer.send(told));
        }
    }

    fn history(&mut self, room_id: &str, result: Result<Reply, RequestError>) {
        let reply = result.ok().and_then(|reply| match reply.body {
            Some(reply::Body::History(history)) => Some(history),
            _ => None,
        });
        let mut out = Vec::new();
        let fetch = self.rooms.page(room_id, reply, &mut out);
        self.tell(out);
        self.fetch(room_id.to_owned(), fetch);
    }

    fn fetch(&mut self, room_id: String, fetch: Option<Fetch>) {
        let Some(Fetch { after_seq, limit }) = fetch else {
            return;
        };
        let body = client_frame::Body::History(HistoryRequest {
            room_id: room_id.clone(),
            after_seq,
            limit,
        });
        self.send(body, Waiter::History(room_id));
    }

    fn push(&mut self, push: Push) {
        let mut out = Vec::new();
        match push.body {
            Some(push::Body::UserMessage(message)) => out.push(Event::Direct(DirectMessage {
                time_ms: push.time_ms,
                message,
            })),
            Some(push::Body::SigExpiring(SigExpiring { expires_at })) => {
                out.push(Event::SigExpiring { expires_at });
                if self.sig.is_renewable() {
                    self.ask_for_signature();
                }
            }
            Some(push::Body::GoAway(away)) => out.push(Event::GoAway {
                reconnect_after: Duration::from_millis(away.reconnect_after_ms.into()),
                reason: away.reason,
            }),
            Some(_) | None => self.rooms.push(push, &mut out),
        }
        self.tell(out);
    }

    fn tell(&self, out: Vec<Event>) {
        for event in out {
            self.events.send(event);
        }
    }

    fn ask_for_signature(&mut self) {
        self.renew_at = None;
        if self.renewal.is_none() {
            self.renewal = Some(self.sig.give());
        }
    }

    fn renew_with(&mut self, given: Result<String, BoxError>) {
        match given {
            Ok(user_sig) => {
                let body = client_frame::Body::RenewSig(RenewSigRequest { user_sig });
                self.send(body, Waiter::Renew);
            }
            Err(error) => self.renewal_failed(error.to_string()),
        }
    }

    fn renewed(&mut self, result: Result<Reply, RequestError>) {
        match result.map(|reply| reply.body) {
            Ok(Some(reply::Body::RenewSig(renewed))) => self.events.send(Event::SigRenewed {
                expires_at: renewed.sig_expires_at,
            }),
            Ok(_) => self.renewal_failed(RequestError::WrongReply.to_string()),
            Err(error) => self.renewal_failed(error.to_string()),
        }
    }

    fn renewal_failed(&mut self, error: String) {
        self.events.send(Event::SigRenewFailed { error });
        if self.sig.is_renewable() {
            self.renew_at = Some(Instant::now() + RENEW_PAUSE);
        }
    }
}

/// The signature that was asked for; never, when none was.
async fn given(
    renewal: &mut Option<BoxFuture<Result<String, BoxError>>>,
) -> Result<String, BoxError> {
    match renewal {
        Some(future) => {
            let given = future.await;
            *renewal = None;
            given
        }
        None => std::future::pending().await,
    }
}
