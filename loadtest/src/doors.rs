//! `doors`: how many calls a second the backend's doors take on one core, what a
//! call costs, and how fast callbacks are delivered; NATS request and reply beside
//! them, for orientation.
//!
//! The gateway, and then NATS, is held to one core, this program to the others.
//! Rooms are empty, so that what is measured is the door and not the fan-out.
//! CPU is the scheduler's own account of all threads of the server.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod nats;
mod v4;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use livegate_proto::backend as wire;
use livegate_proto::backend::backend_service_client::BackendServiceClient;
use livegate_proto::backend::govern_service_client::GovernServiceClient;
use livegate_proto::backend::stream_service_client::StreamServiceClient;
use livegate_proto::client::{Priority, Text};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream;
use tonic::transport::Channel;

use crate::clock::{Clock, monotonic};
use crate::compare::ran_us;
use crate::dice::Dice;
use crate::gateway::{Gateway, app};
use crate::identity::DEV_APP;
use crate::machine;
use crate::sink::Sink;

/// The gateway's API key here.
pub(crate) const KEY: &str = "a-key-of-the-load-generator";
/// Signs callbacks here.
const SECRET: &str = "a-secret-of-the-load-generator";
/// Rooms over which calls are spread.
const ROOMS: usize = 64;
/// What a message says: 200 bytes.
const PAYLOAD: usize = 200;

/// Arguments of `doors`.
#[derive(Debug, Args)]
pub(crate) struct DoorsArgs {
    /// How long each door is used.
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// Connections, or calls under way, at each door.
    #[arg(long, default_value = "32")]
    parallel: usize,
    /// Messages whose callbacks are waited for.
    #[arg(long, default_value = "5000")]
    callbacks: u64,
    /// The gateway to start; by default the `livegate` beside this program.
    #[arg(long, value_name = "FILE", env = "LIVEGATE_BIN")]
    gateway: Option<PathBuf>,
}

/// What one door did.
#[derive(Debug, Clone, Copy)]
struct Seen {
    name: &'static str,
    calls: u64,
    seconds: f64,
    cpu_us: u64,
}

/// Plays all doors in turn and prints a line each.
///
/// # Errors
/// When a server cannot be started, or a door refuses.
pub(crate) fn main(args: &DoorsArgs) -> Result<bool> {
    ensure!(machine::cores() > 1, "needs two cores: one is the server's");
    let first = [0];
    let others: Vec<usize> = (1..machine::cores()).collect();
    let near = Builder::new_current_thread().enable_all().build()?;
    machine::pin(&others)?;
    let far = Builder::new_multi_thread().enable_all().build()?;
    let sink = far.block_on(Sink::start(SECRET, Clock::start(), Dice::new(7), 0))?;
    // What is started next inherits the core.
    machine::pin(&first)?;
    let gateway = near.block_on(start(args, &sink.url()))?;
    machine::pin(&others)?;
    let played = play(args, &far, &gateway, &sink);
    near.block_on(gateway.stop())?;
    let mut seen = played?;
    machine::pin(&first)?;
    match nats::start() {
        Ok(nats) => {
            machine::pin(&others)?;
            seen.push(far.block_on(nats.play(args.parallel, args.seconds))?);
        }
        Err(error) => println!("NATS is left out: {error:#}"),
    }
    print(&seen);
    Ok(true)
}

async fn start(args: &DoorsArgs, hook: &str) -> Result<Gateway> {
    let beside = std::env::current_exe()?.with_file_name("livegate");
    let binary = args.gateway.clone().unwrap_or(beside);
    let settings = format!(
        "[shard]\nthreads = 1\n[rooms.rate]\nper_second = 1000000\nburst = 1000000\n\
         [internal]\napi_keys = [\"{KEY}\"]\n[internal.v4]\ncalls_per_second = 10000000\n\
         {}[apps.callback]\nurl = \"{hook}\"\nsecrets = [\"{SECRET}\"]\n\
         tell = [\"live_started\", \"live_ended\", \"C2C.CallbackAfterSendMsg\"]\n",
        app()
    );
    Gateway::start(&binary, &settings, &mut Dice::new(11)).await
}

fn play(args: &DoorsArgs, far: &Runtime, gateway: &Gateway, sink: &Sink) -> Result<Vec<Seen>> {
    let pid = gateway.pid().context("the gateway runs")?;
    let span = Duration::from_secs(args.seconds);
    let internal = gateway.internal;
    let channel = far.block_on(async {
        let uri = format!("http://{internal}");
        Channel::from_shared(uri)?
            .connect()
            .await
            .map_err(anyhow::Error::from)
    })?;
    far.block_on(make_rooms(&channel))?;
    let measure = |name, work: &dyn Fn() -> Result<u64>| {
        let (begun, before) = (monotonic(), ran_us(pid)?);
        let calls = work()?;
        Ok::<_, anyhow::Error>(Seen {
            name,
            calls,
            seconds: (monotonic() - begun) as f64 / 1e6,
            cpu_us: ran_us(pid)?.saturating_sub(before),
        })
    };
    let parallel = args.parallel;
    Ok(vec![
        measure("v4 send_group_msg", &|| {
            far.block_on(v4::play(internal, parallel, span))
        })?,
        measure("gRPC PushToRoom", &|| {
            far.block_on(unary(&channel, parallel, span))
        })?,
        measure("gRPC PushStream", &|| {
            far.block_on(streamed(&channel, span))
        })?,
        measure("callbacks delivered", &|| {
            far.block_on(callbacks(&channel, sink, args.callbacks))
        })?,
    ])
}

