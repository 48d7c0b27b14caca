//! What the processes of one run tell each other of its state. Pure.
//!
//! Each process has a [`Board`] of its own. A child tells its starter what has
//! changed on it, and is told what changed on the others': counts and likes
//! add up, the rest of a room is only ever set or raised, so that the order in
//! which things are told does not matter.

use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};

use crate::board::{Board, Stage};

/// One room as a board has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Room {
    index: u32,
    ready: Option<bool>,
    likes: u64,
    head: u64,
    crashed: u64,
    ends: bool,
    live: Option<String>,
}

/// What a child is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sync {
    /// The stage that the run is in.
    pub(super) stage: Stage,
    disturbed: bool,
    /// What changed; likes are those of the others.
    rooms: Vec<Room>,
}

/// What a child tells.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Look {
    /// What changed; likes are those of its own.
    rooms: Vec<Room>,
    counts: [u64; 5],
    disturbed: bool,
    /// By worker of its own, once they drain: clients to which something is
    /// still under way, looked at after the last [`Sync`] was heard.
    pub(super) left: Vec<u64>,
}

/// The child's end.
#[derive(Debug)]
pub(super) struct Inner {
    told: Vec<Room>,
    elsewhere: Vec<u64>,
}

/// The starter's end of one child.
#[derive(Debug)]
pub(super) struct Outer {
    told: Vec<Room>,
    likes: Vec<u64>,
    counts: [u64; 5],
    /// A reader of the child is stopped.
    pub(super) disturbed: bool,
}

fn blank(board: &Board) -> Vec<Room> {
    let rooms = 0..board.rooms.len() as u32;
    let room = |index| Room {
        index,
        ..Room::default()
    };
    rooms.map(room).collect()
}

/// The rooms that are not as `told` says, which then says so. `likes` are to
/// be taken from those on the board.
fn news(board: &Board, told: &mut [Room], likes: &[u64]) -> Vec<Room> {
    let mut news = Vec::new();
    for ((told, room), likes) in told.iter_mut().zip(&board.rooms).zip(likes) {
        let now = Room {
            index: told.index,
            ready: *room.ready.borrow(),
            likes: room.likes.load(Relaxed).saturating_sub(*likes),
            head: room.head.load(Relaxed),
            crashed: room.crashed.load(Relaxed),
            ends: room.ends.load(Relaxed),
            live: room.live.lock().clone(),
        };
        if *told != now {
            told.clone_from(&now);
            news.push(now);
        }
    }
    news
}

/// Puts a room of another board on this one. `likes` are those that were put
/// there before.
fn put(board: &Board, theirs: &Room, likes: &mut [u64]) {
    let index = theirs.index as usize;
    let (Some(room), Some(likes)) = (board.rooms.get(index), likes.get_mut(index)) else {
        return;
    };
    room.likes
        .fetch_add(theirs.likes.saturating_sub(*likes), Relaxed);
    *likes = theirs.likes.max(*likes);
    room.raise(theirs.head);
    room.crashed.fetch_max(theirs.crashed, Relaxed);
    room.ends.fetch_or(theirs.ends, Relaxed);
    if theirs.live.is_some() {
        room.live.lock().clone_from(&theirs.live);
    }
    if theirs.ready.is_some() && *room.ready.borrow() != theirs.ready {
        room.ready.send_replace(theirs.ready);
    }
}

fn counts(board: &Board) -> [u64; 5] {
    [
        board.entered.load(Relaxed),
        board.failed.load(Relaxed),
        board.gone.load(Relaxed),
        board.deliveries.load(Relaxed),
        board.counted.load(Relaxed) as u64,
    ]
}

impl Inner {
    /// Nothing told yet.
    pub(super) fn new(board: &Board) -> Self {
        Self {
            told: blank(board),
            elsewhere: vec![0; board.rooms.len()],
        }
    }

    /// Takes in what the starter told; the stage is entered last.
    pub(super) fn hear(&mut self, board: &Board, sync: &Sync) {
        for room in &sync.rooms {
            put(board, room, &mut self.elsewhere);
        }
        board.disturbed_elsewhere.store(sync.disturbed, Relaxed);
        if board.stage() != sync.stage {
            board.go(sync.stage);
        }
    }

    /// What to tell now.
    pub(super) fn look(&mut self, board: &Board, left: Vec<u64>) -> Look {
        Look {
            rooms: news(board, &mut self.told, &self.elsewhere),
            counts: counts(board),
            disturbed: board.disturbed.load(Relaxed),
            left,
        }
    }
}

