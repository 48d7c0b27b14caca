//! One signature proves one identity.
//!
//! What is signed is a text of `key:value` lines without lengths. Where a
//! backend lets users choose names and signs a name with a line end in it, the
//! very same signature also covers *another* name, time and lifetime, the rest
//! of the text hiding in the userbuf. So neither reading may be accepted, and
//! no signer of ours makes one.

use livegate::auth::{HmacKey, KeyRing, PrivateKey, PublicKey};
use livegate::clock::Unix;
use livegate::id::{AppId, UserId};
use serde_json::{Value, json};

use super::{forge, vectors};

const APP: AppId = AppId(1_400_000_000);
const NOW: Unix = Unix(1_700_000_060_000);
const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

fn ring() -> KeyRing {
    let key = HmacKey::new(&KEY.into()).expect("a key");
    KeyRing::of_app(APP, [key], [])
}

/// What a verifier that checks no values would sign for the document.
fn content(document: &Value) -> String {
    let order = ["identifier", "sdkappid", "time", "expire", "userbuf"];
    let mut content = String::new();
    for key in order.map(|key| format!("TLS.{key}")) {
        let value = &document[&key];
        if !value.is_null() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            content += &format!("{key}:{text}\n");
        }
    }
    content
}

fn v2(identifier: &str, time: u64, expire: u64, userbuf: Option<&str>) -> Value {
    let mut document = json!({
        "TLS.ver": "2.0", "TLS.identifier": identifier, "TLS.sdkappid": APP.0,
        "TLS.time": time, "TLS.expire": expire,
    });
    if let Some(userbuf) = userbuf {
        document["TLS.userbuf"] = json!(userbuf);
    }
    document
}

fn presented(mut document: Value, sig: &str) -> Result<String, i32> {
    document["TLS.sig"] = json!(sig);
    let text = forge::envelope(document.to_string().as_bytes());
    let verdict = ring().verify(APP, None, &text, NOW);
    verdict
        .map(|verified| verified.user.to_string())
        .map_err(|error| error.code().0)
}

/// The two readings: what the backend signed for mallory, for one minute, and
/// the administrator with a lifetime of mallory's choice.
fn readings() -> (Value, Value) {
    let chosen = format!(
        "administrator\nTLS.sdkappid:{}\nTLS.time:1700000000\nTLS.expire:99999999\nTLS.userbuf:",
        APP.0
    );
    let signed = v2(&chosen, 1_700_000_000, 60, None);
    let hidden = format!(
        "\nTLS.sdkappid:{}\nTLS.time:1700000000\nTLS.expire:60",
        APP.0
    );
    let claimed = v2("administrator", 1_700_000_000, 99_999_999, Some(&hidden));
    (signed, claimed)
}

#[test]
fn a_line_end_in_a_name_makes_no_second_identity() {
    let (signed, claimed) = readings();
    assert_eq!(content(&signed), content(&claimed), "the trap is real");
    let sig = forge::mac(KEY.as_bytes(), &content(&signed));
    assert_eq!(presented(claimed, &sig), Err(70005));
    assert_eq!(presented(signed, &sig), Err(70005));
}

#[test]
fn the_forge_makes_what_holds_when_nothing_is_wrong() {
    let plain = v2("mallory", 1_700_000_000, 3600, Some("YWJj"));
    let sig = forge::mac(KEY.as_bytes(), &content(&plain));
    assert_eq!(presented(plain, &sig), Ok("mallory".to_owned()));
}

#[test]
fn no_padding_or_line_end_in_a_userbuf_hides_lines() {
    // Each a text that some base64 decoder takes.
    for hidden in [
        "YWJj\n",
        "YWJj\nTLS.x:YWJj",
        "YW Jj",
        "YWJj====",
        "YWI",
        "YWK=",
        "\n",
        "YW*-",
    ] {
        let document = v2("mallory", 1_700_000_000, 3600, Some(hidden));
        let sig = forge::mac(KEY.as_bytes(), &content(&document));
        assert_eq!(presented(document, &sig), Err(70005), "{hidden:?}");
    }
}

#[test]
fn v1s_other_texts_hide_no_lines_either() {
    let vectors = vectors::vectors("v1");
    let vector = &vectors[0];
    let private = PrivateKey::from_pem(&vectors::text(vector, "private_key_pem").into()).unwrap();
    let public = PublicKey::from_pem(vectors::text(vector, "public_key_pem")).unwrap();
    let alice = UserId::new("alice").unwrap();
    let grant = livegate::auth::usersig::Grant {
        app: APP,
        user: &alice,
        issued_at: NOW,
        lifetime: std::time::Duration::from_secs(60),
        userbuf: None,
    };
    let sig = livegate::auth::usersig::issue_v1(&private, &grant).unwrap();
    let genuine: Value = serde_json::from_slice(&forge::document(&sig).unwrap()).unwrap();
    let ring = KeyRing::of_app(APP, [], [public]);
    let verdict = |document: &Value| {
        let text = forge::envelope(document.to_string().as_bytes());
        ring.verify(APP, None, &text, NOW)
            .map(|verified| verified.user)
            .map_err(|error| error.code().0)
    };
    assert_eq!(verdict(&genuine), Ok(alice));

    // The same text, its first two lines moved into one value.
    let mut moved = genuine;
    moved.as_object_mut().unwrap().remove("TLS.appid_at_3rd");
    moved["TLS.account_type"] = json!("0\nTLS.account_type:0");
    assert_eq!(verdict(&moved), Err(70005));
}

#[test]
fn no_signer_of_ours_takes_such_a_name() {
    let (signed, _) = readings();
    let chosen = signed["TLS.identifier"].as_str().unwrap();
    assert!(UserId::new(chosen).is_err(), "a grant needs a checked name");
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let vectors = vectors::vectors("v1");
    let pem = vectors::text(&vectors[0], "public_key_pem");
    let ring = KeyRing::of_app(APP, [], [PublicKey::from_pem(pem).unwrap()]);
    let document = v2("administrator", 1_700_000_000, 3600, None);
    let der: Vec<u8> = {
        use base64::Engine as _;
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        base64::engine::general_purpose::STANDARD
            .decode(lines)
            .unwrap()
    };
    for known in [pem.as_bytes(), pem.trim().as_bytes(), &der, b""] {
        let mut forged = document.clone();
        forged["TLS.sig"] = json!(forge::mac(known, &content(&document)));
        let text = forge::envelope(forged.to_string().as_bytes());
        let verdict = ring.verify(APP, None, &text, NOW);
        assert_eq!(verdict.map_err(|error| error.code().0), Err(70016));
    }
}
