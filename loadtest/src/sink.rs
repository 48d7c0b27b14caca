//! A business backend of straw: takes callbacks over HTTP and keeps a book of
//! what it was told.
//!
//! The [`Book`] is the judge: every telling must be signed, the same event must
//! be told in the same bytes whenever it is told again, and a live must not be
//! told ended before it was told started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::dice::Dice;

/// Most bytes of a callback.
const MAX_BODY: usize = 256 * 1024;

/// Seconds by which a callback's timestamp may differ from ours.
const MAX_SKEW: u64 = 300;

/// Complaints that are kept in words; all are counted.
const MAX_COMPLAINTS: usize = 50;

/// Events that are kept; beyond it every new one is a complaint.
const MAX_EVENTS: usize = 1_000_000;

/// What the sink was told, and what was wrong with it.
#[derive(Debug)]
pub(crate) struct Book {
    key: hmac::Key,
    events: BTreeMap<String, Receipt>,
    complaints: Vec<String>,
    wrong: u64,
}

/// One event.
#[derive(Debug, Clone)]
struct Receipt {
    body: Vec<u8>,
    /// How often it was told, also when it was answered with an error.
    attempts: u32,
    /// Whether a telling was answered with success.
    accepted: bool,
}

/// What an event says of a live; the event id is `<live_id>:<what>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It started.
    Started,
    /// It ended.
    Ended,
}

/// A callback as it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling<'a> {
    /// Header `livegate-event-id`.
    pub(crate) id: &'a str,
    /// Header `livegate-timestamp`, Unix seconds.
    pub(crate) timestamp: &'a str,
    /// Header `livegate-signature`: `v1=<hex>`, several while keys rotate.
    pub(crate) signature: &'a str,
    /// The bytes that are signed.
    pub(crate) body: &'a [u8],
}

impl Book {
    /// An empty book that checks signatures with `secret`.
    pub(crate) fn new(secret: &str) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            events: BTreeMap::new(),
            complaints: Vec::new(),
            wrong: 0,
        }
    }

    /// Takes a telling at `now` (Unix seconds); `refuse` answers it with an
    /// error, as a backend in trouble would. The status to answer with.
    pub(crate) fn take(&mut self, telling: &Telling<'_>, now: u64, refuse: bool) -> u16 {
        let id = telling.id;
        if !self.is_signed(telling) {
            self.complain(format!("{id}: bad signature"));
            return 401;
        }
        let skew = telling.timestamp.parse().map(|at: u64| at.abs_diff(now));
        if !skew.is_ok_and(|skew| skew <= MAX_SKEW) {
            self.complain(format!("{id}: timestamp {:?} at {now}", telling.timestamp));
        }
        if self.events.len() >= MAX_EVENTS && !self.events.contains_key(id) {
            self.complain("more events than can be kept".to_owned());
            return 507;
        }
        self.enter(telling, refuse);
        if refuse { 503 } else { 204 }
    }

    fn enter(&mut self, telling: &Telling<'_>, refuse: bool) {
        let id = telling.id;
        let new = || Receipt {
            body: telling.body.to_vec(),
            attempts: 0,
            accepted: false,
        };
        let receipt = self.events.entry(id.to_owned()).or_insert_with(new);
        receipt.attempts += 1;
        receipt.accepted |= !refuse;
        let differs = receipt.body != telling.body;
        if differs {
            self.complain(format!("{id}: told again in other bytes"));
        }
        match parse_id(id) {
            // A host's loss and return: nothing is judged by them.
            None if id.contains(":away:") || id.contains(":back:") => {}
            None => self.complain(format!("{id}: unknown kind of event id")),
            Some((live, _)) if !contains(telling.body, live.as_bytes()) => {
                self.complain(format!("{id}: the body does not name the live"));
            }
            Some((live, Told::Ended)) if !self.is_told(live, Told::Started) => {
                self.complain(format!("{id}: ended before the start was accepted"));
            }
            Some(_) => {}
        }
    }

    /// Whether `what` of a live was told and accepted.
    pub(crate) fn is_told(&self, live: &str, what: Told) -> bool {
        let receipt = self.events.get(&event_id(live, what));
        receipt.is_some_and(|receipt| receipt.accepted)
    }

    /// The lives of which `what` was told and accepted.
    pub(crate) fn lives(&self, what: Told) -> impl Iterator<Item = &str> {
        self.events
            .iter()
            .filter(|(_, receipt)| receipt.accepted)
            .filter_map(|(id, _)| parse_id(id))
            .filter(move |(_, told)| *told == what)
            .map(|(live, _)| live)
    }

    /// Tellings in all, repeated ones too.
    pub(crate) fn attempts(&self) -> u64 {
        self.events.values().map(|r| u64::from(r.attempts)).sum()
    }

    /// How much was wrong, and the first of it in words.
    pub(crate) fn complaints(&self) -> (u64, &[String]) {
        (self.wrong, &self.complaints)
    }

    fn complain(&mut self, what: String) {
        self.wrong += 1;
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(what);
        }
    }

    fn is_signed(&self, telling: &Telling<'_>) -> bool {
        let mut signed = Vec::with_capacity(telling.body.len() + 128);
        signed.extend_from_slice(telling.id.as_bytes());
        signed.push(b'.');
        signed.extend_from_slice(telling.timestamp.as_bytes());
        signed.push(b'.');
        signed.extend_from_slice(telling.body);
        telling
            .signature
            .split(',')
            .filter_map(|one| unhex(one.trim().strip_prefix("v1=")?))
            .any(|tag| hmac::verify(&self.key, &signed, &tag).is_ok())
    }
}

