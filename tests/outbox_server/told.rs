//! What the backend was told, and what was wrong with it.

use std::collections::{BTreeMap, HashMap};

use axum::body::Bytes;
use serde_json::Value;

/// All that was told.
#[derive(Default)]
pub(crate) struct Told {
    tellings: HashMap<String, Telling>,
    /// Events of each room in the order of their first telling.
    pub(crate) rooms: BTreeMap<String, Vec<News>>,
    pub(crate) wrong: Vec<String>,
    /// Tellings in all, repeats among them.
    pub(crate) heard: u64,
}

struct Telling {
    body: Bytes,
    /// Whether it was ever answered with 200.
    accepted: bool,
}

/// An event as it concerns a test.
pub(crate) struct News {
    pub(crate) event_id: String,
    pub(crate) what: What,
}

/// What it says.
pub(crate) enum What {
    Started,
    Ended,
    /// A text, and its place in the room.
    Said(String, u64),
    Joined(String),
    Left(String),
    Other,
}

impl Told {
    /// Notes a telling, however it will be answered.
    pub(crate) fn hears(&mut self, event_id: &str, body: &Bytes) {
        self.heard += 1;
        match self.tellings.get(event_id) {
            Some(first) if first.body == body => {}
            Some(_) => self
                .wrong
                .push(format!("{event_id}: told again in other bytes")),
            None => self.hears_first(event_id, body),
        }
    }

    fn hears_first(&mut self, event_id: &str, body: &Bytes) {
        let telling = Telling {
            body: body.clone(),
            accepted: false,
        };
        self.tellings.insert(event_id.to_owned(), telling);
        let body: Value = serde_json::from_slice(body).unwrap();
        let (room, what) = read(&body);
        let news = News {
            event_id: event_id.to_owned(),
            what,
        };
        self.rooms.entry(room).or_default().push(news);
    }

    /// Notes that it is answered with 200.
    pub(crate) fn accepts(&mut self, event_id: &str) {
        self.tellings.get_mut(event_id).unwrap().accepted = true;
    }

    pub(crate) fn has(&self, event_id: &str) -> bool {
        let telling = self.tellings.get(event_id);
        telling.is_some_and(|telling| telling.accepted)
    }

    /// Events that were told and never accepted.
    pub(crate) fn unaccepted(&self) -> usize {
        let all = self.tellings.values();
        all.filter(|telling| !telling.accepted).count()
    }

    /// Different events of a kind.
    pub(crate) fn count(&self, of: impl Fn(&What) -> bool) -> u64 {
        let all = self.rooms.values().flatten();
        all.filter(|news| of(&news.what)).count() as u64
    }
}

/// The room of an event, and what it says.
fn read(body: &Value) -> (String, What) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |list: &str| text(&body[list][0]["Member_Account"]);
    let room = body.get("room_id").unwrap_or_else(|| &body["GroupId"]);
    let kind = body
        .get("event")
        .unwrap_or_else(|| &body["CallbackCommand"]);
    let what = match kind.as_str().unwrap() {
        "live_started" => What::Started,
        "live_ended" => What::Ended,
        "Group.CallbackAfterSendMsg" => {
            let said = text(&body["MsgBody"][0]["MsgContent"]["Text"]);
            What::Said(said, body["MsgSeq"].as_u64().unwrap())
        }
        "Group.CallbackAfterNewMemberJoin" => What::Joined(member("NewMemberList")),
        "Group.CallbackAfterMemberExit" => What::Left(member("ExitMemberList")),
        _ => What::Other,
    };
    (text(room), what)
}
