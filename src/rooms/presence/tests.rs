//! What is told by case, and against a client that applies it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn the_first_to_enter_is_told_at_once_and_the_next_ones_together() {
    let mut presence = Presence::new(PresenceConfig::default());
    presence.entered(&person(1), false);
    assert_eq!(names(&mut presence, 0), ["+u1"]);
    presence.entered(&person(2), false);
    presence.entered(&person(3), false);
    assert_eq!(presence.due(Instant::from_millis(499)), None);
    assert_eq!(presence.deadline(), Some(Instant::from_millis(500)));
    assert_eq!(names(&mut presence, 500), ["+u2", "+u3"]);
    assert_eq!(presence.deadline(), None);
}

#[test]
fn who_comes_and_goes_within_a_window_is_not_told_who_goes_and_comes_is() {
    let mut presence = Presence::new(PresenceConfig::default());
    presence.entered(&person(1), false);
    names(&mut presence, 0);
    presence.entered(&person(2), false);
    presence.left(&person(2), LeaveReason::Left, false);
    assert_eq!(presence.deadline(), None);
    presence.left(&person(1), LeaveReason::Left, false);
    presence.entered(&person(1), false);
    assert_eq!(names(&mut presence, 500), ["+u1"]);
    presence.left(&person(1), LeaveReason::Left, false);
    assert_eq!(names(&mut presence, 1000), ["-u1"]);
}

#[test]
fn hosts_are_told_by_name_in_a_room_of_any_size() {
    let mut presence = crowd(60);
    presence.entered(&person(99), true);
    assert_eq!(names(&mut presence, 10_000), ["+u99"]);
    presence.left(&person(99), LeaveReason::ConnectionLost, true);
    assert_eq!(names(&mut presence, 11_000), ["-u99"]);
}

#[test]
fn a_digest_names_the_newest_who_are_still_there_up_to_its_limits() {
    let mut presence = crowd(60);
    for n in 100..130 {
        presence.entered(&person(n), false);
    }
    presence.left(&person(129), LeaveReason::Left, false);
    let Some(Telling::Digest(digest)) = presence.due(Instant::from_millis(10_000)) else {
        panic!("a digest is due");
    };
    assert_eq!((digest.online, digest.entered_total), (89, 90));
    assert_eq!(digest.left_total, 1);
    let newest: Vec<_> = digest.newest.iter().map(|u| u.user_id.as_str()).collect();
    assert_eq!(newest.len(), 19);
    assert_eq!((newest[0], newest[18]), ("u128", "u110"));
}

#[test]
fn a_room_at_the_edge_does_not_flap() {
    let mut presence = crowd(50);
    assert!(!presence.is_exact());
    for n in 0..10 {
        assert!(!presence.left(&person(n), LeaveReason::Left, false));
        presence.entered(&person(n), false);
    }
    for n in 0..10 {
        assert!(!presence.left(&person(n), LeaveReason::Left, false));
    }
    assert!(presence.left(&person(10), LeaveReason::Left, false));
    assert!(presence.is_exact());
}

#[test]
fn a_refused_telling_is_tried_again() {
    let mut presence = Presence::new(PresenceConfig::default());
    presence.entered(&person(1), false);
    let first = presence.due(Instant(0)).unwrap();
    presence.put_off(Instant(0));
    assert_eq!(presence.due(Instant::from_millis(499)), None);
    assert_eq!(presence.due(Instant::from_millis(500)), Some(first));
}

