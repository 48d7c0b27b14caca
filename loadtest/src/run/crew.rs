//! The workers of a run: threads of this process, or processes of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::LOOK;
use super::children::Children;
use crate::board::{Board, Stage};
use crate::hostile;
use crate::worker::{self, Harvest, Orders};

/// What clients run on; told to stop when dropped.
pub(super) struct Crew {
    board: Arc<Board>,
    workers: Workers,
    hostile: Option<JoinHandle<Result<Vec<hostile::Figures>>>>,
}

enum Workers {
    Threads(Vec<JoinHandle<Result<Harvest>>>),
    Processes(JoinSet<Result<Vec<Harvest>>>, AbortHandle),
}

impl Crew {
    /// Starts the workers, and the hostile part if the plan has one.
    ///
    /// # Errors
    /// When a thread or a process cannot be started.
    pub(super) async fn start(orders: &Arc<Orders>) -> Result<Self> {
        let attack = orders.clone();
        let hostile = (orders.plan.hostile.connections > 0).then(|| {
            std::thread::Builder::new()
                .name("hostile".to_owned())
                .spawn(move || hostile::work(&attack))
        });
        Ok(Self {
            board: orders.board.clone(),
            workers: Workers::start(orders).await?,
            hostile: hostile.transpose()?,
        })
    }

    /// Whether a worker ended although nobody told it to.
    pub(super) fn has_lost_one(&self) -> bool {
        match &self.workers {
            Workers::Threads(threads) => threads.iter().any(JoinHandle::is_finished),
            Workers::Processes(_, attending) => attending.is_finished(),
        }
    }

    /// Waits for the hostile part, then ends the rest.
    ///
    /// # Errors
    /// When a worker could not do its work.
    pub(super) async fn end(mut self) -> Result<(Vec<Harvest>, Vec<hostile::Figures>)> {
        let mut attacks = Vec::new();
        if let Some(hostile) = self.hostile.take() {
            while !hostile.is_finished() {
                sleep(LOOK).await;
            }
            attacks = hostile
                .join()
                .map_err(|_| anyhow!("the hostile thread panicked"))??;
        }
        self.board.go(Stage::Count);
        let workers = self.board.behind.len();
        while self.board.counted.load(Acquire) < workers && !self.has_lost_one() {
            sleep(LOOK).await;
        }
        self.board.go(Stage::Stop);
        let workers = std::mem::replace(&mut self.workers, Workers::Threads(Vec::new()));
        Ok((workers.end().await?, attacks))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.board.go(Stage::Stop);
    }
}

impl Workers {
    async fn start(orders: &Arc<Orders>) -> Result<Self> {
        if let Some(processes) = orders.processes {
            let children = Children::start(orders, processes).await?;
            let mut set = JoinSet::new();
            let attending = set.spawn(children.attend());
            return Ok(Self::Processes(set, attending));
        }
        let of = u32::try_from(orders.board.behind.len())?;
        let threads = (0..of).map(|index| {
            let orders = orders.clone();
            std::thread::Builder::new()
                .name(format!("clients-{index}"))
                .spawn(move || worker::work(&orders, index, of))
        });
        Ok(Self::Threads(threads.collect::<std::io::Result<_>>()?))
    }

    async fn end(self) -> Result<Vec<Harvest>> {
        match self {
            Self::Threads(threads) => {
                let join = |worker: JoinHandle<Result<Harvest>>| {
                    worker.join().map_err(|_| anyhow!("a worker panicked"))?
                };
                let all = move || threads.into_iter().map(join).collect();
                tokio::task::spawn_blocking(all).await?
            }
            Self::Processes(mut set, _) => {
                let ended = set.join_next().await.context("processes were started")?;
                ended?
            }
        }
    }
}
