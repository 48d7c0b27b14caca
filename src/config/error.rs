//! What a mistake in the configuration is told as.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a mistake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file, at this line if it is known (from 1).
    File(PathBuf, Option<usize>),
    /// In a variable of the environment.
    Env(String),
    /// In a flag of the command line.
    Flag(&'static str),
    /// In development mode's own settings.
    Dev,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Dev => f.write_str("development mode"),
        }
    }
}

/// A mistake in the configuration: where, in which key, what, and what may be
/// meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Where it is.
    pub place: Place,
    /// The key with its section, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// The nearest key there is, with its section.
    pub meant: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.problem)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// A mistake that serde found: the key and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: Option<String>,
    pub(super) problem: String,
    pub(super) meant: Option<String>,
}

impl Found {
    /// Reads serde's words. `path` is where it was, dotted; `.` is the root.
    pub(super) fn new(path: &str, message: &str) -> Self {
        let message = message.trim();
        if let Some(list) = message.strip_prefix("unknown field ") {
            return Self::unknown(path, list);
        }
        Self {
            key: (path != ".").then(|| path.to_owned()),
            problem: without_text(message.lines().next().unwrap_or_default()),
            meant: None,
        }
    }

    /// ``` `given`, expected one of `a`, `b` ```
    fn unknown(path: &str, list: &str) -> Self {
        let mut quoted = list.split('`').skip(1).step_by(2);
        let given = quoted.next().unwrap_or_default();
        let section = path.strip_suffix(given).unwrap_or(path);
        let section = section.trim_end_matches('.');
        let within = |key: &str| match section {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        };
        Self {
            key: Some(within(given)),
            problem: "unknown key".to_owned(),
            meant: nearest(given, quoted).map(within),
        }
    }
}

/// serde quotes a text where none is wanted; it may be a secret in a wrong
/// place, so it is left out.
fn without_text(message: &str) -> String {
    let quoted = message.split_once(": string \"");
    let parts = quoted.and_then(|(kind, rest)| Some((kind, rest.rsplit_once("\", expected ")?)));
    match parts {
        Some((kind, (_, expected))) => format!("{kind}: a text, expected {expected}"),
        None => message.to_owned(),
    }
}

/// The candidate that is nearest to `given`, if one is near enough to be meant.
fn nearest<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let reach = (given.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be added, removed, changed or swapped with their
/// neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested_only_when_it_is_near() {
        let keys = || ["public", "tcp", "quic", "backlog"].into_iter();
        assert_eq!(nearest("publik", keys()), Some("public"));
        assert_eq!(nearest("pulbic", keys()), Some("public"));
        assert_eq!(nearest("tpc", keys()), Some("tcp"));
        assert_eq!(nearest("certificate", keys()), None);
    }

    #[test]
    fn a_text_in_a_wrong_place_is_not_repeated() {
        let told = Found::new(
            "a",
            "invalid type: string \"s, \"e\", expected c\", expected u8",
        );
        assert_eq!(told.problem, "invalid type: a text, expected u8");
        let other = Found::new("a", "invalid type: integer `1`, expected a string");
        assert_eq!(
            other.problem,
            "invalid type: integer `1`, expected a string"
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_section() {
        let message = "unknown field `publik`, expected one of `public`, `tcp`";
        for path in ["listen", "listen.publik"] {
            let found = Found::new(path, message);
            assert_eq!(found.key.as_deref(), Some("listen.publik"));
            assert_eq!(found.meant.as_deref(), Some("listen.public"));
        }
        let root = Found::new(".", "unknown field `lisen`, expected `listen` or `tls`");
        assert_eq!(root.key.as_deref(), Some("lisen"));
        assert_eq!(root.meant.as_deref(), Some("listen"));
    }
}
