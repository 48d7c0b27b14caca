//! What `watch` and `host` print: one line per event, for humans or for
//! scripts.

mod human;
mod line;

use std::io;

use serde::Serialize;

pub(super) use self::line::{Shown, What};
use super::print;
use crate::clock;

/// Writes lines to stdout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    json: bool,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    #[serde(flatten)]
    shown: &'a Shown,
    /// When this line was written, by this machine's clock.
    at_ms: i64,
}

impl Printer {
    /// Prints JSON, or else for humans.
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub(super) fn print(self, shown: impl Into<Shown>) -> io::Result<()> {
        let shown = shown.into();
        let now = clock::unix_now();
        if !self.json {
            return print::line(human::line(&shown, now));
        }
        let line = JsonLine {
            shown: &shown,
            at_ms: now.millis_i64(),
        };
        print::line(serde_json::to_string(&line).expect("texts and numbers serialise"))
    }
}

#[cfg(test)]
mod tests {
    use livegate_client::Event;
    use serde_json::{Value, json};

    use super::line::{Content, Place};
    use super::*;

    fn place() -> Place {
        Place {
            room: "demo".to_owned(),
            epoch: 1,
            seq: 17,
            time_ms: 1_000,
            source: "push",
        }
    }

    fn as_json(shown: &Shown) -> Value {
        let line = JsonLine { shown, at_ms: 5 };
        serde_json::to_value(&line).unwrap()
    }

    #[test]
    fn a_message_is_one_flat_object() {
        let shown = Shown {
            place: Some(place()),
            what: What::Message {
                from: "ada".to_owned(),
                nick: String::new(),
                role: "viewer",
                priority: "normal",
                content: Content::Text {
                    text: "hello".to_owned(),
                },
            },
        };
        let expected = json!({
            "type": "message", "room": "demo", "epoch": 1, "seq": 17, "time_ms": 1000,
            "source": "push", "from": "ada", "nick": "", "role": "viewer",
            "priority": "normal", "kind": "text", "text": "hello", "at_ms": 5,
        });
        assert_eq!(as_json(&shown), expected);
    }

    #[test]
    fn what_is_of_no_room_has_no_place() {
        let shown = Shown::from(&Event::Lagged { skipped: 3 });
        let expected = json!({ "type": "lagged", "skipped": 3, "at_ms": 5 });
        assert_eq!(as_json(&shown), expected);
    }
}
