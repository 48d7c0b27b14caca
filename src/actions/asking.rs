//! Asks the backend first, where an app wants that.
//!
//! A question is put by a task of the services' runtime; the shard goes on. The
//! answer comes back to the session as
//! [`SessionEvent::Asked`](crate::dispatch::SessionEvent), and only then is the
//! verb carried out, on the session's own shard.
//!
//! What a backend itself says through the vendor's API is asked about in
//! [`api`]: there the call waits, and nothing else does. Likes are asked about
//! by their windows, in [`likes`].
//!
//! Invariants: questions of one session are put at once, and their answers are
//! taken in the order of the questions, so messages of one sender keep theirs;
//! they are bounded by the session's requests in flight and by the app's
//! places for questions.

mod api;
mod likes;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use livegate_proto::client::{Elements, room_message};
use livegate_proto::code::Code;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::client::may_enter;
use super::content::Content;
use super::verb::Verb;
use super::{Actions, Caller, Done};
use crate::callback::ask::{Ask, Asks, Question, Replacement, Verdict};
use crate::callback::question::{self, Plan};
use crate::callback::tell::{Event, Said, Site, random_of};
use crate::clock::Moment;
use crate::dispatch::{Asked, SessionEvent};
use crate::id::{SessionId, UserId};
use crate::rooms::{Refusal, Rooms};

/// What asking needs; there is none where no app is asked.
#[derive(Debug)]
pub(super) struct Asking {
    asks: Arc<Asks>,
    runtime: Handle,
    /// The newest question of each session that has one under way.
    newest: Arc<Mutex<HashMap<SessionId, Newest, RandomState>>>,
}

#[derive(Debug)]
struct Newest {
    number: u64,
    /// Resolves when its answer was handed on.
    answered: oneshot::Receiver<()>,
}

/// A verb whose question was answered.
struct Pending {
    request_id: u64,
    verb: Verb,
    verdict: Verdict,
}

impl Asking {
    /// `None` when no app is asked. Questions are put on the runtime that this
    /// is called on.
    pub(super) fn new(asks: Arc<Asks>, rooms: &Arc<Rooms>) -> Option<Self> {
        if asks.is_empty() {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let windows = rooms.ask_about_likes(asks.apps(Ask::BeforeSendMsg));
        runtime.spawn(likes::run(
            Arc::clone(&asks),
            Arc::downgrade(rooms),
            windows,
        ));
        Some(Self {
            asks,
            runtime,
            newest: Arc::default(),
        })
    }
}

fn ask_of(verb: &Verb) -> Option<Ask> {
    match verb {
        Verb::Publish { .. } => Some(Ask::BeforeSendMsg),
        Verb::Direct { .. } => Some(Ask::DirectBeforeSendMsg),
        Verb::Create { .. } => Some(Ask::BeforeCreateGroup),
        Verb::Enter { .. } => Some(Ask::BeforeApplyJoinGroup),
        _ => None,
    }
}

impl Actions {
    /// Who asks the backends.
    pub fn asks(&self) -> Option<&Arc<Asks>> {
        self.asking.as_ref().map(|asking| &asking.asks)
    }

    /// Carries a client's verb out, after the backend was asked where it wants
    /// to be.
    ///
    /// # Errors
    /// Why not; nothing was changed then.
    pub fn perform(
        &self,
        caller: &Caller<'_>,
        request_id: u64,
        verb: Verb,
        now: Moment,
    ) -> Result<Done, Refusal> {
        if let Some(asking) = &self.asking
            && let Some(ask) = ask_of(&verb)
            && asking.asks.wants(caller.key.app, ask)
        {
            let question = self.question(caller, asking, &verb, now)?;
            self.put(asking, caller, question, (request_id, verb));
            return Ok(Done::Deferred);
        }
        self.carry_out(caller, request_id, verb, now)
    }

    /// Goes on with a verb whose question was answered; `None`: it was no
    /// question of these actions.
    pub fn resume(
        &self,
        caller: &Caller<'_>,
        asked: Asked,
        now: Moment,
    ) -> Option<(u64, Result<Done, Refusal>)> {
        let Pending {
            request_id,
            verb,
            verdict,
        } = *asked.0.downcast::<Pending>().ok()?;
        let done = match verdict {
            Verdict::Refused { code, message } => Err(Refusal::with(code, message)),
            Verdict::Swallowed => Ok(super::client::taken(now.unix)),
            Verdict::Allowed(None) => self.carry_out(caller, request_id, verb, now),
            Verdict::Allowed(Some(given)) => match replace(verb, *given) {
                Ok(verb) => self.carry_out(caller, request_id, verb, now),
                Err(refusal) => Err(refusal),
            },
        };
        Some((request_id, done))
    }