fn event_id(live: &str, what: Told) -> String {
    match what {
        Told::Started => format!("{live}:started"),
        Told::Ended => format!("{live}:ended"),
    }
}

fn parse_id(id: &str) -> Option<(&str, Told)> {
    match id.rsplit_once(':')? {
        (live, "started") => Some((live, Told::Started)),
        (live, "ended") => Some((live, Told::Ended)),
        _ => None,
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len().max(1)).any(|w| w == needle)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The running receiver; stops when dropped.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    _stop: Arc<DropGuard>,
}

#[derive(Clone)]
struct Door {
    book: Arc<Mutex<Book>>,
    dice: Arc<Mutex<Dice>>,
    clock: Clock,
    refused_percent: u64,
}

impl Sink {
    /// Listens on a free loopback port. `refused_percent` of the tellings are
    /// answered with 503, so that they have to be told again.
    ///
    /// # Errors
    /// When no port can be bound.
    pub(crate) async fn start(
        secret: &str,
        clock: Clock,
        dice: Dice,
        refused_percent: u64,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("binding the callback receiver")?;
        let book = Arc::new(Mutex::new(Book::new(secret)));
        let door = Door {
            book: book.clone(),
            dice: Arc::new(Mutex::new(dice)),
            clock,
            refused_percent,
        };
        let addr = listener.local_addr()?;
        let router = Router::new()
            .route("/callback", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(door);
        let stop = CancellationToken::new();
        let serve = axum::serve(listener, router)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        // Detached on purpose: the token's guard in `self` ends it.
        drop(tokio_util::task::TaskTracker::new().spawn(serve));
        Ok(Self {
            addr,
            book,
            _stop: Arc::new(stop.drop_guard()),
        })
    }

    /// Where the gateway has to send its callbacks.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/callback", self.addr)
    }

    /// Reads the book.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.book.lock())
    }
}

