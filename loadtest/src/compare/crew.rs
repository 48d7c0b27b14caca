//! The worker processes as their starter sees them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::track::Seen;
use super::worker::{Command, Orders, Word};
use crate::clock::Micros;

/// Most time until the workers have told what they saw.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// What the workers told so far.
#[derive(Debug, Default)]
struct State {
    /// By worker: subscribers that are in, and that never will be.
    standing: Vec<(u32, u32)>,
    /// By worker: up to which number all have everything.
    done: Vec<u32>,
    /// Numbers that some workers are done with: how many, and when the last was.
    open: BTreeMap<u32, (usize, Micros)>,
    /// Numbers that all are done with, and since when.
    finished: Vec<(u32, Micros)>,
    seen: Vec<Seen>,
    left: usize,
}

/// All workers of a run; killed when dropped.
#[derive(Debug)]
pub(super) struct Crew {
    children: Vec<(Child, ChildStdin)>,
    state: Arc<Mutex<State>>,
    bell: Arc<Notify>,
    _readers: JoinSet<()>,
}

impl Crew {
    /// Starts a process for each of `orders`.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(super) async fn start(orders: &[Orders]) -> Result<Self> {
        let mut crew = Self {
            children: Vec::new(),
            state: Arc::new(Mutex::new(State {
                standing: vec![(0, 0); orders.len()],
                done: vec![0; orders.len()],
                ..State::default()
            })),
            bell: Arc::new(Notify::new()),
            _readers: JoinSet::new(),
        };
        for (index, orders) in orders.iter().enumerate() {
            let mut child = tokio::process::Command::new(std::env::current_exe()?)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("starting a worker")?;
            let out = child.stdout.take().context("a worker has an output")?;
            let mut input = child.stdin.take().context("a worker has an input")?;
            tell(&mut input, orders).await?;
            crew.children.push((child, input));
            let (state, bell) = (crew.state.clone(), crew.bell.clone());
            crew._readers.spawn(read(index, out, state, bell));
        }
        Ok(crew)
    }

    /// Waits until every subscriber is in or has failed; how many are in.
    ///
    /// # Errors
    /// When a worker is lost, or it takes longer than `within`.
    pub(super) async fn all_in(&self, subscribers: u32, within: Duration) -> Result<u32> {
        let all_in = async {
            loop {
                let (ready, failed) = self.standing();
                if ready + failed == subscribers {
                    return Ok(ready);
                }
                self.heard().await?;
            }
        };
        let ended = timeout(within, all_in).await;
        ended.with_context(|| {
            let (ready, failed) = self.standing();
            format!("only {ready} of {subscribers} subscribers came in within {within:?}, {failed} failed")
        })?
    }

    /// Subscribers that are in, and that never will be.
    pub(super) fn standing(&self) -> (u32, u32) {
        let state = self.state.lock();
        let of = |each: fn(&(u32, u32)) -> u32| state.standing.iter().map(each).sum();
        (of(|s| s.0), of(|s| s.1))
    }

    /// Waits for anything to be told. May be cancelled and called again.
    ///
    /// # Errors
    /// When a worker is lost.
    pub(super) async fn heard(&self) -> Result<()> {
        self.bell.notified().await;
        ensure!(
            self.state.lock().left == 0,
            "a worker ended before its time"
        );
        Ok(())
    }

    /// The number up to which every subscriber has everything, and when each
    /// number since the last call was had by the last.
    pub(super) fn done(&self) -> (u32, Vec<(u32, Micros)>) {
        let mut state = self.state.lock();
        let done = state.done.iter().copied().min().unwrap_or(0);
        (done, std::mem::take(&mut state.finished))
    }

    /// Tells all workers.
    ///
    /// # Errors
    /// When one is lost.
    pub(super) async fn tell(&mut self, command: Command) -> Result<()> {
        for (_, input) in &mut self.children {
            tell(input, &command).await?;
        }
        Ok(())
    }

    /// Ends the workers when `sent` messages were sent; what they saw.
    ///
    /// # Errors
    /// When one is lost or does not answer.
    pub(super) async fn end(mut self, sent: u32) -> Result<Vec<Seen>> {
        self.tell(Command::Stop { sent }).await?;
        let all = async {
            loop {
                if self.state.lock().seen.len() == self.children.len() {
                    return anyhow::Ok(());
                }
                self.heard().await?;
            }
        };
        match timeout(SEEN_WITHIN, all).await {
            Ok(told) => told?,
            Err(_) => bail!("a worker did not tell what it saw"),
        }
        // Who is in leaves now, all at once: the inputs close.
        let children = std::mem::take(&mut self.children);
        for (mut child, input) in children {
            drop(input);
            if timeout(SEEN_WITHIN, child.wait()).await.is_err() {
                child.kill().await?;
            }
        }
        let seen = std::mem::take(&mut self.state.lock().seen);
        Ok(seen)
    }
}

async fn tell(input: &mut ChildStdin, what: &impl serde::Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    input.write_all(&line).await.context("a worker is gone")?;
    Ok(input.flush().await?)
}

/// Takes what one worker tells at once, so that no worker ever waits to be
/// heard.
async fn read(index: usize, out: ChildStdout, state: Arc<Mutex<State>>, bell: Arc<Notify>) {
    let mut lines = BufReader::new(out).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(word) = serde_json::from_str(&line) else {
            break;
        };
        state.lock().take(index, word);
        bell.notify_one();
    }
    state.lock().left += 1;
    bell.notify_one();
}

impl State {
    fn take(&mut self, worker: usize, word: Word) {
        match word {
            Word::In { ready, failed } => self.standing[worker] = (ready, failed),
            Word::Seen(seen) => self.seen.push(*seen),
            Word::Done { number, at } => {
                for number in self.done[worker] + 1..=number {
                    let open = self.open.entry(number).or_default();
                    *open = (open.0 + 1, open.1.max(at));
                    if open.0 == self.done.len() {
                        let (_, last) = *open;
                        self.open.remove(&number);
                        self.finished.push((number, last));
                    }
                }
                self.done[worker] = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_finished_when_the_last_worker_is_done_with_it() {
        let mut state = State {
            done: vec![0; 2],
            ..State::default()
        };
        state.take(0, Word::Done { number: 2, at: 10 });
        state.take(1, Word::Done { number: 1, at: 7 });
        state.take(1, Word::Done { number: 2, at: 30 });
        assert_eq!(state.finished, [(1, 10), (2, 30)]);
        assert!(state.open.is_empty());
    }
}
