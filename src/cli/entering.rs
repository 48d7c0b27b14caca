//! Getting into a room that may not be there.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use livegate_client::{Client, Code, Event, RequestError, Retry, RoomEventKind, RoomHandle, State};
use tokio::time::sleep;

use super::show::{Printer, What};

/// How often a room that is not there is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// What to do about a room that may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Say so and wait until it is.
    Wait,
    /// Make it first, or own it when nobody does.
    Create,
}

/// A room that is being entered.
pub(super) struct Entering(Pin<Box<dyn Future<Output = anyhow::Result<RoomHandle>>>>);

impl Entering {
    /// Enters `room` as soon as it is there and the client is online.
    pub(super) fn new(client: Client, room: &str, missing: Missing, printer: Printer) -> Self {
        let room = room.to_owned();
        Self(Box::pin(enter(client, room, missing, printer)))
    }
}

/// The room, once it is entered; never, when none is being entered.
///
/// # Errors
/// When the gateway refuses for another reason than that there is no room.
pub(super) async fn done(entering: &mut Option<Entering>) -> anyhow::Result<RoomHandle> {
    match entering {
        Some(Entering(future)) => {
            let outcome = future.await;
            *entering = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

/// Whether the room is gone from under the user: it may be back later.
pub(super) fn is_lost(event: &Event) -> bool {
    match event {
        Event::ReenterFailed { .. } => true,
        Event::Room(event) => matches!(event.kind, RoomEventKind::Destroyed(_)),
        _ => false,
    }
}

/// Whether somebody wants the user out.
pub(super) fn is_kicked(event: &Event) -> bool {
    matches!(event, Event::Room(event) if matches!(event.kind, RoomEventKind::Kicked(_)))
}

async fn enter(
    client: Client,
    room: String,
    missing: Missing,
    printer: Printer,
) -> anyhow::Result<RoomHandle> {
    let mut told = false;
    loop {
        online(&client).await?;
        if missing == Missing::Create {
            create(&client, &room).await?;
        }
        let error = match client.enter(&room).await {
            Ok(entered) => return Ok(entered),
            Err(error) => error,
        };
        if error.code() == Some(Code::NO_ROOM) && missing == Missing::Wait {
            if !std::mem::replace(&mut told, true) {
                printer.print(What::Waiting { room: room.clone() })?;
            }
            sleep(PAUSE).await;
        } else {
            pause_or_give_up(error, &room).await?;
        }
    }
}

/// Makes the room, unless it is there or the app's backend makes rooms.
async fn create(client: &Client, room: &str) -> anyhow::Result<()> {
    const FINE: [Code; 3] = [
        Code::ROOM_ID_IN_USE,
        Code::ROOM_ALREADY_OWNED,
        Code::NO_PERMISSION,
    ];
    match client.create_room(room, Vec::new()).await {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| FINE.contains(&code)) => Ok(()),
        Err(error) => pause_or_give_up(error, room).await,
    }
}

/// Waits where trying again may help.
async fn pause_or_give_up(error: RequestError, room: &str) -> anyhow::Result<()> {
    let pause = match &error {
        RequestError::Refused(refusal) => match refusal.retry() {
            Retry::Now => PAUSE,
            Retry::Later(after) => after.max(PAUSE),
            Retry::Final => {
                return Err(anyhow!(error)).with_context(|| format!("cannot enter {room}"));
            }
        },
        _ => PAUSE,
    };
    sleep(pause).await;
    Ok(())
}

async fn online(client: &Client) -> anyhow::Result<()> {
    let mut states = client.states();
    let settled = |state: &State| matches!(state, State::Online | State::Stopped);
    let state = states.wait_for(settled).await.map(|state| *state);
    if state.is_ok_and(|state| state == State::Online) {
        return Ok(());
    }
    // The events tell why; the caller ends when they do.
    std::future::pending().await
}
