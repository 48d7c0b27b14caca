//! One client in its room, as a pure machine: frames in, findings out.
//!
//! Owns the client's view of its room: the sequence, what it was told of lives,
//! the running total, and its requests in flight. Counts go to the worker's
//! [`Ward`], so that a client costs little memory.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use livegate_proto::client::{self as wire, live_event, reply};
use livegate_proto::codec;
use serde::{Deserialize, Serialize};

use crate::board::{Board, Window};
use crate::clock::{Clock, Micros};
use crate::ledger::Ledger;
use crate::payload::{self, Stamp};
use crate::scan::{self, Body, Part, Push};
use crate::sequence::{Seen, Sequence};
use crate::tally::Tally;

/// Lives that a client remembers.
const MAX_LIVES: usize = 8;

/// Requests in flight that a client keeps in mind.
const MAX_ASKED: usize = 1_024;

/// What the clients of one worker share.
#[derive(Debug)]
pub(crate) struct Ward {
    /// Shared by all workers.
    pub(crate) clock: Clock,
    /// Shared by all workers.
    pub(crate) board: Arc<Board>,
    /// The moments of the run, once it runs.
    pub(crate) window: Option<Window>,
    /// Counts of this worker.
    pub(crate) tally: Tally,
    /// Rooms as this worker's clients see them.
    pub(crate) ledgers: Vec<Ledger>,
    /// Rooms of which a client heard that the host is away, and when: of the
    /// crash itself this process may hear later.
    aways: Vec<(u32, Micros)>,
}

impl Ward {
    /// Nothing counted yet.
    pub(crate) fn new(clock: Clock, board: Arc<Board>) -> Self {
        Self {
            clock,
            window: None,
            tally: Tally::default(),
            ledgers: vec![Ledger::default(); board.rooms.len()],
            board,
            aways: Vec::new(),
        }
    }

    /// Counts how long after the crashes their hosts were told away.
    pub(crate) fn count_aways(&mut self) {
        for (room, told) in self.aways.drain(..) {
            let crashed = self.board.room(room).crashed.load(Relaxed);
            if crashed > 0 && told >= crashed {
                self.tally.lives.away_after.record(told - crashed);
            }
        }
    }

    fn is_measured(&self, intended: Micros) -> bool {
        self.window
            .is_some_and(|window| (window.from..window.to).contains(&intended))
    }
}

/// A message or like that was sent and not yet answered.
#[derive(Debug, Clone, Copy)]
struct Asked {
    request: u64,
    sent: Micros,
    what: Sent,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent {
    /// A message with this stamp.
    Message(Stamp),
    /// So many likes.
    Likes(u32),
}

/// What whoever drives the connection has to know.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The answer to a request other than a send.
    Reply(Box<wire::Reply>),
    /// The gateway's closing word.
    Close(wire::Close),
}

/// One client in its room.
#[derive(Debug)]
pub(crate) struct Member {
    room: u32,
    name: Rc<str>,
    view: Option<Sequence>,
    lives: Vec<Seeing>,
    likes: u64,
    asked: VecDeque<Asked>,
}

/// What a client was told of one live.
#[derive(Debug, Clone)]
struct Seeing {
    live: String,
    ends: u32,
    until_ms: i64,
}

/// What is left of a client when the run is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remains {
    /// Index of its room.
    pub(crate) room: u32,
    /// Where its sequence ended: epoch, newest seq, seqs missing before it.
    pub(crate) view: Option<(u64, u64, u64)>,
    /// Ends told, by live.
    pub(crate) ends: Vec<(String, u32)>,
    /// The last running total.
    pub(crate) likes: u64,
}

impl Member {
    /// A client that will enter room `index`, called `name`.
    pub(crate) fn new(index: u32, name: Rc<str>) -> Self {
        Self {
            room: index,
            name,
            view: None,
            lives: Vec::new(),
            likes: 0,
            asked: VecDeque::new(),
        }
    }

    /// Its room's index.
    pub(crate) fn room(&self) -> u32 {
        self.room
    }

