//! Kills and stops real `livegate host` processes and looks, as a viewer, how
//! soon and how often the room is told.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use livegate_proto::client::{EndReason, LivePhase};
use rustix::process::Signal;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::bounds::Bounds;
use super::caller::Ground;
use super::watcher::{Sight, Watcher, What};
use crate::clock::Micros;
use crate::dice::Dice;
use crate::gateway::signal;
use crate::latency::{Latency, Summary};
use crate::report::Check;

/// How long rooms of this part wait for a lost host.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Most time for a host to be on air.
const ON_AIR_WITHIN: Duration = Duration::from_secs(20);

/// Most time for a loss to be noticed: a silent host is lost after 8 s.
const AWAY_WITHIN: Duration = Duration::from_secs(15);

/// How long a room is watched for an end that must not come (again).
const AFTERMATH: Duration = Duration::from_secs(1);

/// Host-away after a closed socket, 99th percentile.
const AWAY_CLOSED_MS: f64 = 300.0;
/// Host-away after silence, the longest.
const AWAY_SILENT_MS: f64 = 9_000.0;
/// Between the announced end of the grace and the end told, the longest.
const END_OFF_MS: f64 = 300.0;

/// So much before the announced end of the grace an end is too early on any
/// machine: two processes read the wall clock.
const TOO_EARLY_MS: u64 = 500;

/// What is done to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGKILL, another process of the same user within the grace, SIGKILL.
    KillTwice,
    /// SIGSTOP: the socket stays open and says nothing.
    Stop,
}

/// What this part saw.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Hosts killed.
    pub(crate) kills: u32,
    /// Hosts stopped.
    pub(crate) stops: u32,
    /// Hosts that came back in time.
    pub(crate) returns: u32,
    /// Hosts that were to come back in time and were too slow for it.
    pub(crate) too_slow: u32,
    /// From the kill to host-away.
    pub(crate) away_after_kill: Option<Summary>,
    /// From the stop to host-away.
    pub(crate) away_after_stop: Option<Summary>,
    /// From the start of the new process to host-back.
    pub(crate) back: Option<Summary>,
    /// Between the announced end of the grace and live-ended.
    pub(crate) end_off: Option<Summary>,
    /// Ends told, summed over rooms; one for each is right.
    pub(crate) ends: u32,
}

/// What one round saw.
#[derive(Debug, Default)]
struct Round {
    away_after_kill: Vec<Micros>,
    away_after_stop: Vec<Micros>,
    back: Vec<Micros>,
    end_off_ms: Vec<u64>,
    too_slow: u32,
    ends: u32,
    violations: Vec<String>,
}

impl Round {
    /// A room was told the `end` of the live whose host was `away`.
    fn ended(&mut self, end: &Sight, away: &Sight) {
        let live = &away.live;
        self.ends += 1;
        if end.live != *live {
            self.violations.push(format!("{live}: another live ended"));
        }
        if end.what != What::Ended(EndReason::HostCrashed) {
            self.violations
                .push(format!("{live}: ended as {:?}", end.what));
        }
        if let What::Away { until_ms } = away.what {
            self.end_off_ms.push(end.unix_ms.abs_diff(until_ms));
            if end.unix_ms + TOO_EARLY_MS < until_ms {
                self.violations
                    .push(format!("{live}: ended before its grace was over"));
            }
        }
    }
}

/// What rounds share.
#[derive(Debug, Clone)]
struct Stage {
    ground: Arc<Ground>,
    binary: PathBuf,
    certificate: PathBuf,
    bounds: Bounds,
}

/// Plays `kills` and `stops` rounds, `parallel` at a time.
pub(crate) async fn play(
    ground: &Arc<Ground>,
    (binary, certificate): (&Path, &Path),
    (kills, stops): (u32, u32),
    (parallel, bounds): (u32, Bounds),
    dice: &Dice,
) -> (Figures, Vec<Check>, Vec<String>) {
    let stage = Stage {
        ground: ground.clone(),
        binary: binary.to_owned(),
        certificate: certificate.to_owned(),
        bounds,
    };
    let places = Arc::new(Semaphore::new(parallel as usize));
    let mut rounds = JoinSet::new();
    for number in 0..kills + stops {
        let blow = match number {
            n if n >= kills => Blow::Stop,
            n if n % 4 == 3 => Blow::KillTwice,
            _ => Blow::Kill,
        };
        let (stage, places, dice) = (stage.clone(), places.clone(), dice.fork(number.into()));
        rounds.spawn(async move {
            let _place = places.acquire_owned().await;
            stage.round(number, blow, dice).await
        });
    }
    let mut all = Vec::new();
    while let Some(round) = rounds.join_next().await {
        all.push(round.unwrap_or_else(|error| Round {
            violations: vec![format!("a round broke: {error}")],
            ..Round::default()
        }));
    }
    sum_up((kills, stops), bounds, &all)
}

