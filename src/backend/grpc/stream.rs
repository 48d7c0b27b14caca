//! `StreamService`: many pushes on one call, and what happens as it happens.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use livegate_proto::backend::stream_service_server::StreamService;
use livegate_proto::backend::{
    self as wire, PushStreamResponse, RefusedPush, WatchRequest, WatchResponse,
    push_stream_request, watch_response,
};
use livegate_proto::code::Code;
use tonic::{Request, Response, Status, Streaming};

use crate::actions::Actions;
use crate::actions::content::BadRequest;
use crate::backend::{command, status};
use crate::clock::Clock;
use crate::engine::record::{LiveRecord, RoomRecord};
use crate::engine::{Entry, Journal, JournalFact};
use crate::id::AppId;
use crate::rooms::live::wire_ended;
use crate::rooms::refusal::Refusal;
use crate::telemetry::{BackendMethod, Metrics};

/// Refusals that an answer names.
const NAMED: usize = 100;
/// Entries read from the store at once.
const PAGE: usize = 256;
/// A sign of life on a watch on which nothing happens.
const QUIET: Duration = Duration::from_secs(15);

/// The door.
pub(in crate::backend) struct Streams {
    pub(in crate::backend) actions: Arc<Actions>,
    pub(in crate::backend) journal: Journal,
    pub(in crate::backend) clock: Clock,
    pub(in crate::backend) metrics: Arc<Metrics>,
}

impl Streams {
    /// Carries one push out: whether it was told, or discarded by the rate.
    fn push(&self, push: push_stream_request::Push) -> Result<bool, Refusal> {
        let bad = |bad: BadRequest| Refusal::with(bad.code, bad.message);
        match push {
            push_stream_request::Push::ToRoom(push) => {
                let push = command::push_to_room(push).map_err(bad)?;
                let pushed = self.actions.push_to_room(push, self.clock.now())?;
                Ok(pushed.drop_reason.is_empty())
            }
            push_stream_request::Push::ToUser(push) => {
                let push = command::push_to_user(push).map_err(bad)?;
                self.actions.push_to_user(push, self.clock.now())?;
                Ok(true)
            }
        }
    }
}

/// Adds what came of the push at `index`.
fn add(answer: &mut PushStreamResponse, index: u64, result: Result<bool, Refusal>) {
    match result {
        Ok(true) => answer.accepted += 1,
        Ok(false) => answer.discarded += 1,
        Err(refusal) => {
            answer.refused += 1;
            if answer.refusals.len() < NAMED {
                let reply = refusal.reply(0);
                answer.refusals.push(RefusedPush {
                    index,
                    code: reply.code,
                    message: reply.message,
                    retry_after_ms: reply.retry_after_ms,
                });
            }
        }
    }
}

type Watching = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl StreamService for Streams {
    async fn push_stream(
        &self,
        request: Request<Streaming<wire::PushStreamRequest>>,
    ) -> Result<Response<PushStreamResponse>, Status> {
        let mut pushes = request.into_inner();
        let mut answer = PushStreamResponse::default();
        let mut index = 0;
        while let Some(push) = pushes.message().await? {
            let empty = || Refusal::with(Code::BAD_PARAMETER, "push is missing");
            let push = push.push.ok_or_else(empty);
            let result = push.and_then(|push| self.push(push));
            self.metrics
                .backend_call(BackendMethod::PushStream, result.is_ok());
            add(&mut answer, index, result);
            index += 1;
        }
        Ok(Response::new(answer))
    }

    type WatchStream = Watching;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Watching>, Status> {
        let request = request.get_ref();
        let app = AppId(request.sdk_app_id);
        if !self.actions.knows(app) {
            return Err(status::from_refusal(&Refusal::new(Code::NO_APP)));
        }
        let place = match request.cursor.as_str() {
            "" => Ok(self.journal.head()),
            cursor => cursor.parse(),
        };
        let bad = |_| status::from_bad_request(&BadRequest::parameter("malformed cursor"));
        let follower = Follower {
            journal: self.journal.clone(),
            app,
            place: place.map_err(bad)?,
            told: false,
        };
        self.metrics.backend_call(BackendMethod::Watch, true);
        let told = stream::unfold(follower, |mut follower| async move {
            let page = follower.next().await;
            page.map(|page| (stream::iter(page), follower))
        });
        Ok(Response::new(Box::pin(told.flatten())))
    }
}

