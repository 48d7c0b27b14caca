//! What a backend is told of a call beside its body, and the signature.
//!
//! The signature is that of [`Signer`](crate::callback::Signer) with the identity in place of the event
//! id: the values of the headers [`SIGNED`], in that order and as they are
//! sent, joined by newlines. So nobody who has seen one call can make another
//! user's of it. No value has a newline: all but printable ASCII is
//! percent-encoded.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::Call;
use super::route::Route;
use crate::callback::sign::{SIGNATURE, TIMESTAMP};
use crate::clock::Unix;

/// Header: names the call; every attempt at it has the same.
pub const TRACE_ID: &str = "livegate-trace-id";
/// Header: the app.
pub const SDK_APP_ID: &str = "livegate-sdk-app-id";
/// Header: the user, percent-encoded.
pub const USER_ID: &str = "livegate-user-id";
/// Header: the session.
pub const SESSION_ID: &str = "livegate-session-id";
/// Header: the session's rooms with its role in each: `room=host,other=viewer`.
pub const ROOM_ROLES: &str = "livegate-room-roles";
/// Header: the IP address that the client comes from.
pub const CLIENT_ADDRESS: &str = "livegate-client-address";
/// Header: the service that was called.
pub const SERVICE: &str = "livegate-service";
/// Header: the method that was called, percent-encoded.
pub const METHOD: &str = "livegate-method";
/// Header: milliseconds until nobody waits for the answer any more.
pub const DEADLINE_MS: &str = "livegate-deadline-ms";

/// The headers whose values are signed, in this order.
pub const SIGNED: [&str; 9] = [
    TRACE_ID,
    SDK_APP_ID,
    USER_ID,
    SESSION_ID,
    ROOM_ROLES,
    CLIENT_ADDRESS,
    SERVICE,
    METHOD,
    DEADLINE_MS,
];

/// The headers of one attempt at a call.
pub(super) fn headers(call: &Call, route: &Route, left: Duration, now: Unix) -> HeaderMap {
    let values = [
        call.trace_id.clone(),
        call.app.to_string(),
        encoded(call.user.as_str()),
        call.session.0.to_string(),
        roles(call),
        call.address.to_string(),
        encoded(&call.service),
        encoded(&call.method),
        left.as_millis().to_string(),
    ];
    let identity = values.join("\n");
    let timestamp = now.seconds();
    let signature = route.signer.sign(&identity, timestamp, &call.body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, route.content_type.clone());
    headers.insert(HeaderName::from_static(TIMESTAMP), timestamp.into());
    let rest = SIGNED.into_iter().zip(values);
    for (name, value) in rest.chain([(SIGNATURE, signature)]) {
        let value = HeaderValue::try_from(value).expect("printable ASCII");
        headers.insert(HeaderName::from_static(name), value);
    }
    headers
}

fn roles(call: &Call) -> String {
    let mut text = String::new();
    for (room, role) in &call.roles {
        let separator = if text.is_empty() { "" } else { "," };
        let room = encoded(room.as_str());
        let _ = write!(text, "{separator}{room}={role}");
    }
    text
}

/// Percent-encodes what could be taken for something else.
fn encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b',' | b'=') {
            safe.push(byte.into());
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_is_sent() {
        assert_eq!(encoded("anna"), "anna");
        assert_eq!(encoded("安,a=%\n"), "%E5%AE%89%2Ca%3D%25%0A");
    }
}
