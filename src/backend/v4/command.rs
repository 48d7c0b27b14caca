//! What a command is: its path, its fields, its code.
//!
//! One table serves dispatch and the description, so that neither knows a
//! command that the other does not.

use std::future::Future;
use std::pin::Pin;

use super::V4;
use super::answer::{Answered, Dialect, Problem};
use super::fields::Fields;
use crate::actions::Actions;
use crate::clock::Moment;
use crate::id::{AppId, RoomKey, UserId, UserKey};

/// One command of the API.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    /// Other paths that lead to it.
    pub(super) also: &'static [(&'static str, &'static str)],
    pub(super) about: &'static str,
    pub(super) takes: &'static [Field],
    /// Fields of the answer beside the three.
    pub(super) gives: &'static [Field],
    pub(super) dialect: Dialect,
    pub(super) run: Run,
}

/// How a command is carried out.
#[derive(Debug)]
pub(super) enum Run {
    /// At once.
    Now(fn(&Call<'_>) -> Answered),
    /// It waits for the store, or for what the app's backend says.
    Later(for<'a> fn(&'a Call<'a>) -> Later<'a>),
}

/// An answer that is waited for.
pub(super) type Later<'a> = Pin<Box<dyn Future<Output = Answered> + Send + 'a>>;

/// One call of a command by an admin.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) v4: &'a V4,
    pub(super) app: AppId,
    /// Who calls.
    pub(super) admin: &'a UserId,
    pub(super) fields: Fields<'a>,
    pub(super) now: Moment,
}

impl Call<'_> {
    pub(super) fn actions(&self) -> &Actions {
        &self.v4.actions
    }

    /// The room that the command is about, within the caller's app.
    pub(super) fn room(&self) -> Result<RoomKey, Problem> {
        let room = self.fields.room()?;
        let app = self.app;
        Ok(RoomKey { app, room })
    }

    /// A user of the caller's app.
    pub(super) fn user(&self, user: UserId) -> UserKey {
        let app = self.app;
        UserKey { app, user }
    }
}

/// A field of a body or of an answer.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// It must be given.
    pub(super) need: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Account,
    Integer,
    Accounts(usize),
    Texts,
    Object(&'static [Field]),
    List(&'static [Field]),
    /// Anything; read and left aside.
    Any,
}

/// A field that may be left out.
pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    let need = false;
    Field { name, kind, need }
}

/// A field that must be given.
pub(super) const fn need(name: &'static str, kind: Kind) -> Field {
    let need = true;
    Field { name, kind, need }
}
