//! From a byte stream to a logged-in session on its shard: the handshake, the
//! first frame, the verdict on its signature, the hand-over.
//!
//! The same road for every transport, and generic over the carrier, so that the
//! simulation takes it too. Invariants: each phase has a deadline that bytes do
//! not move; a connection that is turned away is told why if it can still be
//! told, and is gone a moment later; what a client sent ahead travels with it.
//!
//! It keeps no list of connections: a connection is a future, and its guards
//! give back what it counts for on any road out.

mod turned;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use livegate_proto::client::{CloseCode, LoginRequest};
use livegate_proto::code::Code;
use livegate_proto::codec::MAX_PRELOGIN_FRAME;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use self::turned::Turned;
use super::admission::{Admission, Pending};
use super::config::GatewayConfig;
use super::http::{self, Lobby};
use super::tls::ALPN;
use crate::auth::KeyRing;
use crate::callback::ask::{Ask, Asks, Verdict};
use crate::callback::question;
use crate::callback::tell::Event;
use crate::clock::{Clock, Instant, Unix};
use crate::event::Origin;
use crate::id::{AppId, UserKey};
use crate::session::{Prelogin, PreloginStep};
use crate::shard::adopted::{Adopted, LoggedIn, Transport};
use crate::shard::carrier::Carrier;
use crate::shard::frames::Scratch;
use crate::shard::io::{FrameIo, IoError, Layer, ReadOutcome};
use crate::shard::tls::Tls;
use crate::telemetry::{CloseReason, HandshakeFailure, Metrics, RefusalCause};

/// Hands a logged-in connection to a shard.
pub type Place<D> = Arc<dyn Fn(Adopted<D>) + Send + Sync>;

/// Tells when a user's signatures were declared void; `None`: they were not.
pub type Revoked = Arc<dyn Fn(&UserKey) -> Option<Unix> + Send + Sync>;

/// What every connection needs until its login is done.
pub struct Door<D> {
    /// Reads the time.
    pub clock: Clock,
    /// Deadlines.
    pub config: GatewayConfig,
    /// Each app's keys; may be replaced while running.
    pub keys: Arc<ArcSwap<KeyRing>>,
    /// When a user's signatures were declared void.
    pub revoked: Revoked,
    /// The RoomService door, for those who speak HTTP; none: they are refused.
    pub lobby: Option<Arc<Lobby>>,
    /// Asks backends before a login.
    pub asks: Arc<Asks>,
    /// Limits of strangers.
    pub admission: Admission,
    /// Where logged-in connections go.
    pub place: Place<D>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When cancelled, those who are not logged in are sent away.
    pub stop: CancellationToken,
}

impl<D> std::fmt::Debug for Door<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// A connection that has just come in.
#[derive(Debug)]
pub struct Stranger {
    /// Its far end.
    pub peer: SocketAddr,
    /// How its bytes come.
    pub transport: Transport,
    /// What it counts for.
    pending: Pending,
    /// When it was accepted.
    pub since: Instant,
    _counted: Counted,
}

impl Stranger {
    /// Counts the connection for its address, now that it is proven.
    ///
    /// # Errors
    /// The limit of its address that it would exceed.
    pub fn prove(&mut self) -> Result<(), RefusalCause> {
        self.pending.prove(self.peer.ip())
    }
}

