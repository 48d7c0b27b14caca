//! The mic of a room: invitations both ways, the role, who is on it.

use livegate_proto::client::{InvitationKind, InvitationOutcome};

use super::*;

/// What a session was told aside, in short.
type Told = Vec<(SessionId, String)>;

impl Room {
    fn invite(&mut self, slot: u32, to: &str) -> Result<wire::InvitationReply, Refusal> {
        let now = self.moment();
        self.core
            .invite(session(slot), &user(to), now, &mut self.out)
    }

    fn ask(&mut self, slot: u32) -> Result<wire::InvitationReply, Refusal> {
        let now = self.moment();
        self.core.ask(session(slot), now, &mut self.out)
    }

    fn answer(&mut self, slot: u32, id: &str, accept: bool) -> Code {
        let now = self.moment();
        code(
            self.core
                .answer(session(slot), id, accept, now, &mut self.out),
        )
    }

    fn cancel(&mut self, slot: u32, id: &str) -> Code {
        let now = self.moment();
        code(self.core.cancel(session(slot), id, now, &mut self.out))
    }

    fn grant(&mut self, slot: u32, name: &str) -> Code {
        let now = self.moment();
        code(
            self.core
                .grant_publisher(session(slot), &user(name), now, &mut self.out),
        )
    }

    fn remove(&mut self, by: &By, name: &str) -> Code {
        let now = self.moment();
        code(
            self.core
                .remove_publisher(by, &user(name), now, &mut self.out),
        )
    }

    fn on(&mut self, slot: u32) -> Code {
        let now = self.moment();
        code(
            self.core
                .start_publishing(session(slot), now, &mut self.out),
        )
    }

    fn off(&mut self, slot: u32) -> Code {
        let now = self.moment();
        code(self.core.stop_publishing(session(slot), now, &mut self.out))
    }

    /// Takes what sessions were told about invitations and roles.
    fn told(&mut self) -> Told {
        let events = std::mem::take(&mut self.out.events);
        let text = |(session, event): (SessionId, SessionEvent)| match event {
            SessionEvent::Direct(frame, class) => {
                let frame = ServerFrame::decode(frame.payload()).unwrap();
                let said = match frame.pushes.into_iter().next().unwrap().body {
                    Some(push::Body::Invitation(it)) => {
                        assert_eq!(class, Class::High);
                        format!("{:?} {}", it.kind(), it.from.unwrap().user_id)
                    }
                    Some(push::Body::InvitationEnded(it)) => {
                        let by = it.by.clone().map(|by| format!(" {}", by.user_id));
                        format!("{:?}{}", it.outcome(), by.unwrap_or_default())
                    }
                    _ => return None,
                };
                Some((session, said))
            }
            SessionEvent::Role {
                role, publishing, ..
            } => Some((session, format!("{role:?} {publishing}"))),
            _ => None,
        };
        events.into_iter().filter_map(text).collect()
    }

    fn publisher_events(&self) -> Vec<String> {
        let text = |push: Push| match push.body {
            Some(push::Body::Publisher(told)) => {
                let sign = if told.joined { '+' } else { '-' };
                Some(format!("{sign}{}", told.user.unwrap().user_id))
            }
            _ => None,
        };
        self.pushes().into_iter().filter_map(text).collect()
    }

    /// A host on session 1 and viewers `a` and `b` on 2 and 3.
    fn with_viewers() -> Self {
        let mut room = Self::new();
        room.live("host");
        room.enter(2, "a").unwrap();
        room.enter(3, "b").unwrap();
        room.out.events.clear();
        room
    }

    fn role(&self, name: &str) -> Role {
        self.core.role_of_user(&user(name)).unwrap()
    }
}

fn told<const N: usize>(of: [(u32, &str); N]) -> Told {
    let text = |(slot, text): (u32, &str)| (session(slot), text.to_owned());
    of.into_iter().map(text).collect()
}