/// `message` as a request with the gateway's API key.
pub(crate) fn with_key<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let key = tonic::metadata::AsciiMetadataValue::from_static(KEY);
    request.metadata_mut().insert("x-api-key", key);
    request
}

fn room(n: u64) -> String {
    format!("room-{}", n % ROOMS as u64)
}

async fn make_rooms(channel: &Channel) -> Result<()> {
    let mut govern = GovernServiceClient::new(channel.clone());
    for n in 0..ROOMS as u64 {
        let create = wire::CreateRoomRequest {
            sdk_app_id: DEV_APP,
            room_id: room(n),
            ..wire::CreateRoomRequest::default()
        };
        govern.create_room(with_key(create)).await?;
    }
    Ok(())
}

fn push(n: u64) -> wire::PushToRoomRequest {
    wire::PushToRoomRequest {
        sdk_app_id: DEV_APP,
        room_id: room(n),
        priority: Priority::Normal.into(),
        content: Some(wire::push_to_room_request::Content::Text(Text {
            text: "x".repeat(PAYLOAD),
        })),
        ..wire::PushToRoomRequest::default()
    }
}

async fn unary(channel: &Channel, parallel: usize, span: Duration) -> Result<u64> {
    let next = Arc::new(AtomicU64::new(0));
    let end = tokio::time::Instant::now() + span;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..parallel {
        let (channel, next) = (channel.clone(), Arc::clone(&next));
        callers.spawn(async move {
            let mut backend = BackendServiceClient::new(channel);
            let mut calls = 0;
            while tokio::time::Instant::now() < end {
                let n = next.fetch_add(1, Ordering::Relaxed);
                backend.push_to_room(with_key(push(n))).await?;
                calls += 1;
            }
            Ok::<u64, tonic::Status>(calls)
        });
    }
    let mut calls = 0;
    while let Some(done) = callers.join_next().await {
        calls += done??;
    }
    Ok(calls)
}

async fn streamed(channel: &Channel, span: Duration) -> Result<u64> {
    let (pushes, mut told) = mpsc::channel(1_024);
    let end = tokio::time::Instant::now() + span;
    let mut feed = tokio::task::JoinSet::new();
    feed.spawn(async move {
        let mut n = 0;
        while tokio::time::Instant::now() < end {
            let push = wire::PushStreamRequest {
                push: Some(wire::push_stream_request::Push::ToRoom(push(n))),
            };
            if pushes.send(push).await.is_err() {
                return;
            }
            n += 1;
        }
    });
    let mut streams = StreamServiceClient::new(channel.clone());
    let told = FromPoll(move |cx: &mut Context<'_>| told.poll_recv(cx));
    let answer = streams.push_stream(with_key(told)).await?.into_inner();
    ensure!(answer.refused == 0, "{} pushes refused", answer.refused);
    Ok(answer.accepted)
}

/// A stream out of a function to poll.
struct FromPoll<F>(F);

impl<T, F> tokio_stream::Stream for FromPoll<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        (self.0)(cx)
    }
}

/// Says something to a user so often that `count` callbacks are due, and waits
/// until the last was delivered.
async fn callbacks(channel: &Channel, sink: &Sink, count: u64) -> Result<u64> {
    let before = sink.read(|book| book.attempts());
    let mut streams = StreamServiceClient::new(channel.clone());
    let pushes: Vec<_> = (0..count)
        .map(|n| wire::PushStreamRequest {
            push: Some(wire::push_stream_request::Push::ToUser(
                wire::PushToUserRequest {
                    sdk_app_id: DEV_APP,
                    user_id: format!("user-{}", n % 64),
                    content: Some(wire::push_to_user_request::Content::Text(Text {
                        text: "x".repeat(PAYLOAD),
                    })),
                    ..wire::PushToUserRequest::default()
                },
            )),
        })
        .collect();
    let mut pushes = pushes.into_iter();
    let pushes = FromPoll(move |_: &mut Context<'_>| Poll::Ready(pushes.next()));
    streams.push_stream(with_key(pushes)).await?;
    let end = tokio::time::Instant::now() + Duration::from_secs(120);
    loop {
        let told = sink.read(|book| book.attempts()) - before;
        if told >= count {
            return Ok(told);
        }
        ensure!(
            tokio::time::Instant::now() < end,
            "only {told} of {count} callbacks came"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn print(seen: &[Seen]) {
    println!(
        "{:<22} {:>10} {:>12} {:>10}",
        "door", "calls/s", "CPU us/call", "CPU %"
    );
    for door in seen {
        let calls = door.calls.max(1) as f64;
        println!(
            "{:<22} {:>10.0} {:>12.1} {:>10.0}",
            door.name,
            calls / door.seconds,
            door.cpu_us as f64 / calls,
            door.cpu_us as f64 / door.seconds / 1e4,
        );
    }
}
