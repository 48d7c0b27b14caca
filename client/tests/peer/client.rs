//! A client that stays connected: it comes back as advised, re-enters its
//! rooms, tells what it missed, and never leaves a caller waiting for ever.

#![allow(clippy::large_futures, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::{Peer, config, in_room, online, pipes, said};
use livegate_client::wire::{
    HistoryReply, Reply, SigExpiring, UserMessage, client_frame, push, reply,
};
use livegate_client::{
    Client, Code, Config, ConnectError, Disconnect, Event, Events, GapCause, LoginError, Outgoing,
    RequestError, RoomEventKind, SigProvider, State,
};
use livegate_proto::CloseCode;
use tokio::time::Instant;

/// The next event as one word or two.
async fn heard(events: &mut Events) -> String {
    match events.next().await.expect("an event") {
        Event::Connected(connected) if connected.again => "connected again".to_owned(),
        Event::Connected(_) => "connected".to_owned(),
        Event::Disconnected(_) => "disconnected".to_owned(),
        Event::ConnectFailed { .. } => "connect failed".to_owned(),
        Event::Entered(entered) if entered.again => "entered again".to_owned(),
        Event::Entered(_) => "entered".to_owned(),
        Event::ReenterFailed { error, .. } => format!("not entered again: {error}"),
        Event::Gap(gap) => match gap.cause {
            GapCause::NewEpoch => "new epoch".to_owned(),
            _ => format!("gap {}-{}", gap.from_seq, gap.to_seq),
        },
        Event::Room(event) => match event.kind {
            RoomEventKind::Message(_) => format!("said {}", event.seq),
            kind => format!("{kind:?}"),
        },
        Event::SigRenewed { expires_at } => format!("renewed until {expires_at}"),
        Event::SigRenewFailed { error } => format!("not renewed: {error}"),
        Event::SigExpiring { .. } => "expiring".to_owned(),
        Event::Direct(_) => "direct".to_owned(),
        Event::GoAway { .. } => "go away".to_owned(),
        other => format!("{other:?}"),
    }
}

async fn expect(events: &mut Events, words: &[&str]) {
    for word in words {
        assert_eq!(&heard(events).await, word);
    }
}

/// A client in the room `demo`, which stands at seq 5.
async fn in_demo(
    config: Config,
) -> (
    Client,
    livegate_client::RoomHandle,
    Events,
    Peer,
    crate::support::Attempts,
) {
    let (client, mut events, mut peer, attempts) = online(config).await;
    let (room, ()) = tokio::join!(client.enter("demo"), peer.accept_enter(1, 5));
    expect(&mut events, &["connected", "entered"]).await;
    (client, room.expect("entered"), events, peer, attempts)
}