#[test]
fn who_is_invited_and_accepts_is_on_the_mic_only_when_they_take_it() {
    let mut room = Room::with_viewers();
    assert_eq!(room.on(2), Code::NO_PERMISSION);
    let invited = room.invite(1, "a").unwrap();
    assert_eq!(invited.expires_ms, 30_000);
    let kind = format!("{:?} host", InvitationKind::Invite);
    assert_eq!(room.told(), told([(2, kind.as_str())]));
    assert_eq!(room.answer(2, &invited.invitation_id, true), Code::OK);
    let told_now = room.told();
    let expected = [(2, "Publisher false"), (1, "Accepted a"), (2, "Accepted a")];
    assert_eq!(told_now, told(expected));
    assert_eq!(room.role("a"), Role::Publisher);
    assert!(room.publisher_events().is_empty(), "not by the answer");
    assert_eq!((room.on(2), room.on(2)), (Code::OK, Code::OK));
    assert_eq!(room.publisher_events(), ["+a"]);
    let late = room.enter(9, "late").unwrap().snapshot.room.unwrap();
    assert_eq!(late.publishers[0].user_id, "a");
    assert_eq!((room.off(2), room.off(2)), (Code::OK, Code::OK));
    assert_eq!(room.publisher_events(), ["+a", "-a"]);
    assert_eq!(room.role("a"), Role::Publisher, "the role stays");
}

#[test]
fn who_asks_is_answered_by_the_host_who_was_asked() {
    let mut room = Room::with_viewers();
    let asked = room.ask(2).unwrap();
    let kind = format!("{:?} a", InvitationKind::Ask);
    assert_eq!(room.told(), told([(1, kind.as_str())]));
    let id = asked.invitation_id.as_str();
    assert_eq!(room.ask(2).unwrap(), asked, "a repeat is the same");
    assert!(room.told().is_empty(), "and told once");
    assert_eq!(room.answer(2, id, true), Code::NO_PERMISSION);
    assert_eq!(room.answer(3, id, true), Code::NO_PERMISSION);
    assert_eq!(room.answer(1, id, false), Code::OK);
    let expected = told([(2, "Declined host"), (1, "Declined host")]);
    assert_eq!(room.told(), expected);
    assert_eq!(room.answer(1, id, true), Code::ALREADY_HANDLED);
    assert_eq!(room.role("a"), Role::Viewer);
    let again = room.ask(2).unwrap();
    assert_eq!(room.answer(1, &again.invitation_id, true), Code::OK);
    assert_eq!(room.on(2), Code::OK);
}

#[test]
fn one_acceptance_ends_every_invitation_of_the_same_candidate() {
    let mut room = Room::with_viewers();
    let asked = room.ask(2).unwrap();
    let invited = room.invite(1, "a").unwrap();
    let other = room.invite(1, "b").unwrap();
    room.told();
    assert_eq!(room.answer(2, &invited.invitation_id, true), Code::OK);
    let accepted = room.told().into_iter().filter(|(_, t)| t == "Accepted a");
    assert_eq!(accepted.count(), 4);
    let over = room.answer(1, &asked.invitation_id, true);
    assert_eq!(over, Code::ALREADY_HANDLED);
    assert_eq!(room.answer(3, &other.invitation_id, false), Code::OK);
}

#[test]
fn an_invitation_is_taken_back_by_who_made_it_or_ends_after_thirty_seconds() {
    let mut room = Room::with_viewers();
    let invited = room.invite(1, "a").unwrap();
    let id = invited.invitation_id.as_str();
    assert_eq!(room.cancel(2, id), Code::NO_PERMISSION);
    assert_eq!(room.cancel(1, id), Code::OK);
    assert_eq!(room.cancel(1, id), Code::ALREADY_HANDLED);
    let cancelled = told([(1, "Cancelled host"), (2, "Cancelled host")]);
    assert_eq!(room.told()[1..], cancelled);
    let invited = room.invite(1, "a").unwrap();
    room.told();
    room.advance(29_999);
    room.tick();
    assert!(room.told().is_empty());
    assert!(room.core.deadline().unwrap() <= at_ms(30_000));
    room.advance(1);
    room.tick();
    assert_eq!(room.told(), told([(1, "TimedOut"), (2, "TimedOut")]));
    let late = room.answer(2, &invited.invitation_id, true);
    assert_eq!(late, Code::ALREADY_HANDLED);
}

