//! Asks a backend before a window of likes is told.
//!
//! Invariant: a room has one window under question, so there are as many
//! questions as rooms at most, and those beyond an app's places are decided at
//! once: no room waits for another.

use std::sync::{Arc, Weak};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use livegate_proto::client::Elements;
use tokio::sync::mpsc;

use crate::callback::ask::{Asks, Question, Verdict};
use crate::callback::question;
use crate::callback::tell::{Event, Said, Site};
use crate::event::Origin;
use crate::rooms::{LikeWindow, Rooms};

/// Puts the questions that come up from the rooms, and brings them the
/// answers, until there are no rooms any more.
pub(super) async fn run(
    asks: Arc<Asks>,
    rooms: Weak<Rooms>,
    mut windows: mpsc::Receiver<LikeWindow>,
) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            // 1. An answer frees a place.
            Some((window, may)) = under_way.next(), if !under_way.is_empty() => {
                let Some(rooms) = rooms.upgrade() else { return };
                rooms.likes_answered(&window, may);
            }
            // 2. What is to be asked.
            window = windows.recv() => match window {
                Some(window) => under_way.push(ask(&asks, window)),
                None => return,
            },
        }
    }
}

/// Asks whether the window may be told. The count is what it is: what the
/// backend would put in its place is passed over.
async fn ask(asks: &Asks, window: LikeWindow) -> (LikeWindow, bool) {
    let question = question(asks, &window);
    let may = match asks.ask(window.room.app, question).await {
        Verdict::Allowed(_) => true,
        Verdict::Swallowed | Verdict::Refused { .. } => false,
    };
    (window, may)
}

/// As the window is told afterwards: from nobody in particular.
fn question(asks: &Asks, window: &LikeWindow) -> Question {
    let event = Event {
        app: window.room.app,
        id: asks.event_id(),
        time: window.time,
        origin: Origin::Unknown,
    };
    let site = Site {
        room: &window.room.room,
        kind: &window.kind,
    };
    let said = Said {
        from: "",
        operator: "",
        random: None,
        content: &Elements::from(&window.window.content()),
    };
    question::before_said(event, &site, &said)
}
