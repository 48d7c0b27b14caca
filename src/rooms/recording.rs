//! What a room hands to the store: facts with what the backend is told.

use uuid::Builder;

use crate::clock::Unix;
use crate::engine::{Commit, Fact, Subject};
use crate::id::{LiveId, RoomId, RoomKey};
use crate::rooms::core::Record;

/// The commit of `record`.
pub(crate) fn commit(room: &RoomKey, record: &Record) -> Commit {
    let (subject, fact) = match record {
        Record::Live(commitment) => return commitment.as_ref().clone().into_commit(),
        Record::Room(charter) => (
            Subject::Room(room.clone()),
            Fact::Room(room.clone(), charter.record(room)),
        ),
        Record::Changed(charter) => (
            Subject::RoomChanged(room.clone()),
            Fact::Room(room.clone(), charter.record(room)),
        ),
        Record::Gone => (Subject::Room(room.clone()), Fact::RoomGone(room.clone())),
        Record::Stats(live, stats) => (Subject::Quiet, Fact::LiveStats(*live, *stats)),
    };
    Commit {
        subject,
        facts: vec![fact],
        outbox: Vec::new(),
        reserve: false,
    }
}

/// A fresh live id: a UUIDv7 of this time.
pub(crate) fn live_id(now: Unix) -> LiveId {
    LiveId(Builder::from_unix_timestamp_millis(now.0, &random()).into_uuid())
}

/// A fresh epoch: not 0, and small enough for a JavaScript number.
pub(crate) fn epoch() -> u64 {
    (u64::from_le_bytes(random()) >> 11).max(1)
}

/// A fresh id for a room that is not named by who makes it.
pub(crate) fn room_id() -> RoomId {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |byte: u8| char::from(ALPHABET[usize::from(byte % 32)]);
    let letters: String = random::<12>().into_iter().map(letter).collect();
    RoomId::new(&format!("{ASSIGNED}a{letters}")).expect("printable and short")
}

/// How ids that the gateway assigns begin; nobody else may name a room so.
pub(crate) const ASSIGNED: &str = "@TGS#";

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fresh_and_of_their_form() {
        let (one, other) = (room_id(), room_id());
        assert_ne!(one, other);
        assert!(one.as_str().starts_with("@TGS#a") && one.as_str().len() == 18);
        let live = live_id(Unix(1_700_000_000_000));
        assert_eq!(live.0.get_version_num(), 7);
        assert!(live.to_string().starts_with("018bcfe5-6800-7"));
        assert!((1..1 << 53).contains(&epoch()));
    }
}
