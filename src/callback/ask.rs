//! Asks backends before something happens, and takes their answer.
//!
//! Invariants:
//! - one try, at most `ask_timeout`; without an answer the app's `on_timeout`
//!   decides;
//! - as many questions of an app are under way as `ask_parallel` says; those
//!   beyond it, and those to a backend whose breaker is open, are decided at
//!   once as if they had timed out: nobody waits for a place, but a batch for
//!   its turn, so that it leaves places for all others;
//! - answers are held to a limit, and are never logged.

mod answer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use answer::Answer;
pub use answer::Replacement;
use bytes::Bytes;
use foldhash::fast::RandomState;
use livegate_proto::code::Code;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::breaker::{Breaker, Limits};
use super::config::CallbackConfig;
use super::delivery::CallbackError;
use super::target::{Post, Target, read};
use crate::clock::Clock;
use crate::id::AppId;
use crate::telemetry::{AskResult, Metrics};

/// Something that a backend can be asked before it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// Something is to be said in a room.
    #[serde(rename = "Group.CallbackBeforeSendMsg")]
    BeforeSendMsg,
    /// Something is to be said to a user.
    #[serde(rename = "C2C.CallbackBeforeSendMsg")]
    DirectBeforeSendMsg,
    /// A room is to be made.
    #[serde(rename = "Group.CallbackBeforeCreateGroup")]
    BeforeCreateGroup,
    /// A user is to enter a room.
    #[serde(rename = "Group.CallbackBeforeApplyJoinGroup")]
    BeforeApplyJoinGroup,
    /// A user is to log in; livegate's own form.
    #[serde(rename = "login")]
    Login,
}

impl Ask {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::BeforeSendMsg,
        Self::DirectBeforeSendMsg,
        Self::BeforeCreateGroup,
        Self::BeforeApplyJoinGroup,
        Self::Login,
    ];

    /// As the configuration and the vendor name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeSendMsg => "Group.CallbackBeforeSendMsg",
            Self::DirectBeforeSendMsg => "C2C.CallbackBeforeSendMsg",
            Self::BeforeCreateGroup => "Group.CallbackBeforeCreateGroup",
            Self::BeforeApplyJoinGroup => "Group.CallbackBeforeApplyJoinGroup",
            Self::Login => "login",
        }
    }

    /// What a refusal is told as when the backend gives no code of its own.
    fn refusal(self) -> Code {
        match self {
            Self::DirectBeforeSendMsg => Code::DIRECT_REFUSED,
            Self::BeforeSendMsg
            | Self::BeforeCreateGroup
            | Self::BeforeApplyJoinGroup
            | Self::Login => Code::BACKEND_REFUSED,
        }
    }

    /// Whether it is about something that is said: that can be replaced or
    /// silently let go.
    fn is_message(self) -> bool {
        matches!(self, Self::BeforeSendMsg | Self::DirectBeforeSendMsg)
    }
}

/// What happens when a backend does not answer in time, or not in a way that
/// can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// As if it had allowed it (the vendor's default).
    #[default]
    Allow,
    /// It is refused.
    Refuse,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// What about.
    pub ask: Ask,
    /// The part of the URL in the vendor's form; empty: livegate's own.
    pub query: String,
    /// JSON.
    pub body: Bytes,
    /// Also in the body where it is livegate's own form.
    pub event_id: String,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may happen; a message with this in place of its own.
    Allowed(Option<Box<Replacement>>),
    /// The message is let go and its sender told that it was taken.
    Swallowed,
    /// It may not happen.
    Refused {
        /// What the reply carries.
        code: Code,
        /// For people.
        message: String,
    },
}

/// Asks the backends of all apps that want to be asked.
#[derive(Debug, Default)]
pub struct Asks {
    apps: HashMap<AppId, App, RandomState>,
    /// Of this process, random: with a number, a question's id.
    prefix: u64,
    questions: AtomicU64,
}

/// A place among those that an app's batches share.
#[derive(Debug)]
pub struct Turn<'a>(#[expect(dead_code, reason = "held")] SemaphorePermit<'a>);

