//! A shard with real rooms and a real store, its clients on in-memory pipes and
//! its clock paused: the main job, and what must not disturb it.

#![allow(clippy::large_futures)] // a test is one future

use std::time::Duration;

use crate::support::{APP, OneShard, say, settings};
use livegate::id::{AppId, RoomId, RoomKey, ShardId};
use livegate_proto::client::{CloseCode, EndReason, live_event, push, reply};
use tokio::task::LocalSet;
use tokio::time::Instant;

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(Box::pin(test)).await
}

/// What is told of a live.
fn live(push: &livegate_proto::client::Push) -> Option<live_event::Kind> {
    match &push.body {
        Some(push::Body::Live(event)) => event.kind.clone(),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_reaches_everybody_once_and_in_order() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        for n in 0..20 {
            let reply = host.call(say::text("demo", &format!("{n}"))).await;
            assert_eq!(reply.code, 0, "{}", reply.message);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        for client in [&mut host, &mut viewer] {
            let mut last = 0;
            for n in 0..20 {
                let (seq, text) = client.text().await;
                assert_eq!(text, format!("{n}"));
                assert!(seq > last);
                last = seq;
            }
        }
    })
    .await;
}

/// A room fell silent for ever when a ring came into a sweep that had taken its
/// message already: nobody came for that bell, and a bell rings once.
#[tokio::test(start_paused = true)]
async fn a_room_does_not_fall_silent_after_a_late_ring() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, _viewer) = gateway.host_and_viewer().await;
        // More than a sweep serves without a look at the inbox.
        let mut members = Vec::new();
        for n in 0..200 {
            let mut member = gateway.connect(&format!("member{n}")).await;
            assert_eq!(member.call(say::enter("demo")).await.code, 0);
            members.push(member);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let key = RoomKey {
            app: AppId(APP),
            room: RoomId::new("demo").unwrap(),
        };
        let room = gateway.node.rooms.get(&key).unwrap();
        host.call(say::text("demo", "first")).await;
        // The last to come is the first to be served; others are yet to be.
        assert_eq!(members.last_mut().unwrap().text().await.1, "first");
        room.ring_late(ShardId(0));
        assert_eq!(members[0].text().await.1, "first");
        host.call(say::text("demo", "second")).await;
        for member in [0, 199] {
            let heard = tokio::time::timeout(Duration::from_secs(20), members[member].text());
            assert_eq!(heard.await.expect("silent for ever").1, "second");
        }
    })
    .await;
}