#[test]
fn an_answer_at_the_last_moment_loses_to_the_time() {
    let mut room = Room::with_viewers();
    let invited = room.invite(1, "a").unwrap();
    room.told();
    room.advance(30_000);
    let late = room.answer(2, &invited.invitation_id, true);
    assert_eq!(late, Code::ALREADY_HANDLED);
    assert_eq!(room.told(), told([(1, "TimedOut"), (2, "TimedOut")]));
}

#[test]
fn an_invitation_ends_when_one_of_the_two_goes() {
    let mut room = Room::with_viewers();
    room.invite(1, "a").unwrap();
    room.ask(3).unwrap();
    room.told();
    room.leave(2, LeaveCause::ConnectionLost);
    assert_eq!(room.told(), told([(1, "Gone")]));
    room.leave(1, LeaveCause::ConnectionLost);
    assert_eq!(room.told(), told([(3, "Gone")]));
    let outcome = format!("{:?}", InvitationOutcome::Gone);
    assert_eq!(outcome, "Gone");
}

#[test]
fn a_publisher_whose_connection_is_lost_is_told_at_once_and_may_come_back() {
    let mut room = Room::with_viewers();
    let asked = room.ask(2).unwrap();
    room.answer(1, &asked.invitation_id, true);
    room.on(2);
    room.leave(2, LeaveCause::Silent);
    assert_eq!(room.publisher_events(), ["+a", "-a"], "without a grace");
    room.advance(59_999);
    room.tick();
    let back = room.enter(7, "a").unwrap().snapshot;
    assert_eq!(back.role(), Role::Publisher);
    assert!(back.room.unwrap().publishers.is_empty());
    assert_eq!(room.on(7), Code::OK);
    room.leave(7, LeaveCause::ConnectionLost);
    room.advance(60_000);
    room.tick();
    let back = room.enter(8, "a").unwrap().snapshot;
    assert_eq!(back.role(), Role::Viewer);
    assert_eq!(room.on(8), Code::NO_PERMISSION);
}

#[test]
fn the_mic_goes_with_the_session_that_took_it() {
    let mut room = Room::with_viewers();
    let asked = room.ask(2).unwrap();
    room.answer(1, &asked.invitation_id, true);
    room.enter(4, "a").unwrap();
    assert_eq!((room.on(2), room.on(4)), (Code::OK, Code::OK));
    assert_eq!(room.publisher_events(), ["+a"], "moved, not joined again");
    room.leave(2, LeaveCause::Left);
    assert_eq!(room.publisher_events(), ["+a"]);
    room.enter(5, "a").unwrap();
    room.told();
    room.leave(4, LeaveCause::ConnectionLost);
    assert_eq!(room.publisher_events(), ["+a", "-a"]);
    assert_eq!(room.told(), told([(5, "Publisher false")]));
}

#[test]
fn the_host_or_the_backend_removes_and_a_kick_does() {
    for by in [By::Member(session(1)), By::Backend] {
        let mut room = Room::with_viewers();
        let asked = room.ask(2).unwrap();
        room.answer(1, &asked.invitation_id, true);
        room.on(2);
        room.told();
        assert_eq!(
            room.remove(&By::Member(session(3)), "a"),
            Code::NO_PERMISSION
        );
        assert_eq!(room.remove(&by, "a"), Code::OK);
        assert_eq!(room.publisher_events(), ["+a", "-a"]);
        assert_eq!(room.role("a"), Role::Viewer);
        assert_eq!(room.on(2), Code::NO_PERMISSION);
        assert_eq!(room.remove(&by, "nobody"), Code::NO_USER);
    }
    let mut room = Room::with_viewers();
    let asked = room.ask(2).unwrap();
    room.answer(1, &asked.invitation_id, true);
    room.on(2);
    let now = room.moment();
    room.core.kick(&user("a"), "", now, &mut room.out);
    assert_eq!(room.publisher_events(), ["+a", "-a"]);
    room.enter(2, "a").unwrap();
    assert_eq!(room.role("a"), Role::Viewer);
}