    /// What is asked about the verb. What would be refused anyhow is refused
    /// without asking.
    fn question(
        &self,
        caller: &Caller<'_>,
        asking: &Asking,
        verb: &Verb,
        now: Moment,
    ) -> Result<Question, Refusal> {
        let event = Event {
            app: caller.key.app,
            id: asking.asks.event_id(),
            time: now.unix,
            origin: caller.origin,
        };
        let user = &caller.key.user;
        match verb {
            Verb::Publish {
                room,
                content,
                message_id,
                ..
            } => {
                self.must_not_be_muted_everywhere(caller.key, now)?;
                let content = content.clone().into();
                let room_now = self.room(caller.key.app, room)?;
                let kind = room_now.kind_to_say(caller.session, &content, now)?;
                let site = Site { room, kind: &kind };
                let said = |said: &Said<'_>| question::before_said(event, &site, said);
                Ok(with_said(user, &content, message_id, said))
            }
            Verb::Direct {
                user: to,
                content,
                message_id,
            } => {
                if self.directory.is_muted_directly(caller.key, now.unix) {
                    return Err(Code::DIRECT_MUTED.into());
                }
                let number = self.teller.number();
                let said = |said: &Said<'_>| question::before_said_to_user(event, said, to, number);
                Ok(with_said(user, &content.clone().into(), message_id, said))
            }
            Verb::Enter { room, .. } => {
                may_enter(caller, room, now.unix)?;
                // One that is not there yet is made by entering, and bans nobody.
                if let Ok(there) = self.room(caller.key.app, room) {
                    there.must_not_be_banned(user, now.unix)?;
                }
                let site = Site { room, kind: "" };
                Ok(question::before_joined(event, &site, user))
            }
            Verb::Create { room, .. } => {
                self.may_create(caller, room.as_ref(), now.unix)?;
                let plan = Plan {
                    room: room.as_ref(),
                    kind: "",
                    owner: user.as_str(),
                    operator: user.as_str(),
                    name: "",
                };
                Ok(question::before_created(event, &plan))
            }
            _ => Err(Code::INTERNAL.into()),
        }
    }

    /// Puts the question, and has the verb come back with its answer after
    /// those that the session asked before.
    fn put(
        &self,
        asking: &Asking,
        caller: &Caller<'_>,
        question: Question,
        (request_id, verb): (u64, Verb),
    ) {
        let (answered, newest) = oneshot::channel::<()>();
        let (session, app) = (caller.session, caller.key.app);
        let (number, before) = {
            let mut all = asking.newest.lock();
            let before = all.remove(&session);
            let number = before.as_ref().map_or(0, |before| before.number + 1);
            let newest = Newest {
                number,
                answered: newest,
            };
            all.insert(session, newest);
            (number, before)
        };
        let asks = Arc::clone(&asking.asks);
        let questions = Arc::clone(&asking.newest);
        let dispatch = self.dispatch.clone();
        asking.runtime.spawn(async move {
            let verdict = asks.ask(app, question).await;
            if let Some(before) = before {
                // Its sender is dropped when its answer was handed on.
                let _ = before.answered.await;
            }
            let pending = Pending {
                request_id,
                verb,
                verdict,
            };
            dispatch.event(session, SessionEvent::Asked(Asked(Box::new(pending))));
            {
                let mut all = questions.lock();
                if all
                    .get(&session)
                    .is_some_and(|newest| newest.number == number)
                {
                    all.remove(&session);
                }
            }
            drop(answered);
        });
    }
}

fn with_said(
    from: &UserId,
    content: &room_message::Content,
    message_id: &str,
    ask: impl FnOnce(&Said<'_>) -> Question,
) -> Question {
    ask(&Said {
        from: from.as_str(),
        operator: from.as_str(),
        random: random_of(message_id),
        content: &Elements::from(content),
    })
}

/// The verb with what the backend put in place of its message's parts.
fn replace(mut verb: Verb, given: Replacement) -> Result<Verb, Refusal> {
    if let Verb::Publish { content, .. } | Verb::Direct { content, .. } = &mut verb {
        *content = replaced(content, given)?;
    }
    Ok(verb)
}

/// The message with what the backend put in place of its parts, within its
/// limits. One that comes out as it was keeps its form: a gift stays a gift.
fn replaced(content: &Content, given: Replacement) -> Result<Content, Refusal> {
    let before = parts(content);
    let after = given.into_message(before.clone());
    if after == before {
        return Ok(content.clone());
    }
    let refused = |_| Refusal::with(Code::BACKEND_REFUSED, "the backend's message is not valid");
    Content::Elements(after).checked().map_err(refused)
}

/// A message as backends know it.
fn parts(content: &Content) -> Elements {
    Elements::from(&room_message::Content::from(content.clone()))
}

#[cfg(test)]
mod tests;