impl<D: Send + 'static> Door<D> {
    /// One who has just come in.
    pub fn stranger(&self, peer: SocketAddr, transport: Transport, pending: Pending) -> Stranger {
        self.metrics.gateway().accepted(transport);
        Stranger {
            peer,
            transport,
            pending,
            since: self.clock.now().instant,
            _counted: Counted::new(&self.metrics, transport),
        }
    }

    /// Leads a TLS connection over a byte stream in. Ends when it is handed
    /// over or gone.
    pub async fn receive_tls<C: Carrier<Detached = D>>(
        &self,
        carrier: C,
        tls: Tls,
        stranger: Stranger,
    ) {
        let mut io = FrameIo::new(carrier, Layer::Tls(Box::new(tls)));
        let shaken = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            shaken = self.shake_hands(&mut io, &stranger) => shaken,
        };
        match shaken {
            // Boxed, so that a handshake that never ends does not pay for it.
            Ok(Spoken::Frames) => Box::pin(self.greet(io, stranger)).await,
            Ok(Spoken::Http(lobby)) => Box::pin(self.host(io, lobby, stranger)).await,
            Err(cause) => {
                self.metrics
                    .gateway()
                    .handshake_failed(stranger.transport, cause);
                tracing::debug!(peer = %stranger.peer, cause = cause.as_str(), "handshake failed");
                // The alert, if there is one, is on its way: do not overtake it.
                let _ = poll_fn(|cx| Poll::Ready(io.poll_close(cx))).await;
            }
        }
    }

    /// Leads a connection in of which the transport has done its handshake.
    pub async fn receive_plain<C: Carrier<Detached = D>>(&self, carrier: C, stranger: Stranger) {
        let io = FrameIo::new(carrier, Layer::Plain);
        Box::pin(self.greet(io, stranger)).await;
    }

    /// The end of the handshake phase for one who came at `since`.
    pub fn handshake_deadline(&self, since: Instant) -> tokio::time::Instant {
        self.clock.deadline(since + self.config.handshake_deadline)
    }

    async fn shake_hands<C: Carrier>(
        &self,
        io: &mut FrameIo<C>,
        stranger: &Stranger,
    ) -> Result<Spoken, HandshakeFailure> {
        let slot = self.admission.slot();
        let shaken = async {
            let _slot = slot.await;
            poll_fn(|cx| handshake_step(io, cx)).await
        };
        match timeout_at(self.handshake_deadline(stranger.since), shaken).await {
            Err(_) => return Err(HandshakeFailure::Timeout),
            Ok(Err(IoError::Carrier(_))) => return Err(HandshakeFailure::PeerGone),
            Ok(Err(IoError::Tls(error))) => {
                tracing::debug!(peer = %stranger.peer, %error, "handshake refused");
                return Err(HandshakeFailure::Protocol);
            }
            Ok(Ok(())) => {}
        }
        let Layer::Tls(tls) = io.layer() else {
            return Err(HandshakeFailure::Protocol);
        };
        // rustls refuses a wrong protocol; here is one who named none.
        let spoken = match (tls.alpn(), &self.lobby) {
            (Some(ALPN), _) => Spoken::Frames,
            (Some(http::ALPN), Some(lobby)) => Spoken::Http(Arc::clone(lobby)),
            _ => return Err(HandshakeFailure::Protocol),
        };
        let spent = self.clock.now().instant.since(stranger.since);
        let gateway = self.metrics.gateway();
        gateway.handshake(stranger.transport, tls.is_resumed(), spent);
        Ok(spoken)
    }

    /// Serves HTTP; it counts for its address as a session does.
    async fn host<C: Carrier>(&self, io: FrameIo<C>, lobby: Arc<Lobby>, stranger: Stranger) {
        let (transport, peer) = (stranger.transport, stranger.peer);
        let permit = match stranger.pending.log_in() {
            Ok(permit) => permit,
            Err(cause) => {
                tracing::debug!(%peer, "too many connections for HTTP");
                return self.metrics.gateway().refused(transport, cause);
            }
        };
        http::serve(io, lobby, self.stop.clone()).await;
        drop(permit);
    }

    /// The login phase: answers Pings, takes one Login, hands over.
    async fn greet<C: Carrier<Detached = D>>(&self, mut io: FrameIo<C>, stranger: Stranger) {
        let until = self.clock.now().instant + self.config.login_deadline;
        let until = self.clock.deadline(until);
        let (transport, peer) = (stranger.transport, stranger.peer);
        let login = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(self.later(CloseCode::ShuttingDown)),
            login = timeout_at(until, self.login(&mut io, peer)) => match login {
                Ok(login) => login,
                Err(_) => Err(Turned::away(CloseCode::LoginTimeout)),
            },
        };
        let turned = match login {
            Ok((login, request_id)) => match self.admit(stranger, login, request_id) {
                Ok(entry) => return self.hand_over(io, entry),
                Err(turned) => turned,
            },
            Err(turned) => turned,
        };
        self.turn_away(&mut io, turned, transport, peer).await;
    }

    async fn login<C: Carrier>(
        &self,
        io: &mut FrameIo<C>,
        peer: SocketAddr,
    ) -> Result<(LoggedIn, u64), Turned> {
        let mut prelogin = Prelogin::default();
        loop {
            let body = poll_fn(|cx| frame_step(io, cx)).await?;
            match prelogin.on_frame(&body, self.clock.now().unix) {
                PreloginStep::Quiet => {}
                PreloginStep::Pong(pong) => say(io, pong.prefixed()).await?,
                PreloginStep::Login(login, request_id) => {
                    let login = self.verify(*login, request_id)?;
                    if self.asks.wants(login.key.app, Ask::Login) {
                        Box::pin(self.ask(&login, peer, request_id)).await?;
                    }
                    return Ok((login, request_id));
                }
                PreloginStep::Refuse { reply, close } => {
                    if let Some(reply) = &reply {
                        self.metrics.gateway().login(Code(reply.code));
                    }
                    return Err(Turned::Away {
                        reply,
                        close,
                        retry_after_ms: 0,
                    });
                }
            }
        }
    }

    /// Asks the backend whether the user may log in.
    async fn ask(&self, login: &LoggedIn, peer: SocketAddr, request_id: u64) -> Result<(), Turned> {
        let event = Event {
            app: login.key.app,
            id: self.asks.event_id(),
            time: self.clock.now().unix,
            origin: Origin::Client(login.platform, peer.ip()),
        };
        let question = question::before_login(event, &login.key.user);
        match self.asks.ask(login.key.app, question).await {
            Verdict::Allowed(_) | Verdict::Swallowed => Ok(()),
            Verdict::Refused { code, message } => {
                Err(self.refuse(request_id, code, message, CloseCode::LoginRefused))
            }
        }
    }

    fn verify(&self, login: LoginRequest, request_id: u64) -> Result<LoggedIn, Turned> {
        let app = AppId(login.sdk_app_id);
        let now = self.clock.now().unix;
        let keys = self.keys.load();
        let verified = keys.verify(app, Some(&login.user_id), &login.user_sig, now);
        let verified = verified.and_then(|verified| {
            let user = UserKey {
                app,
                user: verified.user.clone(),
            };
            verified.unless_revoked((self.revoked)(&user))
        });
        let verified = verified.map_err(|error| {
            tracing::debug!(%app, %error, "login refused");
            let text = error.to_string();
            self.refuse(request_id, error.code(), text, CloseCode::LoginRefused)
        })?;
        let platform = login.platform();
        Ok(LoggedIn {
            key: UserKey {
                app,
                user: verified.user,
            },
            platform,
            profile: Arc::new(login.profile.unwrap_or_default()),
            sig_expires: verified.expires_at,
            privileges: verified.privileges.map(Box::new),
        })
    }

    fn admit(&self, stranger: Stranger, login: LoggedIn, request_id: u64) -> Result<Entry, Turned> {
        let Stranger {
            peer,
            transport,
            pending,
            ..
        } = stranger;
        let admitted = pending.log_in().map_err(|cause| {
            self.metrics.gateway().refused(transport, cause);
            let text = "too many sessions from this address".to_owned();
            self.refuse(request_id, Code::OVERLOADED, text, CloseCode::Overloaded)
        })?;
        Ok(Entry {
            login,
            request_id,
            peer,
            transport,
            permit: Box::new(admitted),
        })
    }

    fn hand_over<C: Carrier<Detached = D>>(&self, io: FrameIo<C>, entry: Entry) {
        let parts = match SCRATCH.with_borrow_mut(|scratch| io.detach(scratch)) {
            Ok(parts) => parts,
            Err(error) => {
                tracing::warn!(%error, "connection could not be handed over");
                return self
                    .metrics
                    .gateway()
                    .closed(entry.transport, CloseReason::Lost);
            }
        };
        self.metrics.gateway().login(Code::OK);
        (self.place)(Adopted {
            io: parts,
            login: entry.login,
            request_id: entry.request_id,
            peer: entry.peer,
            transport: entry.transport,
            permit: entry.permit,
        });
    }
}

