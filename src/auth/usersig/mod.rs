//! The UserSig format, compatible with Tencent's TLSSigAPI v1 and v2.
//!
//! `sig = url64(zlib(json))`: [`envelope`] opens and seals the outer two layers
//! under hard limits, [`document`] reads the JSON strictly, [`Token`] is what it
//! claims, [`issue`](issue()) makes a v2 signature and [`issue_v1`] a v1 one.
//!
//! A parsed token proves nothing yet: [`KeyRing::verify`](super::KeyRing::verify)
//! does that.

mod content;
mod document;
mod envelope;
mod issue;
mod token;

pub use envelope::{MAX_INFLATED, MAX_TEXT, seal};
pub use issue::{Grant, IssueError, issue, issue_v1};
pub use token::{Proof, Token};