async fn receive(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let telling = Telling {
        id: header("livegate-event-id"),
        timestamp: header("livegate-timestamp"),
        signature: header("livegate-signature"),
        body: &body,
    };
    let refuse = door.dice.lock().chance(door.refused_percent);
    let status = door.book.lock().take(&telling, door.clock.unix(), refuse);
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    struct Backend {
        book: Book,
        key: hmac::Key,
    }

    impl Backend {
        fn new() -> Self {
            Self {
                book: Book::new("secret"),
                key: hmac::Key::new(hmac::HMAC_SHA256, b"secret"),
            }
        }

        fn sign(&self, id: &str, body: &str) -> String {
            let text = format!("{id}.{NOW}.{body}");
            let tag = hmac::sign(&self.key, text.as_bytes());
            let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
            format!("v1={hex}")
        }

        fn tell(&mut self, id: &str, body: &str, refuse: bool) -> u16 {
            let signature = self.sign(id, body);
            self.tell_signed(id, body, &signature, refuse)
        }

        fn tell_signed(&mut self, id: &str, body: &str, signature: &str, refuse: bool) -> u16 {
            let telling = Telling {
                id,
                timestamp: &NOW.to_string(),
                signature,
                body: body.as_bytes(),
            };
            self.book.take(&telling, NOW + 5, refuse)
        }

        fn wrong(&self) -> u64 {
            self.book.complaints().0
        }
    }

    #[test]
    fn a_signed_pair_is_accepted_without_complaint() {
        let mut backend = Backend::new();
        assert_eq!(backend.tell("L:started", "{\"live_id\":\"L\"}", false), 204);
        assert_eq!(backend.tell("L:ended", "{\"live_id\":\"L\"}", false), 204);
        assert_eq!(backend.book.lives(Told::Ended).collect::<Vec<_>>(), ["L"]);
        assert_eq!(backend.wrong(), 0);
    }

    #[test]
    fn a_signature_over_other_bytes_is_refused() {
        let mut backend = Backend::new();
        let signature = backend.sign("L:started", "{\"live_id\":\"L\"}");
        let status = backend.tell_signed("L:started", "{\"live_id\":\"L\" }", &signature, false);
        assert_eq!((status, backend.wrong()), (401, 1));
        assert!(!backend.book.is_told("L", Told::Started));
    }

    #[test]
    fn one_of_two_signatures_is_enough_while_keys_rotate() {
        let mut backend = Backend::new();
        let good = backend.sign("L:started", "L");
        let both = format!("v1=00ff, {good}");
        assert_eq!(backend.tell_signed("L:started", "L", &both, false), 204);
        assert_eq!(backend.tell_signed("L:started", "L", "v1=zz", false), 401);
    }

    #[test]
    fn the_same_bytes_again_are_fine_and_other_bytes_are_not() {
        let mut backend = Backend::new();
        backend.tell("L:started", "L", true);
        backend.tell("L:started", "L", false);
        assert_eq!(backend.wrong(), 0);
        assert_eq!(backend.book.attempts(), 2);
        backend.tell("L:started", "L and more", false);
        assert_eq!(backend.wrong(), 1);
    }

    #[test]
    fn an_end_before_an_accepted_start_is_wrong() {
        let mut backend = Backend::new();
        backend.tell("L:started", "L", true);
        backend.tell("L:ended", "L", false);
        assert_eq!(backend.wrong(), 1);
    }

    #[tokio::test]
    async fn it_listens_and_keeps_the_book() {
        let clock = Clock::start();
        let sink = Sink::start("secret", clock, Dice::new(1), 0).await.unwrap();
        let backend = Backend::new();
        let now = clock.unix();
        let text = format!("L:started.{now}.L");
        let tag = hmac::sign(&backend.key, text.as_bytes());
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let request = format!(
            "POST /callback HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\
             livegate-event-id: L:started\r\nlivegate-timestamp: {now}\r\n\
             livegate-signature: v1={hex}\r\n\r\nL"
        );
        let answer = exchange(sink.addr, request).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        assert!(sink.read(|book| book.is_told("L", Told::Started)));
    }

    async fn exchange(addr: SocketAddr, request: String) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
