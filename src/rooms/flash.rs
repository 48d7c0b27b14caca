//! A room's unsequenced state: totals and the latest digest.
//!
//! Invariant: the version only grows, and a reader that has seen a version is
//! given just the parts that are newer, each once encoded however many read.

use livegate_proto::Encoded;
use livegate_proto::client::{PresenceDigest, Push, ServerFrame, Totals, push};

use crate::clock::Unix;

/// State of which only the latest matters.
#[derive(Debug, Default)]
pub struct Flash {
    totals: Part,
    digest: Part,
    /// Both parts in one frame.
    both: Option<Encoded>,
}

#[derive(Debug, Default)]
struct Part {
    version: u32,
    push: Option<Push>,
    encoded: Option<Encoded>,
}

impl Flash {
    /// Grows with every change; 0 when there never was one.
    pub fn version(&self) -> u64 {
        u64::from(self.totals.version) << 32 | u64::from(self.digest.version)
    }

    /// Sets the totals.
    pub fn set_totals(&mut self, room: &str, totals: Totals, time: Unix) {
        self.both = None;
        self.totals.set(room, push::Body::Totals(totals), time);
    }

    /// Sets the digest.
    pub fn set_digest(&mut self, room: &str, digest: PresenceDigest, time: Unix) {
        self.both = None;
        let body = push::Body::PresenceDigest(digest);
        self.digest.set(room, body, time);
    }

    /// Forgets the digest: names were told since.
    pub fn clear_digest(&mut self) {
        self.both = None;
        self.digest.push = None;
        self.digest.encoded = None;
    }

    /// What is newer than `seen`, and the version that it brings the reader to.
    pub fn read(&mut self, seen: u64) -> Option<(u64, Encoded)> {
        let totals = self.totals.is_newer(seen >> 32);
        let digest = self.digest.is_newer(seen & u64::from(u32::MAX));
        let frame = match (totals, digest) {
            (false, false) => return None,
            (true, false) => self.totals.frame(),
            (false, true) => self.digest.frame(),
            (true, true) => self.both_parts(),
        };
        Some((self.version(), frame))
    }

    fn both_parts(&mut self) -> Encoded {
        let parts = [&self.totals, &self.digest];
        let pushes = || parts.iter().filter_map(|part| part.push.clone()).collect();
        self.both.get_or_insert_with(|| encode(pushes())).clone()
    }
}

impl Part {
    fn set(&mut self, room: &str, body: push::Body, time: Unix) {
        self.version += 1;
        self.encoded = None;
        self.push = Some(Push {
            room_id: room.to_owned(),
            time_ms: time.millis_i64(),
            body: Some(body),
            ..Push::default()
        });
    }

    fn is_newer(&self, seen: u64) -> bool {
        self.push.is_some() && u64::from(self.version) > seen
    }

    fn frame(&mut self) -> Encoded {
        let pushes = || self.push.clone().into_iter().collect();
        let frame = self.encoded.get_or_insert_with(|| encode(pushes()));
        frame.clone()
    }
}

fn encode(pushes: Vec<Push>) -> Encoded {
    Encoded::new(&ServerFrame {
        pushes,
        ..ServerFrame::default()
    })
}

#[cfg(test)]
mod tests {
    use livegate_proto::Message;

    use super::*;

    #[test]
    fn a_reader_gets_only_what_is_newer_than_it_has_seen() {
        let mut flash = Flash::default();
        assert_eq!(flash.read(0), None);
        flash.set_totals("r", Totals { likes: 5 }, Unix(1));
        let (first, frame) = flash.read(0).unwrap();
        assert_eq!(bodies(&frame), ["totals 5"]);
        flash.set_digest("r", digest(70), Unix(2));
        let (second, frame) = flash.read(first).unwrap();
        assert_eq!(bodies(&frame), ["digest 70"]);
        assert!(second > first);
        assert_eq!(flash.read(second), None);
        let (_, frame) = flash.read(0).unwrap();
        assert_eq!(bodies(&frame), ["totals 5", "digest 70"]);
    }

    #[test]
    fn a_cleared_digest_is_told_to_nobody() {
        let mut flash = Flash::default();
        flash.set_digest("r", digest(70), Unix(2));
        flash.clear_digest();
        assert_eq!(flash.read(0), None);
        flash.set_totals("r", Totals { likes: 1 }, Unix(3));
        assert_eq!(bodies(&flash.read(0).unwrap().1), ["totals 1"]);
    }

    #[test]
    fn readers_of_one_version_share_the_bytes() {
        let mut flash = Flash::default();
        flash.set_totals("r", Totals { likes: 1 }, Unix(3));
        let (_, one) = flash.read(0).unwrap();
        let (_, other) = flash.read(0).unwrap();
        assert_eq!(one.prefixed().as_ptr(), other.prefixed().as_ptr());
    }

    fn digest(online: u32) -> PresenceDigest {
        PresenceDigest {
            online,
            ..PresenceDigest::default()
        }
    }

    fn bodies(frame: &Encoded) -> Vec<String> {
        let frame = ServerFrame::decode(frame.payload()).unwrap();
        let text = |push: Push| match push.body {
            Some(push::Body::Totals(totals)) => format!("totals {}", totals.likes),
            Some(push::Body::PresenceDigest(digest)) => format!("digest {}", digest.online),
            other => panic!("unexpected {other:?}"),
        };
        frame.pushes.into_iter().map(text).collect()
    }
}
