//! Everybody in their rooms, and the blocks that are played there.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use livegate_client::Roots;
use tokio::time::{Instant, sleep, sleep_until};

use super::backend::Backend;
use super::cast::{self, Cast};
use super::counters::Asks;
use super::record::{Group, Phase};
use super::scene::{Scene, Span};
use super::verdict::{Felt, Figures, Return};
use super::{
    ASKING_APP, DRAIN_WITHIN, PAUSE, Places, RAMP_WITHIN, RETURN_WITHIN, SlowArgs, WARM_UP, table,
};
use crate::clock::{Clock, Micros, micros};
use crate::compare::look;
use crate::gateway::Gateway;
use crate::http;
use crate::identity::{App, DEV_APP, DEV_KEY};
use crate::progress::complain;
use crate::site::Site;

/// Without a refusal for so long the askers are back to normal.
const CALM: Duration = Duration::from_millis(1_500);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

/// All that runs while blocks are played.
pub(super) struct Stage<'a> {
    args: &'a SlowArgs,
    gateway: &'a Gateway,
    pid: u32,
    backend: Backend,
    pub(super) scene: Arc<Scene>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.scene.stop.cancel();
    }
}

impl<'a> Stage<'a> {
    /// Brings everybody into their rooms and lets messages flow.
    pub(super) async fn open(
        args: &'a SlowArgs,
        places: &Places,
        gateway: &'a Gateway,
        mut backend: Backend,
        clock: Clock,
    ) -> Result<Self> {
        backend.answer_after(Duration::ZERO)?;
        let site = |app| {
            Ok::<_, anyhow::Error>(Site {
                public: gateway.public,
                internal: Some(gateway.internal),
                pid: gateway.pid(),
                server_name: "localhost".to_owned(),
                roots: Roots::pem_file(gateway.certificate()?)?,
                certificate: gateway.certificate()?,
                app: App::new(app, DEV_KEY),
            })
        };
        let cast = Cast {
            rooms: args.rooms,
            viewers: args.viewers,
            rate: args.rate.into(),
            askers: args.askers,
            plain: site(DEV_APP)?,
            asking: site(ASKING_APP)?,
            internal: gateway.internal,
        };
        let connections = cast.connections();
        let mut stage = Self {
            args,
            gateway,
            pid: gateway.pid().context("the gateway runs")?,
            backend,
            scene: Arc::new(Scene::new(clock)),
            threads: Vec::new(),
        };
        let (measured, askers) = (cast.clone(), cast);
        let scene = &stage.scene;
        let threads = [
            cast::start("measured", &places.measured, scene, |scene| {
                cast::measured(scene, measured)
            })?,
            cast::start("askers", &places.others, scene, |scene| {
                cast::askers(scene, askers)
            })?,
        ];
        stage.threads.extend(threads);
        stage.ramp(connections).await?;
        Ok(stage)
    }

    async fn ramp(&self, connections: usize) -> Result<()> {
        let deadline = Instant::now() + RAMP_WITHIN;
        while self.scene.entered.load(Relaxed) < connections {
            self.sound()?;
            ensure!(Instant::now() < deadline, "not all entered in time");
            sleep(LOOK).await;
        }
        let from = self.scene.clock.now() + micros(PAUSE);
        let to = from + micros(self.args.longest());
        self.scene.begin(Span { from, to });
        sleep(WARM_UP).await;
        self.sound()
    }

    /// Breaks off at the first fault: figures of a scene that lacks somebody
    /// are none.
    fn sound(&self) -> Result<()> {
        let record = self.scene.record.lock();
        match record.faults().iter().next() {
            Some((what, _)) => bail!(
                "{what}; the gateway said last:\n{}",
                self.gateway.log_tail()
            ),
            None => Ok(()),
        }
    }

    /// Plays all blocks. What is late is waited for before anything is counted.
    pub(super) async fn rounds(&mut self) -> Result<Vec<Figures>> {
        let rounds = self.args.rounds as usize;
        let mut blocks = Vec::new();
        for round in 0..rounds {
            let mut phases = Phase::ALL;
            phases.rotate_left(round % Phase::ALL.len());
            for phase in phases {
                let mut figures = self.block(round, phase).await?;
                self.felt(blocks.len(), &mut figures);
                if !self.args.quiet {
                    complain(table::line(&figures, rounds));
                }
                blocks.push(figures);
                self.sound()?;
                sleep(PAUSE).await;
            }
        }
        let deadline = Instant::now() + DRAIN_WITHIN;
        // The last message that was due may be on its way still.
        while self.scene.record.lock().under_way() > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        for (index, figures) in blocks.iter_mut().enumerate() {
            self.felt(index, figures);
        }
        Ok(blocks)
    }

    async fn block(&mut self, round: usize, phase: Phase) -> Result<Figures> {
        let asking = phase != Phase::Unasked;
        self.scene.asking.store(asking, Relaxed);
        let (before, first) = (self.asks().await?, look(self.pid)?);
        let from = self.scene.clock.now();
        let to = from + micros(self.args.block);
        self.scene.record.lock().begin(from, to);
        match phase {
            Phase::Unasked | Phase::Quick => {}
            Phase::Slow => self.backend.answer_after(self.args.answer_after)?,
            Phase::Down => self.backend.go_down()?,
        }
        sleep_until(self.scene.clock.deadline(to)).await;
        let last = look(self.pid)?;
        let asks = self.asks().await?.since(before);
        let percent = |before: u64, after: u64| {
            let spent = after.saturating_sub(before);
            spent as f64 / (last.at - first.at).max(1) as f64 * 100.0
        };
        self.scene.asking.store(true, Relaxed);
        let back = match phase.is_disturbed() {
            true => Some(self.come_back().await?),
            false => None,
        };
        let silent = Felt {
            lost: 0,
            latency: None,
        };
        Ok(Figures {
            round,
            phase,
            plain: silent,
            pushed: silent,
            asks,
            rss_kib: last.rss_kib,
            cpu_percent: percent(first.ran_us, last.ran_us),
            waited_percent: percent(first.waited_us, last.waited_us),
            back,
        })
    }

    /// Takes over what was heard in block `index`.
    fn felt(&self, index: usize, figures: &mut Figures) {
        let record = self.scene.record.lock();
        if let Some(block) = record.blocks().get(index) {
            figures.plain = block.heard(Group::Plain).into();
            figures.pushed = block.heard(Group::Pushed).into();
        }
    }

    /// Lets the backend answer at once again and waits until nothing is refused.
    async fn come_back(&mut self) -> Result<Return> {
        self.backend.answer_after(Duration::ZERO)?;
        let clock = self.scene.clock;
        self.scene.record.lock().is_back(clock.now());
        let deadline = Instant::now() + RETURN_WITHIN;
        loop {
            sleep(LOOK).await;
            let back = self.scene.record.lock().back();
            if back.is_settled(clock.now(), micros(CALM)) || Instant::now() > deadline {
                let seconds = |us: Micros| us as f64 / 1e6;
                return Ok(Return {
                    passes_s: back.passes_after().map(seconds),
                    settles_s: back.settled_after().map(seconds),
                });
            }
        }
    }

    async fn asks(&self) -> Result<Asks> {
        let (status, text) = http::get(self.gateway.internal, "/metrics").await?;
        ensure!(status == 200, "/metrics answered {status}");
        Ok(Asks::parse(&text))
    }

    /// Ends the threads, then the backend.
    pub(super) fn close(mut self) -> Result<()> {
        self.scene.stop.cancel();
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "a thread of clients panicked");
        }
        self.backend.go_down()
    }
}
