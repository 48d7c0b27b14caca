//! A publisher: sends what is due when it is due, whatever the gateway does.

use livegate_proto::client::client_frame::Body;
use livegate_proto::client::send_request::{Content, Target};
use livegate_proto::client::{Custom, Gift, Like, Priority, SendRequest, Text};
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::board::{Stage, Window};
use crate::client::Client;
use crate::clock::Micros;
use crate::member::{Sent, Signal};
use crate::payload::{self, Stamp};
use crate::plan::Messages;
use crate::schedule::{Kind, Schedule, Turn};

/// Likes of one frame.
const LIKES: u32 = 1;

/// Sends its share of a room's messages.
#[derive(Debug, Clone)]
pub(crate) struct Pusher {
    /// Its number among all publishers of the run.
    pub(crate) id: u32,
    /// The room it sends to.
    pub(crate) room: String,
    /// What is said there.
    pub(crate) messages: Messages,
    /// Its turn among the room's publishers.
    pub(crate) turn: Turn,
    sent: u32,
    schedule: Option<Schedule>,
}

impl Pusher {
    /// Has sent nothing yet.
    pub(crate) fn new(id: u32, room: &str, messages: Messages, turn: Turn) -> Self {
        Self {
            id,
            room: room.to_owned(),
            messages,
            turn,
            sent: 0,
            schedule: None,
        }
    }

    /// Sends until the run stops or the connection ends; how it ended.
    pub(crate) async fn run(
        &mut self,
        client: &mut Client,
        stages: &mut watch::Receiver<Stage>,
    ) -> Option<String> {
        let clock = client.desk().ward.borrow().clock;
        loop {
            match *stages.borrow_and_update() {
                Stage::Ramp => {}
                Stage::Run(window) => self.begin(client, window),
                Stage::Drain | Stage::Count => self.schedule = None,
                Stage::Stop => return None,
            }
            self.send_due(client, clock.now());
            let due = self.schedule.as_ref().and_then(Schedule::due);
            let due = clock.deadline(due.unwrap_or_default());
            tokio::select! {
                biased;
                changed = stages.changed() => if changed.is_err() {
                    return None;
                },
                () = sleep_until(due), if self.has_more() => {}
                heard = client.listen() => match heard {
                    Ok(Signal::Reply(_)) => {}
                    Ok(Signal::Close(close)) => return Some(format!("closed: {}", close.reason)),
                    Err(how) => return Some(how),
                },
            }
        }
    }

    fn has_more(&self) -> bool {
        self.schedule.as_ref().is_some_and(|s| s.due().is_some())
    }

    fn begin(&mut self, client: &Client, window: Window) {
        if self.schedule.is_none() {
            let schedule = Schedule::new(&self.messages, self.turn, window.start, window.to);
            client.desk().ward.borrow_mut().tally.planned += schedule.left();
            self.schedule = Some(schedule);
        }
    }

    fn send_due(&mut self, client: &mut Client, now: Micros) {
        while let Some((intended, kind)) = self.schedule.as_mut().and_then(|s| s.take(now)) {
            self.send(client, intended, kind, now);
        }
    }

    fn send(&mut self, client: &mut Client, intended: Micros, kind: Kind, now: Micros) {
        let stamp = Stamp {
            publisher: self.id,
            number: self.sent,
            intended,
        };
        self.sent += 1;
        let posted = client.post(Body::Send(self.request(&stamp, kind)));
        let mut ward = client.desk().ward.borrow_mut();
        ward.tally.lateness.record(now.saturating_sub(intended));
        match posted {
            Ok(request) => {
                ward.tally.sent += 1;
                let sent = match kind {
                    Kind::Text | Kind::Custom | Kind::Gift => Sent::Message(stamp),
                    Kind::Like => Sent::Likes(LIKES),
                };
                client.member().borrow_mut().sent(request, now, sent);
            }
            Err(why) => ward.tally.error(why),
        }
    }

    fn request(&self, stamp: &Stamp, kind: Kind) -> SendRequest {
        let payload = || payload::write(stamp, self.messages.payload_bytes);
        let content = match kind {
            Kind::Text => Content::Text(Text { text: payload() }),
            Kind::Custom => Content::Custom(Custom {
                r#type: "loadtest".to_owned(),
                data: payload().into(),
            }),
            Kind::Gift => Content::Gift(Gift {
                gift_id: "rose".to_owned(),
                count: 1,
                data: payload().into(),
                combo_id: String::new(),
                ..Gift::default()
            }),
            Kind::Like => Content::Like(Like { count: LIKES }),
        };
        SendRequest {
            client_message_id: match kind {
                Kind::Text | Kind::Custom | Kind::Gift => format!("{}-{}", self.id, stamp.number),
                Kind::Like => String::new(),
            },
            priority: Priority::Unspecified.into(),
            target: Some(Target::RoomId(self.room.clone())),
            content: Some(content),
        }
    }
}
