//! The host: creates the room, broadcasts, and crashes when the plan says so.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{CreateRoomRequest, StartLiveRequest, reply};
use livegate_proto::code::Code;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::board::{Stage, Window};
use crate::client::{Client, Desk, Failed, Seat, accepted};
use crate::clock::micros;
use crate::member::Member;
use crate::plan::{Crash, Host};
use crate::pusher::Pusher;
use crate::viewer::gone;

/// A host before it connects.
#[derive(Debug)]
pub(crate) struct Script {
    /// Where it sits.
    pub(crate) seat: Seat,
    /// What the plan wants of it.
    pub(crate) host: Host,
    /// Sends the room's messages, or nothing.
    pub(crate) pusher: Pusher,
}

/// Plays the host of one room from the first connection to the end of the run.
pub(crate) async fn play(
    desk: Rc<Desk>,
    mut script: Script,
    member: Rc<RefCell<Member>>,
    mut stages: watch::Receiver<Stage>,
) {
    let index = member.borrow().room();
    let board = desk.ward.borrow().board.clone();
    let opened = open(&desk, &script, &member).await;
    board.room(index).ready.send_replace(Some(opened.is_ok()));
    let mut client = match opened {
        Ok(client) => client,
        Err(why) => return failed(&desk, &format!("host: {why}")),
    };
    board.entered.fetch_add(1, Relaxed);
    desk.ward.borrow_mut().tally.entered += 1;
    let crash = script.host.crash.clone();
    let ended = {
        let crashing = time_to_crash(&desk, crash.as_ref(), stages.clone());
        tokio::select! {
            biased;
            () = crashing => None,
            ended = script.pusher.run(&mut client, &mut stages) => Some(ended),
        }
    };
    match (ended, crash) {
        (Some(Some(how)), _) => gone(&client, how),
        (None, Some(crash)) => {
            let room = board.room(index);
            room.ends.store(crash.returns_after.is_none(), Relaxed);
            let now = desk.ward.borrow().clock.now();
            room.crashed.store(now, Relaxed);
            drop(client);
            // What was under way to it is nobody's any more.
            member.replace(Member::new(index, script.seat.room.clone()));
            if let Some(after) = crash.returns_after {
                sleep(after).await;
                come_back(&desk, script, &member, stages).await;
            }
        }
        (Some(None) | None, _) => {}
    }
}

async fn come_back(
    desk: &Rc<Desk>,
    mut script: Script,
    member: &Rc<RefCell<Member>>,
    mut stages: watch::Receiver<Stage>,
) {
    let back = async {
        let mut client = Client::log_in(desk, &script.seat, member).await?;
        client.enter(&script.seat.room).await?;
        Ok::<_, Failed>(client)
    };
    match back.await {
        Ok(mut client) => {
            if let Some(how) = script.pusher.run(&mut client, &mut stages).await {
                gone(&client, how);
            }
        }
        Err(why) => failed(desk, &format!("host's return: {why}")),
    }
}

/// Opens the room: creates it, enters, starts the live.
async fn open(
    desk: &Rc<Desk>,
    script: &Script,
    member: &Rc<RefCell<Member>>,
) -> Result<Client, Failed> {
    let room = &script.seat.room;
    let mut client = Client::log_in(desk, &script.seat, member).await?;
    let create = Body::CreateRoom(CreateRoomRequest {
        room_id: room.to_string(),
        room_info: Vec::new().into(),
    });
    let created = client.ask(create).await?;
    if Code(created.code) != Code::ROOM_ALREADY_OWNED {
        accepted("create room", created)?;
    }
    client.enter(room).await?;
    if script.host.live {
        let index = member.borrow().room();
        start(&mut client, script, index).await?;
    }
    Ok(client)
}

async fn start(client: &mut Client, script: &Script, index: u32) -> Result<(), Failed> {
    let request = Body::StartLive(StartLiveRequest {
        room_id: script.seat.room.to_string(),
        start_id: format!("{}-live", script.seat.user),
        grace_ms: Some(u32::try_from(script.host.grace.as_millis()).unwrap_or(u32::MAX)),
    });
    let reply = accepted("start live", client.ask(request).await?)?;
    let Some(reply::Body::StartLive(started)) = reply.body else {
        return Err("start live: answered with another body".to_owned());
    };
    client.beat(started.heartbeat_ms);
    let board = client.desk().ward.borrow().board.clone();
    *board.room(index).live.lock() = Some(started.live_id);
    Ok(())
}

/// Ends when the host is to crash; never without a crash in the plan.
async fn time_to_crash(desk: &Rc<Desk>, crash: Option<&Crash>, mut stages: watch::Receiver<Stage>) {
    let Some(crash) = crash else {
        return std::future::pending().await;
    };
    let runs = |stage: &Stage| matches!(stage, Stage::Run(_));
    let Some(Window { from, .. }) = stages.wait_for(runs).await.ok().and_then(|s| match *s {
        Stage::Run(window) => Some(window),
        Stage::Ramp | Stage::Drain | Stage::Count | Stage::Stop => None,
    }) else {
        return std::future::pending().await;
    };
    let clock = desk.ward.borrow().clock;
    tokio::time::sleep_until(clock.deadline(from + micros(crash.at))).await;
}

fn failed(desk: &Desk, why: &str) {
    let mut ward = desk.ward.borrow_mut();
    ward.board.failed.fetch_add(1, Relaxed);
    ward.tally.error(why);
}