#[test]
fn the_owner_grants_a_role_that_lasts_and_takes_it() {
    let mut room = Room::new();
    room.own("owner");
    room.enter(1, "owner").unwrap();
    room.enter(2, "a").unwrap();
    room.enter(3, "b").unwrap();
    assert_eq!(room.grant(2, "b"), Code::NO_PERMISSION);
    assert_eq!(room.grant(1, "nobody"), Code::NO_USER);
    assert_eq!(room.grant(1, "a"), Code::OK);
    assert_eq!(room.on(2), Code::OK);
    room.leave(2, LeaveCause::Left);
    room.enter(4, "a").unwrap();
    assert_eq!(room.on(4), Code::OK);
    assert_eq!(room.remove(&By::Member(session(1)), "a"), Code::OK);
    assert_eq!(room.on(4), Code::NO_PERMISSION);
    room.leave(4, LeaveCause::Left);
    room.enter(5, "a").unwrap();
    assert_eq!(room.role("a"), Role::Viewer);
    assert_eq!(room.publisher_events(), ["+a", "-a", "+a", "-a"]);
}

#[test]
fn nobody_invites_without_the_say_nor_themselves_nor_who_is_not_here() {
    let refused = |result: Result<_, Refusal>| result.map_err(|it| it.code).unwrap_err();
    let mut room = Room::with_viewers();
    assert_eq!(refused(room.invite(2, "b")), Code::NO_PERMISSION);
    assert_eq!(refused(room.invite(9, "b")), Code::NOT_IN_ROOM);
    assert_eq!(refused(room.invite(1, "host")), Code::BAD_PARAMETER);
    assert_eq!(refused(room.invite(1, "nobody")), Code::NO_USER);
    assert_eq!(refused(room.ask(1)), Code::BAD_PARAMETER);
    for id in ["", "x", "2a", "2a-", "-1", "2a-1-1", "zz-1"] {
        assert_eq!(room.answer(2, id, true), Code::BAD_PARAMETER, "{id}");
    }
    assert_eq!(room.answer(2, "2b-1", true), Code::ALREADY_HANDLED);
    let mut empty = Room::new();
    empty.enter(1, "a").unwrap();
    assert_eq!(refused(empty.ask(1)), Code::NO_USER);
}

#[test]
fn a_signature_that_forbids_publishing_goes_before_the_role() {
    let mut room = Room::with_viewers();
    room.enter_with(4, "signed", Role::Viewer, Some(false))
        .unwrap();
    let invited = room.invite(1, "signed").unwrap();
    room.answer(4, &invited.invitation_id, true);
    assert_eq!(room.on(4), Code::NO_PERMISSION);
    room.enter_with(5, "free", Role::Viewer, Some(true))
        .unwrap();
    assert_eq!(room.on(5), Code::OK);
}

#[test]
fn invitations_are_bounded() {
    let mut room = Room::with_viewers();
    for n in 0..32 {
        room.enter(100 + n, &format!("v{n}")).unwrap();
        room.invite(1, &format!("v{n}")).unwrap();
    }
    let refused = room.invite(1, "a").unwrap_err();
    assert_eq!(refused.code, Code::TOO_MANY_INVITATIONS);
}

#[test]
fn the_backend_is_told_who_publishes_and_who_no_longer_does() {
    let mut room = Room::with_viewers();
    room.core.reports = Reports::new(Tells::OWN);
    for leaves in [Room::stops, Room::is_lost] {
        let invited = room.invite(1, "a").unwrap();
        assert_eq!(room.answer(2, &invited.invitation_id, true), Code::OK);
        assert!(room.out.tells.is_empty(), "the role is not publishing");
        assert_eq!(room.on(2), Code::OK);
        assert_eq!(publishers(&mut room), ["publisher_joined a"]);
        leaves(&mut room);
        assert_eq!(publishers(&mut room), ["publisher_left a"]);
    }
}

impl Room {
    fn stops(&mut self) {
        assert_eq!(self.off(2), Code::OK);
    }

    fn is_lost(&mut self) {
        assert!(self.leave(2, LeaveCause::ConnectionLost));
    }
}

/// What the backend was told since the last call.
fn publishers(room: &mut Room) -> Vec<String> {
    let text = |row: OutboxRow| {
        let body: serde_json::Value = serde_json::from_slice(&row.body).unwrap();
        assert_eq!(body["room_id"], "demo");
        let (event, user) = (body["event"].as_str(), body["user_id"].as_str());
        format!("{} {}", event.unwrap(), user.unwrap())
    };
    std::mem::take(&mut room.out.tells)
        .into_iter()
        .map(text)
        .collect()
}
