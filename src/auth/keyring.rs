//! Each app's keys, and the verdict on a signature.

use std::collections::HashSet;

use super::error::SigError;
use super::key::{HmacKey, PublicKey};
use super::privileges::Privileges;
use super::usersig::{Proof, Token};
use crate::clock::Unix;
use crate::id::{AppId, UserId};

/// The keys of every app. Immutable: a reload opens a new one and swaps it in.
#[derive(Debug)]
pub struct KeyRing {
    pub(super) apps: foldhash::HashMap<AppId, AppKeys>,
    /// Seconds.
    pub(super) future_skew: u64,
    /// Seconds.
    pub(super) max_lifetime: u64,
}

#[derive(Debug, Default)]
pub(super) struct AppKeys {
    pub(super) hmac: Vec<HmacKey>,
    pub(super) ecdsa: Vec<PublicKey>,
    pub(super) admins: HashSet<UserId>,
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who it is.
    pub user: UserId,
    /// When it was issued, to the second.
    pub issued_at: Unix,
    /// First moment at which it no longer holds.
    pub expires_at: Unix,
    /// Rights it is bound to; `None`: bound to none.
    pub privileges: Option<Privileges>,
}

impl Verified {
    /// Refuses it when the user's signatures were revoked at `revoked_at` and
    /// this one is not newer. The figure is in whole seconds because a
    /// signature's is: one issued within the second of the revocation is
    /// refused.
    ///
    /// # Errors
    /// [`SigError::Revoked`].
    pub fn unless_revoked(self, revoked_at: Option<Unix>) -> Result<Self, SigError> {
        match revoked_at {
            Some(at) if self.issued_at.seconds() <= at.seconds() => Err(SigError::Revoked),
            Some(_) | None => Ok(self),
        }
    }
}

impl KeyRing {
    /// Says whether `sig` proves a user of `app` at `now`, and which. With
    /// `user` given it must be that one.
    ///
    /// The order of checks is fixed: what is wrong first is answered. At most
    /// two signatures are computed.
    ///
    /// # Errors
    /// [`SigError`]; [`SigError::code`] is what the client is told.
    pub fn verify(
        &self,
        app: AppId,
        user: Option<&str>,
        sig: &str,
        now: Unix,
    ) -> Result<Verified, SigError> {
        let token = Token::parse(sig)?;
        let keys = self.apps.get(&app).ok_or(SigError::NoApp)?;
        if keys.hmac.is_empty() && keys.ecdsa.is_empty() {
            return Err(SigError::NoKey);
        }
        if token.app != app {
            return Err(SigError::AppMismatch);
        }
        if user.is_some_and(|user| user != token.user.as_str()) {
            return Err(SigError::UserMismatch);
        }
        keys.prove(&token)?;
        self.check_times(&token, now)?;
        let privileges = privileges(&token)?;
        Ok(Verified {
            issued_at: from_seconds(token.time),
            expires_at: from_seconds(token.expires_at()),
            user: token.user,
            privileges,
        })
    }

    /// Whether `app` is configured.
    pub fn knows(&self, app: AppId) -> bool {
        self.apps.contains_key(&app)
    }

    /// Whether `user` is an administrator of `app`.
    pub fn is_admin(&self, app: AppId, user: &UserId) -> bool {
        self.apps
            .get(&app)
            .is_some_and(|keys| keys.admins.contains(user))
    }

    fn check_times(&self, token: &Token, now: Unix) -> Result<(), SigError> {
        if now.seconds() >= token.expires_at() {
            return Err(SigError::Expired);
        }
        if token.time > now.seconds().saturating_add(self.future_skew) {
            return Err(SigError::Invalid("issued in the future"));
        }
        if token.expire > self.max_lifetime {
            return Err(SigError::Invalid("lifetime longer than is accepted"));
        }
        Ok(())
    }
}

fn privileges(token: &Token) -> Result<Option<Privileges>, SigError> {
    let Some(userbuf) = &token.userbuf else {
        return Ok(None);
    };
    Privileges::from_userbuf(userbuf, token.app, token.user.as_str())
        .map_err(|_| SigError::Invalid("privileges of another user or app"))
}

fn from_seconds(seconds: u64) -> Unix {
    Unix(seconds.saturating_mul(1000))
}