/// Reads the journal for one watch.
struct Follower {
    journal: Journal,
    app: AppId,
    /// Everything up to here was told.
    place: u64,
    /// That everything was told was said.
    told: bool,
}

impl Follower {
    /// What follows, when there is something or it was quiet for a while; none
    /// when the store was closed.
    async fn next(&mut self) -> Option<Vec<Result<WatchResponse, Status>>> {
        if self.journal.head() <= self.place {
            if !self.told {
                self.told = true;
                return Some(vec![Ok(self.say(caught_up()))]);
            }
            let grown = tokio::time::timeout(QUIET, self.journal.grown(self.place));
            match grown.await {
                Err(_) => return Some(vec![Ok(self.say(caught_up()))]),
                Ok(Err(_)) => return None,
                Ok(Ok(_)) => {}
            }
        }
        let Ok(stretch) = self.journal.read(self.place, PAGE).await else {
            let closed = Status::unavailable("the store cannot be read now");
            return Some(vec![Err(closed)]);
        };
        let mut page = Vec::new();
        if stretch.missed {
            page.push(Ok(self.say(watch_response::Event::Missed(wire::Missed {}))));
        }
        let full = stretch.entries.len() == PAGE;
        for entry in stretch.entries {
            self.place = entry.place;
            if entry.app == self.app {
                page.push(Ok(told(entry)));
            }
        }
        if !full {
            self.place = self.place.max(stretch.head);
        }
        Some(page)
    }

    fn say(&self, event: watch_response::Event) -> WatchResponse {
        WatchResponse {
            cursor: self.place.to_string(),
            time_ms: 0,
            event: Some(event),
        }
    }
}

fn caught_up() -> watch_response::Event {
    watch_response::Event::CaughtUp(wire::CaughtUp {})
}

fn told(entry: Entry) -> WatchResponse {
    let event = match entry.fact {
        JournalFact::Room(room) => watch_response::Event::RoomRecorded(recorded(room)),
        JournalFact::RoomGone(room) => watch_response::Event::RoomGone(wire::RoomGone {
            room_id: room.to_string(),
        }),
        JournalFact::Live(live) => of_live(live),
    };
    WatchResponse {
        cursor: entry.place.to_string(),
        time_ms: entry.time.millis_i64(),
        event: Some(event),
    }
}

fn recorded(room: RoomRecord) -> wire::RoomRecorded {
    let attributes = room.attributes.into_iter();
    let attribute =
        |it: crate::engine::record::AttributeRecord| livegate_proto::client::Attribute {
            key: it.key,
            value: it.value,
        };
    wire::RoomRecorded {
        room_id: room.room,
        owner_id: room.owner,
        profile: room.profile,
        attributes: Some(livegate_proto::client::Attributes {
            version: room.attributes_version,
            attributes: attributes.map(attribute).collect(),
        }),
    }
}

fn of_live(live: LiveRecord) -> watch_response::Event {
    match live.ended() {
        Ok(Some(ended)) => watch_response::Event::LiveEnded(wire::LiveEnded {
            room_id: live.room,
            live_id: live.live,
            host_id: live.host,
            ended: Some(wire_ended(&ended)),
        }),
        // A reason of a later version cannot be told; its start can.
        Ok(None) | Err(_) => watch_response::Event::LiveStarted(wire::LiveStarted {
            room_id: live.room,
            live_id: live.live,
            host_id: live.host,
            started_ms: i64::try_from(live.started_ms).unwrap_or(i64::MAX),
        }),
    }
}
