//! The threads of a run.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use anyhow::{Result, anyhow};
use tokio::time::sleep;

use super::LOOK;
use crate::board::{Board, Stage};
use crate::hostile;
use crate::worker::{self, Harvest, Orders};

/// Threads that clients run on; told to stop when dropped.
pub(super) struct Crew {
    board: Arc<Board>,
    workers: Vec<std::thread::JoinHandle<Result<Harvest>>>,
    hostile: Option<std::thread::JoinHandle<Result<Vec<hostile::Figures>>>>,
}

impl Crew {
    /// Starts the workers, and the hostile part if the plan has one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn start(orders: &Arc<Orders>) -> Result<Self> {
        let of = u32::try_from(orders.board.behind.len())?;
        let workers = (0..of).map(|index| {
            let orders = orders.clone();
            std::thread::Builder::new()
                .name(format!("clients-{index}"))
                .spawn(move || worker::work(&orders, index, of))
        });
        let workers = workers.collect::<std::io::Result<_>>()?;
        let attack = orders.clone();
        let hostile = (orders.plan.hostile.connections > 0).then(|| {
            std::thread::Builder::new()
                .name("hostile".to_owned())
                .spawn(move || hostile::work(&attack))
        });
        Ok(Self {
            board: orders.board.clone(),
            workers,
            hostile: hostile.transpose()?,
        })
    }

    /// Whether a worker ended although nobody told it to.
    pub(super) fn has_lost_one(&self) -> bool {
        self.workers
            .iter()
            .any(std::thread::JoinHandle::is_finished)
    }

    /// Waits for the hostile part, then ends the rest.
    ///
    /// # Errors
    /// When a thread could not do its work.
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
        while self.board.counted.load(Acquire) < self.workers.len() && !self.has_lost_one() {
            sleep(LOOK).await;
        }
        self.board.go(Stage::Stop);
        let workers = std::mem::take(&mut self.workers);
        let join = |worker: std::thread::JoinHandle<Result<Harvest>>| {
            worker.join().map_err(|_| anyhow!("a worker panicked"))?
        };
        let harvests = tokio::task::spawn_blocking(move || workers.into_iter().map(join).collect());
        let harvests: Result<Vec<Harvest>> = harvests.await?;
        Ok((harvests?, attacks))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.board.go(Stage::Stop);
    }
}
