//! The processes of workers as their starter sees them: in rounds, everybody
//! is told what the others did, and says what is new.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::carry::Carried;
use super::child::Task;
use super::shared::{Look, Outer};
use crate::board::{Board, Stage};
use crate::worker::{Harvest, Orders, Processes};

/// From one round to the next.
const ROUND: Duration = Duration::from_millis(50);

/// Most time until a child has answered.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// The processes of a run; killed when dropped.
pub(super) struct Children {
    all: Vec<One>,
    board: Arc<Board>,
}

struct One {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    first: usize,
    end: Outer,
}

impl Children {
    /// Starts them and gives them their orders.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(super) async fn start(orders: &Orders, processes: Processes) -> Result<Self> {
        let of = u32::try_from(orders.board.behind.len())?;
        let mut all = Vec::new();
        for n in 0..processes.count {
            let workers = n * of / processes.count..(n + 1) * of / processes.count;
            let mut child = Command::new(std::env::current_exe()?)
                .arg("clients")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("starting a process of clients")?;
            let out = child.stdout.take().context("a child has an output")?;
            let mut one = One {
                input: child.stdin.take().context("a child has an input")?,
                lines: BufReader::new(out).lines(),
                child,
                first: workers.start as usize,
                end: Outer::new(&orders.board),
            };
            let site = &orders.site;
            let task = Task {
                plan: orders.plan.clone(),
                public: site.public,
                server_name: site.server_name.clone(),
                certificate: std::path::absolute(&site.certificate)?,
                app: site.app.id,
                key: site.app.key().to_owned(),
                run: orders.run.clone(),
                origin: orders.clock.origin(),
                workers,
                of,
            };
            tell(&mut one.input, &task).await?;
            all.push(one);
        }
        Ok(Self {
            all,
            board: Arc::clone(&orders.board),
        })
    }

    /// Goes round until the run stops; what the workers left.
    ///
    /// # Errors
    /// When one is lost.
    pub(super) async fn attend(mut self) -> Result<Vec<Harvest>> {
        let mut stages = self.board.stages();
        loop {
            stages.mark_unchanged();
            if self.round().await? == Stage::Stop {
                break;
            }
            tokio::select! {
                () = sleep(ROUND) => {}
                changed = stages.changed() => changed?,
            }
        }
        let mut harvests = Vec::new();
        for mut one in self.all {
            let carried: Vec<Carried> = one.hear().await?;
            harvests.extend(carried.into_iter().map(Harvest::from));
            drop(one.input);
            let ended = timeout(HEARD_WITHIN, one.child.wait()).await;
            let status = ended.map_err(|_| anyhow!("a process of clients does not end"))??;
            ensure!(status.success(), "a process of clients failed");
        }
        Ok(harvests)
    }

    /// Tells all, then hears all; the stage that they were told.
    async fn round(&mut self) -> Result<Stage> {
        let stage = self.board.stage();
        let disturbed: Vec<bool> = self.all.iter().map(|one| one.end.disturbed).collect();
        for (n, one) in self.all.iter_mut().enumerate() {
            let elsewhere = disturbed.iter().enumerate().any(|(m, on)| m != n && *on);
            let sync = one.end.sync(&self.board, stage, elsewhere);
            tell(&mut one.input, &sync).await?;
        }
        if stage == Stage::Stop {
            return Ok(stage);
        }
        let (mut new, mut left) = (false, Vec::new());
        for one in &mut self.all {
            let look: Look = one.hear().await?;
            new |= one.end.hear(&self.board, &look);
            left.extend((one.first..).zip(look.left));
        }
        let disturbed = self.all.iter().any(|one| one.end.disturbed);
        self.board.disturbed.store(disturbed, Relaxed);
        for (worker, left) in left {
            // What is new to the starter, others have yet to hear of.
            self.board.behind[worker].looked(left.max(u64::from(new)));
        }
        Ok(stage)
    }
}

impl One {
    async fn hear<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let line = timeout(HEARD_WITHIN, self.lines.next_line()).await;
        let line = line.map_err(|_| anyhow!("a process of clients does not answer"))??;
        let line = line.context("a process of clients ended before its time")?;
        serde_json::from_str(&line).context("reading what a process of clients says")
    }
}

async fn tell(input: &mut ChildStdin, what: &impl serde::Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let told = input.write_all(&line).await;
    told.context("a process of clients is gone")?;
    Ok(input.flush().await?)
}
