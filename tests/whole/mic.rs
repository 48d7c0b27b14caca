//! The mic over real connections: asked for, given, taken, lost.

use livegate_client::wire::{InvitationKind, InvitationOutcome, Role};
use livegate_client::{Code, RequestError, RoomEventKind, TransportPreference};
use livegate_proto::backend::RemovePublisherRequest;
use tempfile::TempDir;

use crate::govern::govern;
use crate::people::{Login, Person};
use crate::running::{APP, Running, Setup};

#[tokio::test]
async fn a_viewer_asks_takes_the_mic_and_is_told_off_it_when_their_process_dies() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let over = TransportPreference::Tls;
    let mut host = Login::new("host", over).connect(&running).await;
    let mut anna = Login::new("anna", over).connect(&running).await;
    let mut bert = Login::new("bert", over).connect(&running).await;
    let room = host.client.create_room("", "").await.unwrap();
    let stage = host.client.enter(&room).await.unwrap();
    stage.start_live("one", None).await.unwrap();
    let seat = anna.client.enter(&room).await.unwrap();
    let bench = bert.client.enter(&room).await.unwrap();

    assert_eq!(refused(seat.start_publishing().await), Code::NO_PERMISSION);
    let asked = seat.ask_for_mic().await.unwrap();
    let (id, from, kind) = host
        .room(|kind| match kind {
            RoomEventKind::Invitation(it) => {
                Some((it.invitation_id.clone(), it.from.clone(), it.kind()))
            }
            _ => None,
        })
        .await;
    assert_eq!((id, kind), (asked.invitation_id, InvitationKind::Ask));
    assert_eq!(from.unwrap().user_id, "anna");
    assert_eq!(refused(bench.answer("x", true).await), Code::BAD_PARAMETER);

    let invited = stage.invite("bert").await.unwrap();
    let outcome = bench.answer(&invited.invitation_id, false).await;
    outcome.unwrap();
    assert_eq!(ended(&mut host).await, InvitationOutcome::Declined);

    let asked = seat.ask_for_mic().await.unwrap();
    stage.answer(&asked.invitation_id, true).await.unwrap();
    assert_eq!(ended(&mut anna).await, InvitationOutcome::Accepted);
    seat.start_publishing().await.unwrap();
    assert_eq!(publisher(&mut bert).await, ("anna".to_owned(), true));
    let late = Login::new("late", over).connect(&running).await;
    let entered = late.client.enter(&room).await.unwrap();
    let snapshot = entered.entered().unwrap().room.clone().unwrap();
    assert_eq!(snapshot.publishers[0].user_id, "anna");
    let anna_there = |m: &&livegate_client::wire::Member| {
        m.user.as_ref().is_some_and(|user| user.user_id == "anna")
    };
    let member = snapshot.members.iter().find(anna_there).unwrap();
    assert_eq!(member.role(), Role::Publisher);

    let mut govern = govern(&running).await;
    let off = RemovePublisherRequest {
        sdk_app_id: APP,
        room_id: room.clone(),
        user_id: "anna".into(),
    };
    govern.remove_publisher(off).await.unwrap();
    assert_eq!(publisher(&mut bert).await, ("anna".to_owned(), false));
    assert_eq!(refused(seat.start_publishing().await), Code::NO_PERMISSION);
    let invited = stage.invite("anna").await.unwrap();
    seat.answer(&invited.invitation_id, true).await.unwrap();
    seat.start_publishing().await.unwrap();
    assert_eq!(publisher(&mut bert).await, ("anna".to_owned(), true));

    anna.kill();
    assert_eq!(publisher(&mut bert).await, ("anna".to_owned(), false));
    for joined in [true, false, true, false] {
        assert_eq!(publisher(&mut host).await, ("anna".to_owned(), joined));
    }
    running.stop();
    running.stopped().await;
}

async fn ended(person: &mut Person) -> InvitationOutcome {
    person
        .room(|kind| match kind {
            RoomEventKind::InvitationEnded(it) => Some(it.outcome()),
            _ => None,
        })
        .await
}

async fn publisher(person: &mut Person) -> (String, bool) {
    person
        .room(|kind| match kind {
            RoomEventKind::Publisher(it) => {
                Some((it.user.clone().unwrap_or_default().user_id, it.joined))
            }
            _ => None,
        })
        .await
}

fn refused(result: Result<(), RequestError>) -> Code {
    result.unwrap_err().code().unwrap()
}