impl Outer {
    /// Nothing told yet.
    pub(super) fn new(board: &Board) -> Self {
        Self {
            told: blank(board),
            likes: vec![0; board.rooms.len()],
            counts: [0; 5],
            disturbed: false,
        }
    }

    /// What to tell the child now.
    pub(super) fn sync(&mut self, board: &Board, stage: Stage, disturbed: bool) -> Sync {
        Sync {
            stage,
            disturbed,
            rooms: news(board, &mut self.told, &self.likes),
        }
    }

    /// Takes in what the child told; whether that was anything that others
    /// wait for.
    pub(super) fn hear(&mut self, board: &Board, look: &Look) -> bool {
        for room in &look.rooms {
            put(board, room, &mut self.likes);
        }
        let [entered, failed, gone, deliveries, counted] =
            std::array::from_fn(|n| look.counts[n].saturating_sub(self.counts[n]));
        self.counts = look.counts;
        board.entered.fetch_add(entered, Relaxed);
        board.failed.fetch_add(failed, Relaxed);
        board.gone.fetch_add(gone, Relaxed);
        board.deliveries.fetch_add(deliveries, Relaxed);
        board.counted.fetch_add(counted as usize, Relaxed);
        self.disturbed = look.disturbed;
        !look.rooms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A starter's board, two children's boards, and their ends.
    struct Run {
        board: Board,
        children: Vec<(Board, Inner, Outer)>,
    }

    impl Run {
        fn new() -> Self {
            let board = Board::new(2, 2);
            let child = |_| {
                let own = Board::new(2, 2);
                let (inner, outer) = (Inner::new(&own), Outer::new(&board));
                (own, inner, outer)
            };
            let children = (0..2).map(child).collect();
            Self { board, children }
        }

        /// Everybody is told and heard once; whether anything was new.
        fn round(&mut self) -> bool {
            let mut looks = Vec::new();
            for (own, inner, outer) in &mut self.children {
                let sync =
                    serde_json::to_string(&outer.sync(&self.board, self.board.stage(), false))
                        .unwrap();
                inner.hear(own, &serde_json::from_str(&sync).unwrap());
                looks.push(inner.look(own, Vec::new()));
            }
            let mut new = false;
            for ((_, _, outer), look) in self.children.iter_mut().zip(looks) {
                new |= outer.hear(&self.board, &look);
            }
            new
        }

        fn rooms(&self, index: u32) -> Vec<Room> {
            let boards = self.children.iter().map(|child| &child.0);
            let state = |board: &Board| {
                let mut told = blank(board);
                news(board, &mut told, &[0, 0]);
                told.swap_remove(index as usize)
            };
            boards.chain([&self.board]).map(state).collect()
        }
    }

    #[test]
    fn what_one_process_knows_of_a_room_all_know_after_two_rounds() {
        let mut run = Run::new();
        let (one, two) = (&run.children[0].0, &run.children[1].0);
        one.room(1).ready.send_replace(Some(true));
        *one.room(1).live.lock() = Some("L".to_owned());
        one.room(1).likes.fetch_add(3, Relaxed);
        two.room(1).likes.fetch_add(4, Relaxed);
        two.room(1).raise(9);
        one.room(1).raise(7);
        one.room(1).crashed.store(55, Relaxed);
        one.room(1).ends.store(true, Relaxed);
        assert!(run.round());
        run.round();
        let expected = Room {
            index: 1,
            ready: Some(true),
            likes: 7,
            head: 9,
            crashed: 55,
            ends: true,
            live: Some("L".to_owned()),
        };
        assert_eq!(run.rooms(1), vec![expected; 3]);
        run.round();
        assert!(!run.round(), "what is told is told once");
        run.children[0].0.room(1).likes.fetch_add(1, Relaxed);
        run.round();
        run.round();
        assert!(run.rooms(1).iter().all(|room| room.likes == 8));
    }

    #[test]
    fn counts_add_up_and_the_stage_goes_down() {
        let mut run = Run::new();
        for (own, ..) in &run.children {
            own.entered.fetch_add(10, Relaxed);
            own.deliveries.fetch_add(2, Relaxed);
        }
        run.round();
        run.children[1].0.entered.fetch_add(1, Relaxed);
        run.board.go(Stage::Drain);
        run.round();
        assert_eq!(run.board.entered.load(Relaxed), 21);
        assert_eq!(run.board.deliveries.load(Relaxed), 4);
        let stages = run.children.iter().map(|child| child.0.stage());
        assert!(stages.into_iter().all(|stage| stage == Stage::Drain));
    }
}
