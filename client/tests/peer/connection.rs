//! One connection under manual control: frames over a pipe in any pieces,
//! heartbeats only when nothing else was said, an end that keeps its reason.

#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::time::Duration;

use crate::support::{Peer, in_room, login_reply, said};
use livegate_client::wire::{
    HistoryRequest, LoginRequest, RoleChanged, ServerFrame, client_frame, push, reply,
};
use livegate_client::{Code, Connection, Disconnect, Heartbeat, Link, LoginError, Retry};
use livegate_proto::{CloseCode, codec};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(10);

fn pair() -> (Connection, Peer) {
    let (near, far) = duplex(64 * 1024);
    (Connection::over(Link::over(near)), Peer { stream: far })
}

fn history() -> client_frame::Body {
    client_frame::Body::History(HistoryRequest::default())
}

async fn logged_in() -> (Connection, Peer) {
    let (mut connection, mut peer) = pair();
    let login = connection.login(LoginRequest::default(), LIMIT);
    let (login, _) = tokio::join!(login, peer.accept_login());
    assert_eq!(login.unwrap(), login_reply());
    (connection, peer)
}

/// A frame, and its bytes.
fn hello() -> (ServerFrame, Vec<u8>) {
    let frame = ServerFrame {
        pushes: vec![said(1, 1, "hello")],
        ..ServerFrame::default()
    };
    let mut bytes = Vec::new();
    codec::append(&frame, &mut bytes);
    (frame, bytes)
}

