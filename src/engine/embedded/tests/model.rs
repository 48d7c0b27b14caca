//! The tables against a model in memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, backends::InMemoryBackend};

use super::*;
use crate::engine::embedded::tables::{self, Tables};

#[derive(Debug, Clone)]
enum Op {
    Start(u8),
    End(u8),
    Stats(u8, u64),
    Room(u8, u8),
    RoomGone(u8),
    Tell(u8),
    Settle(u8, bool),
    Prune(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..6u8).prop_map(Op::Start),
        3 => (0..6u8).prop_map(Op::End),
        1 => (0..6u8, 0..9u64).prop_map(|(live, likes)| Op::Stats(live, likes)),
        1 => (0..4u8, any::<u8>()).prop_map(|(room, info)| Op::Room(room, info)),
        1 => (0..4u8).prop_map(Op::RoomGone),
        3 => (0..4u8).prop_map(Op::Tell),
        3 => (0..40u8, any::<bool>()).prop_map(|(seq, dead)| Op::Settle(seq, dead)),
        1 => (0..200u16).prop_map(Op::Prune),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_tables_hold_what_a_model_holds(ops in prop::collection::vec(op(), 1..60)) {
        let db = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .unwrap();
        let mut model = Model::default();
        for (time, op) in ops.into_iter().enumerate() {
            let txn = db.begin_write().unwrap();
            apply(&mut Tables::open(&txn).unwrap(), &op, time as u64);
            txn.commit().unwrap();
            model.apply(&op, time as u64);
            model.compare(&db);
        }
    }
}

fn apply(tables: &mut Tables<'_>, op: &Op, time: u64) {
    let now = Unix(time);
    let commit = match op {
        Op::Start(live) => started(u128::from(*live)),
        Op::End(live) => ended_at(u128::from(*live), now),
        Op::Stats(live, likes) => {
            let stats = LiveStats {
                likes: *likes,
                ..LiveStats::default()
            };
            quiet(Fact::LiveStats(id(u128::from(*live)), stats))
        }
        Op::Room(name, info) => {
            let mut commit = room(&name.to_string());
            if let Fact::Room(_, record) = &mut commit.facts[0] {
                record.room_info = Bytes::from(vec![*info]);
            }
            commit
        }
        Op::RoomGone(name) => quiet(Fact::RoomGone(room_key(&name.to_string()))),
        Op::Tell(key) => tell(&key.to_string(), "event"),
        Op::Settle(seq, dead) => {
            let settlement = settlement(*dead);
            return tables.settle(u64::from(*seq), &settlement, now).unwrap();
        }
        Op::Prune(age) => {
            let cut = Unix(time.saturating_sub(u64::from(*age)));
            return tables.prune(cut, cut, 1_000).unwrap();
        }
    };
    let mut applied = tables::Applied::default();
    tables.apply(&commit, now, u64::MAX, &mut applied).unwrap();
}

fn settlement(dead: bool) -> Settlement {
    match dead {
        true => Settlement::Dead {
            cause: "gone".to_owned(),
        },
        false => Settlement::Done,
    }
}

#[derive(Default)]
struct Model {
    open: BTreeMap<u8, u64>,
    ended: BTreeMap<u8, u64>,
    rooms: BTreeMap<u8, u8>,
    /// Place to key, and when it was queued.
    outbox: BTreeMap<u64, (String, u64)>,
    dead: BTreeMap<u64, u64>,
    seq: u64,
}

impl Model {
    fn apply(&mut self, op: &Op, time: u64) {
        match op {
            Op::Start(live) => {
                if !self.ended.contains_key(live) && !self.open.contains_key(live) {
                    self.open.insert(*live, 0);
                    self.enqueue(format!("r{live}"), time);
                }
            }
            Op::End(live) => {
                if !self.ended.contains_key(live) {
                    self.open.remove(live);
                    self.ended.insert(*live, time);
                    self.enqueue(format!("r{live}"), time);
                }
            }
            Op::Stats(live, likes) => {
                self.open.entry(*live).and_modify(|old| *old = *likes);
            }
            Op::Room(name, info) => {
                self.rooms.insert(*name, *info);
            }
            Op::RoomGone(name) => {
                self.rooms.remove(name);
            }
            Op::Tell(key) => self.enqueue(key.to_string(), time),
            Op::Settle(seq, dead) => {
                let seq = u64::from(*seq);
                if self.outbox.remove(&seq).is_some() && *dead {
                    self.dead.insert(seq, time);
                }
            }
            Op::Prune(age) => self.prune(time.saturating_sub(u64::from(*age))),
        }
    }

    fn enqueue(&mut self, key: String, time: u64) {
        self.seq += 1;
        self.outbox.insert(self.seq, (key, time));
    }

    fn prune(&mut self, cut: u64) {
        self.ended.retain(|_, ended| *ended >= cut);
        // Dead letters go oldest place first, up to the first that stays.
        while let Some(first) = self.dead.first_entry() {
            if *first.get() >= cut {
                break;
            }
            first.remove();
        }
    }

    fn compare(&self, db: &Database) {
        let txn = db.begin_read().unwrap();
        let number = |live: &LiveRecord| LiveId::parse(&live.live).unwrap().0.as_u128() as u8;
        let open: BTreeMap<u8, u64> = tables::open_lives(&txn)
            .unwrap()
            .iter()
            .map(|live| (number(live), live.stats.map_or(0, |stats| stats.likes)))
            .collect();
        assert_eq!(open, self.open);
        let ended: BTreeMap<u8, u64> = tables::ended_lives(&txn, 100)
            .unwrap()
            .iter()
            .map(|live| (number(live), live.end.unwrap().ended_ms))
            .collect();
        assert_eq!(ended, self.ended);
        let rooms: BTreeMap<u8, u8> = tables::rooms(&txn)
            .unwrap()
            .iter()
            .map(|room| (room.room.parse().unwrap(), room.room_info[0]))
            .collect();
        assert_eq!(rooms, self.rooms);
        self.compare_outbox(&txn);
    }

    fn compare_outbox(&self, txn: &redb::ReadTransaction) {
        let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (seq, (key, _)) in &self.outbox {
            by_key.entry(key.clone()).or_default().push(*seq);
        }
        let keys: BTreeSet<String> = tables::keys(txn, None, 100)
            .unwrap()
            .iter()
            .map(|key| key.key.to_string())
            .collect();
        assert!(keys.iter().eq(by_key.keys()));
        let none = HashSet::default();
        for (key, seqs) in by_key {
            let rows = tables::rows(txn, &order_key(&key), (0, 100), &none).unwrap();
            assert!(rows.iter().map(|row| row.seq).eq(seqs.iter().copied()));
            let after = tables::rows(txn, &order_key(&key), (seqs[0], 100), &none).unwrap();
            assert_eq!(after.len(), seqs.len() - 1);
            let first = HashSet::from_iter([seqs[0]]);
            let one = tables::rows(txn, &order_key(&key), (0, 1), &first).unwrap();
            let second = one.first().map(|row| row.seq);
            assert_eq!(second, seqs.get(1).copied(), "as if it were gone");
        }
        let dead = tables::dead_letters(txn, 0, 100).unwrap();
        let dead: BTreeMap<u64, u64> = dead
            .iter()
            .map(|letter| (letter.row.seq, letter.dead.0))
            .collect();
        assert_eq!(dead, self.dead);
    }
}
