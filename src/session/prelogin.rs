//! What a connection may say before it is logged in: one Login, a few Pings.
//!
//! Pure. Does not verify the signature (the gateway does, with `auth`), and
//! keeps no deadline; it holds the request to the contract's limits, so that
//! a login that is passed on is well formed.

use livegate_proto::Encoded;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{
    ClientFrame, CloseCode, LoginRequest, PingReply, Reply, ServerFrame, reply,
};
use livegate_proto::code::Code;
use livegate_proto::codec::{self, MAX_PRELOGIN_FRAME};

use crate::actions::content::{BadRequest, check_profile};
use crate::clock::Unix;

/// Pings before login after which the connection ends.
pub const MAX_PINGS: u8 = 4;
/// Most bytes of a device id and of a client version.
pub const MAX_DEVICE_TEXT: usize = 64;

/// A connection that is not logged in.
#[derive(Debug, Default)]
pub struct Prelogin {
    pings: u8,
}

/// What to do after a frame.
#[derive(Debug)]
pub enum PreloginStep {
    /// Go on reading; nothing is to be said.
    Quiet,
    /// Say this, go on reading.
    Pong(Encoded),
    /// Log in with this; its request id is the second.
    Login(Box<LoginRequest>, u64),
    /// Say the reply, if there is one, then close.
    Refuse {
        /// To the request that was refused.
        reply: Option<Box<Reply>>,
        /// Why the connection ends.
        close: CloseCode,
    },
}

impl Prelogin {
    /// Looks at one frame body.
    pub fn on_frame(&mut self, body: &[u8], now: Unix) -> PreloginStep {
        if body.len() > MAX_PRELOGIN_FRAME {
            return hang_up(CloseCode::FrameTooLarge);
        }
        let Ok(ClientFrame { request_id, body }) = codec::decode(body) else {
            return hang_up(CloseCode::ProtocolError);
        };
        match body {
            Some(Body::Ping(_)) => self.on_ping(request_id, now),
            _ if request_id == 0 => hang_up(CloseCode::ProtocolError),
            Some(Body::Login(login)) => match check(&login) {
                Ok(()) => PreloginStep::Login(Box::new(login), request_id),
                Err(bad) => refuse(request_id, bad, CloseCode::LoginRefused),
            },
            Some(Body::Resume(_)) => {
                refuse(request_id, of(Code::UNSUPPORTED), CloseCode::LoginRefused)
            }
            _ => refuse(
                request_id,
                of(Code::NOT_LOGGED_IN),
                CloseCode::ProtocolError,
            ),
        }
    }

    fn on_ping(&mut self, request_id: u64, now: Unix) -> PreloginStep {
        self.pings += 1;
        if self.pings > MAX_PINGS {
            return hang_up(CloseCode::RateLimited);
        }
        if request_id == 0 {
            return PreloginStep::Quiet;
        }
        let time_ms = now.millis_i64();
        let reply = Reply {
            request_id,
            body: Some(reply::Body::Ping(PingReply { time_ms })),
            ..Reply::default()
        };
        PreloginStep::Pong(Encoded::new(&ServerFrame {
            reply: Some(reply),
            ..ServerFrame::default()
        }))
    }
}

fn check(login: &LoginRequest) -> Result<(), BadRequest> {
    if login.device_id.len() > MAX_DEVICE_TEXT {
        return Err(BadRequest::parameter("device_id exceeds 64 bytes"));
    }
    if login.client_version.len() > MAX_DEVICE_TEXT {
        return Err(BadRequest::parameter("client_version exceeds 64 bytes"));
    }
    login.profile.as_ref().map_or(Ok(()), check_profile)
}

fn of(code: Code) -> BadRequest {
    let message = code.text();
    BadRequest { code, message }
}

