//! The actions behind the gRPC door, in its words.

use std::sync::Arc;

use livegate_proto::backend::{
    EndLiveResponse, GetRoomResponse, KickUserResponse, ListLivesResponse, Live,
    PushToRoomResponse, PushToUserResponse,
};

use super::grpc::BackendActions;
use crate::actions::Actions;
use crate::actions::command::{EndLive, Kick, ListLives, PushToRoom, PushToUser};
use crate::clock::Clock;
use crate::id::RoomKey;
use crate::rooms::Refusal;
use crate::rooms::live::wire_ended;

/// Carries out what backends ask for, at the time that the clock tells.
#[derive(Debug)]
pub struct Backend {
    actions: Arc<Actions>,
    clock: Clock,
}

impl Backend {
    /// The actions, told the time by `clock`.
    pub fn new(actions: Arc<Actions>, clock: Clock) -> Self {
        Self { actions, clock }
    }
}

impl BackendActions for Backend {
    fn push_to_room(&self, push: PushToRoom) -> Result<PushToRoomResponse, Refusal> {
        let pushed = self.actions.push_to_room(push, self.clock.now())?;
        Ok(PushToRoomResponse {
            epoch: pushed.epoch,
            seq: pushed.seq,
            sessions_offered: pushed.offered,
            sessions_away: pushed.away,
        })
    }

    fn push_to_user(&self, push: PushToUser) -> Result<PushToUserResponse, Refusal> {
        let offered = self.actions.push_to_user(push, self.clock.now())?;
        Ok(PushToUserResponse {
            sessions_offered: offered.sessions,
            // A session is gone with its connection in this version: nobody
            // is away.
            sessions_away: 0,
        })
    }

    fn kick(&self, kick: Kick) -> Result<KickUserResponse, Refusal> {
        let sessions_kicked = self.actions.kick(&kick, self.clock.now())?;
        Ok(KickUserResponse { sessions_kicked })
    }

    fn room_info(&self, room: RoomKey) -> Result<GetRoomResponse, Refusal> {
        let report = self.actions.room_report(&room)?;
        Ok(GetRoomResponse {
            room: Some(report.summary),
            sessions: report.sessions,
            epoch: report.epoch,
            head_seq: report.head,
            totals: Some(report.totals),
        })
    }

    fn list_lives(&self, list: ListLives) -> Result<ListLivesResponse, Refusal> {
        let page = self.actions.list_lives(&list, self.clock.now())?;
        let last = page.lives.last().map(|(_, live)| live.live.to_string());
        Ok(ListLivesResponse {
            next_cursor: last.filter(|_| page.more).unwrap_or_default(),
            lives: page
                .lives
                .into_iter()
                .map(|(room, live)| Live {
                    room_id: room.room.to_string(),
                    state: Some(live.state),
                    stats: Some(live.stats.wire()),
                })
                .collect(),
        })
    }

    async fn end_live(&self, end: EndLive) -> Result<EndLiveResponse, Refusal> {
        let ended = self.actions.end_live(end, self.clock.now()).await?;
        Ok(EndLiveResponse {
            live_id: ended.live.to_string(),
            ended: Some(wire_ended(&ended)),
        })
    }
}
