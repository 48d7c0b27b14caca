//! One thread of clients: a runtime of its own, counts of its own.
//!
//! Clients are numbered over the whole run: hosts first, then publishers, then
//! viewers; worker k of n drives every n-th. A worker shares nothing with
//! others but the [`Board`], so its part may as well run in a process of its
//! own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::board::{Behind, Board, Stage};
use crate::client::{Client, Desk, Failed, Seat};
use crate::clock::{Clock, Micros};
use crate::host::{self, Script};
use crate::ledger::Ledger;
use crate::member::{Member, Remains, Ward};
use crate::plan::{From, Messages, Plan};
use crate::pusher::Pusher;
use crate::schedule::Turn;
use crate::site::{Site, Sources};
use crate::tally::Tally;
use crate::viewer::{self, Stop};

/// How often a worker looks whether its clients have everything.
const LOOK: Duration = Duration::from_millis(50);

/// What all workers of a run are told.
#[derive(Debug)]
pub(crate) struct Orders {
    /// What to do.
    pub(crate) plan: Plan,
    /// Where.
    pub(crate) site: Site,
    /// Prefix of all names, so that two runs against one gateway do not meet.
    pub(crate) run: String,
    /// The clock of the run.
    pub(crate) clock: Clock,
    /// The state of the run.
    pub(crate) board: Arc<Board>,
    /// Where its clients dial from.
    pub(crate) sources: Sources,
    /// Processes that the workers are spread over; `None`: threads of this one.
    pub(crate) processes: Option<Processes>,
}

/// Processes of workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processes {
    /// How many.
    pub(crate) count: u32,
}

/// What a worker leaves.
#[derive(Debug)]
pub(crate) struct Harvest {
    /// Its counts.
    pub(crate) tally: Tally,
    /// Rooms as its clients saw them.
    pub(crate) ledgers: Vec<Ledger>,
    /// Its clients that were to see everything.
    pub(crate) remains: Vec<Remains>,
}

/// What a client is in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Host { room: u32 },
    Publisher { room: u32, turn: u32 },
    Viewer { number: u32 },
}

/// Drives worker `index` of `of` until the run stops.
///
/// # Errors
/// When the thread's runtime or TLS cannot be set up.
pub(crate) fn work(orders: &Arc<Orders>, index: u32, of: u32) -> Result<Harvest> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a worker's runtime")?;
    let local = LocalSet::new();
    let harvest = local.block_on(&runtime, run(orders.clone(), index, of));
    // Tasks that are left hold connections: they go with the runtime.
    drop(local);
    runtime.shutdown_background();
    harvest
}

async fn run(orders: Arc<Orders>, index: u32, of: u32) -> Result<Harvest> {
    let desk = Rc::new(Desk {
        site: orders.site.clone(),
        dialers: orders.site.dialers()?,
        ward: RefCell::new(Ward::new(orders.clock, orders.board.clone())),
    });
    let start = orders.clock.now();
    let mut tasks = JoinSet::new();
    let mut members = Vec::new();
    for number in (index..orders.plan.clients()).step_by(of as usize) {
        let part = part(&orders.plan, number);
        let member = orders.member(part);
        if orders.stop_of(part).is_none() {
            members.push(member.clone());
        }
        let at = orders.ramp_at(start, part, number);
        let client = client(orders.clone(), desk.clone(), part, number, member, at);
        tasks.spawn_local(client);
    }
    attend(
        &orders,
        &desk,
        &members,
        &orders.board.behind[index as usize],
    )
    .await;
    let mut harvest = harvest(&desk, &members);
    orders.board.counted.fetch_add(1, Release);
    while orders.board.stage() != Stage::Stop {
        sleep(LOOK).await;
    }
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            harvest.tally.error("a client's task panicked");
        }
    }
    Ok(harvest)
}

/// Takes down what the thread's clients saw.
fn harvest(desk: &Desk, members: &[Rc<RefCell<Member>>]) -> Harvest {
    let remains = members.iter().map(|m| m.borrow().remains()).collect();
    let mut ward = desk.ward.borrow_mut();
    ward.count_aways();
    // What is still heard goes into new ones, which nobody reads.
    let unread = vec![Ledger::default(); ward.ledgers.len()];
    Harvest {
        tally: std::mem::take(&mut ward.tally),
        ledgers: std::mem::replace(&mut ward.ledgers, unread),
        remains,
    }
}

/// Follows the stages for the thread's counts, until it is time to take them down.
async fn attend(orders: &Orders, desk: &Desk, members: &[Rc<RefCell<Member>>], behind: &Behind) {
    let board = &orders.board;
    loop {
        match board.stage() {
            Stage::Ramp => {}
            Stage::Run(window) => desk.ward.borrow_mut().window = Some(window),
            Stage::Drain => {
                let left = members.iter().filter(|m| !m.borrow().is_done(board));
                behind.looked(left.count() as u64);
            }
            Stage::Count | Stage::Stop => return,
        }
        sleep(LOOK).await;
    }
}