impl Stage {
    async fn round(&self, number: u32, blow: Blow, dice: Dice) -> Round {
        let mut round = Round::default();
        if let Err(error) = self.play_round(number, blow, dice, &mut round).await {
            round.violations.push(format!("room {number}: {error:#}"));
        }
        round
    }

    async fn play_round(
        &self,
        number: u32,
        blow: Blow,
        mut dice: Dice,
        round: &mut Round,
    ) -> Result<()> {
        let clock = self.ground.clock;
        let room = format!("chaos-host-{number}");
        let user = format!("chaos-host-user-{number}");
        let watching = format!("chaos-watcher-{number}");
        let quic = number % 2 == 1;
        let mut host = self.host(&room, &user, blow)?;
        let mut watcher = Watcher::start(&self.ground, &room, &watching, quic);
        let mut passed = Vec::new();
        let on_air = |what: &What| matches!(what, What::Started | What::Found(LivePhase::Live));
        let within = self.bounds.wait(ON_AIR_WITHIN);
        let live = watcher.wait(within, &mut passed, on_air).await;
        let live = live.context("the host did not come on air")?.live;
        sleep(Duration::from_millis(dice.within(100..800))).await;
        if blow == Blow::KillTwice {
            let returned = self
                .blow_and_return(&mut host, (&room, &user), &mut watcher, round)
                .await?;
            if !returned {
                return host.kill().await.context("killing the host");
            }
        }
        let struck = clock.now();
        signal(
            host.id(),
            if blow == Blow::Stop {
                Signal::STOP
            } else {
                Signal::KILL
            },
        )?;
        let away = self.wait_away(&mut watcher).await?;
        let after = away.at.saturating_sub(struck);
        match blow {
            Blow::Stop => round.away_after_stop.push(after),
            Blow::Kill | Blow::KillTwice => round.away_after_kill.push(after),
        }
        self.wait_end(&mut watcher, &live, &away, round).await?;
        host.kill().await.context("killing the host")
    }

    /// Kills the host and lets another process take the live over in time;
    /// false: it was too slow, and the live ended when its grace was over.
    async fn blow_and_return(
        &self,
        host: &mut Child,
        (room, user): (&str, &str),
        watcher: &mut Watcher,
        round: &mut Round,
    ) -> Result<bool> {
        let clock = self.ground.clock;
        let struck = clock.now();
        signal(host.id(), Signal::KILL)?;
        let away = self.wait_away(watcher).await?;
        round.away_after_kill.push(away.at.saturating_sub(struck));
        host.kill().await?;
        let started = clock.now();
        *host = self.host(room, user, Blow::KillTwice)?;
        let mut passed = Vec::new();
        let back_or_over = |what: &What| matches!(what, What::Back | What::Ended(_));
        let within = self.bounds.wait(GRACE);
        let back = watcher.wait(within, &mut passed, back_or_over).await;
        let back = back.with_context(|| format!("no host-back in time: {passed:?}"))?;
        if back.what != What::Back {
            round.too_slow += 1;
            round.ended(&back, &away);
            return Ok(false);
        }
        round.back.push(back.at.saturating_sub(started));
        if back.live != away.live {
            round
                .violations
                .push(format!("{room}: came back to another live"));
        }
        let mut after = Vec::new();
        let ended = |what: &What| matches!(what, What::Ended(_));
        if watcher
            .wait(GRACE + AFTERMATH, &mut after, ended)
            .await
            .is_some()
        {
            round
                .violations
                .push(format!("{room}: ended although the host came back"));
        }
        Ok(true)
    }

    async fn wait_away(&self, watcher: &mut Watcher) -> Result<Sight> {
        let mut passed = Vec::new();
        let away = |what: &What| matches!(what, What::Away { .. });
        let within = self.bounds.wait(AWAY_WITHIN);
        let sight = watcher.wait(within, &mut passed, away).await;
        sight.with_context(|| format!("no host-away in time: {passed:?}"))
    }

    async fn wait_end(
        &self,
        watcher: &mut Watcher,
        live: &str,
        away: &Sight,
        round: &mut Round,
    ) -> Result<()> {
        let ended = |what: &What| matches!(what, What::Ended(_));
        let mut passed = Vec::new();
        let within = self.bounds.wait(GRACE * 2 + AFTERMATH);
        let end = watcher.wait(within, &mut passed, ended).await;
        let end = end.with_context(|| format!("no end in time: {passed:?}"))?;
        if away.live != live {
            round.violations.push(format!("{live}: another host away"));
        }
        round.ended(&end, away);
        let until = Instant::now() + AFTERMATH;
        while let Some(sight) = watcher.next(until).await {
            if ended(&sight.what) {
                round.ends += 1;
                round.violations.push(format!("{live}: ended again"));
            }
        }
        Ok(())
    }

