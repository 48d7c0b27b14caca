//! A viewer: enters and listens. Some stop reading when the plan says so.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::board::Stage;
use crate::client::Client;
use crate::clock::micros;
use crate::member::Signal;

/// When a viewer stops reading, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Counted from the beginning of the steady phase.
    pub(crate) at: Duration,
    /// Then it looks what became of its connection.
    pub(crate) lasts: Duration,
}

/// Listens until the run stops or the connection ends.
pub(crate) async fn listen(mut client: Client, mut stages: watch::Receiver<Stage>) {
    loop {
        tokio::select! {
            biased;
            stopped = stages.wait_for(|stage| *stage == Stage::Stop) => {
                drop(stopped);
                return;
            }
            heard = client.listen() => match heard {
                Ok(Signal::Reply(_)) => {}
                Ok(Signal::Close(close)) => {
                    return gone(&client, format!("closed: {}", close.reason));
                }
                Err(how) => return gone(&client, how),
            },
        }
    }
}

/// Listens like any other, stops reading at its time and then sees whether the
/// gateway closed it.
pub(crate) async fn listen_and_stop(
    mut client: Client,
    mut stages: watch::Receiver<Stage>,
    stop: Stop,
) {
    let run = stages.wait_for(|stage| *stage != Stage::Ramp);
    let window = tokio::select! {
        biased;
        stage = run => match stage.map(|stage| *stage) {
            Ok(Stage::Run(window)) => window,
            Ok(_) | Err(_) => return,
        },
        how = until_gone(&mut client) => return gone(&client, how),
    };
    let desk = Rc::clone(client.desk());
    let clock = desk.ward.borrow().clock;
    let board = desk.ward.borrow().board.clone();
    let at = window.from + micros(stop.at);
    tokio::select! {
        biased;
        how = until_gone(&mut client) => return gone(&client, how),
        () = sleep_until(clock.deadline(at)) => {}
    }
    board.disturbed.store(true, Relaxed);
    sleep_until(clock.deadline(at + micros(stop.lasts))).await;
    board.disturbed.store(false, Relaxed);
    // What was on its way before the close is read first; a gateway that has
    // not closed by now does not get longer than this.
    let end = tokio::time::timeout(Duration::from_secs(5), until_gone(&mut client)).await;
    let outcome = end.unwrap_or_else(|_| "still open".to_owned());
    desk.ward.borrow_mut().tally.slow(outcome);
}

async fn until_gone(client: &mut Client) -> String {
    loop {
        match client.listen().await {
            Ok(Signal::Reply(_)) => {}
            Ok(Signal::Close(close)) => return format!("closed: {}", close.reason),
            Err(how) => return how,
        }
    }
}

/// A connection ended that should not have.
pub(crate) fn gone(client: &Client, how: String) {
    let mut ward = client.desk().ward.borrow_mut();
    ward.board.gone.fetch_add(1, Relaxed);
    ward.tally.error(how.clone());
    ward.tally.close(how);
}