impl AppKeys {
    /// Holds the token against the keys of its version; a version without keys
    /// does not count.
    fn prove(&self, token: &Token) -> Result<(), SigError> {
        let text = token.signed.as_bytes();
        let (any, proven) = match &token.proof {
            Proof::Hmac(mac) => (
                !self.hmac.is_empty(),
                self.hmac.iter().any(|key| key.verifies(text, mac)),
            ),
            Proof::Ecdsa(der) => (
                !self.ecdsa.is_empty(),
                self.ecdsa.iter().any(|key| key.verifies(text, der)),
            ),
        };
        match (any, proven) {
            (_, true) => Ok(()),
            (true, false) => Err(SigError::Forged),
            (false, false) => Err(SigError::NoKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::usersig::{Grant, issue, issue_v1};
    use crate::auth::{PrivateKey, rights};
    use crate::id::RoomId;

    const APP: AppId = AppId(1_400_000_000);
    const NOW: Unix = Unix(1_700_000_000_999);
    const CURRENT: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
    const PREVIOUS: &str = "30a5a82d38dc749855b70261799d4945f3f23587464cb13b756ad7fa20ec75c5";
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQYFMApXjI+sDpmVr\n\
        pjEHatwhboBQ4ClhmATHqOpSrryhRANCAAQVmIfR3bIuX8RAzbfQtByCte/j5OnJ\n\
        fHBPcQHsnIff49XFSB8qOUP39d64SRWYDckjNvsWvQRjaCg8mO/StKy6\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFZiH0d2yLl/EQM230LQcgrXv4+Tp\n\
        yXxwT3EB7JyH3+PVxUgfKjlD9/XeuEkVmA3JIzb7Fr0EY2goPJjv0rSsug==\n\
        -----END PUBLIC KEY-----\n";

    fn secret(text: &str) -> HmacKey {
        HmacKey::new(&text.into()).expect("a key")
    }

    fn ring<const N: usize>(keys: [&str; N]) -> KeyRing {
        KeyRing::of_app(APP, keys.map(secret), [])
    }

    fn user(id: &str) -> UserId {
        UserId::new(id).expect("an id")
    }

    fn signed(issued_at: Unix, lifetime: u64, userbuf: Option<&[u8]>) -> String {
        let grant = Grant {
            app: APP,
            user: &user("alice"),
            issued_at,
            lifetime: Duration::from_secs(lifetime),
            userbuf,
        };
        issue(&secret(CURRENT), &grant).expect("fits")
    }

    fn verdict(ring: &KeyRing, sig: &str, now: Unix) -> Result<Verified, SigError> {
        ring.verify(APP, Some("alice"), sig, now)
    }

    #[test]
    fn what_is_issued_verifies_until_its_last_second() {
        let sig = signed(NOW, 60, None);
        let verified = verdict(&ring([CURRENT]), &sig, NOW).unwrap();
        assert_eq!(verified.user, user("alice"));
        assert_eq!(verified.issued_at, Unix(1_700_000_000_000));
        assert_eq!(verified.expires_at, Unix(1_700_000_060_000));
        let last = Unix(verified.expires_at.0 - 1);
        assert!(verdict(&ring([CURRENT]), &sig, last).is_ok());
        let over = verdict(&ring([CURRENT]), &sig, verified.expires_at);
        assert_eq!(over, Err(SigError::Expired));
    }

    #[test]
    fn the_previous_key_holds_while_keys_rotate() {
        let sig = signed(NOW, 60, None);
        assert!(verdict(&ring([PREVIOUS, CURRENT]), &sig, NOW).is_ok());
        let after = verdict(&ring([PREVIOUS]), &sig, NOW);
        assert_eq!(after, Err(SigError::Forged));
    }

    #[test]
    fn the_apps_keys_choose_the_version_and_not_the_token() {
        let alice = user("alice");
        let grant = Grant {
            app: APP,
            user: &alice,
            issued_at: NOW,
            lifetime: Duration::from_secs(60),
            userbuf: None,
        };
        let v1 = issue_v1(&PrivateKey::from_pem(&PRIVATE.into()).unwrap(), &grant).unwrap();
        let v2 = issue(&secret(CURRENT), &grant).unwrap();
        let public = || [PublicKey::from_pem(PUBLIC).unwrap()];
        let hmac_only = ring([CURRENT]);
        let ecdsa_only = KeyRing::of_app(APP, [], public());
        let both = KeyRing::of_app(APP, [secret(CURRENT)], public());

        assert!(verdict(&hmac_only, &v2, NOW).is_ok());
        assert_eq!(verdict(&hmac_only, &v1, NOW), Err(SigError::NoKey));
        assert!(verdict(&ecdsa_only, &v1, NOW).is_ok());
        assert_eq!(verdict(&ecdsa_only, &v2, NOW), Err(SigError::NoKey));
        assert!(verdict(&both, &v1, NOW).is_ok());
        assert!(verdict(&both, &v2, NOW).is_ok());
    }

    #[test]
    fn what_is_wrong_first_is_answered() {
        let other_app = AppId(7);
        let ring_of_none = KeyRing::of_app(APP, [], []);
        // Issued for another app and user, with another key, long ago.
        let bob = user("bob");
        let grant = Grant {
            app: other_app,
            user: &bob,
            issued_at: Unix(0),
            lifetime: Duration::ZERO,
            userbuf: None,
        };
        let wrong = issue(&secret(PREVIOUS), &grant).unwrap();
        let ask = |ring: &KeyRing, app, sig: &str| {
            ring.verify(app, Some("alice"), sig, NOW)
                .map_err(|error| error.code().0)
        };
        assert_eq!(ask(&ring([CURRENT]), other_app, ""), Err(70002));
        assert_eq!(ask(&ring([CURRENT]), other_app, "!"), Err(70003));
        assert_eq!(ask(&ring([CURRENT]), other_app, &wrong), Err(70020));
        assert_eq!(ask(&ring_of_none, APP, &wrong), Err(70016));
        assert_eq!(ask(&ring([CURRENT]), APP, &wrong), Err(70014));
        let ring_of_other = KeyRing::of_app(other_app, [secret(CURRENT)], []);
        assert_eq!(ask(&ring_of_other, other_app, &wrong), Err(70013));
        let any_user = ring_of_other.verify(other_app, None, &wrong, NOW);
        assert_eq!(any_user, Err(SigError::Forged));
        let right_key = KeyRing::of_app(other_app, [secret(PREVIOUS)], []);
        let any_user = right_key.verify(other_app, None, &wrong, NOW);
        assert_eq!(any_user, Err(SigError::Expired));
    }

    #[test]
    fn a_clock_may_be_ahead_by_five_minutes_and_no_more() {
        let ahead = |seconds| signed(NOW + Duration::from_secs(seconds), 60, None);
        assert!(verdict(&ring([CURRENT]), &ahead(300), NOW).is_ok());
        let refused = verdict(&ring([CURRENT]), &ahead(301), NOW).unwrap_err();
        assert_eq!(refused, SigError::Invalid("issued in the future"));
    }

    #[test]
    fn figures_at_their_ends_neither_wrap_nor_hold() {
        let endless = signed(NOW, u64::MAX, None);
        let refused = verdict(&ring([CURRENT]), &endless, NOW).unwrap_err();
        assert_eq!(refused.code().0, 70005);
        let never = signed(Unix(u64::MAX), 60, None);
        let refused = verdict(&ring([CURRENT]), &never, NOW).unwrap_err();
        assert_eq!(refused.code().0, 70005);
    }

    #[test]
    fn a_revocation_ends_what_was_issued_up_to_its_second() {
        let verified = verdict(&ring([CURRENT]), &signed(NOW, 60, None), NOW).unwrap();
        let second = |seconds: u64| Some(Unix(seconds * 1000));
        let revoked = |at| verified.clone().unless_revoked(at).err();
        assert_eq!(revoked(None), None);
        assert_eq!(revoked(second(1_699_999_999)), None);
        assert_eq!(revoked(second(1_700_000_000)), Some(SigError::Revoked));
    }

    #[test]
    fn privileges_are_read_and_those_of_another_refused() {
        let room = RoomId::new("10000").unwrap();
        let privileges = Privileges {
            room: Some(room.clone()),
            bits: rights::VIEWER,
            expires: NOW + Duration::from_secs(60),
        };
        let verdict_on = |owner| {
            let userbuf = privileges.to_userbuf(APP, owner).expect("fits");
            let sig = signed(NOW, 60, Some(&userbuf));
            verdict(&ring([CURRENT]), &sig, NOW)
        };
        let read = verdict_on("alice").unwrap().privileges.expect("read");
        assert!(read.may_enter(&room, NOW));
        assert!(!read.may_publish(&room, NOW));
        assert_eq!(verdict_on("bob").unwrap_err().code().0, 70005);

        let opaque = signed(NOW, 60, Some(b"abc"));
        let opaque = verdict(&ring([CURRENT]), &opaque, NOW).unwrap();
        assert_eq!(opaque.privileges, None);
    }

    #[test]
    fn debug_of_a_ring_shows_no_key() {
        let shown = format!("{:?}", ring([CURRENT]));
        assert!(!shown.contains("5bd2850f"), "{shown}");
    }
}