/// Counts, not times: what is due is taken from the room once, however many
/// subscribers there are, and each is written to once for all of it.
#[tokio::test(start_paused = true)]
async fn a_sweep_joins_once_and_writes_to_each_once() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, _viewer) = gateway.host_and_viewer().await;
        let mut members = Vec::new();
        for n in 0..100 {
            let mut member = gateway.connect(&format!("member{n}")).await;
            assert_eq!(member.call(say::enter("demo")).await.code, 0);
            members.push(member);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let counts = || {
            let page = gateway.node.metrics.render();
            [
                "livegate_shard_sweeps_total",
                "livegate_shard_sweep_frames_sum",
                "livegate_messages_out_total{class=\"normal\"}",
                "livegate_connections_writes_total{transport=\"tls\"}",
            ]
            .map(|name| {
                let line = page.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().trim().parse::<f64>().unwrap() as u64
            })
        };
        let before = counts();
        // In one write, so that the shard has all five before it sweeps.
        let texts = ["1", "2", "3", "4", "5"];
        let said = texts.map(|text| say::text("demo", text));
        for request in host.send_all(said).await {
            assert_eq!(host.reply(request).await.code, 0);
        }
        for member in &mut members {
            for text in texts {
                assert_eq!(member.text().await.1, text);
            }
        }
        let [sweeps, joined, delivered, writes] = std::array::from_fn(|n| counts()[n] - before[n]);
        assert_eq!((sweeps, joined, delivered), (1, 5, 5 * 102));
        // Everybody's, and the replies to the host.
        assert!((102..=102 + 5).contains(&writes), "{writes} writes");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_gone_is_away_at_once_and_ended_after_the_grace() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        let started = host.call(say::start("demo", "s1")).await;
        let Some(reply::Body::StartLive(started)) = started.body else {
            panic!("not started: {started:?}");
        };
        assert!(matches!(
            viewer.find(live).await,
            live_event::Kind::Started(_)
        ));
        let lost = Instant::now();
        drop(host);
        let live_event::Kind::Away(away) = viewer.find(live).await else {
            panic!("not away");
        };
        assert_eq!(away.grace_ms, 10_000);
        assert!(lost.elapsed() < Duration::from_millis(300));
        let live_event::Kind::Ended(ended) = viewer.find(live).await else {
            panic!("not ended");
        };
        assert_eq!(ended.reason(), EndReason::HostCrashed);
        let took = lost.elapsed().as_millis();
        assert!((10_000..10_300).contains(&took), "ended after {took} ms");
        assert!(!started.live_id.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_back_within_the_grace_ends_nothing() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        host.call(say::start("demo", "s1")).await;
        drop(host);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut host = gateway.connect("host").await;
        assert_eq!(host.call(say::enter("demo")).await.code, 0);
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(viewer.find(live).await);
        }
        assert!(matches!(
            told[..],
            [
                live_event::Kind::Started(_),
                live_event::Kind::Away(_),
                live_event::Kind::Back(_)
            ]
        ));
        let more = tokio::time::timeout(Duration::from_secs(7), viewer.find(live)).await;
        assert!(more.is_err(), "told more: {more:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_logs_in_again_keeps_its_live_and_nobody_is_told() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        host.call(say::start("demo", "s1")).await;
        let mut again = gateway.connect("host").await;
        while host.frame().await.is_some() {}
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(again.call(say::enter("demo")).await.code, 0);
        assert!(matches!(
            viewer.find(live).await,
            live_event::Kind::Started(_)
        ));
        let more = tokio::time::timeout(Duration::from_secs(7), viewer.find(live)).await;
        assert!(more.is_err(), "told more: {more:?}");
        assert_eq!(again.call(say::end("demo")).await.code, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_away_after_its_allowance() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        host.call(say::start("demo", "s1")).await;
        let heard = Instant::now();
        assert!(matches!(
            viewer.find(live).await,
            live_event::Kind::Started(_)
        ));
        assert!(matches!(viewer.find(live).await, live_event::Kind::Away(_)));
        let took = heard.elapsed().as_millis();
        assert!((8_000..9_000).contains(&took), "away after {took} ms");
        assert_eq!(host.ending().await, Some(CloseCode::HeartbeatTimeout));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_reading_is_closed_and_holds_nobody_up() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        let mut slow = gateway.connect_over("slow", 2_000).await;
        slow.call(say::enter("demo")).await;
        let body = "x".repeat(400);
        for n in 0..60 {
            host.call(say::text("demo", &format!("{n} {body}"))).await;
            let (_, text) = viewer.text().await;
            assert!(text.starts_with(&format!("{n} ")));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        assert_eq!(
            gateway.handle.connections(),
            2,
            "the slow one is still there"
        );
        let mut frames = 0;
        while slow.frame().await.is_some() {
            frames += 1;
        }
        assert!(frames > 0, "what was sealed before is lost");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_again_in_time_gets_what_it_missed() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, _viewer) = gateway.host_and_viewer().await;
        let mut slow = gateway.connect_over("slow", 2_000).await;
        slow.call(say::enter("demo")).await;
        let body = "x".repeat(400);
        for n in 0..20 {
            host.call(say::text("demo", &format!("{n} {body}"))).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (mut last, mut texts) = (None, 0);
        while texts < 20 {
            let push = slow.push().await.unwrap();
            if push.seq == 0 {
                continue;
            }
            assert!(last.is_none_or(|last| push.seq == last + 1), "a gap");
            last = Some(push.seq);
            texts += usize::from(matches!(push.body, Some(push::Body::RoomMessage(_))));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_skipped_is_told_before_what_follows_it() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        settings.session.mailbox.lag_frames = 4;
        let gateway = OneShard::start_with(settings);
        let (mut host, _viewer) = gateway.host_and_viewer().await;
        let mut slow = gateway.connect_over("slow", 2_000).await;
        slow.call(say::enter("demo")).await;
        let body = "x".repeat(400);
        for n in 0..20 {
            host.call(say::text("demo", &format!("{n} {body}"))).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (mut last, mut dropped_to, mut gaps) = (None, 0, 0);
        while last.is_none_or(|seq| seq < 20) {
            let push = slow.push().await.unwrap();
            if let Some(push::Body::Dropped(dropped)) = &push.body {
                assert_eq!(Some(dropped.from_seq - 1), last);
                dropped_to = dropped.to_seq;
            }
            if push.seq == 0 {
                continue;
            }
            if last.is_some_and(|last| push.seq > last + 1) {
                assert_eq!(push.seq, dropped_to + 1, "a gap that was not told first");
                gaps += 1;
            }
            last = Some(push.seq);
        }
        assert!(gaps > 0, "nothing was skipped");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_may_be_as_long_as_its_senders_role_allows() {
    local(async {
        let gateway = OneShard::start();
        let (mut host, mut viewer) = gateway.host_and_viewer().await;
        assert_eq!(host.call(say::start("demo", "s1")).await.code, 0);
        let long = "x".repeat(20 * 1024);
        let refused = host.call(say::text("demo", &long)).await;
        assert_ne!(refused.code, 0, "the frame is taken, its text is too long");
        assert_eq!(host.call(say::text("demo", "short")).await.code, 0);
        viewer.send(say::text("demo", &long)).await;
        while viewer.frame().await.is_some() {}
        let close = viewer.closed.unwrap();
        assert_eq!(close.code(), CloseCode::FrameTooLarge);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_login_on_the_same_platform_displaces_the_one_before() {
    local(async {
        let gateway = OneShard::start();
        let first = gateway.connect("user").await;
        let _second = gateway.connect("user").await;
        assert_eq!(first.ending().await, Some(CloseCode::Displaced));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bad_frames_end_their_own_connection_only() {
    local(async {
        let gateway = OneShard::start();
        let mut good = gateway.connect("good").await;
        let mut large = gateway.connect("large").await;
        large.send_raw(&u32::MAX.to_be_bytes()).await;
        while large.frame().await.is_some() {}
        let close = large.closed.unwrap();
        assert_eq!(close.code(), CloseCode::FrameTooLarge);
        let mut garbage = gateway.connect("garbage").await;
        garbage.send_raw(&[0, 0, 0, 2, 0xff, 0xff]).await;
        assert_eq!(garbage.ending().await, Some(CloseCode::ProtocolError));
        assert_eq!(good.call(say::create("still")).await.code, 0);
    })
    .await;
}