    /// A send is on its way under the request id `request`.
    pub(crate) fn sent(&mut self, request: u64, sent: Micros, what: Sent) {
        if self.asked.len() == MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked {
            request,
            sent,
            what,
        });
    }

    /// Whether nothing is under way to it: it saw the room's newest message and
    /// the end of the live if there is one to see.
    pub(crate) fn is_done(&self, board: &Board) -> bool {
        let room = board.room(self.room);
        let view = self.view.as_ref();
        let head = room.head.load(Relaxed);
        let caught_up = view.is_none_or(|view| view.last() >= head);
        let ended = !room.ends.load(Relaxed) || self.lives.iter().any(|live| live.ends > 0);
        let liked = view.is_none() || self.likes == room.likes.load(Relaxed);
        caught_up && ended && liked && self.asked.is_empty()
    }

    /// What is left of it.
    pub(crate) fn remains(&self) -> Remains {
        let view = self.view.as_ref();
        Remains {
            room: self.room,
            view: view.map(|view| (view.epoch(), view.last(), view.missing())),
            ends: self
                .lives
                .iter()
                .map(|l| (l.live.clone(), l.ends))
                .collect(),
            likes: self.likes,
        }
    }

    /// Takes one frame body that came at `now`.
    pub(crate) fn take(&mut self, ward: &mut Ward, frame: &[u8], now: Micros) -> Option<Signal> {
        ward.tally.bytes_in += frame.len() as u64;
        let mut signal = None;
        let whole = scan::scan(frame, |part| match part {
            Part::Push(push) => self.push(ward, &push, now),
            Part::Reply(bytes) => {
                signal = self.reply(ward, bytes, now).or_else(|| signal.take());
            }
            Part::Close(bytes) => {
                signal = Some(Signal::Close(codec::decode(bytes).unwrap_or_default()));
            }
        });
        if whole.is_err() {
            ward.tally.error("malformed frame");
        }
        signal
    }

    fn push(&mut self, ward: &mut Ward, push: &Push<'_>, now: Micros) {
        ward.tally.pushes += 1;
        if push.room.is_empty() {
            return;
        }
        let Some(view) = self
            .view
            .as_mut()
            .filter(|_| push.room == self.name.as_bytes())
        else {
            ward.tally.foreign += 1;
            return;
        };
        if push.seq > 0 {
            match view.see(push.epoch, push.seq) {
                Seen::Next => ward.board.room(self.room).raise(push.seq),
                Seen::Gap { .. } => ward.tally.gaps += 1,
                Seen::Late => ward.tally.out_of_order += 1,
                Seen::NewEpoch => ward.tally.new_epochs += 1,
                Seen::Duplicate => {
                    ward.tally.duplicates += 1;
                    return;
                }
            }
        }
        match push.body {
            Body::Message(content) => self.message(ward, push, content, now),
            Body::Live(bytes) => {
                self.note(ward, push, now);
                self.live(ward, bytes, now);
            }
            Body::Totals(bytes) => {
                let totals: wire::Totals = codec::decode(bytes).unwrap_or_default();
                self.likes = totals.likes;
            }
            Body::Dropped(bytes) => {
                let dropped: wire::Dropped = codec::decode(bytes).unwrap_or_default();
                ward.tally.announced += dropped.count;
            }
            Body::Other(_) => self.note(ward, push, now),
        }
    }

    fn note(&self, ward: &mut Ward, push: &Push<'_>, now: Micros) {
        if push.seq > 0 {
            let digest = payload::digest(push.bytes);
            ward.ledgers[self.room as usize].note(push.epoch, push.seq, digest, now);
        }
    }

    fn message(&self, ward: &mut Ward, push: &Push<'_>, content: &[u8], now: Micros) {
        let Some(stamp) = payload::read(content) else {
            ward.tally.corrupt += 1;
            return;
        };
        let measured = ward.is_measured(stamp.intended);
        let digest = payload::digest(push.bytes);
        ward.ledgers[self.room as usize]
            .note(push.epoch, push.seq, digest, now)
            .is(&stamp, measured);
        ward.tally.deliveries += 1;
        ward.board.deliveries.fetch_add(1, Relaxed);
        if measured {
            ward.tally.measured += 1;
            let took = now.saturating_sub(stamp.intended);
            if ward.board.is_disturbed() {
                ward.tally.disturbed.record(took);
            } else {
                ward.tally.latency.record(took);
            }
        }
    }

    fn live(&mut self, ward: &mut Ward, bytes: &[u8], now: Micros) {
        let event: wire::LiveEvent = codec::decode(bytes).unwrap_or_default();
        let known = self
            .lives
            .iter()
            .position(|seen| seen.live == event.live_id);
        let at = known.unwrap_or_else(|| {
            self.lives.truncate(MAX_LIVES - 1);
            self.lives.push(Seeing {
                live: event.live_id,
                ends: 0,
                until_ms: 0,
            });
            self.lives.len() - 1
        });
        let seen = &mut self.lives[at];
        let lives = &mut ward.tally.lives;
        match event.kind {
            Some(live_event::Kind::Started(_)) => lives.started += 1,
            Some(live_event::Kind::Back(_)) => lives.back += 1,
            Some(live_event::Kind::Away(away)) => {
                lives.away += 1;
                seen.until_ms = away.until_ms;
                ward.aways.push((self.room, now));
            }
            Some(live_event::Kind::Ended(_)) => {
                lives.ended += 1;
                seen.ends += 1;
                if seen.until_ms > 0 {
                    let told = i64::try_from(ward.clock.unix_ms()).unwrap_or(i64::MAX);
                    lives.end_off.record(told.abs_diff(seen.until_ms) * 1_000);
                }
            }
            None => ward.tally.error("live event without a kind"),
        }
    }

    fn reply(&mut self, ward: &mut Ward, bytes: &[u8], now: Micros) -> Option<Signal> {
        let Ok(reply) = codec::decode::<wire::Reply>(bytes) else {
            ward.tally.error("malformed reply");
            return None;
        };
        let asked = self
            .asked
            .iter()
            .position(|a| a.request == reply.request_id);
        if let Some(asked) = asked.and_then(|at| self.asked.remove(at)) {
            self.answered(ward, &asked, &reply, now);
            return None;
        }
        if let Some(reply::Body::EnterRoom(entered)) = &reply.body {
            let room = entered.room.clone().unwrap_or_default();
            self.view = Some(Sequence::enter(room.epoch, room.seq));
            self.likes = room.totals.map_or(0, |totals| totals.likes);
        }
        Some(Signal::Reply(Box::new(reply)))
    }

    fn answered(&self, ward: &mut Ward, asked: &Asked, reply: &wire::Reply, now: Micros) {
        if reply.code != 0 {
            ward.tally
                .error(format!("send refused: {} ({})", reply.message, reply.code));
            return;
        }
        ward.tally.replies.record(now.saturating_sub(asked.sent));
        let Some(reply::Body::Send(send)) = &reply.body else {
            ward.tally.error("send answered with another body");
            return;
        };
        if !send.drop_reason.is_empty() {
            ward.tally.discarded += 1;
            return;
        }
        ward.tally.accepted += 1;
        let room = ward.board.room(self.room);
        match asked.what {
            Sent::Message(stamp) => {
                room.raise(send.seq);
                ward.ledgers[self.room as usize].promise(send.epoch, send.seq, &stamp);
            }
            Sent::Likes(likes) => {
                ward.tally.likes += u64::from(likes);
                room.likes.fetch_add(likes.into(), Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use livegate_proto::Message;
    use livegate_proto::client::{push, room_message};

    use super::*;

    struct Room {
        ward: Ward,
        member: Member,
    }

    impl Room {
        /// A member that entered after seq 4 of epoch 1.
        fn entered() -> Self {
            let ward = Ward::new(Clock::start(), Arc::new(Board::new(1, 1)));
            let member = Member::new(0, "r".into());
            let mut room = Self { ward, member };
            let reply = wire::Reply {
                request_id: 2,
                body: Some(reply::Body::EnterRoom(wire::EnterRoomReply {
                    room: Some(Box::new(wire::RoomSnapshot {
                        room_id: "r".into(),
                        epoch: 1,
                        seq: 4,
                        ..wire::RoomSnapshot::default()
                    })),
                    ..wire::EnterRoomReply::default()
                })),
                ..wire::Reply::default()
            };
            let signal = room.take(wire::ServerFrame {
                reply: Some(reply),
                ..wire::ServerFrame::default()
            });
            assert!(matches!(signal, Some(Signal::Reply(_))));
            room
        }

        fn take(&mut self, frame: wire::ServerFrame) -> Option<Signal> {
            self.member
                .take(&mut self.ward, &frame.encode_to_vec(), 5_000)
        }

        fn push(&mut self, seq: u64, body: push::Body) {
            let push = wire::Push {
                room_id: "r".into(),
                epoch: 1,
                seq,
                time_ms: 1,
                body: Some(body),
            };
            let signal = self.take(wire::ServerFrame {
                pushes: vec![push],
                ..wire::ServerFrame::default()
            });
            assert!(signal.is_none());
        }
    }

    fn text(text: &str) -> push::Body {
        push::Body::RoomMessage(wire::RoomMessage {
            content: Some(room_message::Content::Text(wire::Text {
                text: text.into(),
            })),
            ..wire::RoomMessage::default()
        })
    }

    fn stamp(number: u32) -> Stamp {
        Stamp {
            publisher: 0,
            number,
            intended: 2_000,
        }
    }

    fn live(kind: live_event::Kind) -> push::Body {
        push::Body::Live(wire::LiveEvent {
            live_id: "L".into(),
            kind: Some(kind),
        })
    }

    #[test]
    fn deliveries_of_the_steady_phase_are_measured_from_their_intended_time() {
        let mut room = Room::entered();
        room.push(5, text(&payload::write(&stamp(0), 100)));
        room.ward.window = Some(Window {
            start: 1_000,
            from: 1_500,
            to: 3_000,
        });
        room.push(6, text(&payload::write(&stamp(1), 100)));
        assert_eq!(
            (room.ward.tally.deliveries, room.ward.tally.measured),
            (2, 1)
        );
        let summary = room.ward.tally.latency.summary().unwrap();
        assert!((summary.max_ms - 3.0).abs() < 0.01);
    }

    #[test]
    fn damaged_content_is_counted() {
        let mut room = Room::entered();
        room.push(5, text(&payload::write(&stamp(0), 100).replace('k', "x")));
        assert_eq!(room.ward.tally.corrupt, 1);
    }

    #[test]
    fn jumps_repeats_and_pushes_of_other_rooms_are_counted() {
        let mut room = Room::entered();
        room.push(5, push::Body::Presence(wire::Presence::default()));
        room.push(8, push::Body::Presence(wire::Presence::default()));
        room.push(8, push::Body::Presence(wire::Presence::default()));
        room.push(6, push::Body::Presence(wire::Presence::default()));
        room.member.name = "other".into();
        room.push(9, push::Body::Presence(wire::Presence::default()));
        let tally = &room.ward.tally;
        assert_eq!(
            (tally.gaps, tally.duplicates, tally.out_of_order),
            (1, 1, 1)
        );
        assert_eq!(tally.foreign, 1);
        assert_eq!(room.member.remains().view, Some((1, 8, 1)));
    }

    #[test]
    fn every_end_of_a_live_is_counted() {
        let mut room = Room::entered();
        let ended = || live(live_event::Kind::Ended(wire::LiveEnded::default()));
        room.push(5, live(live_event::Kind::Away(wire::HostAway::default())));
        room.push(6, ended());
        room.push(7, ended());
        assert_eq!(room.member.remains().ends, [("L".to_owned(), 2)]);
    }

    #[test]
    fn it_is_done_when_it_has_what_the_room_has() {
        let mut room = Room::entered();
        let board = room.ward.board.clone();
        assert!(room.member.is_done(&board));
        board.room(0).raise(5);
        assert!(!room.member.is_done(&board));
        room.push(5, text(&payload::write(&stamp(0), 100)));
        assert!(room.member.is_done(&board));
        board.room(0).likes.store(3, Relaxed);
        assert!(!room.member.is_done(&board));
        room.push(0, push::Body::Totals(wire::Totals { likes: 3 }));
        board.room(0).ends.store(true, Relaxed);
        assert!(!room.member.is_done(&board));
        room.push(6, live(live_event::Kind::Ended(wire::LiveEnded::default())));
        assert!(room.member.is_done(&board));
    }

    #[test]
    fn an_accepted_message_raises_the_rooms_head_and_a_discarded_one_does_not() {
        let mut room = Room::entered();
        for (request, drop_reason) in [(7, ""), (8, "rate")] {
            room.member.sent(request, 1_000, Sent::Message(stamp(0)));
            let send = wire::SendReply {
                seq: 40 + request,
                epoch: 1,
                time_ms: 1,
                drop_reason: drop_reason.into(),
            };
            let signal = room.take(wire::ServerFrame {
                reply: Some(wire::Reply {
                    request_id: request,
                    body: Some(reply::Body::Send(send)),
                    ..wire::Reply::default()
                }),
                ..wire::ServerFrame::default()
            });
            assert!(signal.is_none());
        }
        let tally = &room.ward.tally;
        assert_eq!((tally.accepted, tally.discarded), (1, 1));
        assert_eq!(room.ward.board.room(0).head.load(Relaxed), 47);
        assert_eq!(room.member.asked.len(), 0);
    }
}
