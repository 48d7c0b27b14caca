//! Signatures from strangers: none panics, and none proves anybody whom the
//! seeds' signatures do not prove already.
//!
//! The first byte says what the rest is: `t` a signature's text, `d` the
//! document inside one, `u` a userbuf that the backend signed.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use livegate::auth::usersig::{Grant, issue, seal};
use livegate::auth::{HmacKey, KeyRing, PublicKey};
use livegate::clock::Unix;
use livegate::id::{AppId, UserId};
use serde_json::Value;

const APP: AppId = AppId(1_400_000_000);
const NOW: Unix = Unix(1_700_000_060_000);

struct Fixture {
    hmac: HmacKey,
    ring: KeyRing,
    known: Vec<String>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let vectors = include_str!("../../tests/data/usersig-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).expect("the vectors are JSON");
    let list = |version: &str| vectors[version].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let hmac = HmacKey::new(&text(&list("v2")[0]["key"]).into()).expect("a key");
    let public = PublicKey::from_pem(&text(&list("v1")[0]["public_key_pem"])).expect("a key");
    let all = list("v2").iter().chain(list("v1"));
    Fixture {
        ring: KeyRing::of_app(APP, [hmac.clone()], [public]),
        known: all.map(|vector| text(&vector["identifier"])).collect(),
        hmac,
    }
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, input)) = input.split_first() else {
        return;
    };
    match kind {
        b't' => try_text(&String::from_utf8_lossy(input)),
        b'd' => {
            if let Some(text) = seal(input) {
                try_text(&text);
            }
        }
        b'u' => try_userbuf(input),
        _ => {}
    }
});

fn try_text(text: &str) {
    let fixture = &*FIXTURE;
    if let Ok(verified) = fixture.ring.verify(APP, None, text, NOW) {
        let known = fixture.known.iter().any(|id| id == verified.user.as_str());
        assert!(known, "{text} proves {verified:?}");
    }
}

/// What we sign we accept, unless the userbuf names somebody else.
fn try_userbuf(userbuf: &[u8]) {
    let user = UserId::new("xiaojun").expect("an id");
    let grant = Grant {
        app: APP,
        user: &user,
        issued_at: NOW,
        lifetime: Duration::from_secs(60),
        userbuf: Some(userbuf),
    };
    let Ok(sig) = issue(&FIXTURE.hmac, &grant) else {
        return;
    };
    match FIXTURE.ring.verify(APP, Some("xiaojun"), &sig, NOW) {
        Ok(verified) => assert_eq!(verified.user, user),
        Err(error) => assert_eq!(error.code().0, 70005, "{error}"),
    }
}
