//! What a user or a backend may do, each written once.
//!
//! Verbs are typed and checked before they come here ([`verb`], [`content`]);
//! an action authorises, limits, decides and tells, and answers with an
//! [`outcome`].

pub mod command;
pub mod content;
pub mod outcome;
pub mod verb;
