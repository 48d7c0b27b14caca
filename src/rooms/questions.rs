//! Windows of likes whose app's backend is asked before they are told.
//!
//! A room hands its window up as a value; who asks the backends polls the
//! stream and brings the answer back by
//! [`Rooms::likes_answered`](crate::rooms::Rooms::likes_answered).
//!
//! Invariant: a room has at most one window under question; what the stream
//! has no place for stays in its room, and grows.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use crate::clock::Unix;
use crate::id::{AppId, LiveId, RoomKey, RoomUid};
use crate::rooms::merge::Window;

/// Windows that wait to be put as questions.
const WAITING: usize = 4_096;

/// A window of likes that its app's backend is to be asked about.
#[derive(Debug, Clone)]
pub struct LikeWindow {
    /// Where.
    pub room: RoomKey,
    /// The room's incarnation.
    pub uid: RoomUid,
    /// As the v4 API names its type; empty: nobody said.
    pub kind: String,
    /// How many.
    pub window: Window,
    /// When it ended.
    pub time: Unix,
    /// The live that counts them.
    pub(crate) live: Option<LiveId>,
}

/// The way up.
#[derive(Debug)]
pub(crate) struct Questions {
    apps: HashSet<AppId, RandomState>,
    windows: mpsc::Sender<LikeWindow>,
}

impl Questions {
    /// Of rooms of these apps.
    pub(crate) fn new(apps: impl Iterator<Item = AppId>) -> (Self, mpsc::Receiver<LikeWindow>) {
        let (windows, put) = mpsc::channel(WAITING);
        let apps = apps.collect();
        (Self { apps, windows }, put)
    }

    /// Whether rooms of the app ask.
    pub(crate) fn wants(&self, app: AppId) -> bool {
        self.apps.contains(&app)
    }

    /// Hands a window up; false: there is no place, or nobody asks any more.
    pub(crate) fn put(&self, window: LikeWindow) -> bool {
        self.windows.try_send(window).is_ok()
    }
}