#[derive(Debug)]
struct App {
    /// Those that are asked, as bits.
    asks: u8,
    on_timeout: OnTimeout,
    target: Target,
    places: Semaphore,
    /// Places that batches may take together.
    turns: Semaphore,
    breaker: Mutex<Breaker>,
    limits: Limits,
    answer_bytes: usize,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Asks {
    /// Checks the configuration and sets clients up. Connects to nothing.
    ///
    /// # Errors
    /// [`CallbackError`] names the first key that is wrong.
    pub fn open(
        config: &CallbackConfig,
        base: &Path,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, CallbackError> {
        let mut apps = HashMap::default();
        for (index, app) in config.apps.iter().enumerate() {
            if app.ask.is_empty() {
                continue;
            }
            let target = Target::open(app, config, config.ask_timeout, base);
            let target = target.map_err(|(key, problem)| CallbackError {
                key: format!("apps[{index}].{key}"),
                problem,
            })?;
            let places = config.ask_parallel.min(Semaphore::MAX_PERMITS);
            let app = App {
                asks: app.ask.iter().fold(0, |bits, ask| bits | bit(*ask)),
                on_timeout: app.on_timeout,
                target,
                places: Semaphore::new(places),
                turns: Semaphore::new((places / 2).max(1)),
                breaker: Mutex::default(),
                limits: config.breaker(),
                answer_bytes: config.ask_answer_bytes,
                clock: clock.clone(),
                metrics: Arc::clone(metrics),
            };
            apps.insert(app.target.app(), app);
        }
        let mut prefix = [0; 8];
        aws_lc_rs::rand::fill(&mut prefix).expect("the system has randomness");
        Ok(Self {
            apps,
            prefix: u64::from_le_bytes(prefix),
            questions: AtomicU64::new(0),
        })
    }

    /// Whether no app asks anything.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// Whether the app wants to be asked this.
    pub fn wants(&self, app: AppId, ask: Ask) -> bool {
        self.apps
            .get(&app)
            .is_some_and(|app| app.asks & bit(ask) != 0)
    }

    /// The apps that want to be asked this.
    pub fn apps(&self, ask: Ask) -> impl Iterator<Item = AppId> + '_ {
        let asked = self
            .apps
            .iter()
            .filter(move |(_, app)| app.asks & bit(ask) != 0);
        asked.map(|(id, _)| *id)
    }

    /// A fresh id for a question.
    pub fn event_id(&self) -> String {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        format!("ask:{:016x}:{number}", self.prefix)
    }

    /// Waits until one more question of a batch may be put, and is held as long
    /// as that is under way: all batches of an app together take half of its
    /// places at most. `None`: the app is not asked.
    pub async fn turn(&self, app: AppId) -> Option<Turn<'_>> {
        let app = self.apps.get(&app)?;
        app.turns.acquire().await.ok().map(Turn)
    }

    /// Asks. Ends within `ask_timeout`.
    pub async fn ask(&self, app: AppId, question: Question) -> Verdict {
        match self.apps.get(&app) {
            Some(app) => app.ask(question).await,
            None => Verdict::Allowed(None),
        }
    }
}

fn bit(ask: Ask) -> u8 {
    1 << ask as u8
}

impl App {
    async fn ask(&self, question: Question) -> Verdict {
        let ask = question.ask;
        let begun = self.clock.now().instant;
        let (verdict, result) = match self.attempt(question).await {
            Ok(answer) => answer.verdict(ask),
            Err(result) => (self.without_answer(ask), result),
        };
        let spent = self.clock.now().instant.since(begun);
        self.metrics.outbox().asked(result, spent);
        verdict
    }

    async fn attempt(&self, question: Question) -> Result<Answer, AskResult> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(AskResult::Overloaded);
        };
        let now = self.clock.now();
        let admitted = self.breaker.lock().admit(&self.limits, now.instant);
        admitted.map_err(|_| AskResult::Open)?;
        let answer = self.post(&question, now.unix).await;
        let mut breaker = self.breaker.lock();
        if answer.is_ok() {
            breaker.succeeded();
        } else if breaker.failed(&self.limits, self.clock.now().instant) {
            let app = self.target.app();
            tracing::warn!(%app, "a backend does not answer questions: none are put for a while");
        }
        answer
    }

    async fn post(
        &self,
        question: &Question,
        now: crate::clock::Unix,
    ) -> Result<Answer, AskResult> {
        let post = Post {
            event_id: &question.event_id,
            query: &question.query,
            body: question.body.clone(),
            now,
        };
        let sent = self.target.post(post).await;
        let response = sent.map_err(|error| match error.is_timeout() {
            true => AskResult::TimedOut,
            false => AskResult::Failed,
        })?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(AskResult::Failed);
        }
        let body = read(response, self.answer_bytes).await;
        let body = body.ok_or(AskResult::Failed)?;
        Answer::parse(&body).ok_or(AskResult::Failed)
    }

    fn without_answer(&self, ask: Ask) -> Verdict {
        match self.on_timeout {
            OnTimeout::Allow => Verdict::Allowed(None),
            OnTimeout::Refuse => Verdict::Refused {
                code: ask.refusal(),
                message: "the business backend did not answer".to_owned(),
            },
        }
    }
}
