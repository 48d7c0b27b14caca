//! A viewer that tells what it is told about its room's live, across losses of
//! its connection.

use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::{self as wire, EndReason, live_event, push};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::caller::{Caller, Ground};
use crate::clock::Micros;

/// Sights that wait to be looked at.
const MAX_SIGHTS: usize = 1_024;

/// From a lost connection, or a room that is not there yet, to the next try.
const RETRY: Duration = Duration::from_millis(20);

/// Something that a watcher was told.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// When.
    pub(crate) at: Micros,
    /// The same on the wall clock.
    pub(crate) unix_ms: u64,
    /// On which of its connections, counted from 1.
    pub(crate) connection: u32,
    /// Of which live.
    pub(crate) live: String,
    /// What.
    pub(crate) what: What,
}

/// What a watcher can be told of a live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It was there when the watcher entered, in this phase.
    Found(wire::LivePhase),
    /// It started.
    Started,
    /// Its host is away; the live ends at `until_ms` unless the host comes back.
    Away {
        /// Unix milliseconds.
        until_ms: u64,
    },
    /// Its host is back.
    Back,
    /// It ended.
    Ended(EndReason),
}

/// A running watcher; stops when dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    sights: mpsc::Receiver<Sight>,
    _task: AbortOnDropHandle<()>,
}

impl Watcher {
    /// Watches `room` as `user` from when it exists.
    pub(crate) fn start(ground: &Arc<Ground>, room: &str, user: &str, quic: bool) -> Self {
        let (tell, sights) = mpsc::channel(MAX_SIGHTS);
        let eyes = Eyes {
            ground: ground.clone(),
            room: room.to_owned(),
            user: user.to_owned(),
            quic,
            tell,
        };
        let task: JoinHandle<()> = tokio::runtime::Handle::current().spawn(eyes.watch());
        Self {
            sights,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The next sight until `deadline`.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Option<Sight> {
        timeout_at(deadline, self.sights.recv()).await.ok()?
    }

    /// Waits for a sight that `fits`, within `limit`; others are passed over
    /// into `passed`.
    pub(crate) async fn wait(
        &mut self,
        limit: Duration,
        passed: &mut Vec<Sight>,
        fits: impl Fn(&What) -> bool,
    ) -> Option<Sight> {
        let deadline = Instant::now() + limit;
        while let Some(sight) = self.next(deadline).await {
            if fits(&sight.what) {
                return Some(sight);
            }
            passed.push(sight);
        }
        None
    }
}

struct Eyes {
    ground: Arc<Ground>,
    room: String,
    user: String,
    quic: bool,
    tell: mpsc::Sender<Sight>,
}

impl Eyes {
    /// Ends when nobody listens any more.
    async fn watch(self) {
        let mut connection = 0;
        while !self.tell.is_closed() {
            if let Some((mut caller, found)) = self.enter().await {
                connection += 1;
                self.look(&mut caller, found, connection).await;
            }
            sleep(RETRY).await;
        }
    }

    async fn enter(&self) -> Option<(Caller, (wire::RoomSnapshot, Vec<wire::Push>))> {
        let mut caller = Caller::log_in(&self.ground, &self.user, self.quic)
            .await
            .ok()?;
        let found = caller.enter(&self.room).await.ok()?;
        Some((caller, found))
    }

    async fn look(
        &self,
        caller: &mut Caller,
        (room, pushes): (wire::RoomSnapshot, Vec<wire::Push>),
        connection: u32,
    ) {
        if let Some(live) = room.summary.and_then(|summary| summary.live) {
            let phase = live.phase();
            if !self
                .tell(connection, live.live_id, What::Found(phase))
                .await
            {
                return;
            }
        }
        let mut pushes = pushes;
        loop {
            for push in pushes {
                let Some(push::Body::Live(event)) = push.body else {
                    continue;
                };
                let Some(what) = event.kind.map(what) else {
                    continue;
                };
                if !self.tell(connection, event.live_id, what).await {
                    return;
                }
            }
            pushes = match caller.next().await {
                Ok(pushes) => pushes,
                Err(_) => return,
            };
        }
    }

    async fn tell(&self, connection: u32, live: String, what: What) -> bool {
        let sight = Sight {
            at: self.ground.clock.now(),
            unix_ms: self.ground.clock.unix_ms(),
            connection,
            live,
            what,
        };
        self.tell.send(sight).await.is_ok()
    }
}

fn what(kind: live_event::Kind) -> What {
    match kind {
        live_event::Kind::Started(_) => What::Started,
        live_event::Kind::Away(away) => What::Away {
            until_ms: u64::try_from(away.until_ms).unwrap_or_default(),
        },
        live_event::Kind::Back(_) => What::Back,
        live_event::Kind::Ended(ended) => What::Ended(ended.reason()),
    }
}