async fn client(
    orders: Arc<Orders>,
    desk: Rc<Desk>,
    part: Part,
    number: u32,
    member: Rc<RefCell<Member>>,
    at: Instant,
) {
    let stages = orders.board.stages();
    let seat = orders.seat(part, number);
    sleep_until(at).await;
    if let Part::Host { room } = part {
        let pusher = orders.pusher(room, 0, number, orders.plan.messages.from == From::Host);
        let script = Script {
            seat,
            host: orders.plan.host.clone(),
            pusher,
        };
        return host::play(desk, script, member, stages).await;
    }
    let room = member.borrow().room();
    if !orders.board.room(room).wait_ready().await {
        return;
    }
    let mut client = match enter(&desk, &seat, &member).await {
        Ok(client) => client,
        Err(why) => {
            let mut ward = desk.ward.borrow_mut();
            ward.tally.error(why);
            ward.board.failed.fetch_add(1, Relaxed);
            return;
        }
    };
    match (part, orders.stop_of(part)) {
        (Part::Publisher { turn, .. }, _) => {
            let mut pusher = orders.pusher(room, turn, number, true);
            let mut stages = stages;
            if let Some(how) = pusher.run(&mut client, &mut stages).await {
                viewer::gone(&client, how);
            }
        }
        (_, Some(stop)) => viewer::listen_and_stop(client, stages, stop).await,
        (_, None) => viewer::listen(client, stages).await,
    }
}

async fn enter(
    desk: &Rc<Desk>,
    seat: &Seat,
    member: &Rc<RefCell<Member>>,
) -> Result<Client, Failed> {
    let clock = desk.ward.borrow().clock;
    let begun = clock.now();
    let mut client = Client::log_in(desk, seat, member).await?;
    client.enter(&seat.room).await?;
    let mut ward = desk.ward.borrow_mut();
    ward.tally.entered += 1;
    ward.tally
        .entering
        .record(clock.now().saturating_sub(begun));
    ward.board.entered.fetch_add(1, Relaxed);
    Ok(client)
}

/// Which part client `number` has.
fn part(plan: &Plan, number: u32) -> Part {
    let publishers = plan.rooms * plan.publishers();
    if number < plan.rooms {
        return Part::Host { room: number };
    }
    let number = number - plan.rooms;
    if number < publishers {
        return Part::Publisher {
            room: number % plan.rooms,
            turn: number / plan.rooms,
        };
    }
    Part::Viewer {
        number: number - publishers,
    }
}

impl Orders {
    fn room_of(&self, part: Part) -> u32 {
        match part {
            Part::Host { room } | Part::Publisher { room, .. } => room,
            Part::Viewer { number } => number % self.plan.rooms,
        }
    }

    fn room_name(&self, room: u32) -> String {
        format!("{}-room-{room}", self.run)
    }

    fn member(&self, part: Part) -> Rc<RefCell<Member>> {
        let room = self.room_of(part);
        let name = self.room_name(room).into();
        Rc::new(RefCell::new(Member::new(room, name)))
    }

    fn seat(&self, part: Part, number: u32) -> Seat {
        let quic = match part {
            Part::Host { .. } | Part::Publisher { .. } => self.plan.transport.mostly_quic(),
            Part::Viewer { number } => self.plan.transport.quic(number),
        };
        let user = match part {
            Part::Host { room } => format!("{}-host-{room}", self.run),
            Part::Publisher { room, turn } => format!("{}-pub-{room}-{turn}", self.run),
            Part::Viewer { number } => format!("{}-viewer-{number}", self.run),
        };
        let slow = &self.plan.slow_readers;
        Seat {
            user,
            room: self.room_name(self.room_of(part)).into(),
            source: self.sources.of(number, quic),
            quic,
            receive_buffer: self.stop_of(part).map(|_| slow.receive_buffer),
        }
    }

    /// When the client of `part` stops reading, if it is one that does.
    fn stop_of(&self, part: Part) -> Option<Stop> {
        let slow = &self.plan.slow_readers;
        let Part::Viewer { number } = part else {
            return None;
        };
        (number < slow.count).then(|| Stop {
            at: slow.first_at + slow.every * number,
            lasts: slow.stopped_for,
        })
    }

    /// Hosts begin at once, the others as the ramp has room.
    fn ramp_at(&self, start: Micros, part: Part, number: u32) -> Instant {
        let waits = match part {
            Part::Host { .. } => 0,
            Part::Publisher { .. } | Part::Viewer { .. } => number - self.plan.rooms,
        };
        let after = u64::from(waits) * 1_000_000 / u64::from(self.plan.phases.ramp);
        self.clock.deadline(start + after)
    }

    fn pusher(&self, room: u32, publisher: u32, number: u32, speaks: bool) -> Pusher {
        let plan = &self.plan;
        let silent = Messages {
            text: 0.0,
            custom: 0.0,
            gift: 0.0,
            like: 0.0,
            ..plan.messages.clone()
        };
        let messages = if speaks {
            plan.messages.clone()
        } else {
            silent
        };
        let turn = Turn {
            publisher,
            of: plan.publishers().max(1),
            shift: f64::from(room) / f64::from(plan.rooms),
        };
        Pusher::new(number, &self.room_name(room), messages, turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_of_a_plan_has_its_part() {
        let plan = Plan {
            rooms: 3,
            viewers: 4,
            messages: Messages {
                publishers: 2,
                text: 1.0,
                ..Messages::default()
            },
            ..Plan::default()
        };
        let parts: Vec<Part> = (0..plan.clients()).map(|n| part(&plan, n)).collect();
        assert_eq!(parts.len(), 3 + 6 + 12);
        assert_eq!(parts[2], Part::Host { room: 2 });
        assert_eq!(parts[3], Part::Publisher { room: 0, turn: 0 });
        assert_eq!(parts[8], Part::Publisher { room: 2, turn: 1 });
        assert_eq!(parts[9], Part::Viewer { number: 0 });
        assert_eq!(parts[20], Part::Viewer { number: 11 });
    }
}