#[tokio::test(start_paused = true)]
async fn events_arrive_in_the_order_of_the_room() {
    let (_client, room, mut events, mut peer, _) = in_demo(config()).await;
    assert_eq!(room.entered().unwrap().room.as_ref().unwrap().seq, 5);
    peer.push(vec![said(1, 6, "a"), said(1, 7, "b"), said(1, 7, "b")])
        .await;
    peer.push(vec![said(1, 9, "d")]).await;
    expect(&mut events, &["said 6", "said 7", "gap 8-8", "said 9"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_fetched_after_a_loss() {
    let (_client, _room, mut events, peer, mut attempts) = in_demo(config()).await;
    drop(peer);
    let mut peer = attempts.next().await;
    peer.accept_login().await;
    peer.accept_enter(1, 8).await;
    peer.push(vec![said(1, 9, "live")]).await;
    let (id, body) = peer.hear_request().await;
    let client_frame::Body::History(asked) = body else {
        panic!("expected history, got {body:?}");
    };
    assert_eq!((asked.after_seq, asked.limit), (5, 3));
    let page = HistoryReply {
        epoch: 1,
        pushes: (6..=8).map(|seq| said(1, seq, "missed")).collect(),
        ..HistoryReply::default()
    };
    peer.reply(id, reply::Body::History(page)).await;
    let words = [
        "disconnected",
        "connected again",
        "entered again",
        "said 6",
        "said 7",
        "said 8",
        "said 9",
    ];
    expect(&mut events, &words).await;
}

#[tokio::test(start_paused = true)]
async fn without_filling_a_gap_is_told() {
    let mut config = config();
    config.fill_gaps = false;
    let (_client, _room, mut events, peer, mut attempts) = in_demo(config).await;
    drop(peer);
    let mut peer = attempts.next().await;
    peer.accept_login().await;
    peer.accept_enter(1, 8).await;
    let words = [
        "disconnected",
        "connected again",
        "entered again",
        "gap 6-8",
    ];
    expect(&mut events, &words).await;
}

#[tokio::test(start_paused = true)]
async fn the_advice_of_a_close_is_obeyed() {
    let (client, _room, mut events, mut peer, mut attempts) = in_demo(config()).await;
    let start = Instant::now();
    peer.close(CloseCode::ShuttingDown.close(5_000)).await;
    let Some(Event::Disconnected(gone)) = events.next().await else {
        panic!("expected the end");
    };
    let retry_in = gone.retry_in.unwrap();
    assert!(
        (5_000..=5_250).contains(&retry_in.as_millis()),
        "{retry_in:?}"
    );
    attempts.next().await.accept_login().await;
    assert!(start.elapsed() >= Duration::from_secs(5));
    assert_ne!(client.state(), State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_final_close_stops_the_client_and_every_request() {
    let (client, room, mut events, mut peer, _) = in_demo(config()).await;
    peer.close(CloseCode::Displaced.close(0)).await;
    let Some(Event::Disconnected(gone)) = events.next().await else {
        panic!("expected the end");
    };
    assert!(matches!(gone.cause, Disconnect::Closed { code: 3501, .. }));
    assert_eq!(gone.retry_in, None);
    assert!(events.next().await.is_none());
    assert_eq!(client.state(), State::Stopped);
    assert_eq!(room.send_text("x").await, Err(RequestError::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_lost_its_answer_is_sent_again_with_the_same_id() {
    let (_client, room, _events, mut peer, mut attempts) = in_demo(config()).await;
    let sending = room.send_text("once");
    let serving = async {
        let (_, first) = peer.hear_request().await;
        drop(peer);
        let mut peer = attempts.next().await;
        peer.accept_login().await;
        peer.accept_enter(1, 5).await;
        let (id, second) = peer.hear_request().await;
        assert_eq!(first, second);
        peer.reply(id, reply::Body::Send(Default::default())).await;
        peer
    };
    let (sent, _peer) = tokio::join!(sending, serving);
    assert!(sent.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_like_is_not_sent_twice() {
    let (_client, room, _events, mut peer, _attempts) = in_demo(config()).await;
    let (liked, ()) = tokio::join!(room.like(1), async {
        peer.hear_request().await;
        drop(peer);
    });
    assert_eq!(liked, Err(RequestError::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_runs_out() {
    let (client, _room, _events, mut peer, _attempts) = in_demo(config()).await;
    let start = Instant::now();
    let (listed, ()) = tokio::join!(client.list_rooms(0, ""), async {
        peer.hear_request().await;
        // The probe is answered: the connection lives, only this reply is missing.
        let ping = peer.hear().await;
        peer.pong(ping.request_id).await;
    });
    assert_eq!(listed, Err(RequestError::Timeout));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_carries_its_code() {
    let (client, _room, _events, mut peer, _attempts) = in_demo(config()).await;
    let (entered, ()) = tokio::join!(client.enter("nowhere"), async {
        let (request_id, _) = peer.hear_request().await;
        let reply = Reply {
            request_id,
            code: Code::NO_ROOM.0,
            ..Reply::default()
        };
        peer.answer(reply).await;
    });
    assert_eq!(entered.unwrap_err().code(), Some(Code::NO_ROOM));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_gone_after_a_reconnect_is_given_up() {
    let (_client, _room, mut events, peer, mut attempts) = in_demo(config()).await;
    drop(peer);
    let mut peer = attempts.next().await;
    peer.accept_login().await;
    let (request_id, _) = peer.hear_request().await;
    let reply = Reply {
        request_id,
        code: Code::NO_ROOM.0,
        message: "gone".to_owned(),
        ..Reply::default()
    };
    peer.answer(reply).await;
    let words = [
        "disconnected",
        "connected again",
        "not entered again: gone (10010)",
    ];
    expect(&mut events, &words).await;
}

#[tokio::test(start_paused = true)]
async fn an_expiring_signature_is_renewed_on_the_running_session() {
    let given = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&given);
    let mut config = config();
    config.sig = SigProvider::from_fn(move || {
        Ok(format!("sig {}", counter.fetch_add(1, Ordering::Relaxed)))
    });
    let (_client, mut events, mut peer, _attempts) = online(config).await;
    let expiring = push::Body::SigExpiring(SigExpiring { expires_at: 100 });
    peer.push(vec![in_room(0, 0, expiring)]).await;
    let (id, body) = peer.hear_request().await;
    let client_frame::Body::RenewSig(renew) = body else {
        panic!("expected a renewal, got {body:?}");
    };
    assert_eq!(renew.user_sig, "sig 1");
    let renewed = livegate_client::wire::RenewSigReply {
        sig_expires_at: 900,
    };
    peer.reply(id, reply::Body::RenewSig(renewed)).await;
    expect(&mut events, &["connected", "expiring", "renewed until 900"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_signature_is_final_only_when_no_other_can_be_had() {
    let (fixed, _e, mut peer, _attempts) = online(config()).await;
    peer.close(CloseCode::SigExpired.close(0)).await;
    let stopped = fixed
        .states()
        .wait_for(|s| *s == State::Stopped)
        .await
        .is_ok();
    assert!(stopped);

    let mut config = config();
    config.sig = SigProvider::from_async(|| async { Ok("new".to_owned()) });
    let (_client, _events, mut peer, mut attempts) = online(config).await;
    peer.close(CloseCode::SigExpired.close(0)).await;
    assert_eq!(attempts.next().await.accept_login().await, "new");
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_fails_is_an_error_of_connect() {
    let (connector, mut attempts) = pipes();
    let (outcome, ()) = tokio::join!(Client::connect_over(connector, config()), async {
        let mut peer = attempts.next().await;
        let (request_id, _) = peer.hear_request().await;
        let reply = Reply {
            request_id,
            code: Code::SIG_INVALID.0,
            ..Reply::default()
        };
        peer.answer(reply).await;
    });
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Login(LoginError::Refused(refusal))
            if refusal.code == Code::SIG_INVALID),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn direct_messages_and_sends_to_a_user_need_no_room() {
    let (client, mut events, mut peer, _attempts) = online(config()).await;
    let direct = push::Body::UserMessage(UserMessage::default());
    let mut push = in_room(0, 0, direct);
    push.room_id.clear();
    peer.push(vec![push]).await;
    expect(&mut events, &["connected", "direct"]).await;
    let (sent, ()) = tokio::join!(client.send_to_user("bob", Outgoing::text("hi")), async {
        let (id, _) = peer.hear_request().await;
        peer.reply(id, reply::Body::Send(Default::default())).await;
    });
    assert!(sent.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_app_that_does_not_read_loses_ordinary_events_only_and_is_told() {
    let mut config = config();
    config.limits.events = 4;
    config.limits.events_reserve = 2;
    let (_client, _room, mut events, mut peer, _attempts) = in_demo(config).await;
    for seq in 6..30 {
        peer.push(vec![said(1, seq, "danmaku")]).await;
    }
    let ended = push::Body::RoomDestroyed(Default::default());
    peer.push(vec![in_room(1, 30, ended)]).await;
    peer.push(vec![said(1, 31, "after")]).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    expect(&mut events, &["said 6", "said 7", "said 8", "said 9"]).await;
    let Some(Event::Lagged { skipped: 20 }) = events.next().await else {
        panic!("expected to be told");
    };
    assert!(heard(&mut events).await.starts_with("Destroyed"));
}

#[tokio::test(start_paused = true)]
async fn closing_logs_out_and_ends_the_events() {
    let (client, _room, mut events, mut peer, _attempts) = in_demo(config()).await;
    tokio::join!(client.close(), async {
        let (_, body) = peer.hear_request().await;
        assert!(matches!(body, client_frame::Body::Logout(_)));
        drop(peer);
    });
    expect(&mut events, &["disconnected"]).await;
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_logs_out_too() {
    let (client, room, _events, mut peer, _attempts) = in_demo(config()).await;
    drop((client, room));
    peer.hear_end().await;
}