    /// A `livegate host` on air in `room`; dies with what is returned.
    ///
    /// Hosts that are killed take TLS: the kernel closes a dead process's TCP
    /// connections, QUIC's just fall silent.
    fn host(&self, room: &str, user: &str, blow: Blow) -> Result<Child> {
        let transport = match blow {
            Blow::Kill | Blow::KillTwice => "tls",
            Blow::Stop => "race",
        };
        let site = &self.ground.site;
        Command::new(&self.binary)
            .args([
                "host",
                "--room",
                room,
                "--user",
                user,
                "--transport",
                transport,
            ])
            .args(["--addr", &site.public.to_string()])
            .args(["--server-name", &site.server_name])
            .args(["--grace", &crate::span::print(GRACE)])
            .arg("--ca")
            .arg(&self.certificate)
            // Open and silent: lines would be danmaku, an end might end the live.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a host")
    }
}

fn sum_up(
    (kills, stops): (u32, u32),
    bounds: Bounds,
    rounds: &[Round],
) -> (Figures, Vec<Check>, Vec<String>) {
    let sum = |pick: fn(&Round) -> &Vec<Micros>| {
        let mut latency = Latency::default();
        rounds
            .iter()
            .flat_map(pick)
            .for_each(|us| latency.record(*us));
        latency.summary()
    };
    let mut off = Latency::default();
    rounds
        .iter()
        .flat_map(|r| &r.end_off_ms)
        .for_each(|ms| off.record(ms * 1_000));
    let figures = Figures {
        kills,
        stops,
        returns: rounds.iter().map(|r| r.back.len() as u32).sum(),
        too_slow: rounds.iter().map(|r| r.too_slow).sum(),
        away_after_kill: sum(|r| &r.away_after_kill),
        away_after_stop: sum(|r| &r.away_after_stop),
        back: sum(|r| &r.back),
        end_off: off.summary(),
        ends: rounds.iter().map(|r| r.ends).sum(),
    };
    let violations: Vec<String> = rounds.iter().flat_map(|r| r.violations.clone()).collect();
    let mut checks = vec![
        Check::at_most("hosts: violations", 0.0, violations.len() as f64),
        Check::at_least(
            "ends told, one a room",
            f64::from(kills + stops),
            figures.ends.into(),
        ),
    ];
    if bounds.timed() {
        checks.extend(judge_times(&figures));
    }
    (figures, checks, violations)
}

fn judge_times(figures: &Figures) -> Vec<Check> {
    let worst = |summary: &Option<Summary>, pick: fn(&Summary) -> f64| {
        summary.as_ref().map_or(f64::INFINITY, pick)
    };
    let mut checks = vec![
        Check::at_most(
            "live-ended off its time, max ms",
            END_OFF_MS,
            worst(&figures.end_off, |s| s.max_ms),
        ),
        Check::at_most("hosts too slow to return", 0.0, figures.too_slow.into()),
    ];
    if figures.kills > 0 {
        let seen = worst(&figures.away_after_kill, |s| s.p99_ms);
        checks.push(Check::at_most(
            "host-away after a kill, p99 ms",
            AWAY_CLOSED_MS,
            seen,
        ));
    }
    if figures.stops > 0 {
        let seen = worst(&figures.away_after_stop, |s| s.max_ms);
        checks.push(Check::at_most(
            "host-away after a stop, max ms",
            AWAY_SILENT_MS,
            seen,
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL_MS: u64 = 50_000;

    fn sight(live: &str, unix_ms: u64, what: What) -> Sight {
        Sight {
            at: 0,
            unix_ms,
            connection: 1,
            live: live.to_owned(),
            what,
        }
    }

    fn round(end_ms: u64, reason: EndReason) -> Round {
        let mut round = Round::default();
        let until_ms = UNTIL_MS;
        let away = sight("A", UNTIL_MS - 2_000, What::Away { until_ms });
        round.ended(&sight("A", end_ms, What::Ended(reason)), &away);
        round
    }

    fn held(round: Round, bounds: Bounds) -> bool {
        let (_, checks, _) = sum_up((0, 1), bounds, &[round]);
        checks.iter().all(|check| check.held)
    }

    #[test]
    fn a_late_end_is_wrong_only_where_times_are_judged() {
        let late = || Round {
            away_after_stop: vec![8_000_000],
            ..round(UNTIL_MS + 20_000, EndReason::HostCrashed)
        };
        assert!(!held(late(), Bounds::Timed));
        assert!(held(late(), Bounds::Untimed));
    }

    #[test]
    fn an_early_end_a_missing_one_and_a_wrong_reason_are_wrong_on_any_machine() {
        let early = round(UNTIL_MS - 1_500, EndReason::HostCrashed);
        assert!(!held(early, Bounds::Untimed));
        assert!(!held(Round::default(), Bounds::Untimed));
        let ended = round(UNTIL_MS, EndReason::HostEnded);
        assert!(!held(ended, Bounds::Untimed));
    }
}
