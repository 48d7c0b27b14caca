//! What hosts were promised and what everybody was told, and whether it fits
//! together. Pure.
//!
//! The promise: each live whose start was acknowledged ends exactly once or is
//! still live, across restarts, and the backend is told of each end under one
//! event id.

use std::collections::{BTreeMap, BTreeSet};

use livegate_proto::client::EndReason;

/// Violations that are kept in words; all are counted by the length that the
/// list would have.
const MAX_VIOLATIONS: usize = 200;

/// A live as its host knows it.
#[derive(Debug, Clone, Default)]
struct Promise {
    /// The start was acknowledged.
    started: bool,
    /// An end that the host asked for was acknowledged.
    ended: bool,
    /// The host asked for an end, answered or not.
    asked_end: bool,
}

/// Everything that is known so far.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    lives: BTreeMap<String, Promise>,
    /// By start id: the live that it was first answered with.
    starts: BTreeMap<String, String>,
    /// Ends seen by watchers: (watcher, connection, live).
    seen: BTreeSet<(String, u32, String)>,
    reasons: BTreeMap<String, EndReason>,
    violations: Vec<String>,
    /// Lives that hosts found again after a loss.
    pub(crate) returns: u64,
    /// Ends that watchers were told.
    pub(crate) ends_seen: u64,
}

/// What the backend and the gateway say at some moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Testimony {
    /// Lives told started to the backend.
    pub(crate) told_started: BTreeSet<String>,
    /// Lives told ended to the backend.
    pub(crate) told_ended: BTreeSet<String>,
    /// Lives that the gateway lists as open.
    pub(crate) listed: BTreeSet<String>,
}

impl Deeds {
    /// A start was acknowledged.
    pub(crate) fn started(&mut self, start_id: &str, live: &str) {
        let first = self
            .starts
            .entry(start_id.to_owned())
            .or_insert_with(|| live.to_owned());
        if first != live {
            let what = format!("start {start_id} was answered with {first} and with {live}");
            self.violation(what);
        }
        self.lives.entry(live.to_owned()).or_default().started = true;
    }

    /// A host is about to ask for the end of its live.
    pub(crate) fn asks_end(&mut self, live: &str) {
        self.lives.entry(live.to_owned()).or_default().asked_end = true;
    }

    /// An end that was asked for was acknowledged.
    pub(crate) fn ended(&mut self, live: &str) {
        self.lives.entry(live.to_owned()).or_default().ended = true;
    }

    /// A host that was there was told that its live is over.
    pub(crate) fn ended_under_host(&mut self, live: &str, reason: EndReason) {
        let asked = self
            .lives
            .get(live)
            .is_some_and(|promise| promise.asked_end);
        if !asked {
            let reason = reason.as_str_name();
            self.violation(format!(
                "{live}: ended as {reason} under a host that was there"
            ));
        }
    }

    /// A watcher was told of an end on one of its connections.
    pub(crate) fn saw_end(&mut self, who: &str, connection: u32, live: &str, reason: EndReason) {
        self.ends_seen += 1;
        if !self
            .seen
            .insert((who.to_owned(), connection, live.to_owned()))
        {
            self.violation(format!("{live}: {who} was told of its end twice"));
        }
        let first = *self.reasons.entry(live.to_owned()).or_insert(reason);
        if first != reason {
            let (first, reason) = (first.as_str_name(), reason.as_str_name());
            self.violation(format!("{live}: ended as {first} and as {reason}"));
        }
    }

