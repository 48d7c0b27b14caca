//! Connections that mean harm: they open, hold on to what they were given and
//! never become a client. What counts is how soon the gateway ends them.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result};
use livegate_client::Login;
use livegate_proto::client::{ClientFrame, client_frame::Body};
use livegate_proto::codec;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::board::{Board, Stage};
use crate::latency::{Latency, Summary};
use crate::plan::Hostile;
use crate::site::{Dialers, Site, Sources};
use crate::worker::Orders;

/// How a connection misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Silent,
    HalfHello,
    NoLogin,
    Drip,
    HalfFrame,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Silent,
        Self::HalfHello,
        Self::NoLogin,
        Self::Drip,
        Self::HalfFrame,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::HalfHello => "half hello",
            Self::NoLogin => "no login",
            Self::Drip => "dripping login",
            Self::HalfFrame => "half frame",
        }
    }

    fn share(self, plan: &Hostile) -> u32 {
        match self {
            Self::Silent => plan.silent,
            Self::HalfHello => plan.half_hello,
            Self::NoLogin => plan.no_login,
            Self::Drip => plan.drip,
            Self::HalfFrame => plan.half_frame,
        }
    }

    /// The kind of connection `index`.
    fn of(plan: &Hostile, index: u32) -> Self {
        let mut place = index % plan.shares().max(1);
        for kind in Self::ALL {
            match place.checked_sub(kind.share(plan)) {
                Some(left) => place = left,
                None => return kind,
            }
        }
        Self::Silent
    }
}

/// What became of the connections of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    opened: u64,
    refused: u64,
    left_open: u64,
    ended: Latency,
}

/// The same in figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// How they misbehave.
    pub(crate) kind: &'static str,
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Turned away before they could misbehave.
    pub(crate) refused: u64,
    /// Not ended in time.
    pub(crate) left_open: u64,
    /// From the first byte to the end.
    pub(crate) ended: Option<Summary>,
}

/// Plays the hostile part of a plan in a thread of its own until the steady
/// phase is over; what became of the connections, by kind.
///
/// # Errors
/// When the thread's runtime or TLS cannot be set up.
pub(crate) fn work(orders: &Arc<Orders>) -> Result<Vec<Figures>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the hostile runtime")?;
    let outcomes = LocalSet::new().block_on(&runtime, run(orders.clone()));
    runtime.shutdown_background();
    let figures = |(kind, outcome): (Kind, Outcome)| Figures {
        kind: kind.name(),
        opened: outcome.opened,
        refused: outcome.refused,
        left_open: outcome.left_open,
        ended: outcome.ended.summary(),
    };
    Ok(Kind::ALL.into_iter().zip(outcomes?).map(figures).collect())
}

async fn run(orders: Arc<Orders>) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::default(); Kind::ALL.len()];
    let plan = &orders.plan.hostile;
    let mut stages = orders.board.stages();
    let runs = stages.wait_for(|stage| *stage != Stage::Ramp).await;
    let Some(Stage::Run(window)) = runs.ok().map(|stage| *stage) else {
        return Ok(outcomes);
    };
    let attacker = Rc::new(Attacker {
        site: orders.site.clone(),
        dialers: orders.site.dialers()?,
        board: orders.board.clone(),
        sources: orders.sources,
        limit: plan.closed_within,
        until: orders.clock.deadline(window.to),
    });
    let mut attacks = JoinSet::new();
    for index in 0..plan.connections {
        let after = u64::from(index) * 1_000_000 / u64::from(plan.per_second);
        let start = orders.clock.deadline(window.from + after);
        let (attacker, kind) = (attacker.clone(), Kind::of(plan, index));
        attacks.spawn_local(async move { (kind, attacker.attack(kind, index, start).await) });
    }
    while let Some(attack) = attacks.join_next().await {
        let Ok((kind, outcome)) = attack else {
            continue;
        };
        let place = Kind::ALL.iter().position(|k| *k == kind);
        let sum = &mut outcomes[place.expect("every kind is in ALL")];
        sum.opened += outcome.opened;
        sum.refused += outcome.refused;
        sum.left_open += outcome.left_open;
        sum.ended.merge(&outcome.ended);
    }
    Ok(outcomes)
}

