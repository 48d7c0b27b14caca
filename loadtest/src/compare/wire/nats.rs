//! The text protocol of NATS, as much as a fan-out needs.

use super::{Event, MAX_MESSAGE, Malformed, Role, Wire};

/// Most bytes of a control line; INFO with many addresses is the longest.
const MAX_LINE: usize = 64 * 1024;

/// The protocol.
#[derive(Debug)]
pub(super) struct Nats {
    subject: String,
}

impl Nats {
    /// Everybody on `subject`.
    pub(super) fn new(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
        }
    }
}

impl Wire for Nats {
    fn greets_in_clear(&self) -> bool {
        true
    }

    fn open(&self, user: &str, role: Role, out: &mut Vec<u8>) {
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\
             \"name\":\"{user}\",\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}}\r\n"
        );
        out.extend_from_slice(connect.as_bytes());
        if role == Role::Subscriber {
            out.extend_from_slice(format!("SUB {} 1\r\n", self.subject).as_bytes());
        }
        out.extend_from_slice(b"PING\r\n");
    }

    fn publish(&self, payload: &str, out: &mut Vec<u8>) {
        let head = format!("PUB {} {}\r\n", self.subject, payload.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(payload.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn beat(&self) -> &'static [u8] {
        b"PING\r\n"
    }

    fn pong(&self) -> &'static [u8] {
        b"PONG\r\n"
    }

    fn take(&self, input: &[u8], each: &mut dyn FnMut(Event<'_>)) -> Result<usize, Malformed> {
        let mut used = 0;
        while let Some(line) = line(&input[used..])? {
            let after = used + line.len() + 2;
            let Some(rest) = line.strip_prefix(b"MSG ") else {
                said(line, each);
                used = after;
                continue;
            };
            let len = last_number(rest)?;
            let Some(payload) = input.get(after..after + len + 2) else {
                break;
            };
            each(Event::Delivery(&payload[..len]));
            used = after + len + 2;
        }
        Ok(used)
    }
}

fn said(line: &[u8], each: &mut dyn FnMut(Event<'_>)) {
    if line == b"PONG" {
        each(Event::Ready);
    } else if line == b"PING" {
        each(Event::Ping);
    } else if line.starts_with(b"-ERR") {
        each(Event::Refused(-1));
    }
}

/// The first line without its end, if it is all there.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let window = &input[..input.len().min(MAX_LINE)];
    match window.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(&input[..end])),
        None if input.len() >= MAX_LINE => Err(Malformed("line")),
        None => Ok(None),
    }
}

/// `MSG subject sid [reply-to] LENGTH`.
fn last_number(line: &[u8]) -> Result<usize, Malformed> {
    let last = line.rsplit(|byte| *byte == b' ').next();
    let len = last
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .ok_or(Malformed("length"))?;
    if len > MAX_MESSAGE {
        return Err(Malformed("length"));
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn what_a_server_says_is_told_apart() {
        let input = b"INFO {\"a\":1}\r\nPONG\r\n+OK\r\nMSG room 1 5\r\nhello\r\nPING\r\n\
                      MSG room 1 back 4\r\n\r\n\r\n\r\n-ERR 'no'\r\n";
        let expected = ["Ready", "hello", "Ping", "\r\n\r\n", "Refused(-1)"];
        for step in [1, 2, 7, input.len()] {
            assert_eq!(said(&Nats::new("room"), input, step), expected);
        }
    }

    #[test]
    fn a_publisher_says_what_the_protocol_asks() {
        let mut out = Vec::new();
        Nats::new("room").publish("hello", &mut out);
        assert_eq!(out, b"PUB room 5\r\nhello\r\n");
    }

    proptest! {
        #[test]
        fn noise_is_refused_or_read_and_never_worse(noise in "[ A-Z0-9\r\n]{0,200}") {
            let _ = Nats::new("room").take(noise.as_bytes(), &mut |_| ());
        }
    }
}
