//! Likes that the app's backend is asked about, a window at a time.

use super::*;
use crate::callback::tell::Tell;
use crate::rooms::merge::{Likes, Window};

#[test]
fn a_window_is_told_and_counted_when_it_may_be_and_not_before() {
    let mut room = asking();
    room.like(3);
    let asked = room.asked().unwrap();
    assert_eq!(asked.window, Window { count: 3, total: 3 });
    assert_eq!(asked.room.room.as_str(), "demo");
    assert_eq!(room.totals_told(), None);
    room.like(4);
    room.advance(5_000);
    room.tick();
    assert!(room.asked().is_none(), "one question a room");
    room.decided(&asked, true);
    assert_eq!(room.totals_told(), Some(3));
    assert_eq!(room.told_likes(), 1);
    room.advance(500);
    room.tick();
    let next = room.asked().unwrap();
    assert_eq!(next.window, Window { count: 4, total: 7 });
    room.decided(&next, true);
    assert_eq!((room.totals_told(), room.told_likes()), (Some(7), 1));
    assert_eq!(room.figures(), 7);
}

#[test]
fn a_refused_window_was_never_there() {
    let mut room = asking();
    room.like(3);
    let asked = room.asked().unwrap();
    room.decided(&asked, false);
    assert_eq!((room.totals_told(), room.told_likes()), (None, 0));
    assert_eq!((room.figures(), room.core.likes.total()), (0, 0));
    room.advance(500);
    room.like(2);
    let next = room.asked().unwrap();
    assert_eq!(next.window, Window { count: 2, total: 2 });
}

#[test]
fn a_late_refusal_takes_nothing_from_the_next_live() {
    let mut room = asking();
    room.like(3);
    let asked = room.asked().unwrap();
    let other = LiveId(uuid::Uuid::from_u128(99));
    let earlier = LikeWindow {
        live: Some(other),
        ..asked
    };
    room.decided(&earlier, false);
    assert_eq!(room.figures(), 3);
}

#[test]
fn the_rest_of_the_room_does_not_wait_for_the_answer() {
    let mut room = asking();
    room.like(3);
    assert!(room.asked().is_some());
    room.say(1, "meanwhile");
    assert_eq!(room.texts_after(0), ["meanwhile"]);
}

/// A room with a live whose app's backend is asked and told.
fn asking() -> Room {
    let mut room = Room::new();
    room.core.likes = Likes::new(room.core.config.totals_every, true);
    room.live("host");
    room.core.reports = Reports::new(Tells::NONE.with(Tell::AfterSendMsg));
    room
}

impl Room {
    fn like(&mut self, count: u32) {
        let now = self.moment();
        let likes = self.core.like(session(1), count, now, &mut self.out);
        likes.unwrap();
    }

    fn asked(&mut self) -> Option<LikeWindow> {
        self.out.question.take()
    }

    fn decided(&mut self, asked: &LikeWindow, may: bool) {
        let now = self.moment();
        self.core
            .likes_answered(asked.live, may, now, &mut self.out);
    }

    /// The total that the members were told last.
    fn totals_told(&mut self) -> Option<u64> {
        let (_, frame) = self.core.flash().read(0)?;
        let frame = ServerFrame::decode(frame.payload()).unwrap();
        frame.pushes.iter().find_map(|push| match &push.body {
            Some(push::Body::Totals(totals)) => Some(totals.likes),
            _ => None,
        })
    }

    /// How many events the backend was told since the last call.
    fn told_likes(&mut self) -> usize {
        std::mem::take(&mut self.out.tells).len()
    }

    fn figures(&self) -> u64 {
        let (_, stats) = self.core.live.stats(self.moment()).unwrap();
        stats.likes
    }
}