#[tokio::test(start_paused = true)]
async fn frames_in_single_bytes_and_many_frames_at_once_are_the_same() {
    let (mut connection, mut peer) = pair();
    let (frame, bytes) = hello();
    let writing = async {
        for byte in &bytes {
            peer.stream.write_all(&[*byte]).await.unwrap();
        }
        peer.stream.write_all(&bytes.repeat(50)).await.unwrap();
    };
    let reading = async {
        for _ in 0..51 {
            assert_eq!(connection.next().await.unwrap(), frame);
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_cancelled_loses_nothing() {
    let (mut connection, mut peer) = pair();
    let (frame, bytes) = hello();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    peer.stream.write_all(first).await.unwrap();
    let cancelled = timeout(Duration::from_millis(1), connection.next()).await;
    assert!(cancelled.is_err());
    peer.stream.write_all(rest).await.unwrap();
    assert_eq!(connection.next().await.unwrap(), frame);
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_matched_by_its_id_and_the_rest_is_handed_on() {
    let (mut connection, mut peer) = logged_in().await;
    let mut others = Vec::new();
    let request = connection.request(history(), |frame| others.push(frame));
    let answering = async {
        let (id, _) = peer.hear_request().await;
        peer.reply(id + 100, reply::Body::Ping(Default::default()))
            .await;
        peer.push(vec![said(1, 1, "before")]).await;
        peer.reply(id, reply::Body::History(Default::default()))
            .await;
    };
    let (reply, ()) = tokio::join!(request, answering);
    assert!(matches!(reply.unwrap().body, Some(reply::Body::History(_))));
    assert_eq!(others.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_raw_mode_gives_bodies_and_takes_frames_without_decoding() {
    let (mut connection, mut peer) = logged_in().await;
    peer.push(vec![said(1, 1, "a")]).await;
    peer.push(vec![said(1, 2, "b")]).await;
    let mut sizes = Vec::new();
    let stopped = connection
        .drive(|body, outbox| {
            sizes.push(body.len());
            outbox
                .queue(&livegate_client::wire::ClientFrame {
                    request_id: 9,
                    body: Some(history()),
                })
                .unwrap();
            if sizes.len() == 2 {
                return ControlFlow::Break("enough");
            }
            ControlFlow::Continue(())
        })
        .await;
    assert_eq!(stopped, Ok("enough"));
    assert_eq!(sizes[0], sizes[1]);
    connection.flush().await.unwrap();
    assert_eq!(peer.hear_request().await.0, 9);
    assert_eq!(peer.hear_request().await.0, 9);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_follow_the_interval_that_the_gateway_tells() {
    let (mut connection, mut peer) = logged_in().await;
    let start = Instant::now();
    let (ended, ()) = tokio::join!(connection.next(), async {
        assert_eq!(peer.hear().await.request_id, 0);
        assert_eq!(start.elapsed(), Duration::from_secs(27));
        let changed = RoleChanged {
            heartbeat_ms: 3_000,
            ..RoleChanged::default()
        };
        peer.push(vec![in_room(0, 0, push::Body::RoleChanged(changed))])
            .await;
    });
    assert!(ended.is_ok());
    let start = Instant::now();
    let (_, ()) = tokio::join!(connection.next(), async {
        peer.hear().await;
        assert_eq!(start.elapsed(), Duration::from_millis(2_700));
        peer.close(CloseCode::Internal.close(0)).await;
    });
}

#[tokio::test(start_paused = true)]
async fn measured_heartbeats_tell_the_round_trip_and_notice_silence() {
    let (mut connection, mut peer) = logged_in().await;
    connection.set_heartbeat(Heartbeat::Measured {
        silence: Duration::from_secs(10),
    });
    let (ended, stream) = tokio::join!(connection.next(), async {
        let ping = peer.hear().await;
        tokio::time::advance(Duration::from_millis(80)).await;
        peer.pong(ping.request_id).await;
        peer.hear().await;
        peer
    });
    assert_eq!(ended, Err(Disconnect::Silent(Duration::from_secs(10))));
    assert_eq!(connection.rtt(), Some(Duration::from_millis(80)));
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn the_closing_word_is_delivered_and_then_is_the_reason() {
    let (mut connection, mut peer) = logged_in().await;
    peer.close(CloseCode::ShuttingDown.close(1500)).await;
    drop(peer);
    assert!(connection.next().await.unwrap().close.is_some());
    let ended = connection.next().await.unwrap_err();
    assert_eq!(ended.retry(), Retry::Later(Duration::from_millis(1500)));
    assert_eq!(connection.next().await.unwrap_err(), ended);
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_word_is_a_loss_also_while_writing() {
    let (mut connection, peer) = logged_in().await;
    drop(peer);
    connection.send(history()).unwrap();
    let ended = connection.next().await.unwrap_err();
    assert!(matches!(ended, Disconnect::Lost(_)), "{ended:?}");
    assert_eq!(ended.retry(), Retry::Now);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_a_protocol_error_and_final() {
    for bytes in [vec![0xff; 4], vec![0, 0, 0, 2, 0x0a, 0xff]] {
        let (mut connection, mut peer) = logged_in().await;
        peer.stream.write_all(&bytes).await.unwrap();
        let ended = connection.next().await.unwrap_err();
        assert!(matches!(ended, Disconnect::Protocol(_)), "{ended:?}");
        assert_eq!(ended.retry(), Retry::Final);
        assert_eq!(connection.next().await.unwrap_err(), ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_keeps_its_code_and_the_advice_of_the_close() {
    let (mut connection, mut peer) = pair();
    let refusing = async {
        let (request_id, _) = peer.hear_request().await;
        let reply = livegate_client::wire::Reply {
            request_id,
            code: Code::OVERLOADED.0,
            ..Default::default()
        };
        peer.say(&ServerFrame {
            reply: Some(reply),
            close: Some(CloseCode::Overloaded.close(900)),
            ..ServerFrame::default()
        })
        .await;
    };
    let login = connection.login(LoginRequest::default(), LIMIT);
    let (login, ()) = tokio::join!(login, refusing);
    let error = login.unwrap_err();
    assert!(matches!(&error, LoginError::Refused(refusal) if refusal.code == Code::OVERLOADED));
    assert_eq!(error.retry(), Retry::Later(Duration::from_millis(900)));
}

#[tokio::test(start_paused = true)]
async fn a_login_without_an_answer_runs_out() {
    let (mut connection, _peer) = pair();
    let login = connection.login(LoginRequest::default(), LIMIT).await;
    assert!(matches!(login, Err(LoginError::Timeout(LIMIT))));
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_written_is_bounded_when_nobody_reads() {
    let (near, _far) = duplex(16);
    let mut connection = Connection::over(Link::over(near));
    let mut sent = 0;
    while connection.send(history()).is_ok() {
        sent += 1;
        assert!(sent < 100_000);
        let _ = timeout(Duration::ZERO, connection.next()).await;
    }
    assert!(connection.outbox().waiting() <= livegate_client::DEFAULT_OUTBOX_LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_polite_close_logs_out_and_waits_briefly_for_the_last_word() {
    let (connection, mut peer) = logged_in().await;
    let ((), ()) = tokio::join!(connection.close(), async {
        let (_, body) = peer.hear_request().await;
        assert!(matches!(body, client_frame::Body::Logout(_)));
        peer.close(CloseCode::LoggedOut.close(0)).await;
    });
}
