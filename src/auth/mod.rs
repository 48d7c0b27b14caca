//! Who may log in, and with what signed rights.
//!
//! Owns the UserSig format ([`usersig`]), each app's keys ([`KeyRing`]) and the
//! room privileges that a signature may carry ([`Privileges`]). Everything but
//! the reading of key files at start is pure and told the time.
//!
//! Invariants:
//! - the app's configuration says which algorithms count, never the token: else
//!   a public key would one day be taken for an HMAC secret;
//! - what is signed is a text of lines, so no value with a control character
//!   reaches it: else one signature would prove two identities;
//! - a value is refused before the signature over it is computed, and at most
//!   two signatures are computed for one attempt;
//! - keys never show in `Debug`, in a serialised configuration or in an error.
//!
//! Not here: which devices a user may hold, what a role may do, and the record
//! of revocations (see [`Verified::unless_revoked`]).

mod config;
mod error;
mod key;
mod keyring;
mod load;
mod privileges;
pub mod usersig;

pub use config::{AppConfig, AuthConfig, SecretText};
pub use error::SigError;
pub use key::{HmacKey, KeyError, PrivateKey, PublicKey};
pub use keyring::{KeyRing, Verified};
pub use load::{AuthConfigError, Problem};
pub use privileges::{Privileges, rights};
