//! What the machine has done, held against what the model knows.

use super::*;
use crate::rooms::live::open::detected;

impl World {
    pub(super) fn record(&mut self, commit: &Commitment) {
        match commit {
            Commitment::Started { fact, record } => {
                assert!(self.disk.values().all(|record| !record.is_open()));
                self.order.push(fact.live);
                let before = self.disk.insert(fact.live, record.clone());
                assert!(before.is_none(), "a live was started twice");
            }
            Commitment::Ended { fact, record } => {
                let before = self.disk.insert(fact.live, record.clone()).unwrap();
                assert!(before.is_open() || before == *record, "an end was changed");
            }
        }
    }

    pub(super) fn take(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Commit(commit) => self.commit(*commit),
                Effect::Tell(notice) => self.tell(notice),
                Effect::Answer { asker, result } => self.answer(asker, result),
                Effect::Arm(at) => self.armed = Some(at),
                Effect::Disarm => self.armed = None,
                Effect::Hosting { .. } => {}
            }
        }
        let timed = self.live.phase() == Phase::Away;
        assert!(!timed || self.armed.is_some(), "away without a deadline");
        let seen = self.live.wire_state();
        let away = seen.is_some_and(|live| live.phase() == LivePhase::Away);
        assert_eq!(away, self.told_away.is_some(), "late joiners see otherwise");
    }

    fn commit(&mut self, commit: Commitment) {
        if let Commitment::Ended { fact, record } = &commit {
            if let Some(decided) = self.decided.get(&fact.live) {
                assert_eq!(decided, record, "a decided end was changed");
            } else if detected(fact.reason) {
                let (lost, grace) = self.lost.expect("ended though the host came back");
                assert_eq!(self.told_away, Some(fact.live), "ended before told away");
                let waited = fact.ended.0 - lost;
                assert!(waited >= grace, "ended {waited} ms after the loss");
            }
            self.decided.insert(fact.live, record.clone());
        }
        self.queue.push_back(commit);
    }

    fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Started { fact, .. } => {
                assert!(self.disk.contains_key(&fact.live), "told before recorded");
                assert!(self.told_started.insert(fact.live), "started twice");
            }
            Notice::Away { live, .. } => {
                assert!(self.told_started.contains(&live));
                assert!(self.lost.is_some(), "told away though the host is here");
                assert!(self.ms >= self.quiet_until, "told away too early");
                assert_eq!(self.told_away.replace(live), None, "told away twice");
            }
            Notice::Back { live, .. } => {
                assert_eq!(self.told_away.take(), Some(live), "back, not told away");
            }
            Notice::Ended(fact) => {
                self.told_away = None;
                assert!(!self.disk[&fact.live].is_open(), "told before recorded");
                assert!(self.told_started.contains(&fact.live), "end without start");
                assert!(self.told_ended.insert(fact.live), "ended twice");
            }
        }
    }

    fn answer(&mut self, asker: Asker, result: Result<Answer, Code>) {
        assert!(self.waiting.remove(&asker), "answered twice or unasked");
        let Ok(Answer::Started { live, .. }) = result else {
            return;
        };
        assert!(self.disk.contains_key(&live), "answered before recorded");
        let first = *self
            .answered
            .entry(self.asked[&asker].clone())
            .or_insert(live);
        // Only so many ended lives are remembered.
        let since = self.order.iter().rev().position(|other| *other == first);
        if since.unwrap() < MAX_PAST {
            assert_eq!(first, live, "a repeat of a start was another live");
        }
    }

    /// Everybody is gone, the disk works, time passes: all is over.
    pub(super) fn settle(&mut self) {
        while !self.present.is_empty() {
            self.lose(0, false);
        }
        for _ in 0..200 {
            while !self.queue.is_empty() {
                self.outcome(9);
            }
            self.ms += 1_000;
            if self.armed.is_some_and(|at| at <= self.now().instant) {
                self.armed = None;
                let effects = self.live.deadline(self.now());
                self.take(effects);
            }
        }
        assert!(!self.live.is_open(), "a live never ended");
        assert!(self.waiting.is_empty(), "a request was never answered");
        assert!(self.disk.values().all(|record| !record.is_open()));
        assert_eq!(self.told_ended.len(), self.disk.len());
    }

    pub(super) fn host_is_here(&mut self, who: &UserId) {
        if self.live.host().is_some_and(|(host, _)| host == who) {
            self.lost = None;
        }
    }

    pub(super) fn asker(&mut self, session: SessionId) -> Asker {
        self.requests += 1;
        Asker {
            session,
            request_id: self.requests,
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment {
            instant: Instant::from_millis(self.ms),
            unix: Unix(self.ms),
        }
    }
}
