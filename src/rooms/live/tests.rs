//! The live machine: by case, and against a model of a host, a store and a clock.

mod commits;
mod host;
mod model;

use livegate_proto::client::LivePhase;

use super::*;
use crate::id::{AppId, RoomId, RoomKey, ShardId};

const GRACE: Duration = Duration::from_secs(10);
const RESTART_GRACE: Duration = Duration::from_secs(15);

fn started() -> Live {
    let mut live = Live::default();
    live.start(start(1, "a", 1), at(0));
    live.start_committed(id(1), CommitResult::Recorded, at(0));
    live
}

fn start(who: u8, start_id: &str, live: u128) -> StartArgs {
    StartArgs {
        asker: Asker {
            session: session(who),
            request_id: 1,
        },
        user: user(who),
        start_id: start_id.into(),
        ..start_args(id(live))
    }
}

fn start_args(live: LiveId) -> StartArgs {
    StartArgs {
        room: RoomKey {
            app: AppId(1),
            room: RoomId::new("demo").unwrap(),
        },
        asker: Asker {
            session: session(1),
            request_id: 1,
        },
        user: user(1),
        profile: profile(),
        start_id: "a".into(),
        grace: GRACE,
        live,
    }
}

fn end(reason: EndReason, request: Option<u64>) -> EndArgs {
    EndArgs {
        reason,
        live: None,
        asker: request.map(|request_id| Asker {
            session: session(1),
            request_id,
        }),
    }
}

fn answers(effects: &Effects) -> Vec<Result<Answer, Code>> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Answer { result, .. } => Some(result.clone()),
            _ => None,
        })
        .collect()
}

fn told(effects: &Effects) -> Vec<Notice> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell(notice) => Some(notice.clone()),
            _ => None,
        })
        .collect()
}

fn ended_fact(effects: &Effects) -> Option<Arc<LiveEnded>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Commit(commit) => match &**commit {
            Commitment::Ended { fact, .. } => Some(fact.clone()),
            Commitment::Started { .. } => None,
        },
        _ => None,
    })
}

fn at(seconds: u64) -> Moment {
    Moment {
        instant: Instant::from_millis(seconds * 1_000),
        unix: Unix(seconds * 1_000),
    }
}

fn id(number: u128) -> LiveId {
    LiveId(uuid::Uuid::from_u128(number))
}

fn session(number: u8) -> SessionId {
    SessionId::new(ShardId(1), u32::from(number), 1)
}

fn user(number: u8) -> UserId {
    UserId::new(&format!("user{number}")).unwrap()
}

fn profile() -> Arc<wire::Profile> {
    Arc::new(wire::Profile::default())
}

fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}
