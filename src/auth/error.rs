//! Why a signature is refused.

use livegate_proto::code::Code;
use thiserror::Error;

/// Why a UserSig is refused. Carries no part of the signature, so it may be
/// logged and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SigError {
    /// Zero length.
    #[error("signature is empty")]
    Empty,
    /// The envelope or the document in it cannot be read; the text says which
    /// step failed.
    #[error("signature cannot be parsed: {0}")]
    Malformed(&'static str),
    /// Readable, but with a value that is never accepted; the text says which.
    #[error("signature invalid: {0}")]
    Invalid(&'static str),
    /// No such app.
    #[error("sdk_app_id does not exist")]
    NoApp,
    /// The app has no key for the signature's version.
    #[error("app has no key for a signature of this version")]
    NoKey,
    /// Issued for another app.
    #[error("sdk_app_id does not match the signature")]
    AppMismatch,
    /// Issued for another user.
    #[error("identifier does not match the signature")]
    UserMismatch,
    /// Not made with a key of the app, or changed since.
    #[error("signature does not match the key")]
    Forged,
    /// Past its end.
    #[error("signature expired")]
    Expired,
    /// Issued before the user's signatures were revoked.
    #[error("signature was revoked")]
    Revoked,
}

impl SigError {
    /// The vendor's code for it.
    pub fn code(self) -> Code {
        match self {
            Self::Empty => Code::SIG_EMPTY,
            Self::Malformed(_) => Code::SIG_MALFORMED,
            Self::Invalid(_) => Code::SIG_INVALID,
            Self::NoApp => Code::NO_APP,
            Self::NoKey => Code::APP_WITHOUT_KEY,
            Self::AppMismatch => Code::SIG_APP_MISMATCH,
            Self::UserMismatch => Code::SIG_USER_MISMATCH,
            Self::Forged => Code::SIG_MISMATCH,
            Self::Expired => Code::SIG_EXPIRED,
            Self::Revoked => Code::SIG_REVOKED,
        }
    }
}