    /// Something else that must not be.
    pub(crate) fn violation(&mut self, what: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(what);
        }
    }

    /// Lives whose start was acknowledged.
    pub(crate) fn acknowledged(&self) -> BTreeSet<String> {
        let started = self.lives.iter().filter(|(_, promise)| promise.started);
        started.map(|(live, _)| live.clone()).collect()
    }

    /// What is wrong while some lives may still be open: each acknowledged live
    /// must be told ended or be listed, and not both.
    pub(crate) fn check(&self, testimony: &Testimony) -> Vec<String> {
        let mut wrong = self.violations.clone();
        for (live, promise) in &self.lives {
            let ended = testimony.told_ended.contains(live);
            let listed = testimony.listed.contains(live);
            if promise.started && !ended && !listed {
                wrong.push(format!("{live}: acknowledged, neither ended nor live"));
            }
            if promise.started && ended && listed {
                wrong.push(format!("{live}: told ended and still live"));
            }
            if promise.ended && listed {
                wrong.push(format!("{live}: its end was acknowledged, still live"));
            }
        }
        for live in testimony.told_started.difference(&testimony.told_ended) {
            if !testimony.listed.contains(live) {
                wrong.push(format!("{live}: told started, neither ended nor live"));
            }
        }
        for live in testimony.told_ended.difference(&testimony.told_started) {
            wrong.push(format!("{live}: told ended and never started"));
        }
        for live in testimony.listed.difference(&self.acknowledged()) {
            if !testimony.told_started.contains(live) {
                wrong.push(format!("{live}: live, but nobody was told of its start"));
            }
        }
        let seen: BTreeSet<&String> = self.seen.iter().map(|(_, _, live)| live).collect();
        for live in seen {
            if !testimony.told_ended.contains(live) {
                wrong.push(format!(
                    "{live}: viewers were told of its end, the backend not"
                ));
            }
        }
        wrong
    }

    /// How often lives ended for which reason, as watchers were told.
    pub(crate) fn reasons(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for reason in self.reasons.values() {
            *counts.entry(reason.as_str_name()).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(lives: &[&str]) -> BTreeSet<String> {
        lives.iter().map(|live| (*live).to_owned()).collect()
    }

    fn testimony(started: &[&str], ended: &[&str], listed: &[&str]) -> Testimony {
        Testimony {
            told_started: set(started),
            told_ended: set(ended),
            listed: set(listed),
        }
    }

    fn deeds() -> Deeds {
        let mut deeds = Deeds::default();
        deeds.started("s1", "A");
        deeds.started("s2", "B");
        deeds
    }

    #[test]
    fn ended_once_or_still_live_is_right() {
        assert!(
            deeds()
                .check(&testimony(&["A", "B"], &["A"], &["B"]))
                .is_empty()
        );
    }

    #[test]
    fn a_live_that_vanished_is_found() {
        assert_eq!(deeds().check(&testimony(&["A", "B"], &["A"], &[])).len(), 2);
        assert_eq!(deeds().check(&testimony(&["A"], &["A"], &[])).len(), 1);
    }

    #[test]
    fn a_live_that_ended_and_goes_on_is_found() {
        let wrong = deeds().check(&testimony(&["A", "B"], &["A", "B"], &["B"]));
        assert_eq!(wrong, ["B: told ended and still live"]);
    }

    #[test]
    fn an_end_without_a_start_and_a_start_answered_twice_are_found() {
        let mut deeds = deeds();
        let wrong = deeds.check(&testimony(&["A", "B"], &["A", "B", "C"], &[]));
        assert_eq!(wrong, ["C: told ended and never started"]);
        deeds.started("s1", "C");
        assert_eq!(deeds.violations.len(), 1);
    }

    #[test]
    fn a_viewer_told_twice_or_otherwise_is_found() {
        let mut deeds = deeds();
        deeds.saw_end("w", 1, "A", EndReason::HostCrashed);
        deeds.saw_end("w", 2, "A", EndReason::HostCrashed);
        assert!(deeds.violations.is_empty());
        deeds.saw_end("w", 2, "A", EndReason::HostCrashed);
        deeds.saw_end("v", 1, "A", EndReason::HostEnded);
        assert_eq!(deeds.violations.len(), 2);
        let wrong = deeds.check(&testimony(&["A", "B"], &[], &["A", "B"]));
        assert_eq!(
            wrong.len(),
            3,
            "viewers heard of an end that the backend did not"
        );
    }

    #[test]
    fn an_end_under_a_present_host_is_wrong_unless_it_asked_for_it() {
        let mut deeds = deeds();
        deeds.asks_end("A");
        deeds.ended_under_host("A", EndReason::HostEnded);
        assert!(deeds.violations.is_empty());
        deeds.ended_under_host("B", EndReason::HostCrashed);
        assert_eq!(deeds.violations.len(), 1);
    }
}