/// What a connection speaks.
enum Spoken {
    Frames,
    Http(Arc<Lobby>),
}

/// One who has logged in, on the doorstep.
struct Entry {
    login: LoggedIn,
    request_id: u64,
    peer: SocketAddr,
    transport: Transport,
    permit: crate::shard::adopted::Permit,
}

/// Counts one who is not logged in, as long as it lives.
#[derive(Debug)]
struct Counted(Arc<Metrics>, Transport);

impl Counted {
    fn new(metrics: &Arc<Metrics>, transport: Transport) -> Self {
        metrics.gateway().pending(transport, 1);
        Self(Arc::clone(metrics), transport)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.gateway().pending(self.1, -1);
    }
}

thread_local! {
    /// What all connections of one of the gateway's threads share; nothing of
    /// a connection is in it between two polls.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends the thread's shared buffers.
pub(super) fn with_scratch<T>(step: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(step)
}

fn handshake_step<C: Carrier>(
    io: &mut FrameIo<C>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), IoError>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let step = io.poll_handshake(cx, scratch);
        io.stash(scratch);
        step
    })
}

/// Reads until there is a whole frame, and copies it out.
fn frame_step<C: Carrier>(
    io: &mut FrameIo<C>,
    cx: &mut Context<'_>,
) -> Poll<Result<Vec<u8>, Turned>> {
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            match io.next_frame(scratch, MAX_PRELOGIN_FRAME) {
                Ok(Some(body)) => {
                    let body = body.to_vec();
                    io.stash(scratch);
                    return Poll::Ready(Ok(body));
                }
                Ok(None) => {}
                Err(_) => {
                    scratch.clear();
                    return Poll::Ready(Err(Turned::away(CloseCode::FrameTooLarge)));
                }
            }
            match ready!(io.poll_read(cx, scratch)) {
                Ok(ReadOutcome::Data(_)) => {}
                Ok(ReadOutcome::Closed) | Err(_) => {
                    scratch.clear();
                    return Poll::Ready(Err(Turned::Gone));
                }
            }
        }
    })
}

async fn say<C: Carrier>(io: &mut FrameIo<C>, frame: &[u8]) -> Result<(), Turned> {
    let write = |cx: &mut Context<'_>| {
        let wrote = SCRATCH.with_borrow_mut(|scratch| io.write(cx, frame, scratch));
        Poll::Ready(wrote)
    };
    poll_fn(write).await.map_err(|_| Turned::Gone)?;
    poll_fn(|cx| io.poll_flush(cx))
        .await
        .map_err(|_| Turned::Gone)
}
