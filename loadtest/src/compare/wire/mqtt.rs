//! MQTT 3.1.1 at QoS 0, as much as a fan-out needs.

use super::{Event, MAX_MESSAGE, Malformed, Role, Wire};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: &[u8] = &[0xc0, 0];

/// Seconds after which a silent client may be closed.
const KEEP_ALIVE: u16 = 120;

/// A publisher subscribes, too, so that its answer tells that it is in; nobody
/// says anything here.
const SILENT: &str = "silent";

/// The protocol.
#[derive(Debug)]
pub(super) struct Mqtt {
    topic: String,
}

impl Mqtt {
    /// Everybody in `topic`.
    pub(super) fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
        }
    }
}

impl Wire for Mqtt {
    fn open(&self, user: &str, role: Role, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        string("MQTT", &mut body);
        // Protocol level 4, a clean session.
        body.extend_from_slice(&[4, 0x02]);
        body.extend_from_slice(&KEEP_ALIVE.to_be_bytes());
        string(user, &mut body);
        packet(CONNECT, &body, out);
        let topic = match role {
            Role::Subscriber => &self.topic,
            Role::Publisher => SILENT,
        };
        // Packet identifier 1, QoS 0.
        let mut body = vec![0, 1];
        string(topic, &mut body);
        body.push(0);
        packet(SUBSCRIBE, &body, out);
    }

    fn publish(&self, payload: &str, out: &mut Vec<u8>) {
        out.push(PUBLISH);
        length(2 + self.topic.len() + payload.len(), out);
        string(&self.topic, out);
        out.extend_from_slice(payload.as_bytes());
    }

    fn beat(&self) -> &'static [u8] {
        PINGREQ
    }

    fn take(&self, input: &[u8], each: &mut dyn FnMut(Event<'_>)) -> Result<usize, Malformed> {
        let mut used = 0;
        while let Some((head, body)) = split(&input[used..])? {
            used += head + body.len();
            let kind = input[used - head - body.len()];
            match (kind & 0xf0, body) {
                (CONNACK, [_, 0]) => {}
                (CONNACK, [_, code]) => each(Event::Refused((*code).into())),
                (SUBACK, [_, _, 0x80]) => each(Event::Refused(0x80)),
                (SUBACK, _) => each(Event::Ready),
                (PUBLISH, _) => each(Event::Delivery(payload(kind, body)?)),
                _ => {}
            }
        }
        Ok(used)
    }
}

/// The bytes of the first packet's head, and its body, if all of it is there.
fn split(input: &[u8]) -> Result<Option<(usize, &[u8])>, Malformed> {
    let mut len = 0;
    for (at, byte) in input.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if len > MAX_MESSAGE {
                return Err(Malformed("length"));
            }
            let head = at + 2;
            return Ok(input.get(head..head + len).map(|body| (head, body)));
        }
    }
    match input.len() {
        0..5 => Ok(None),
        _ => Err(Malformed("length")),
    }
}

/// The payload of a PUBLISH: what follows the topic and, above QoS 0, the
/// packet identifier.
fn payload(kind: u8, body: &[u8]) -> Result<&[u8], Malformed> {
    let (topic, rest) = body.split_first_chunk::<2>().ok_or(Malformed("publish"))?;
    let identifier = if kind & 0x06 == 0 { 0 } else { 2 };
    let head = usize::from(u16::from_be_bytes(*topic)) + identifier;
    rest.get(head..).ok_or(Malformed("publish"))
}

fn packet(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    length(body.len(), out);
    out.extend_from_slice(body);
}

/// Seven bits a byte, lowest first, the top bit set on all but the last.
fn length(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push((len & 0x7f) as u8);
}

fn string(text: &str, out: &mut Vec<u8>) {
    let len = u16::try_from(text.len()).expect("names and topics are short");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn a_client_opens_with_the_bytes_of_the_standard() {
        let mut out = Vec::new();
        Mqtt::new("r").open("u1", Role::Subscriber, &mut out);
        let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x78\x00\x02u1";
        let subscribe = b"\x82\x06\x00\x01\x00\x01r\x00";
        assert_eq!(out, [connect.as_slice(), subscribe].concat());
    }

    #[test]
    fn what_a_broker_says_is_told_apart() {
        let mqtt = Mqtt::new("room");
        let mut input = vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0xd0, 0];
        mqtt.publish("hello", &mut input);
        // QoS 1 has an identifier between topic and payload.
        input.extend_from_slice(b"\x32\x07\x00\x01r\x00\x09yo");
        input.extend_from_slice(&[0x20, 2, 0, 5]);
        for step in [1, 2, 5, input.len()] {
            let expected = ["Ready", "hello", "yo", "Refused(5)"];
            assert_eq!(said(&mqtt, &input, step), expected);
        }
    }

    proptest! {
        #[test]
        fn payloads_of_any_length_come_back(lens in prop::collection::vec(0usize..40_000, 1..4)) {
            let mqtt = Mqtt::new("room");
            let texts: Vec<String> = lens.iter().map(|len| "x".repeat(*len)).collect();
            let mut input = Vec::new();
            texts.iter().for_each(|text| mqtt.publish(text, &mut input));
            prop_assert_eq!(said(&mqtt, &input, 4_096), texts);
        }

        #[test]
        fn noise_is_refused_or_read_and_never_worse(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Mqtt::new("room").take(&noise, &mut |_| ());
        }
    }
}
