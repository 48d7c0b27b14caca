//! Keeps a client connected: attempt, work, wait, again.
//!
//! One task per client. Invariant: between connections every command is
//! answered at once that there is none; nobody waits for a reconnect without
//! having asked to.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::CloseCode;
use livegate_proto::client::LoginReply;
use livegate_proto::code::Code;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use crate::client::State;
use crate::config::{BoxFuture, Config, Limits};
use crate::connection::{Connection, Heartbeat};
use crate::dial::{Dialer, Target};
use crate::error::{ConnectError, DialError, Disconnect, LoginError};
use crate::event::{Connected, Disconnected, Event};
use crate::link::{Link, Transport};
use crate::online::{Command, Online};
use crate::queue;
use crate::reconnect::{Backoff, Decision, Retry, random};
use crate::rooms::Rooms;
use crate::tracker::FillLimits;

/// Opens the transport of each attempt.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn() -> BoxFuture<Result<Link, DialError>> + Send + Sync>);

impl Connector {
    /// Dials `target` each time.
    pub fn dialing(dialer: Arc<Dialer>, target: Target) -> Self {
        Self(Arc::new(move || {
            let (dialer, target) = (Arc::clone(&dialer), target.clone());
            Box::pin(async move { dialer.dial(&target).await })
        }))
    }

    /// Calls `open` each time, for tests and simulations.
    pub fn from_fn<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Link, DialError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(open())))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// What a client's handles and its task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) state: watch::Sender<State>,
    rtt: Mutex<Option<Duration>>,
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: watch::Sender::new(State::Connecting),
            rtt: Mutex::new(None),
        }
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        *self.rtt.lock() = Some(rtt);
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        *self.rtt.lock()
    }
}

/// Answered once the first attempt is over.
pub(crate) type First = oneshot::Sender<Result<(), ConnectError>>;

pub(crate) struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) config: Config,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: queue::Sender,
}

/// Why the client stops for good: the app wants it, or a final answer.
struct Stop;

impl Supervisor {
    /// Runs until closed or told to stay away. With `first` the first attempt
    /// must succeed.
    pub(crate) async fn run(mut self, mut first: Option<First>) {
        let limits = FillLimits {
            gap: self.shared.limits.fill,
            held: self.shared.limits.held_pushes,
        };
        let mut rooms = Rooms::new(self.config.fill_gaps, limits);
        let mut backoff = Backoff::new(self.config.backoff.clone());
        let mut again = false;
        while let Ok(attempt) = self.attempt().await {
            let decision = match attempt {
                Ok((connection, login)) => {
                    self.connected(&connection, &login, again, &mut first);
                    again = true;
                    self.work(connection, &mut rooms, &mut backoff).await
                }
                Err(error) => match first.take() {
                    Some(first) => {
                        drop(first.send(Err(error)));
                        break;
                    }
                    None => self.failed(error, &mut backoff),
                },
            };
            let Decision::Wait(pause) = decision else {
                break;
            };
            if self.pause(pause).await.is_err() {
                break;
            }
        }
        self.shared.state.send_replace(State::Stopped);
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            command.refuse();
        }
    }

    /// One attempt, answering commands meanwhile.
    async fn attempt(&mut self) -> Result<Result<(Connection, LoginReply), ConnectError>, Stop> {
        self.shared.state.send_replace(State::Connecting);
        let attempt = attempt(&self.connector, &self.config);
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                biased;
                outcome = &mut attempt => return Ok(outcome),
                command = self.commands.recv() => answer_offline(command)?,
            }
        }
    }

    /// Waits, answering commands meanwhile.
    async fn pause(&mut self, pause: Duration) -> Result<(), Stop> {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                () = &mut pause => return Ok(()),
                command = self.commands.recv() => answer_offline(command)?,
            }
        }
    }

    fn connected(
        &self,
        connection: &Connection,
        login: &LoginReply,
        again: bool,
        first: &mut Option<First>,
    ) {
        tracing::debug!(session = login.session_id, transport = %connection.transport(), "logged in");
        self.events.send(Event::Connected(Connected {
            session_id: login.session_id,
            transport: connection.transport(),
            again,
            sig_expires_at: login.sig_expires_at,
        }));
        self.shared.state.send_replace(State::Online);
        if let Some(first) = first.take() {
            drop(first.send(Ok(())));
        }
    }

    async fn work(
        &mut self,
        connection: Connection,
        rooms: &mut Rooms,
        backoff: &mut Backoff,
    ) -> Decision {
        let since = Instant::now();
        let online = Online::new(
            connection,
            &self.shared,
            &self.events,
            &self.config.sig,
            rooms,
        );
        let cause = online.run(&mut self.commands).await;
        let retry = self.advice(cause.retry(), sig_expired(&cause));
        let decision = backoff.next(retry, since.elapsed(), random());
        tracing::debug!(%cause, ?decision, "disconnected");
        let retry_in = self.waiting(decision);
        self.events
            .send(Event::Disconnected(Disconnected { cause, retry_in }));
        decision
    }

    fn failed(&self, error: ConnectError, backoff: &mut Backoff) -> Decision {
        let retry = self.advice(error.retry(), login_sig_expired(&error));
        let decision = backoff.next(retry, Duration::ZERO, random());
        tracing::debug!(%error, ?decision, "attempt failed");
        let retry_in = self.waiting(decision);
        self.events.send(Event::ConnectFailed { error, retry_in });
        decision
    }

    /// An expired signature is final only if no other can be had.
    fn advice(&self, retry: Retry, sig_expired: bool) -> Retry {
        if sig_expired && self.config.sig.is_renewable() {
            return Retry::Now;
        }
        retry
    }

    fn waiting(&self, decision: Decision) -> Option<Duration> {
        match decision {
            Decision::Wait(pause) => {
                self.shared.state.send_replace(State::Waiting);
                Some(pause)
            }
            Decision::Stop => None,
        }
    }
}

fn answer_offline(command: Option<Command>) -> Result<(), Stop> {
    match command {
        None | Some(Command::Close) => Err(Stop),
        Some(command) => {
            command.refuse();
            Ok(())
        }
    }
}

fn sig_expired(cause: &Disconnect) -> bool {
    matches!(cause, Disconnect::Closed { code, .. } if *code == CloseCode::SigExpired as i32)
}

fn login_sig_expired(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Login(LoginError::Refused(refusal))
        if refusal.code == Code::SIG_EXPIRED)
}

async fn attempt(
    connector: &Connector,
    config: &Config,
) -> Result<(Connection, LoginReply), ConnectError> {
    let mut connection = Connection::over((connector.0)().await?);
    let user_sig = config.sig.give().await.map_err(ConnectError::Sig)?;
    let login = config.login.request(user_sig);
    let reply = connection.login(login, config.limits.login_timeout).await?;
    let limits = &config.limits;
    connection.set_heartbeat(Heartbeat::Measured {
        silence: limits.silence_timeout,
    });
    if connection.transport() == Transport::Quic {
        connection.set_longest_heartbeat_interval(limits.quic_heartbeat);
    }
    Ok((connection, reply))
}
