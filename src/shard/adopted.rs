//! A logged-in connection on its way from the gateway to a shard.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use livegate_proto::client::{Platform, Profile};

use crate::auth::Privileges;
use crate::clock::Unix;
use crate::id::{SessionId, UserKey};
use crate::session::Identity;
use crate::shard::io::Parts;

pub use crate::telemetry::Transport;

/// What a verified login proved and said. The shard gives the session its id.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The user.
    pub key: UserKey,
    /// Where the app runs.
    pub platform: Platform,
    /// Stamped on what the user says.
    pub profile: Arc<Profile>,
    /// When the signature ends.
    pub sig_expires: Unix,
    /// Rights that the signature is bound to; `None`: bound to none.
    pub privileges: Option<Box<Privileges>>,
}

impl LoggedIn {
    /// The identity of the session `id`.
    pub fn into_identity(self, id: SessionId) -> Identity {
        Identity {
            id,
            key: self.key,
            platform: self.platform,
            profile: self.profile,
            sig_expires: self.sig_expires,
            privileges: self.privileges,
        }
    }
}

/// Held as long as the connection counts against the gateway's limits; dropping
/// it gives the place free.
pub type Permit = Box<dyn Any + Send>;

/// A logged-in connection, with everything that its shard needs to go on.
pub struct Adopted<D> {
    /// The transport, TLS state, and what was read or sealed but not used yet.
    pub io: Parts<D>,
    /// Who logged in.
    pub login: LoggedIn,
    /// The request that the shard answers with the login's reply.
    pub request_id: u64,
    /// The far end.
    pub peer: SocketAddr,
    /// How the bytes come.
    pub transport: Transport,
    /// Dropped when the connection is gone.
    pub permit: Permit,
}

impl<D> fmt::Debug for Adopted<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopted")
            .field("user", &self.login.key)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
