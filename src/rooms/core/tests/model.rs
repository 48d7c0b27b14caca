//! A room under any steps, against a model of its sessions.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Enter(u32, u8),
    Leave(u32),
    Say(u32),
    Kick(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u32..12, 0u8..6).prop_map(|(slot, user)| Step::Enter(slot, user)),
        3 => (0u32..12).prop_map(Step::Leave),
        3 => (0u32..12).prop_map(Step::Say),
        1 => (0u8..6).prop_map(Step::Kick),
        2 => (0u64..2_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    /// Reference model: which session is whose. Members, sessions and the
    /// online count follow it; everything stamped has the next seq; messages
    /// come out in the order in which they were said.
    #[test]
    fn a_room_is_its_sessions_and_one_order_for_all(steps in steps()) {
        let mut room = Room::new();
        let mut model: BTreeMap<u32, u8> = BTreeMap::new();
        let mut owners: BTreeMap<u32, u8> = BTreeMap::new();
        let mut said = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Enter(slot, name) => {
                    let name = *owners.entry(slot).or_insert(name);
                    let entered = room.enter(slot, &format!("u{name}"));
                    prop_assert!(entered.is_ok());
                    model.insert(slot, name);
                }
                Step::Leave(slot) => {
                    let left = room.leave(slot, LeaveCause::Left);
                    prop_assert_eq!(left, model.remove(&slot).is_some());
                }
                Step::Say(slot) => {
                    let text = format!("m{n}");
                    match room.publish(slot, &text, Priority::Normal, "") {
                        Ok(published) => {
                            prop_assert!(model.contains_key(&slot));
                            if published.seq > 0 {
                                prop_assert_eq!(published.seq, room.core.log.head());
                                said.push(text);
                            }
                        }
                        Err(_) => prop_assert!(!model.contains_key(&slot)),
                    }
                }
                Step::Kick(name) => {
                    let sessions = model.values().filter(|n| **n == name).count();
                    let moment = room.moment();
                    let user = user(&format!("u{name}"));
                    let kicked = room.core.kick(&user, "", moment, &mut room.out);
                    prop_assert_eq!(kicked, sessions);
                    model.retain(|_, n| *n != name);
                }
                Step::Wait(ms) => {
                    room.advance(ms);
                    room.tick();
                }
            }
            let users: BTreeSet<u8> = model.values().copied().collect();
            prop_assert_eq!(room.core.online() as usize, users.len());
            prop_assert_eq!(room.core.held().members, model.len());
            let page = room.core.page(200, "").unwrap();
            let names: BTreeSet<String> =
                page.members.into_iter().map(|m| m.user.unwrap().user_id).collect();
            let expected: BTreeSet<String> = users.iter().map(|n| format!("u{n}")).collect();
            prop_assert_eq!(names, expected);
        }
        prop_assert_eq!(room.texts_after(0), said);
        room.rest();
        let present: BTreeSet<String> = room.presence().iter().fold(BTreeSet::new(), |mut set, change| {
            let name = change[1..].split(' ').next().unwrap_or_default().to_owned();
            if change.starts_with('+') { set.insert(name); } else { set.remove(&name); }
            set
        });
        let users: BTreeSet<String> = model.values().map(|n| format!("u{n}")).collect();
        prop_assert_eq!(present, users);
    }
}
