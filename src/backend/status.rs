//! What a refusal looks like in gRPC.
//!
//! The gRPC code is for clients in general; livegate's own code goes along in
//! the metadata `livegate-code`, and the wait in `retry-after-ms`.

use livegate_proto::code::Code;
use tonic::Status;

use crate::actions::content::BadRequest;
use crate::rooms::refusal::Refusal;

/// Metadata with livegate's own code.
const CODE: &str = "livegate-code";
/// Metadata with the wait before another try, in milliseconds.
const RETRY_AFTER: &str = "retry-after-ms";

/// The gRPC code that is nearest to livegate's.
fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::OK => tonic::Code::Ok,
        Code::BAD_PARAMETER | Code::BAD_ROOM_ID | Code::TOO_LONG => tonic::Code::InvalidArgument,
        Code::NO_ROOM | Code::NO_USER | Code::NO_LIVE | Code::NO_APP => tonic::Code::NotFound,
        Code::NO_PERMISSION => tonic::Code::PermissionDenied,
        Code::OVERLOADED | Code::MESSAGE_RATE | Code::TOO_FREQUENT => {
            tonic::Code::ResourceExhausted
        }
        Code::STORE_UNAVAILABLE | Code::SHUTTING_DOWN => tonic::Code::Unavailable,
        Code::UNSUPPORTED => tonic::Code::Unimplemented,
        Code::INTERNAL => tonic::Code::Internal,
        _ => tonic::Code::FailedPrecondition,
    }
}

/// The status that tells `refusal`.
pub(super) fn from_refusal(refusal: &Refusal) -> Status {
    let code = refusal.code;
    let mut status = Status::new(grpc_code(code), refusal.message.as_ref());
    let metadata = status.metadata_mut();
    metadata.insert(CODE, code.0.into());
    if let Some(wait) = refusal.retry_after {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        metadata.insert(RETRY_AFTER, millis.into());
    }
    status
}

/// The status of a request that breaks a bound.
pub(super) fn from_bad_request(bad: &BadRequest) -> Status {
    from_refusal(&Refusal::with(bad.code, bad.message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_refusal_is_an_error_in_grpc_too() {
        for (code, _) in Code::TABLE.iter().filter(|(code, _)| *code != Code::OK) {
            assert_ne!(grpc_code(*code), tonic::Code::Ok, "{code:?}");
        }
    }

    #[test]
    fn the_own_code_and_the_wait_travel_in_metadata() {
        let refusal = Refusal::new(Code::OVERLOADED).retry_after(Duration::from_millis(1500));
        let status = from_refusal(&refusal);
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert_eq!(status.metadata().get(CODE).unwrap(), "30007");
        assert_eq!(status.metadata().get(RETRY_AFTER).unwrap(), "1500");
    }
}
