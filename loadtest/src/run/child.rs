//! A process of workers, as it sees itself: orders first, then rounds of being
//! told and telling, a line each, and at the end what the workers leave.
//!
//! It ends with its starter.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use livegate_client::Roots;
use serde::{Deserialize, Serialize};

use super::carry::Carried;
use super::shared::{Inner, Sync};
use crate::board::{Board, Stage};
use crate::clock::{Clock, Micros};
use crate::identity::App;
use crate::machine;
use crate::plan::Plan;
use crate::site::{Site, Sources};
use crate::worker::{self, Harvest, Orders};

/// How often it is looked whether the workers have looked.
const GLANCE: Duration = Duration::from_millis(5);

/// What a process of workers is told first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) plan: Plan,
    pub(super) public: SocketAddr,
    pub(super) server_name: String,
    pub(super) certificate: PathBuf,
    pub(super) app: u32,
    pub(super) key: String,
    pub(super) run: String,
    /// Where the run's clock began.
    pub(super) origin: (Micros, u64),
    /// Its workers, of all that there are.
    pub(super) workers: Range<u32>,
    pub(super) of: u32,
}

/// Works until the run stops.
///
/// # Errors
/// When the task makes no sense, the machine cannot do it, or a worker fails.
pub(crate) fn main() -> Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let mut lines = std::io::stdin().lock().lines();
    let task = lines.next().context("there are no orders")??;
    let task: Task = serde_json::from_str(&task).context("reading the orders")?;
    let share = task.plan.sockets() * u64::from(task.workers.end - task.workers.start);
    machine::allow_files(share.div_ceil(u64::from(task.of)))?;
    let (own, of) = (task.workers.clone(), task.of);
    let orders = Arc::new(orders(task)?);
    let mut workers = Vec::new();
    for index in own.clone() {
        let orders = Arc::clone(&orders);
        let thread = std::thread::Builder::new().name(format!("clients-{index}"));
        workers.push(thread.spawn(move || worker::work(&orders, index, of))?);
    }
    let board = &orders.board;
    let mut inner = Inner::new(board);
    for line in lines {
        let sync: Sync = serde_json::from_str(&line?).context("reading what the others do")?;
        inner.hear(board, &sync);
        if sync.stage == Stage::Stop {
            break;
        }
        let left = match sync.stage {
            Stage::Drain => looked(board, own.clone(), &workers),
            Stage::Ramp | Stage::Run(_) | Stage::Count | Stage::Stop => Vec::new(),
        };
        let lost = workers.iter().any(JoinHandle::is_finished);
        ensure!(!lost, "a worker ended before its time");
        say(&inner.look(board, left))?;
    }
    let harvests = workers.into_iter().map(|worker| {
        let harvest = worker.join().map_err(|_| anyhow!("a worker panicked"))?;
        harvest.map(Carried::from)
    });
    say(&harvests.collect::<Result<Vec<_>>>()?)?;
    Ok(true)
}

fn orders(task: Task) -> Result<Orders> {
    let site = Site {
        public: task.public,
        internal: None,
        pid: None,
        server_name: task.server_name,
        roots: Roots::pem_file(&task.certificate)?,
        certificate: task.certificate,
        app: App::new(task.app, &task.key),
    };
    let (base, unix_ms) = task.origin;
    Ok(Orders {
        board: Arc::new(Board::new(task.plan.rooms, task.of as usize)),
        sources: Sources::new(&site, task.plan.clients_per_address),
        run: task.run,
        clock: Clock::of(base, unix_ms),
        plan: task.plan,
        site,
        processes: None,
    })
}

/// What the workers find left once all of them have looked anew.
fn looked(board: &Board, own: Range<u32>, workers: &[JoinHandle<Result<Harvest>>]) -> Vec<u64> {
    let own = &board.behind[own.start as usize..own.end as usize];
    let before: Vec<u64> = own.iter().map(|behind| behind.read().0).collect();
    // The first may have begun before the others' news were here.
    let again = || {
        let looks = own.iter().map(|behind| behind.read().0);
        looks.zip(&before).all(|(now, before)| now >= before + 2)
    };
    while !again() && !workers.iter().any(JoinHandle::is_finished) {
        std::thread::sleep(GLANCE);
    }
    own.iter().map(|behind| behind.read().1).collect()
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}
