//! Asks a backend about what it does itself through the vendor's API.
//!
//! The call waits for the answer and nothing else does: every call is a task
//! of its own. Questions of calls and of clients share the app's places and
//! its breaker. What would be refused anyhow, as of who is muted, is refused
//! without asking; the action itself looks again when the answer is there.

use std::sync::Arc;

use super::{parts, replaced};
use crate::actions::Actions;
use crate::actions::backend::Offered;
use crate::actions::command::{CreateRoom, PushToRoom, PushToUser};
use crate::actions::content::Content;
use crate::callback::ask::{Ask, Asks, Question, Turn, Verdict};
use crate::callback::question::{self, Plan};
use crate::callback::tell::{Event, Said, Site};
use crate::clock::{Clock, Moment, Unix};
use crate::event::Origin;
use crate::id::{AppId, RoomId, UserId, UserKey};
use crate::rooms::{Pushed, Refusal};

impl Actions {
    /// As [`push_to_room`](Self::push_to_room), after the app's backend was
    /// asked, where it wants to be.
    ///
    /// # Errors
    /// Those, and what the backend refuses with.
    pub async fn push_to_room_asked(
        &self,
        mut push: PushToRoom,
        clock: &Clock,
    ) -> Result<Pushed, Refusal> {
        let app = push.room.app;
        if let Some(asks) = self.asks_about(app, Ask::BeforeSendMsg) {
            let question = self.about_room(asks, &push, clock.now())?;
            if !may_be_said(asks, app, question, &mut push.content).await? {
                return Ok(Pushed::swallowed(clock.now().unix));
            }
        }
        self.push_to_room(push, clock.now())
    }

    /// As [`push_to_user`](Self::push_to_user), after the app's backend was
    /// asked, where it wants to be. The message is of `now` all the same: what
    /// its caller knows it by holds the time.
    ///
    /// # Errors
    /// Those, and what the backend refuses with.
    pub async fn push_to_user_asked(
        &self,
        mut push: PushToUser,
        now: Moment,
    ) -> Result<Offered, Refusal> {
        let app = push.to.app;
        if let Some(asks) = self.asks_about(app, Ask::DirectBeforeSendMsg) {
            let question = self.about_user(asks, &push, now.unix);
            if !may_be_said(asks, app, question, &mut push.content).await? {
                return Ok(Offered { sessions: 0 });
            }
        }
        self.push_to_user(push, now)
    }

    /// Waits until one more message of a batch to users may be asked about; at
    /// once where nobody is asked. What is returned is held until its answer.
    pub async fn turn_in_batch(&self, app: AppId) -> Option<Turn<'_>> {
        let asks = self.asks_about(app, Ask::DirectBeforeSendMsg)?;
        asks.turn(app).await
    }

    /// As [`create_room`](Self::create_room), after the app's backend was
    /// asked, where it wants to be.
    ///
    /// # Errors
    /// Those, and what the backend refuses with.
    pub async fn create_room_asked(
        &self,
        create: CreateRoom,
        clock: &Clock,
    ) -> Result<RoomId, Refusal> {
        let app = create.app;
        if let Some(asks) = self.asks_about(app, Ask::BeforeCreateGroup) {
            let question = self.about_plan(asks, &create, clock.now().unix);
            if let Verdict::Refused { code, message } = asks.ask(app, question).await {
                return Err(Refusal::with(code, message));
            }
        }
        self.create_room(create, clock.now()).await
    }

    fn asks_about(&self, app: AppId, ask: Ask) -> Option<&Arc<Asks>> {
        self.asks().filter(|asks| asks.wants(app, ask))
    }

    fn about_room(&self, asks: &Asks, push: &PushToRoom, now: Moment) -> Result<Question, Refusal> {
        let app = push.room.app;
        let room = self.room(app, &push.room.room)?;
        let from = push.from.as_ref().map(|from| &from.user);
        let bound = from.filter(|_| push.bound);
        if let Some(user) = bound {
            let user = user.clone();
            self.must_not_be_muted_everywhere(&UserKey { app, user }, now)?;
        }
        let kind = room.kind_to_push(bound, now)?;
        let operator = self.operator(app, push.operator.as_ref());
        let said = Said {
            from: from.map_or(operator, UserId::as_str),
            operator,
            random: push.random,
            content: &parts(&push.content),
        };
        let site = Site {
            room: &push.room.room,
            kind: &kind,
        };
        let event = event(asks, app, now.unix);
        Ok(question::before_said(event, &site, &said))
    }

    fn about_user(&self, asks: &Asks, push: &PushToUser, now: Unix) -> Question {
        let app = push.to.app;
        let from = push.from.as_ref().map(|from| &from.user);
        let from = self.operator(app, from);
        let said = Said {
            from,
            operator: from,
            random: push.numbers.map(|numbers| numbers.random),
            content: &parts(&push.content),
        };
        let seq = self.seq_of(push.numbers);
        question::before_said_to_user(event(asks, app, now), &said, &push.to.user, seq)
    }

    fn about_plan(&self, asks: &Asks, create: &CreateRoom, now: Unix) -> Question {
        let plan = Plan {
            room: create.room.as_ref(),
            kind: &create.kind,
            owner: create.owner.as_ref().map_or("", UserId::as_str),
            operator: self.operator(create.app, create.operator.as_ref()),
            name: create.profile.name.as_deref().unwrap_or_default(),
        };
        question::before_created(event(asks, create.app, now), &plan)
    }
}

/// Asks about a message, and puts in place of it what the backend gives
/// instead; false: it is let go and its caller told that it was taken.
async fn may_be_said(
    asks: &Asks,
    app: AppId,
    question: Question,
    content: &mut Content,
) -> Result<bool, Refusal> {
    match asks.ask(app, question).await {
        Verdict::Refused { code, message } => Err(Refusal::with(code, message)),
        Verdict::Swallowed => Ok(false),
        Verdict::Allowed(None) => Ok(true),
        Verdict::Allowed(Some(given)) => {
            *content = replaced(content, *given)?;
            Ok(true)
        }
    }
}

fn event(asks: &Asks, app: AppId, time: Unix) -> Event {
    Event {
        app,
        id: asks.event_id(),
        time,
        origin: Origin::Api,
    }
}