fn refuse(request_id: u64, bad: BadRequest, close: CloseCode) -> PreloginStep {
    let reply = Reply {
        request_id,
        code: bad.code.0,
        message: bad.message.to_owned(),
        ..Reply::default()
    };
    let reply = Some(Box::new(reply));
    PreloginStep::Refuse { reply, close }
}

fn hang_up(close: CloseCode) -> PreloginStep {
    PreloginStep::Refuse { reply: None, close }
}

#[cfg(test)]
mod tests {
    use livegate_proto::Message;
    use livegate_proto::client::{ListRoomsRequest, PingRequest, ResumeRequest};
    use proptest::prelude::*;

    use super::*;

    fn frame(request_id: u64, body: Body) -> Vec<u8> {
        let body = Some(body);
        ClientFrame { request_id, body }.encode_to_vec()
    }

    fn step(bytes: &[u8]) -> PreloginStep {
        Prelogin::default().on_frame(bytes, Unix(5))
    }

    fn refusal(step: PreloginStep) -> (Option<Code>, CloseCode) {
        match step {
            PreloginStep::Refuse { reply, close } => (reply.map(|it| Code(it.code)), close),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_login_is_passed_on_with_its_request_id() {
        let login = LoginRequest {
            user_id: "alice".into(),
            ..LoginRequest::default()
        };
        let step = step(&frame(7, Body::Login(login)));
        assert!(matches!(step, PreloginStep::Login(login, 7) if login.user_id == "alice"));
    }

    #[test]
    fn a_login_with_a_field_too_long_is_refused_with_a_reply() {
        let login = LoginRequest {
            device_id: "d".repeat(65),
            ..LoginRequest::default()
        };
        let refused = refusal(step(&frame(7, Body::Login(login))));
        let expected = (Some(Code::BAD_PARAMETER), CloseCode::LoginRefused);
        assert_eq!(refused, expected);
    }

    #[test]
    fn another_verb_is_told_to_log_in_first() {
        let list = Body::ListRooms(ListRoomsRequest::default());
        let refused = refusal(step(&frame(1, list)));
        let expected = (Some(Code::NOT_LOGGED_IN), CloseCode::ProtocolError);
        assert_eq!(refused, expected);
        let resume = Body::Resume(ResumeRequest::default());
        let refused = refusal(step(&frame(1, resume)));
        let expected = (Some(Code::UNSUPPORTED), CloseCode::LoginRefused);
        assert_eq!(refused, expected);
    }

    #[test]
    fn pings_are_answered_a_few_times() {
        let mut prelogin = Prelogin::default();
        let ping = frame(3, Body::Ping(PingRequest {}));
        for _ in 0..MAX_PINGS {
            let step = prelogin.on_frame(&ping, Unix(5));
            let PreloginStep::Pong(pong) = step else {
                panic!("no pong");
            };
            let pong = ServerFrame::decode(pong.payload()).unwrap();
            assert_eq!(pong.reply.unwrap().request_id, 3);
        }
        let refused = refusal(prelogin.on_frame(&ping, Unix(5)));
        assert_eq!(refused, (None, CloseCode::RateLimited));
    }

    #[test]
    fn a_ping_without_an_id_has_no_answer_and_a_login_needs_one() {
        let ping = frame(0, Body::Ping(PingRequest {}));
        assert!(matches!(step(&ping), PreloginStep::Quiet));
        let login = frame(0, Body::Login(LoginRequest::default()));
        assert_eq!(refusal(step(&login)), (None, CloseCode::ProtocolError));
    }

    #[test]
    fn what_is_no_frame_ends_the_connection() {
        assert_eq!(refusal(step(&[0xff; 8])), (None, CloseCode::ProtocolError));
        let long = vec![0; MAX_PRELOGIN_FRAME + 1];
        assert_eq!(refusal(step(&long)), (None, CloseCode::FrameTooLarge));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(frames in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut prelogin = Prelogin::default();
            for frame in frames {
                prelogin.on_frame(&frame, Unix(0));
            }
        }
    }
}
