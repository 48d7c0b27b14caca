//! How long a request may take.
//!
//! The configuration's bound holds for every request but the streams, which
//! last as long as their caller wants; what a gRPC caller asks for in
//! `grpc-timeout` holds if it is less, for streams too (source: the gRPC over
//! HTTP/2 protocol).

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};

/// Where calls are streams.
const STREAMS: &str = "/livegate.backend.v1.StreamService/";
/// Reflection is a stream, too.
const REFLECTION: &str = "/grpc.reflection.";

/// How long `request` may take; `None`: as long as it wants.
pub(super) fn of<B>(request: &Request<B>, most: Duration) -> Option<Duration> {
    let path = request.uri().path();
    let streams = path.starts_with(STREAMS) || path.starts_with(REFLECTION);
    let most = (!streams).then_some(most);
    let asked = request.headers().get("grpc-timeout");
    let asked = asked.and_then(|value| parse(value.to_str().ok()?));
    match (asked, most) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, most) => asked.or(most),
    }
}

/// Whether `request` is to be answered in gRPC.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What a request is answered that took too long.
pub(super) fn late(is_grpc: bool) -> Response<Body> {
    if is_grpc {
        return tonic::Status::deadline_exceeded("took too long").into_http();
    }
    let mut late = Response::new(Body::empty());
    *late.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    late
}

/// At most 8 digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, timeout: Option<&str>) -> Request<()> {
        let mut request = Request::builder().uri(path);
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_caller_may_ask_for_less_and_a_stream_has_no_end_of_ours() {
        let most = Duration::from_secs(30);
        let unary = "/livegate.backend.v1.BackendService/GetRoom";
        let of = |path, timeout| of(&request(path, timeout), most);
        assert_eq!(of(unary, None), Some(most));
        assert_eq!(of(unary, Some("250m")), Some(Duration::from_millis(250)));
        assert_eq!(of(unary, Some("2H")), Some(most));
        assert_eq!(of("/v4/openim/sendmsg", None), Some(most));
        let stream = "/livegate.backend.v1.StreamService/PushStream";
        assert_eq!(of(stream, None), None);
        assert_eq!(of(stream, Some("5S")), Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in ["", "S", "12", "-1S", "1 S", "123456789S", "5é"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }
}
