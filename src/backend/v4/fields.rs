//! Reads the fields of a body as leniently as their senders write them.
//!
//! Integers may be texts, an empty text or null stands for "not given", and a
//! field that was renamed is known by both names. Accounts must be texts.

use livegate_proto::code::Code;
use serde_json::{Map, Value};

use super::answer::Problem;
use crate::id::{RoomId, UserId};

/// An object of a body.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map }
    }

    /// What is given under one of `names`, the first that is.
    pub(super) fn pick(&self, names: &[&str]) -> Option<&'a Value> {
        let given = |name: &&str| self.map.get(*name).filter(|value| is_given(value));
        names.iter().find_map(given)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        match self.pick(&[name]) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad(name, "must be a string")),
        }
    }

    /// A text of at most `max` bytes.
    pub(super) fn text_within(&self, name: &str, max: usize) -> Result<Option<&'a str>, Problem> {
        match self.text(name)? {
            Some(text) if text.len() > max => Err(bad(name, &format!("exceeds {max} bytes"))),
            text => Ok(text),
        }
    }

    pub(super) fn need_text(&self, name: &str) -> Result<&'a str, Problem> {
        let missing = || bad(name, "is missing");
        self.text(name)?.ok_or_else(missing)
    }

    pub(super) fn integer(&self, names: &[&str]) -> Result<Option<u64>, Problem> {
        let Some(value) = self.pick(names) else {
            return Ok(None);
        };
        let read = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let bad = || bad(names[0], "must be an integer of 0 or above");
        read.map(Some).ok_or_else(bad)
    }

    pub(super) fn small(&self, names: &[&str]) -> Result<Option<u32>, Problem> {
        let Some(number) = self.integer(names)? else {
            return Ok(None);
        };
        let bad = |_| bad(names[0], "must be an integer of 32 bits");
        u32::try_from(number).map(Some).map_err(bad)
    }

    pub(super) fn need_small(&self, names: &[&str]) -> Result<u32, Problem> {
        let missing = || bad(names[0], "is missing");
        self.small(names)?.ok_or_else(missing)
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Problem> {
        match self.pick(&[name]) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(bad(name, "must be an array")),
        }
    }

    /// The objects of a list of at most `max`; none when it is not given.
    pub(super) fn objects(&self, name: &str, max: usize) -> Result<Vec<Self>, Problem> {
        let list = self.list(name)?.unwrap_or_default();
        if list.len() > max {
            return Err(bad(name, &format!("has more than {max} entries")));
        }
        let object = |value: &'a Value| match value {
            Value::Object(map) => Ok(Self::new(map)),
            _ => Err(bad(name, "must hold objects")),
        };
        list.iter().map(object).collect()
    }

    /// The texts of a list of at most `max`.
    pub(super) fn texts(&self, name: &str, max: usize) -> Result<Vec<&'a str>, Problem> {
        let list = self.list(name)?.unwrap_or_default();
        if list.len() > max {
            return Err(bad(name, &format!("has more than {max} entries")));
        }
        let text = |value: &'a Value| {
            let bad = || bad(name, "must hold strings");
            value.as_str().ok_or_else(bad)
        };
        list.iter().map(text).collect()
    }

    /// An object within this one.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Problem> {
        match self.pick(&[name]) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self::new(map))),
            Some(_) => Err(bad(name, "must be an object")),
        }
    }

    /// An account; the vendor has a code for one that is no text.
    pub(super) fn account(&self, names: &[&str]) -> Result<Option<UserId>, Problem> {
        let read = |value| Self::read_account(names[0], value);
        self.pick(names).map(read).transpose()
    }

    pub(super) fn need_account(&self, names: &[&str]) -> Result<UserId, Problem> {
        let missing = || bad(names[0], "is missing");
        self.account(names)?.ok_or_else(missing)
    }

    /// A list of 1 to `max` accounts.
    pub(super) fn accounts(&self, name: &str, max: usize) -> Result<Vec<UserId>, Problem> {
        let list = self.list(name)?.unwrap_or_default();
        if list.is_empty() {
            return Err(bad(name, "is missing"));
        }
        if list.len() > max {
            let message = format!("{name} has more than {max} accounts");
            return Err(Problem::new(Code::TOO_MANY_ACCOUNTS, message));
        }
        list.iter()
            .map(|value| Self::read_account(name, value))
            .collect()
    }

    fn read_account(name: &str, value: &Value) -> Result<UserId, Problem> {
        let Value::String(text) = value else {
            return Err(Code::ACCOUNT_NOT_TEXT.into());
        };
        UserId::new(text).map_err(|_| bad(name, "holds a malformed account"))
    }

    /// The room that the command is about.
    pub(super) fn room(&self) -> Result<RoomId, Problem> {
        let missing = || bad("GroupId", "is missing");
        room_id(self.text("GroupId")?.ok_or_else(missing)?)
    }
}

/// The refusal of the field `name`.
pub(super) fn bad(name: &str, problem: &str) -> Problem {
    Problem::new(Code::BAD_PARAMETER, format!("{name} {problem}"))
}

/// An empty text and null are as nothing.
fn is_given(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
}

pub(super) fn room_id(text: &str) -> Result<RoomId, Problem> {
    let malformed = "GroupId is 1 to 48 bytes of printable ASCII";
    RoomId::new(text).map_err(|_| Problem::new(Code::BAD_ROOM_ID, malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn integers_may_be_texts_and_empty_texts_are_nothing() {
        let map = map(r#"{"a":"7","b":8,"c":"","d":null,"e":"x","f":-1,"g":1.5,"h":4294967296}"#);
        let fields = Fields::new(&map);
        assert_eq!(fields.integer(&["a"]), Ok(Some(7)));
        assert_eq!(fields.integer(&["none", "b"]), Ok(Some(8)));
        assert_eq!(fields.integer(&["c", "b"]), Ok(Some(8)));
        assert_eq!(fields.integer(&["d"]), Ok(None));
        for bad in ["e", "f", "g"] {
            let refused = fields.integer(&[bad]).unwrap_err();
            assert_eq!(refused.code, Code::BAD_PARAMETER, "{bad}");
        }
        assert!(fields.small(&["h"]).is_err());
        assert_eq!(fields.text("c"), Ok(None));
        assert!(fields.text("b").is_err());
    }

    #[test]
    fn accounts_are_texts_and_not_too_many() {
        let map = map(r#"{"n":7,"l":["a","b","c"],"m":["a",1],"e":[],"w":["a\nb"]}"#);
        let fields = Fields::new(&map);
        let code = |asked: Result<_, Problem>| asked.map(|_: Vec<UserId>| ()).unwrap_err().code;
        let number = fields.account(&["n"]).unwrap_err();
        assert_eq!(number.code, Code::ACCOUNT_NOT_TEXT);
        assert_eq!(fields.accounts("l", 3).unwrap().len(), 3);
        assert_eq!(code(fields.accounts("l", 2)), Code::TOO_MANY_ACCOUNTS);
        assert_eq!(code(fields.accounts("m", 3)), Code::ACCOUNT_NOT_TEXT);
        assert_eq!(code(fields.accounts("e", 3)), Code::BAD_PARAMETER);
        assert_eq!(code(fields.accounts("w", 3)), Code::BAD_PARAMETER);
    }
}
