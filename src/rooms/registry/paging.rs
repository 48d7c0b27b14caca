//! Pages of an app's rooms and of its lives.

use std::collections::HashMap;
use std::sync::Arc;

use livegate_proto::Message;
use livegate_proto::client as wire;
use livegate_proto::code::Code;

use super::Rooms;
use crate::clock::Moment;
use crate::id::{AppId, LiveId, RoomKey};
use crate::rooms::core::LiveReport;
use crate::rooms::listing::Rank;
use crate::rooms::refusal::Refusal;
use crate::rooms::room::Room;

/// Bytes of summaries in one page of a list: with it the answer stays under the
/// limit of a frame.
const LIST_BYTES: usize = 192 << 10;

impl Rooms {
    /// One page of an app's rooms: those with a live first, then by online
    /// count, then by id.
    ///
    /// # Errors
    /// [`Code::BAD_PARAMETER`] for a cursor that was not given out.
    pub fn list(
        &self,
        app: AppId,
        limit: u32,
        cursor: &str,
        now: Moment,
    ) -> Result<wire::ListRoomsReply, Refusal> {
        let after = match cursor {
            "" => None,
            text => Some(Rank::parse(text).ok_or_else(bad_cursor)?),
        };
        let every = self.parts.config.list_every;
        let ranks = self.listing.of(app, every, now.instant, || self.ranks());
        let start = after.map_or(0, |after| ranks.partition_point(|rank| *rank <= after));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let end = start.saturating_add(limit).min(ranks.len());
        let (rooms, taken) = self.page(app, &ranks[start..end]);
        let more = start + taken < ranks.len();
        let last = ranks[..start + taken].last().filter(|_| more);
        Ok(wire::ListRoomsReply {
            rooms,
            next_cursor: last.map(Rank::cursor).unwrap_or_default(),
        })
    }

    /// The rooms of `ranks`, as many as one frame holds, and how many ranks
    /// that were.
    fn page(&self, app: AppId, ranks: &[Rank]) -> (Vec<wire::RoomSummary>, usize) {
        let mut rooms = Vec::new();
        let mut bytes = 0;
        for (n, rank) in ranks.iter().enumerate() {
            let room = rank.room.clone();
            let Some(room) = self.get(&RoomKey { app, room }) else {
                continue;
            };
            let summary = room.summary();
            bytes += summary.encoded_len();
            if bytes > LIST_BYTES {
                return (rooms, n);
            }
            rooms.push(summary);
        }
        (rooms, ranks.len())
    }

    /// Up to `limit` lives of an app that have not ended, by live id, after
    /// the one given.
    pub fn lives(
        &self,
        app: AppId,
        after: Option<LiveId>,
        limit: usize,
        now: Moment,
    ) -> Vec<(RoomKey, LiveReport)> {
        let of_app = |room: &Room| room.key().app == app && room.is_live();
        let rooms = self.select(of_app);
        let report = |room: Arc<Room>| Some((room.key().clone(), room.live_report(now)?));
        let mut lives: Vec<_> = rooms.into_iter().filter_map(report).collect();
        lives.retain(|(_, report)| after.is_none_or(|after| report.live > after));
        lives.sort_unstable_by_key(|(_, report)| report.live);
        lives.truncate(limit);
        lives
    }

    fn ranks(&self) -> HashMap<AppId, Vec<Rank>> {
        let mut ranks: HashMap<AppId, Vec<Rank>> = HashMap::new();
        for room in &self.by_uid {
            let RoomKey { app, room: id } = room.value().key();
            let rank = Rank::new(room.is_live(), room.online(), id.clone());
            ranks.entry(*app).or_default().push(rank);
        }
        ranks
    }
}

fn bad_cursor() -> Refusal {
    Refusal::with(Code::BAD_PARAMETER, "malformed cursor")
}
