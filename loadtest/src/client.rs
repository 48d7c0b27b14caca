//! One client over one connection: dial, log in, enter, and then whatever its
//! role does.
//!
//! Frames go to the client's [`Member`]; what it signals comes back here.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use livegate_client::{Connection, Disconnect, Login};
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, reply};
use tokio::time::timeout;

use crate::member::{Member, Signal, Ward};
use crate::site::{Dialers, Site};

/// Most time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a client's connection is of no use (any more), in few words: errors are
/// counted by this text.
pub(crate) type Failed = String;

/// Who sits where.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// The user that logs in.
    pub(crate) user: String,
    /// The room it enters.
    pub(crate) room: Rc<str>,
    /// The address it dials from.
    pub(crate) source: Option<IpAddr>,
    /// Over QUIC instead of TLS.
    pub(crate) quic: bool,
    /// Bound of the kernel's receive buffer, bytes; `None`: the system's.
    pub(crate) receive_buffer: Option<u32>,
}

/// What all clients of a thread dial with.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The gateway.
    pub(crate) site: Site,
    /// This thread's dialers.
    pub(crate) dialers: Dialers,
    /// This thread's counts.
    pub(crate) ward: RefCell<Ward>,
}

/// A logged-in client.
#[derive(Debug)]
pub(crate) struct Client {
    desk: Rc<Desk>,
    connection: Connection,
    member: Rc<RefCell<Member>>,
}

impl Client {
    /// Dials and logs in.
    pub(crate) async fn log_in(
        desk: &Rc<Desk>,
        seat: &Seat,
        member: &Rc<RefCell<Member>>,
    ) -> Result<Self, Failed> {
        let site = &desk.site;
        let mut target = site.target(seat.source);
        target.receive_buffer = seat.receive_buffer;
        let dialer = desk.dialers.of(seat.quic);
        let mut connection = Connection::open(dialer, &target)
            .await
            .map_err(|error| format!("dial: {}", root(&error)))?;
        let now = desk.ward.borrow().clock.unix();
        let login = Login::new(site.app.id, seat.user.clone());
        let request = login.request(site.app.sign(&seat.user, now));
        let reply = connection
            .login(request, REQUEST_TIMEOUT)
            .await
            .map_err(|error| format!("login: {error}"))?;
        let mut client = Self {
            desk: desk.clone(),
            connection,
            member: member.clone(),
        };
        client.beat(reply.heartbeat_ms);
        Ok(client)
    }

    /// Enters its room.
    pub(crate) async fn enter(&mut self, room: &str) -> Result<wire::EnterRoomReply, Failed> {
        let request = Body::EnterRoom(wire::EnterRoomRequest {
            room_id: room.to_owned(),
            profile: None,
        });
        let reply = accepted("enter", self.ask(request).await?)?;
        let Some(reply::Body::EnterRoom(entered)) = reply.body else {
            return Err("enter: answered with another body".to_owned());
        };
        self.beat(entered.heartbeat_ms);
        Ok(entered)
    }

    /// Sends a request and waits for its reply; pushes are counted meanwhile.
    pub(crate) async fn ask(&mut self, body: Body) -> Result<wire::Reply, Failed> {
        let id = self
            .connection
            .send(body)
            .map_err(|full| full.to_string())?;
        let answer = async {
            loop {
                match self.listen().await? {
                    Signal::Reply(reply) if reply.request_id == id => return Ok(*reply),
                    Signal::Reply(_) => {}
                    Signal::Close(close) => return Err(format!("closed: {}", close.reason)),
                }
            }
        };
        let answer = timeout(REQUEST_TIMEOUT, answer).await;
        answer.map_err(|_| "no answer to a request".to_owned())?
    }

    /// Puts a frame on its way without waiting; its request id.
    pub(crate) fn post(&mut self, body: Body) -> Result<u64, Failed> {
        self.connection.send(body).map_err(|full| full.to_string())
    }

    /// Reads, writes and beats until there is something to know. May be
    /// cancelled and called again.
    pub(crate) async fn listen(&mut self) -> Result<Signal, Failed> {
        let Self {
            desk,
            connection,
            member,
        } = self;
        let take = |frame: &[u8], _: &mut _| {
            let mut ward = desk.ward.borrow_mut();
            let now = ward.clock.now();
            match member.borrow_mut().take(&mut ward, frame, now) {
                Some(signal) => ControlFlow::Break(signal),
                None => ControlFlow::Continue(()),
            }
        };
        let signal = connection.drive(take).await;
        signal.map_err(|gone| reason(&gone))
    }

    /// The thread's desk.
    pub(crate) fn desk(&self) -> &Rc<Desk> {
        &self.desk
    }

    /// Its member.
    pub(crate) fn member(&self) -> &Rc<RefCell<Member>> {
        &self.member
    }

    /// Takes over a heartbeat interval that the gateway told.
    pub(crate) fn beat(&mut self, heartbeat_ms: u32) {
        if heartbeat_ms > 0 {
            let interval = Duration::from_millis(heartbeat_ms.into());
            self.connection.set_heartbeat_interval(interval);
        }
    }
}

/// Takes a reply whose code is 0.
pub(crate) fn accepted(what: &str, reply: wire::Reply) -> Result<wire::Reply, Failed> {
    match reply.code {
        0 => Ok(reply),
        code => Err(format!("{what}: {} ({code})", reply.message)),
    }
}

/// Why a connection ended, in words that repeat.
pub(crate) fn reason(gone: &Disconnect) -> Failed {
    match gone {
        Disconnect::Closed { reason, .. } => format!("closed: {reason}"),
        Disconnect::Lost(how) => format!("lost: {how}"),
        Disconnect::Silent(_) => "lost: silent".to_owned(),
        Disconnect::Protocol(how) => format!("protocol: {how}"),
        Disconnect::ByApp => "closed by the client".to_owned(),
    }
}

/// The innermost cause: addresses and times of the outer ones would make every
/// error a kind of its own.
fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
