//! One connection of one user in one room: listens, or says something when it
//! is due.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use livegate_client::{Connection, Disconnect, Login};
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::send_request::{Content, Target};
use livegate_proto::client::{self as wire, Priority, SendRequest, Text, reply};
use livegate_proto::codec;
use tokio::time::timeout;

use super::record::Group;
use super::scene::Scene;
use crate::client::{Failed, accepted, reason};
use crate::payload::{self, Stamp};
use crate::scan::{self, Part};
use crate::site::{Dialers, Site};

/// Most time for one request.
const REQUEST_WITHIN: Duration = Duration::from_secs(20);

/// Somebody in a room.
#[derive(Debug)]
pub(super) struct Guest {
    connection: Connection,
    scene: Arc<Scene>,
    room: String,
}

impl Guest {
    /// Dials, logs in and enters `room`.
    pub(super) async fn enter(
        scene: &Arc<Scene>,
        (site, dialers): (&Site, &Dialers),
        user: &str,
        room: &str,
    ) -> Result<Self, Failed> {
        let connection = Connection::open(dialers.of(false), &site.target(None)).await;
        let mut connection = connection.map_err(|error| format!("dial: {error}"))?;
        let sig = site.app.sign(user, scene.clock.unix());
        let request = Login::new(site.app.id, user).request(sig);
        let reply = connection.login(request, REQUEST_WITHIN).await;
        reply.map_err(|error| format!("login: {error}"))?;
        let request = Body::EnterRoom(wire::EnterRoomRequest {
            room_id: room.to_owned(),
            profile: None,
        });
        let reply = timeout(REQUEST_WITHIN, connection.request(request, |_| {})).await;
        let reply = reply.map_err(|_| "enter: no answer".to_owned())?;
        let reply = accepted("enter", reply.map_err(|gone| reason(&gone))?)?;
        if let Some(reply::Body::EnterRoom(entered)) = &reply.body
            && entered.heartbeat_ms > 0
        {
            let interval = Duration::from_millis(entered.heartbeat_ms.into());
            connection.set_heartbeat_interval(interval);
        }
        Ok(Self {
            connection,
            scene: Arc::clone(scene),
            room: room.to_owned(),
        })
    }

    /// Writes down what it hears as `group` until the connection ends; why.
    pub(super) async fn listen(mut self, group: Group) -> Failed {
        let scene = Arc::clone(&self.scene);
        let take = |frame: &[u8]| {
            let (mut closed, now) = (None, scene.clock.now());
            let whole = scan::scan(frame, |part| match part {
                Part::Push(push) => hear(&scene, group, &push, now),
                Part::Close(bytes) => closed = Some(close(bytes)),
                Part::Reply(_) => {}
            });
            if whole.is_err() {
                scene.record.lock().fault("malformed frame");
            }
            closed
        };
        self.drive(take).await.unwrap_or_else(|how| how)
    }

    /// Puts a message on its way; its request id.
    pub(super) fn say(&mut self, stamp: &Stamp, len: usize) -> Result<u64, Failed> {
        let request = SendRequest {
            client_message_id: String::new(),
            priority: Priority::Unspecified.into(),
            target: Some(Target::RoomId(self.room.clone())),
            content: Some(Content::Text(Text {
                text: payload::write(stamp, len),
            })),
        };
        let sent = self.connection.send(Body::Send(request));
        sent.map_err(|full| full.to_string())
    }

    /// The next reply; pushes are passed over. May be cancelled and called
    /// again.
    pub(super) async fn reply(&mut self) -> Result<wire::Reply, Failed> {
        let next = self.drive(|frame| {
            let mut told = None;
            let whole = scan::scan(frame, |part| match part {
                Part::Reply(bytes) => told = Some(codec::decode(bytes).map_err(|e| e.to_string())),
                Part::Close(bytes) => told = Some(Err(close(bytes))),
                Part::Push(_) => {}
            });
            whole.err().map(|error| Err(error.to_string())).or(told)
        });
        next.await?
    }

    async fn drive<T>(&mut self, mut take: impl FnMut(&[u8]) -> Option<T>) -> Result<T, Failed> {
        let take = |frame: &[u8], _: &mut _| match take(frame) {
            Some(told) => ControlFlow::Break(told),
            None => ControlFlow::Continue(()),
        };
        let told: Result<T, Disconnect> = self.connection.drive(take).await;
        told.map_err(|gone| reason(&gone))
    }
}

fn hear(scene: &Scene, group: Group, push: &scan::Push<'_>, now: u64) {
    let scan::Body::Message(content) = push.body else {
        return;
    };
    let mut record = scene.record.lock();
    match payload::read(content) {
        Some(stamp) => record.heard(group, stamp.intended, now),
        None => record.fault("damaged content"),
    }
}

fn close(bytes: &[u8]) -> String {
    let close: wire::Close = codec::decode(bytes).unwrap_or_default();
    format!("closed: {}", close.reason)
}