#[derive(Debug, Clone)]
enum Step {
    Toggle(u32),
    Wait(u64),
    Refuse,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u32..16).prop_map(Step::Toggle),
        3 => (0u64..700).prop_map(Step::Wait),
        1 => Just(Step::Refuse),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Reference model: the set of members. A client that applies what it
    /// is told ends up with it whenever presence is exact and nothing is
    /// waiting; with the notables among it at any time; and no second
    /// brings more than two frames.
    #[test]
    fn a_client_that_applies_what_it_is_told_knows_the_room(steps in steps()) {
        let config = PresenceConfig {
            exact_below: 8,
            exact_again_below: 5,
            changes_per_frame: 3,
            ..PresenceConfig::default()
        };
        let mut presence = Presence::new(config);
        let mut client = Client::default();
        let mut members = BTreeSet::new();
        let mut now = 0;
        for step in steps {
            let mut refuse = false;
            match step {
                Step::Toggle(n) => toggle(&mut presence, &mut members, n),
                Step::Wait(ms) => now += ms,
                Step::Refuse => refuse = true,
            }
            client.turn(&mut presence, now, refuse);
        }
        while let Some(at) = presence.deadline() {
            now = now.max(at.0 / 1000);
            client.turn(&mut presence, now, false);
        }
        let names: BTreeSet<String> = members.iter().map(|n| format!("u{n}")).collect();
        prop_assert_eq!(presence.online() as usize, members.len());
        prop_assert_eq!(client.online as usize, members.len());
        let notables = |set: &BTreeSet<String>| {
            set.iter().filter(|n| notable_name(n)).cloned().collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(notables(&client.members), notables(&names));
        if presence.is_exact() {
            prop_assert_eq!(&client.members, &names);
        }
        for two in client.frames.windows(3) {
            prop_assert!(two[2] - two[0] >= 1000, "three frames in a second: {:?}", two);
        }
    }
}

/// A client as docs/protocol.md tells it to behave.
#[derive(Default)]
struct Client {
    members: BTreeSet<String>,
    online: u32,
    frames: Vec<u64>,
}

impl Client {
    fn turn(&mut self, presence: &mut Presence, ms: u64, refuse: bool) {
        let now = Instant::from_millis(ms);
        match presence.due(now) {
            Some(Telling::Exact(_)) if refuse => presence.put_off(now),
            Some(Telling::Exact(told)) => {
                presence.told(now);
                self.frames.push(ms);
                self.online = told.online;
                for change in told.changes {
                    let name = change.user.unwrap().user_id;
                    if change.entered {
                        self.members.insert(name);
                    } else {
                        self.members.remove(&name);
                    }
                }
            }
            Some(Telling::Digest(digest)) => {
                self.frames.push(ms);
                self.online = digest.online;
                self.members.retain(|name| notable_name(name));
            }
            None => {}
        }
    }
}

fn toggle(presence: &mut Presence, members: &mut BTreeSet<u32>, n: u32) {
    if members.insert(n) {
        presence.entered(&person(n), notable(n));
        return;
    }
    members.remove(&n);
    if presence.left(&person(n), LeaveReason::Left, notable(n)) {
        presence.everybody(members.iter().map(|n| person(*n)));
    }
}

fn notable(n: u32) -> bool {
    n < 2
}

fn notable_name(name: &str) -> bool {
    name == "u0" || name == "u1"
}

fn crowd(members: u32) -> Presence {
    let mut presence = Presence::new(PresenceConfig::default());
    let mut now = 0;
    for n in 0..members {
        presence.entered(&person(n), false);
    }
    while let Some(at) = presence.deadline() {
        now = now.max(at.0);
        if let Some(Telling::Exact(_)) = presence.due(Instant(now)) {
            presence.told(Instant(now));
        }
    }
    presence
}

fn names(presence: &mut Presence, ms: u64) -> Vec<String> {
    let Some(Telling::Exact(told)) = presence.due(Instant::from_millis(ms)) else {
        return Vec::new();
    };
    presence.told(Instant::from_millis(ms));
    let name = |change: wire::PresenceChange| {
        let sign = if change.entered { '+' } else { '-' };
        format!("{sign}{}", change.user.unwrap().user_id)
    };
    told.changes.into_iter().map(name).collect()
}

fn person(n: u32) -> Person {
    Person {
        user: UserId::new(&format!("u{n}")).unwrap(),
        profile: Arc::default(),
        role: Role::Viewer,
    }
}
