//! What was told beside what was done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::crew::GUEST;
use crate::script::{Deed, Kind, Outcome, Writer};
use crate::told::{News, Told, What};

/// All that is known when everything was told.
pub(crate) struct Trial<'a> {
    deeds: Vec<Deed>,
    /// The first deed of each name.
    names: HashMap<String, usize>,
    told: &'a Told,
    /// Which lives' starts and ends are in the store's journal.
    recorded: BTreeSet<String>,
}

/// What kills took of what was accepted.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) accepted: u64,
    pub(crate) lost: u64,
    /// How long before the kill the oldest of them was accepted.
    pub(crate) oldest: Duration,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(deeds: Vec<Deed>, told: &'a Told, recorded: BTreeSet<String>) -> Self {
        let mut names = HashMap::new();
        for (number, deed) in deeds.iter().enumerate() {
            names.entry(deed.name.clone()).or_insert(number);
        }
        names.remove("");
        Self {
            deeds,
            names,
            told,
            recorded,
        }
    }

    /// What holds whatever was killed or full: bytes and signatures, order,
    /// nothing that nobody did, and every fact.
    pub(crate) fn judge(&self) {
        assert!(self.told.wrong.is_empty(), "{:?}", self.told.wrong);
        assert_eq!(self.told.unaccepted(), 0, "told, recorded, and given up");
        for (room, news) in &self.told.rooms {
            self.judge_order(room, news);
        }
        self.judge_facts();
    }

    /// Each writer's deeds in a room, and each round's places in it, go up.
    fn judge_order(&self, room: &str, news: &[News]) {
        let (mut deeds, mut places) = (BTreeMap::new(), BTreeMap::new());
        for news in news {
            let Some(number) = self.deed_of(news) else {
                continue;
            };
            let deed = &self.deeds[number];
            assert_eq!(deed.who.room, room, "told of another room");
            let before = deeds.insert(deed.who.writer, number);
            assert!(before < Some(number), "{room}: {deed:?} out of order");
            if let (What::Said(_, seq), Outcome::Done { seq: place, .. }) =
                (&news.what, deed.outcome)
            {
                assert_eq!(*seq, place, "{deed:?} has another place");
            }
            if let What::Said(_, seq) = news.what {
                let before = places.insert(deed.who.round, seq);
                assert!(before < Some(seq), "{room}: {deed:?} before {before:?}");
            }
        }
    }

    /// Which deed an event tells; `None` for one whose time is not known.
    fn deed_of(&self, news: &News) -> Option<usize> {
        match &news.what {
            What::Said(text, _) => {
                let number = self.names.get(text).copied();
                Some(number.unwrap_or_else(|| panic!("nobody said {}", news.event_id)))
            }
            What::Started | What::Ended => {
                let number = *self.names.get(&news.event_id)?;
                let done = matches!(self.deeds[number].outcome, Outcome::Done { .. });
                done.then_some(number)
            }
            What::Joined(_) | What::Left(_) | What::Other => None,
        }
    }

    /// Told are those lives that were recorded; they are recorded when they
    /// were answered so, and ended once each.
    fn judge_facts(&self) {
        let all = self.told.rooms.values().flatten();
        let lives = all.filter(|news| matches!(news.what, What::Started | What::Ended));
        let told: BTreeSet<String> = lives.map(|news| news.event_id.clone()).collect();
        assert_eq!(told, self.recorded);
        let lives = |kind| matches!(kind, Kind::Started | Kind::Ended);
        for deed in self.done().filter(|deed| lives(deed.kind)) {
            assert!(self.recorded.contains(&deed.name), "{deed:?} is lost");
        }
        let (started, ended): (Vec<_>, Vec<_>) = self
            .recorded
            .iter()
            .partition(|id| id.ends_with(":started"));
        assert_eq!(started.len(), ended.len(), "a live has no end");
    }

    fn done(&self) -> impl Iterator<Item = &Deed> {
        let done = |deed: &&Deed| matches!(deed.outcome, Outcome::Done { .. });
        self.deeds.iter().filter(done)
    }

    /// Deeds of a kind that were answered with success.
    pub(crate) fn count(&self, of: impl Fn(Kind) -> bool) -> u64 {
        self.done().filter(|deed| of(deed.kind)).count() as u64
    }

    /// Whether nothing is left of which it is not known whether it happened.
    pub(crate) fn is_clear(&self) -> bool {
        let unknown = |deed: &&Deed| matches!(deed.outcome, Outcome::Unknown);
        self.deeds.iter().find(unknown).is_none()
    }

    /// Of each round of which something is told, all that was accepted before
    /// the last of it was asked for. `kills` are the ends of rounds; a round
    /// without one had none, and all of it is told.
    pub(crate) fn judge_rounds(&self, kills: &BTreeMap<u64, Instant>) -> Lost {
        let told = self.told_deeds();
        let mut latest = BTreeMap::new();
        for number in &told {
            let deed = &self.deeds[*number];
            let latest = latest.entry(deed.who.round).or_insert(0);
            *latest = deed.asked.max(*latest);
        }
        let mut sum = Lost::default();
        for (number, deed) in self.deeds.iter().enumerate() {
            let Outcome::Done { tick, at, .. } = deed.outcome else {
                continue;
            };
            if deed.kind != Kind::Said {
                continue;
            }
            sum.accepted += 1;
            if told.contains(&number) {
                continue;
            }
            let killed = kills.get(&deed.who.round);
            let killed = killed.unwrap_or_else(|| panic!("{deed:?} is lost without a kill"));
            let latest = latest.get(&deed.who.round).copied().unwrap_or(0);
            assert!(tick > latest, "{deed:?} is a hole: later ones were told");
            sum.lost += 1;
            sum.oldest = sum.oldest.max(killed.saturating_duration_since(at));
        }
        sum
    }

    fn told_deeds(&self) -> BTreeSet<usize> {
        let all = self.told.rooms.values().flatten();
        all.filter_map(|news| self.deed_of(news)).collect()
    }

    /// The guest is told to have entered before what it said, and to have left
    /// between two things that it said.
    pub(crate) fn judge_visits(&self) {
        for news in self.told.rooms.values() {
            let (mut entered, mut left, mut round) = (false, false, None);
            for news in news {
                match &news.what {
                    What::Joined(user) => entered |= user == GUEST,
                    What::Left(user) => left |= user == GUEST,
                    What::Said(..) => {
                        let deed = &self.deeds[self.deed_of(news).expect("it was said")];
                        if deed.who.writer != Writer::Guest {
                            continue;
                        }
                        assert!(entered, "{deed:?} was not told to be there");
                        let same = round.replace(deed.who.round) == Some(deed.who.round);
                        assert!(left || !same, "{deed:?} was told to be there twice");
                        (entered, left) = (false, false);
                    }
                    What::Started | What::Ended | What::Other => {}
                }
            }
        }
        let asked = |kind| {
            let guest = |deed: &&Deed| deed.kind == kind && deed.who.writer == Writer::Guest;
            self.deeds.iter().filter(guest).count() as u64
        };
        let joined = self
            .told
            .count(|what| matches!(what, What::Joined(user) if user == GUEST));
        assert!(joined <= asked(Kind::Entered), "more came than asked");
        let left = self
            .told
            .count(|what| matches!(what, What::Left(user) if user == GUEST));
        assert!(left <= asked(Kind::Left), "more went than asked");
    }
}