struct Attacker {
    site: Site,
    dialers: Dialers,
    board: Arc<Board>,
    sources: Sources,
    limit: Duration,
    until: Instant,
}

impl Attacker {
    /// Opens, misbehaves, and does it again a second after it was thrown out.
    async fn attack(&self, kind: Kind, index: u32, start: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        tokio::time::sleep_until(start).await;
        // Addresses of their own: an address that is banned is theirs alone.
        let source = self.sources.of(50_000_000 + index, false);
        while Instant::now() < self.until {
            outcome.opened += 1;
            self.board.hostile.fetch_add(1, Relaxed);
            let begun = Instant::now();
            match timeout(self.limit, self.once(kind, source)).await {
                Ok(true) => outcome.ended.record(crate::clock::micros(begun.elapsed())),
                Ok(false) => outcome.refused += 1,
                Err(_) => outcome.left_open += 1,
            }
            self.board.hostile.fetch_sub(1, Relaxed);
            sleep(Duration::from_secs(1)).await;
        }
        outcome
    }

    /// Misbehaves on one connection until it is ended; `false`: turned away at
    /// the door.
    async fn once(&self, kind: Kind, source: Option<IpAddr>) -> bool {
        let said = match kind {
            Kind::Silent => Some(Vec::new()),
            Kind::HalfHello => Some(half_hello()),
            Kind::NoLogin | Kind::Drip | Kind::HalfFrame => None,
        };
        if let Some(said) = said {
            let Ok(mut stream) = self.tcp(source).await else {
                return false;
            };
            return stream.write_all(&said).await.is_ok() && until_end(stream).await;
        }
        let target = self.site.target(source);
        let Ok(mut stream) = self.dialers.of(false).dial(&target).await else {
            return false;
        };
        match kind {
            Kind::Silent | Kind::HalfHello | Kind::NoLogin => until_end(stream).await,
            Kind::Drip => drip(stream, &self.login()).await,
            Kind::HalfFrame => {
                let mut half = 1_000u32.to_be_bytes().to_vec();
                half.extend_from_slice(&[0; 500]);
                let sent = stream.write_all(&half).await.is_ok() && stream.flush().await.is_ok();
                sent && until_end(stream).await
            }
        }
    }

    async fn tcp(&self, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(ip) = source {
            socket.bind((ip, 0).into())?;
        }
        socket.connect(self.site.public).await
    }

    fn login(&self) -> Vec<u8> {
        let login = Login::new(self.site.app.id, "nobody").request("x".repeat(200));
        let mut frame = Vec::new();
        let body = Some(Body::Login(login));
        codec::append(
            &ClientFrame {
                request_id: 1,
                body,
            },
            &mut frame,
        );
        frame
    }
}

/// Reads until the other side ends it.
async fn until_end(mut stream: impl AsyncRead + Unpin) -> bool {
    let mut buffer = [0; 512];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    true
}

/// A byte a second until the other side ends it.
async fn drip(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> bool {
    let mut buffer = [0; 512];
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return true;
        }
        let next = Instant::now() + Duration::from_secs(1);
        while let Ok(read) = timeout_at(next, stream.read(&mut buffer)).await {
            if !read.is_ok_and(|n| n > 0) {
                return true;
            }
        }
    }
    until_end(stream).await
}

/// The first half of a TLS ClientHello of 512 bytes.
fn half_hello() -> Vec<u8> {
    let mut hello = vec![
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
    ];
    hello.resize(256, 0x5a);
    hello
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_in_their_shares() {
        let plan = Hostile {
            silent: 2,
            half_hello: 0,
            no_login: 1,
            drip: 0,
            half_frame: 1,
            ..Hostile::default()
        };
        let kinds: Vec<Kind> = (0..4).map(|n| Kind::of(&plan, n)).collect();
        let expected = [Kind::Silent, Kind::Silent, Kind::NoLogin, Kind::HalfFrame];
        assert_eq!(kinds, expected);
    }
}
