//! What a room shows of itself.

use std::collections::BTreeMap;

use livegate_proto::Encoded;
use livegate_proto::client::{self as wire, Role};
use livegate_proto::code::Code;

use super::Core;
use crate::clock::{Moment, Unix};
use crate::event::LiveStats;
use crate::id::{LiveId, SessionId, UserId};
use crate::rooms::members::Member;
use crate::rooms::refusal::Refusal;

/// Bytes of frames in one answer to History: with it the answer stays under
/// the limit of a frame.
const HISTORY_BYTES: usize = 192 << 10;

/// A stretch of the log, still encoded.
#[derive(Debug)]
pub(crate) struct Excerpt {
    pub(crate) epoch: u64,
    pub(crate) frames: Vec<Encoded>,
    /// The log no longer holds everything after the cursor asked for.
    pub(crate) truncated: bool,
    pub(crate) head: u64,
}

/// A room as the backend sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomReport {
    /// As everybody sees it.
    pub summary: wire::RoomSummary,
    /// Open sessions in it; a user may have several.
    pub sessions: u32,
    /// The incarnation of its sequence.
    pub epoch: u64,
    /// The newest seq.
    pub head: u64,
    /// Running totals.
    pub totals: wire::Totals,
}

/// A live that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveReport {
    /// Which.
    pub live: LiveId,
    /// As everybody sees it.
    pub state: wire::LiveState,
    /// Its figures now.
    pub stats: LiveStats,
}

impl Core {
    /// The room as lists show it.
    pub(crate) fn summary(&self) -> wire::RoomSummary {
        wire::RoomSummary {
            room_id: self.key.room.to_string(),
            room_info: self.charter.info.clone(),
            owner_id: self.charter.owner_text(),
            online: self.presence.online(),
            created_ms: self.charter.created.millis_i64(),
            live: self.live.wire_state(),
            profile: Some(Box::new(self.charter.profile.clone())),
        }
    }

    /// The room as the backend sees it.
    pub(crate) fn report(&self) -> RoomReport {
        RoomReport {
            summary: self.summary(),
            sessions: u32::try_from(self.members.sessions()).unwrap_or(u32::MAX),
            epoch: self.log.epoch(),
            head: self.log.head(),
            totals: self.totals(),
        }
    }

    /// The live that is recorded and has not ended.
    pub(crate) fn live_report(&self, now: Moment) -> Option<LiveReport> {
        let (live, stats) = self.live.stats(now)?;
        let state = self.live.wire_state()?;
        Some(LiveReport { live, state, stats })
    }

    /// Up to `limit` members after `cursor`, in the order of entering.
    pub(crate) fn page(&self, limit: u32, cursor: &str) -> Result<wire::MembersReply, Refusal> {
        let after = match cursor {
            "" => 0,
            text => text
                .parse()
                .map_err(|_| Refusal::with(Code::BAD_PARAMETER, "malformed cursor"))?,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (page, next) = self.members.page(after, limit);
        Ok(wire::MembersReply {
            members: page.into_iter().map(|m| self.wire_member(m)).collect(),
            next_cursor: next.map(|n| n.to_string()).unwrap_or_default(),
            online: self.presence.online(),
        })
    }

    /// Up to `limit` frames after the seq `after`, oldest first, for a member.
    pub(crate) fn excerpt(
        &self,
        session: SessionId,
        after: u64,
        limit: usize,
    ) -> Result<Excerpt, Refusal> {
        self.member(session)?;
        let mut bytes = 0;
        let fits = |frame: &Encoded| {
            bytes += frame.len();
            bytes <= HISTORY_BYTES
        };
        let frames = self.log.after(after).take(limit).map(|e| e.frame.clone());
        Ok(Excerpt {
            epoch: self.log.epoch(),
            frames: frames.take_while(fits).collect(),
            truncated: after < self.log.tail(),
            head: self.log.head(),
        })
    }

    /// The newest frames with a seq of at most `before` (0: the newest), newest
    /// first, with whether each was recalled. Looks at a bounded part of
    /// the log.
    pub(crate) fn newest(&self, before: u64) -> Vec<(Encoded, bool)> {
        /// Entries that one look passes over.
        const LOOKS: usize = 1_024;
        let before = if before == 0 { u64::MAX } else { before };
        let newest = self.log.after(0).rev();
        let asked = newest.filter(|entry| entry.seq <= before).take(LOOKS);
        asked
            .map(|entry| (entry.frame.clone(), self.is_recalled(entry.seq)))
            .collect()
    }

    /// The attributes and their version.
    pub(crate) fn attributes(&self) -> wire::Attributes {
        self.charter.wire_attributes()
    }

    /// Who is muted, until when.
    pub(crate) fn mutes(&self, now: Unix) -> Vec<(UserId, Unix)> {
        holding(&self.charter.mutes, now)
    }

    /// Who is banned, until when.
    pub(crate) fn bans(&self, now: Unix) -> Vec<(UserId, Unix)> {
        holding(&self.charter.bans, now)
    }

    /// The owner, and who was given a role.
    pub(crate) fn roles(&self) -> (Option<UserId>, Vec<(UserId, Role)>) {
        let roles = self.charter.roles.iter();
        let roles = roles.map(|(user, role)| (user.clone(), *role));
        (self.charter.owner.clone(), roles.collect())
    }

    /// The role of a user who is here.
    pub(crate) fn role_of_user(&self, user: &UserId) -> Option<Role> {
        self.members.get(user).map(|member| self.role_of(member))
    }

    pub(super) fn totals(&self) -> wire::Totals {
        wire::Totals {
            likes: self.likes.total(),
        }
    }

    pub(super) fn wire_member(&self, member: &Member) -> wire::Member {
        wire::Member {
            user: Some(member.person.wire()),
            role: self.role_of(member).into(),
            entered_ms: member.entered.millis_i64(),
        }
    }
}

fn holding(untils: &BTreeMap<UserId, Unix>, now: Unix) -> Vec<(UserId, Unix)> {
    let holds = untils.iter().filter(|(_, until)| **until > now);
    holds.map(|(user, until)| (user.clone(), *until)).collect()
}
