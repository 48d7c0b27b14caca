//! Combos of gifts in a room.

use super::*;
use crate::rooms::limit::RateConfig;

impl Room {
    fn combo(&mut self, slot: u32, count: u32, id: &str) -> Published {
        let gift = wire::Gift {
            gift_id: "rose".into(),
            count,
            combo_id: "c1".into(),
            ..wire::Gift::default()
        };
        let publish = Publish {
            session: session(slot),
            content: Content::Gift(gift),
            priority: Priority::Normal,
            message_id: id.into(),
        };
        let now = self.moment();
        self.core.publish(publish, now, &mut self.out).unwrap()
    }

    /// What the room was told of gifts: who, how many, the total, whether the
    /// combo is over.
    fn gifts(&self) -> Vec<(String, u32, u32, bool)> {
        let gift = |push: Push| match push.body {
            Some(push::Body::RoomMessage(message)) => match message.content {
                Some(Content::Gift(gift)) => Some((
                    message.from.unwrap().user_id,
                    gift.count,
                    gift.combo_total,
                    gift.combo_ended,
                )),
                _ => None,
            },
            _ => None,
        };
        self.pushes().into_iter().filter_map(gift).collect()
    }
}

fn told(who: &str, count: u32, total: u32, ended: bool) -> (String, u32, u32, bool) {
    (who.to_owned(), count, total, ended)
}

#[test]
fn ninety_nine_gifts_in_a_row_are_a_few_messages_and_count_as_ninety_nine() {
    let mut room = Room::new();
    room.live("host");
    room.enter(2, "a").unwrap();
    let mut seqs = Vec::new();
    for n in 0..99 {
        seqs.push(room.combo(2, 1, &format!("m{n}")).seq);
        room.advance(20);
        room.tick();
    }
    assert!(seqs[0] > 0 && seqs[1..].iter().all(|seq| *seq == 0));
    room.rest();
    let gifts = room.gifts();
    assert_eq!(gifts.first(), Some(&told("a", 1, 1, false)));
    assert_eq!(gifts.last().map(|it| (it.2, it.3)), Some((99, true)));
    assert!(gifts.len() <= 5, "{gifts:?}");
    assert_eq!(gifts.iter().map(|it| it.1).sum::<u32>(), 99);
    let stats = room.core.live.stats(room.moment()).unwrap().1;
    assert_eq!((stats.gifts, stats.messages), (99, 99));
}

#[test]
fn a_repeated_gift_is_not_gathered_twice() {
    let mut room = Room::new();
    room.enter(2, "a").unwrap();
    room.combo(2, 1, "m0");
    let first = room.combo(2, 5, "m1");
    assert_eq!(room.combo(2, 5, "m1"), first);
    room.rest();
    assert_eq!(room.gifts().last(), Some(&told("a", 5, 6, true)));
}

#[test]
fn a_backends_gifts_are_gathered_too_under_the_name_it_speaks_for() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let push = |room: &mut Room, from: &str, count| {
        let push = BackendPush {
            from: wire::User {
                user_id: from.into(),
                profile: None,
            },
            content: Content::Gift(wire::Gift {
                gift_id: "rose".into(),
                count,
                combo_id: "c1".into(),
                ..wire::Gift::default()
            }),
            priority: Priority::High,
            bound: false,
            quiet: false,
            operator: "administrator".into(),
            random: None,
            message_id: "".into(),
        };
        let now = room.moment();
        room.core.push(push, now, &mut room.out).unwrap().seq
    };
    assert_ne!(push(&mut room, "a", 1), 0);
    assert_eq!(push(&mut room, "a", 2), 0);
    assert_ne!(push(&mut room, "b", 1), 0);
    room.advance(1_000);
    room.tick();
    let gifts = room.gifts();
    assert_eq!(gifts[..2], [told("a", 1, 1, false), told("b", 1, 1, false)]);
    assert_eq!(gifts[2..], [told("a", 2, 3, true), told("b", 0, 1, true)]);
}

#[test]
fn the_final_total_is_said_when_the_sender_is_gone_and_when_the_room_ends() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    room.enter(2, "b").unwrap();
    room.combo(1, 1, "");
    room.combo(1, 3, "");
    let now = room.moment();
    room.core.kick(&user("a"), "", now, &mut room.out);
    room.rest();
    assert_eq!(room.gifts().last(), Some(&told("a", 3, 4, true)));
    room.combo(2, 2, "");
    room.combo(2, 2, "");
    let now = room.moment();
    let by = DestroyedBy::Backend(asker(0, 1));
    room.core.destroy(by, now, &mut room.out).unwrap();
    assert_eq!(room.core.standing(), Standing::Gone);
    assert_eq!(room.gifts().last(), Some(&told("b", 2, 4, true)));
}

#[test]
fn what_is_gathered_waits_while_the_rooms_rate_is_used_up_and_the_end_does_not() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let slow = RateConfig {
        per_second: 1,
        burst: 1,
        ..RateConfig::default()
    };
    room.core.bucket = Bucket::new(slow, at_ms(0));
    room.combo(1, 1, "");
    room.advance(500);
    room.combo(1, 1, "");
    room.advance(500);
    room.gift(1, 9).unwrap();
    assert_eq!(
        room.gifts(),
        [told("a", 1, 1, false), told("a", 9, 0, false)]
    );
    assert_eq!(room.core.combos.deadline(), Some(at_ms(2_000)));
    room.advance(1_000);
    room.gift(1, 9).unwrap();
    assert_eq!(room.gifts()[3..], [told("a", 1, 2, true)]);
}
