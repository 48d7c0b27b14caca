//! What can fail, one error per operation, and what each advises.
//!
//! [`Retry`] is computed here and only here, so that the reconnecting client,
//! the load generator and the command line obey the gateway the same way.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use livegate_proto::client::{Close, Reply};
use livegate_proto::close;
use livegate_proto::code::Code;
use livegate_proto::codec::TooLarge;
use thiserror::Error;

use crate::config::BoxError;
use crate::link::Transport;
use crate::reconnect::Retry;
use crate::tls::TlsError;

/// Why no transport could be opened.
#[derive(Debug, Error)]
pub enum DialError {
    /// The address is no `host:port`, or the name has no address.
    #[error("cannot resolve {addr}")]
    Resolve {
        /// As it was given.
        addr: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name to verify the certificate against is malformed.
    #[error("malformed server name {0}")]
    ServerName(String),
    /// Every attempt failed; the first is the error's source.
    #[error("cannot connect to {addr}: {}", list(.attempts))]
    Attempts {
        /// As it was given.
        addr: String,
        /// One for each transport and address, in the order they were tried.
        attempts: Vec<AttemptError>,
    },
    /// Nothing answered in time.
    #[error("no answer from {addr} within {after:?}")]
    Timeout {
        /// As it was given.
        addr: String,
        /// The limit that ran out.
        after: Duration,
    },
}

/// Why one attempt over one transport to one address failed.
#[derive(Debug, Error)]
#[error("{transport} to {addr}: {source}")]
pub struct AttemptError {
    /// Which transport.
    pub transport: Transport,
    /// Which address.
    pub addr: SocketAddr,
    /// What failed.
    pub source: io::Error,
}

fn list(attempts: &[AttemptError]) -> String {
    let texts: Vec<String> = attempts.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Disconnect {
    /// The gateway closed it and said why.
    #[error("closed by the gateway: {reason} ({code})")]
    Closed {
        /// A close code; see `docs/protocol.md`.
        code: i32,
        /// Its short stable text.
        reason: String,
        /// When to come back, as the gateway computed it.
        retry_after: Duration,
    },
    /// The transport failed or ended without a word.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Nothing was heard for too long.
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
    /// The gateway said something that this client cannot read.
    #[error("protocol violated: {0}")]
    Protocol(String),
    /// The app asked for it.
    #[error("closed by the app")]
    ByApp,
}

impl Disconnect {
    /// What to do after it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Closed {
                code, retry_after, ..
            } => match close::retry(*code) {
                close::Retry::Now => Retry::Now,
                close::Retry::Later => Retry::Later(*retry_after),
                close::Retry::Final => Retry::Final,
            },
            Self::Lost(_) | Self::Silent(_) => Retry::Now,
            Self::Protocol(_) | Self::ByApp => Retry::Final,
        }
    }

    pub(crate) fn from_close(close: &Close) -> Self {
        Self::Closed {
            code: close.code,
            reason: close.reason.clone(),
            retry_after: Duration::from_millis(close.retry_after_ms.into()),
        }
    }
}

impl From<TooLarge> for Disconnect {
    fn from(error: TooLarge) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// A reply with a code other than 0.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} ({})", .code.0)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// In words; free to change, only the code is stable.
    pub message: String,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The refusal that a reply carries, if it is one.
    pub fn of(reply: &Reply) -> Option<Self> {
        (reply.code != Code::OK.0).then(|| Self {
            code: Code(reply.code),
            message: reply.message.clone(),
            retry_after: (reply.retry_after_ms > 0)
                .then(|| Duration::from_millis(reply.retry_after_ms.into())),
        })
    }

    /// What to do after it: later when the gateway said when or named a
    /// passing trouble, final otherwise.
    pub fn retry(&self) -> Retry {
        const PASSING: [Code; 5] = [
            Code::INTERNAL,
            Code::OVERLOADED,
            Code::STORE_UNAVAILABLE,
            Code::SHUTTING_DOWN,
            Code::TOO_FREQUENT,
        ];
        match self.retry_after {
            Some(after) => Retry::Later(after),
            None if PASSING.contains(&self.code) => Retry::Now,
            None => Retry::Final,
        }
    }
}

/// Why a login on an open connection failed.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The gateway answered with a code other than 0.
    #[error("login refused: {0}")]
    Refused(Refusal),
    /// The connection ended before the answer.
    #[error("connection ended during login: {0}")]
    Ended(Disconnect),
    /// No answer in time.
    #[error("no answer to the login within {0:?}")]
    Timeout(Duration),
}

impl LoginError {
    /// What to do after it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused(refusal) => refusal.retry(),
            Self::Ended(disconnect) => disconnect.retry(),
            Self::Timeout(_) => Retry::Now,
        }
    }
}

/// Why a client is not connected.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// TLS cannot be set up from the configuration.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// No transport could be opened.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The app's provider gave no signature.
    #[error("no signature: {0}")]
    Sig(BoxError),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

impl ConnectError {
    /// What to do after it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Tls(_) | Self::Closed => Retry::Final,
            Self::Dial(DialError::ServerName(_)) => Retry::Final,
            Self::Dial(_) | Self::Sig(_) => Retry::Now,
            Self::Login(error) => error.retry(),
        }
    }
}

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The gateway answered with a code other than 0.
    #[error("{0}")]
    Refused(Refusal),
    /// There is no connection at the moment; the request was not sent.
    #[error("not connected")]
    NotConnected,
    /// The connection ended before the answer: it may have been carried out.
    #[error("connection ended before the answer")]
    Lost,
    /// No answer in time: it may have been carried out.
    #[error("no answer in time")]
    Timeout,
    /// Too many requests are in flight; it was not sent.
    #[error("too many requests in flight")]
    TooMany,
    /// Too much waits to be written; it was not sent.
    #[error("the connection takes no more for now")]
    Backlogged,
    /// The reply carries another body than the request asks for.
    #[error("the reply does not fit the request")]
    WrongReply,
}

impl RequestError {
    /// The reply's code, when there was one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::NotConnected
            | Self::Lost
            | Self::Timeout
            | Self::TooMany
            | Self::Backlogged
            | Self::WrongReply => None,
        }
    }

    /// Whether the same request may do better on the next connection.
    pub(crate) fn is_connection_trouble(&self) -> bool {
        matches!(self, Self::NotConnected | Self::Lost)
    }
}

#[cfg(test)]
mod tests {
    use livegate_proto::CloseCode;

    use super::*;

    #[test]
    fn a_close_is_obeyed_by_its_band() {
        let advice = |code: CloseCode, ms| Disconnect::from_close(&code.close(ms)).retry();
        assert_eq!(advice(CloseCode::SlowConsumer, 0), Retry::Now);
        assert_eq!(
            advice(CloseCode::ShuttingDown, 1500),
            Retry::Later(Duration::from_millis(1500))
        );
        assert_eq!(advice(CloseCode::Displaced, 0), Retry::Final);
    }

    #[test]
    fn a_refusal_is_final_unless_the_trouble_passes() {
        let refusal = |code: Code, retry_after_ms| {
            Refusal::of(&Reply {
                code: code.0,
                retry_after_ms,
                ..Reply::default()
            })
            .unwrap()
            .retry()
        };
        assert_eq!(refusal(Code::SIG_EXPIRED, 0), Retry::Final);
        assert_eq!(refusal(Code::OVERLOADED, 0), Retry::Now);
        assert_eq!(
            refusal(Code::OVERLOADED, 700),
            Retry::Later(Duration::from_millis(700))
        );
        assert_eq!(Refusal::of(&Reply::default()), None);
    }
}
