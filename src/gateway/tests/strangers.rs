//! Strangers of every kind before their login, under paused time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_login_is_handed_over_with_what_was_sent_ahead() {
    let mut f = fixture();
    let (stream, serving) = f.knock();
    let ahead = frame(2, Body::ListRooms(ListRoomsRequest::default()));
    let client = async {
        let mut client = f.dial(stream).await;
        let all = [login("alice", NOW), ahead.clone(), ahead.clone()].concat();
        client.write_all(&all).await.unwrap();
        client
    };
    let (mut client, ()) = tokio::join!(client, serving);
    let adopted = f.adopted.recv().await.unwrap();
    assert_eq!(adopted.login.key.user.as_str(), "alice");
    assert_eq!(
        (adopted.request_id, adopted.io.plain.len()),
        (1, ahead.len() * 2)
    );
    let mut scratch = Scratch::default();
    let mut io = FrameIo::<StreamCarrier<_>>::attach(adopted.io, &mut scratch).unwrap();
    assert_eq!(io.next_frame(&mut scratch, 1_000), Ok(Some(&ahead[4..])));
    poll_fn(|cx| std::task::Poll::Ready(io.write(cx, &ahead, &mut scratch)))
        .await
        .unwrap();
    let mut heard = vec![0; ahead.len()];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, ahead);
    drop(adopted.permit);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_before_the_login() {
    let mut f = fixture();
    let (stream, serving) = f.knock();
    let client = async {
        let mut client = f.dial(stream).await;
        let pong = ping(&mut client).await;
        client.write_all(&login("alice", NOW)).await.unwrap();
        (client, pong)
    };
    let ((_client, pong), ()) = tokio::join!(client, serving);
    assert_eq!(pong.reply.unwrap().request_id, 5);
    assert!(f.adopted.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_gone_at_the_deadline() {
    let f = fixture();
    let (_stream, serving) = f.knock();
    serving.await;
    assert_eq!(f.now(), Instant(0) + DEADLINE);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn a_dribbled_handshake_does_not_move_the_deadline() {
    let f = fixture();
    let (mut stream, serving) = f.knock();
    let dribble = async {
        // The start of a record that never ends.
        for byte in [22, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(1)) {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::pin!(dribble);
    tokio::select! {
        () = serving => {}
        () = &mut dribble => panic!("the server was to end it"),
    }
    assert_eq!(f.now(), Instant(0) + DEADLINE);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn a_login_that_does_not_come_is_told_so() {
    let f = fixture();
    for first in [Vec::new(), login("alice", NOW)[..50].to_vec()] {
        let start = f.now();
        let (stream, serving) = f.knock();
        let client = async {
            let mut client = f.dial(stream).await;
            client.write_all(&first).await.unwrap();
            hear(&mut client).await
        };
        let (heard, ()) = tokio::join!(client, serving);
        assert_eq!(last_word(&heard), Some(CloseCode::LoginTimeout));
        assert_eq!(f.now().since(start), DEADLINE);
    }
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_read_the_last_word_is_gone_a_moment_later() {
    let f = fixture();
    let (stream, serving) = f.knock();
    let client = async {
        let client = f.dial(stream).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        client
    };
    tokio::select! {
        () = serving => {}
        _ = client => panic!("the server was to end it"),
    }
    assert_eq!(f.now(), Instant(0) + DEADLINE + Duration::from_secs(1));
    f.assert_nobody_counts();
}

/// Sends `bytes` as the first frame; what the server says and nothing else.
async fn answer_to(f: &Fixture, bytes: Vec<u8>) -> Vec<ServerFrame> {
    let (stream, serving) = f.knock();
    let client = async {
        let mut client = f.dial(stream).await;
        client.write_all(&bytes).await.unwrap();
        hear(&mut client).await
    };
    let (heard, ()) = tokio::join!(client, serving);
    heard
}

#[tokio::test(start_paused = true)]
async fn bad_first_frames_get_a_clear_answer() {
    let mut f = fixture();
    let list = frame(1, Body::ListRooms(ListRoomsRequest::default()));
    let too_large = (4_097u32).to_be_bytes().to_vec();
    let huge = u32::MAX.to_be_bytes().to_vec();
    let garbage = [&[0, 0, 0, 4][..], &[255; 4]].concat();
    let stale = login("alice", Unix(NOW.0 - 7_200_000));
    let cases = [
        (list, Some(Code::NOT_LOGGED_IN), CloseCode::ProtocolError),
        (too_large, None, CloseCode::FrameTooLarge),
        (huge, None, CloseCode::FrameTooLarge),
        (garbage, None, CloseCode::ProtocolError),
        (stale, Some(Code::SIG_EXPIRED), CloseCode::LoginRefused),
    ];
    for (bytes, reply, close) in cases {
        let heard = Box::pin(answer_to(&f, bytes)).await;
        assert_eq!((code(&heard), last_word(&heard)), (reply, Some(close)));
    }
    assert!(f.adopted.try_recv().is_err());
    assert_eq!(f.now(), Instant(0), "no deadline was waited for");
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_refused_with_an_alert() {
    let f = fixture();
    let dir = tempfile::tempdir().unwrap();
    let files = CertFiles::in_dir(dir.path());
    files.make(&[]).unwrap();
    let mut web = (*f.client).clone();
    web.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (stream, serving) = f.knock();
    let web = Arc::new(web);
    let (refused, ()) = tokio::join!(dial(&web, stream), serving);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    let mut silent = (*f.client).clone();
    silent.alpn_protocols.clear();
    let (stream, serving) = f.knock();
    let silent = Arc::new(silent);
    let (client, ()) = tokio::join!(dial(&silent, stream), serving);
    assert!(hear(&mut client.unwrap()).await.is_empty());
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn strangers_are_sent_away_when_the_gateway_stops() {
    let f = fixture();
    let (stream, serving) = f.knock();
    let client = async {
        let mut client = f.dial(stream).await;
        ping(&mut client).await;
        f.door.stop.cancel();
        hear(&mut client).await
    };
    let (heard, ()) = tokio::join!(client, serving);
    assert_eq!(last_word(&heard), Some(CloseCode::ShuttingDown));
    let close = heard[0].close.as_ref().unwrap();
    assert!(close.retry_after_ms >= 1_000);
    let (_stream, serving) = f.knock();
    serving.await;
    assert_eq!(f.now(), Instant(0));
}

#[tokio::test(start_paused = true)]
async fn a_session_too_many_of_an_address_is_told_to_come_later() {
    let f = fixture();
    let limits = GatewayConfig {
        sessions_per_address: 1,
        ..GatewayConfig::default()
    };
    let door = Door {
        clock: f.door.clock.clone(),
        config: limits.clone(),
        keys: Arc::clone(&f.door.keys),
        revoked: Arc::clone(&f.door.revoked),
        lobby: None,
        asks: Arc::default(),
        admission: Admission::new(&limits, 1),
        place: Arc::clone(&f.door.place),
        metrics: Arc::clone(&f.door.metrics),
        stop: CancellationToken::new(),
    };
    let mut f = Fixture {
        door: Arc::new(door),
        ..f
    };
    let first = f.knock();
    let second = f.knock();
    let enter = async |(stream, serving)| {
        let client = async {
            let mut client = f.dial(stream).await;
            client.write_all(&login("alice", NOW)).await.unwrap();
            client
        };
        tokio::join!(client, serving).0
    };
    let _first = Box::pin(enter(first)).await;
    let mut second = Box::pin(enter(second)).await;
    let heard = hear(&mut second).await;
    let answer = (code(&heard), last_word(&heard));
    assert_eq!(
        answer,
        (Some(Code::OVERLOADED), Some(CloseCode::Overloaded))
    );
    drop(f.adopted.recv().await);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_half_open_connections_leave_nothing_behind() {
    let f = fixture();
    let limits = GatewayConfig {
        pending_per_address: 2_000,
        max_handshakes: 100,
        ..GatewayConfig::default()
    };
    let admission = Admission::new(&limits, 1);
    let door = Door {
        clock: f.door.clock.clone(),
        config: limits,
        keys: Arc::clone(&f.door.keys),
        revoked: Arc::clone(&f.door.revoked),
        lobby: None,
        asks: Arc::default(),
        admission,
        place: Arc::clone(&f.door.place),
        metrics: Arc::clone(&f.door.metrics),
        stop: CancellationToken::new(),
    };
    let f = Fixture {
        door: Arc::new(door),
        ..f
    };
    let (mut streams, mut serving) = (Vec::new(), Vec::new());
    for n in 0..1_000u32 {
        let (mut stream, task) = f.knock();
        if n % 2 == 0 {
            stream.write_all(&[22, 3, 1]).await.unwrap();
        }
        streams.push(stream);
        serving.push(task);
    }
    futures_util::future::join_all(serving).await;
    assert_eq!(f.now(), Instant(0) + DEADLINE);
    f.assert_nobody_counts();
}
