//! The flow of gifts: the app asks over its connection, the backend bills and
//! pushes the gift into the room, everybody sees it, the sender too. The
//! backend is the one of the example.

use livegate_client::wire::{CallReply, Gift, Priority, room_message};
use livegate_client::{Code, TransportPreference};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::gift_shop::{Order, Shop};
use crate::people::{Login, Person};
use crate::running::{API_KEY, HOOK_SECRET, Running, Setup};

#[tokio::test]
async fn a_gift_that_is_paid_is_seen_by_all_and_one_that_is_not_by_nobody() {
    let dir = TempDir::new().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setup = Setup {
        shop: Some(listener.local_addr().unwrap()),
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let gateway = format!("http://{}", running.internal);
    let shop = Shop::new(HOOK_SECRET, &gateway, API_KEY).unwrap();
    TaskTracker::new().spawn(async move { axum::serve(listener, shop.router()).await });
    let over = TransportPreference::Tls;
    let mut host = Login::new("host", over).connect(&running).await;
    let mut anna = Login::new("anna", over).connect(&running).await;
    let room = host.client.create_room("", "").await.unwrap();
    host.client.enter(&room).await.unwrap();
    let seat = anna.client.enter(&room).await.unwrap();

    let order = |order: &str, count| Order {
        order: order.into(),
        room_id: room.clone(),
        count,
        combo_id: "roses".into(),
    };
    let (status, left) = give(&anna, &order("o1", 3)).await;
    assert_eq!(
        (status, left),
        (200, json!({ "left": 70, "repeat": false }))
    );
    for person in [&mut host, &mut anna] {
        let (from, priority, gift) = gift(person).await;
        assert_eq!((from.as_str(), priority), ("anna", Priority::High));
        assert_eq!((gift.count, gift.combo_total), (3, 3));
    }
    // Asked again because an answer was lost: billed and shown once.
    let (status, left) = give(&anna, &order("o1", 3)).await;
    assert_eq!((status, left), (200, json!({ "left": 70, "repeat": true })));
    // More of the same is told with the total, then the last word.
    give(&anna, &order("o2", 2)).await;
    let mut counted = 3;
    loop {
        let (_, _, gift) = gift(&mut host).await;
        counted += gift.count;
        assert_eq!(gift.combo_total, counted);
        if gift.combo_ended {
            break;
        }
    }
    assert_eq!(counted, 5);
    // What cannot be paid is seen by nobody: the next thing said is the text.
    let (status, _) = give(&anna, &order("o3", 99)).await;
    assert_eq!(status, 402);
    seat.send_text("next time").await.unwrap();
    let (_, message) = host.message().await;
    let Some(room_message::Content::Text(text)) = message.content else {
        panic!("not a text: {message:?}");
    };
    assert_eq!(text.text, "next time");

    let nowhere = anna.client.call("bank", "give", "", None).await;
    assert_eq!(nowhere.unwrap_err().code(), Some(Code::NO_ROUTE));
    let unknown = anna.client.call("shop", "take", "", None).await;
    assert_eq!(unknown.unwrap().status, 404);
    running.stop();
    running.stopped().await;
}

async fn give(person: &Person, order: &Order) -> (u32, Value) {
    let body = serde_json::to_vec(order).unwrap();
    let answer = person.client.call("shop", "give", body, None).await;
    let CallReply { status, body, .. } = answer.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// The next gift in a room: who gives it, how urgent, and itself.
async fn gift(person: &mut Person) -> (String, Priority, Gift) {
    loop {
        let (_, message) = person.message().await;
        let (from, priority) = (message.from.clone(), message.priority());
        if let Some(room_message::Content::Gift(gift)) = message.content {
            return (from.unwrap_or_default().user_id, priority, gift);
        }
    }
}
