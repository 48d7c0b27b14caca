//! The vendor's vectors, each with the code it expects.

use std::time::Duration;

use livegate::auth::usersig::{Grant, Token, issue};
use livegate::auth::{HmacKey, KeyRing, PublicKey, Verified, rights};
use livegate::clock::Unix;
use livegate::id::{AppId, RoomId, UserId};
use serde_json::Value;

use super::forge;

/// Every vector of `version` ("v1" or "v2").
pub(crate) fn vectors(version: &str) -> Vec<Value> {
    let text = include_str!("../data/usersig-vectors.json");
    let mut all: Value = serde_json::from_str(text).expect("the vectors are JSON");
    let Value::Array(vectors) = all[version].take() else {
        panic!("no vectors of {version}");
    };
    vectors
}

pub(crate) fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().expect("the vector has this text")
}

fn number(vector: &Value, key: &str) -> u64 {
    vector[key].as_u64().expect("the vector has this number")
}

fn app(value: &Value) -> AppId {
    AppId(u32::try_from(number(value, "sdkappid")).expect("32 bits"))
}

/// The key ring that the vector is to be held against.
pub(crate) fn ring(vector: &Value) -> KeyRing {
    let check = &vector["check"];
    if let Some(pem) = vector["public_key_pem"].as_str() {
        let key = PublicKey::from_pem(pem).expect("a public key");
        return KeyRing::of_app(app(check), [], [key]);
    }
    let key = HmacKey::new(&text(check, "key").into()).expect("a secret");
    KeyRing::of_app(app(check), [key], [])
}

/// The verdict on `sig` in the vector's place.
pub(crate) fn verdict(ring: &KeyRing, vector: &Value, sig: &str) -> Result<Verified, i32> {
    let check = &vector["check"];
    let at = Unix(number(check, "at") * 1000);
    ring.verify(app(check), check["identifier"].as_str(), sig, at)
        .map_err(|error| error.code().0)
}

fn holds_as_expected(vector: &Value) {
    let id = text(vector, "id");
    let verdict = verdict(&ring(vector), vector, text(vector, "sig"));
    // The vectors leave bytes after the stream to the verifier's policy.
    let policy = (vector["expected"] == "policy").then_some(70003);
    let expected = policy.unwrap_or_else(|| number(vector, "expected_error"));
    match verdict {
        Ok(verified) => {
            assert_eq!(expected, 0, "{id} was accepted");
            assert_eq!(verified.user.as_str(), text(vector, "identifier"), "{id}");
            let (issued, expires) = (number(vector, "time"), number(vector, "expires_at"));
            assert_eq!(verified.issued_at, Unix(issued * 1000), "{id}");
            assert_eq!(verified.expires_at, Unix(expires * 1000), "{id}");
        }
        Err(code) => assert_eq!(u64::try_from(code), Ok(expected), "{id}"),
    }
}

#[test]
fn every_v2_vector_gets_the_code_it_expects() {
    let vectors = vectors("v2");
    assert_eq!(vectors.len(), 33);
    vectors.iter().for_each(holds_as_expected);
}

#[test]
fn every_v1_vector_gets_the_code_it_expects() {
    let vectors = vectors("v1");
    assert_eq!(vectors.len(), 7);
    vectors.iter().for_each(holds_as_expected);
}

#[test]
fn issuing_again_makes_the_same_mac_as_the_vendors_libraries() {
    let mut made = 0;
    for vector in vectors("v2").iter().filter(|v| v["expected"] == "valid") {
        let sig = text(vector, "sig");
        let userbuf = Token::parse(sig).unwrap().userbuf;
        let grant = Grant {
            app: app(vector),
            user: &UserId::new(text(vector, "identifier")).unwrap(),
            issued_at: Unix(number(vector, "time") * 1000),
            lifetime: Duration::from_secs(number(vector, "expire")),
            userbuf: userbuf.as_deref(),
        };
        let key = HmacKey::new(&text(vector, "key").into()).unwrap();
        let ours = forge::document(&issue(&key, &grant).unwrap()).unwrap();
        let ours: Value = serde_json::from_slice(&ours).unwrap();
        assert_eq!(text(&ours, "TLS.sig"), text(vector, "hmac_b64"), "{vector}");
        made += 1;
    }
    assert!(made >= 15, "only {made} vectors were issued again");
}

#[test]
fn the_room_privileges_of_the_vectors_are_read() {
    let privileges = |id: &str| {
        let vectors = vectors("v2");
        let vector = vectors.iter().find(|v| v["id"] == id).expect("a vector");
        let verified = verdict(&ring(vector), vector, text(vector, "sig"));
        verified.expect("valid").privileges
    };
    let host = privileges("v2-09-npm-pmk-num").expect("host's");
    assert_eq!(host.room, RoomId::new("10000").ok());
    assert_eq!(host.bits, rights::ALL);
    let viewer = privileges("v2-10-npm-pmk-watch").expect("viewer's");
    assert_eq!(viewer.room, RoomId::new("4294967295").ok());
    assert_eq!(viewer.bits, rights::VIEWER);
    let named = privileges("v2-11-npm-pmk-str").expect("of a named room");
    assert!(named.room.is_some());
    assert_eq!(privileges("v2-12-pypi-userbuf-abc"), None);
    assert_eq!(privileges("v2-14-pypi-userbuf-bin"), None);
}
