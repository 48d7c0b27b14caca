//! From a file to a plan, or to an error that names file, line and key.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::check::Wrong;
use super::{Plan, check};

/// Most bytes of a plan.
const MAX_PLAN: u64 = 256 * 1024;

/// Why a file is no plan. Printed as `file:line: key: what is wrong`.
#[derive(Debug)]
pub(crate) struct PlanError {
    file: PathBuf,
    line: Option<usize>,
    key: String,
    what: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for PlanError {}

/// Reads and checks a plan.
///
/// # Errors
/// [`PlanError`] when the file cannot be read, is no TOML, has a key that no
/// plan has, or asks for what cannot be done.
pub(crate) fn read(file: &Path) -> Result<Plan, PlanError> {
    read_as(file, check::check)
}

/// Reads a plan of any kind and holds it against `check`.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_as<T: DeserializeOwned>(
    file: &Path,
    check: impl Fn(&T) -> Result<(), Wrong>,
) -> Result<T, PlanError> {
    let unreadable = |what: String| PlanError {
        file: file.to_owned(),
        line: None,
        key: String::new(),
        what,
    };
    let size = std::fs::metadata(file)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > MAX_PLAN {
        return Err(unreadable(format!("{size} bytes are no plan")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    parse_as(file, &text, check)
}

/// The part of [`read_as`] behind the disk.
pub(crate) fn parse_as<T: DeserializeOwned>(
    file: &Path,
    text: &str,
    check: impl Fn(&T) -> Result<(), Wrong>,
) -> Result<T, PlanError> {
    let fail = |line, key: String, what: String| PlanError {
        file: file.to_owned(),
        line,
        key,
        what,
    };
    let from = toml::Deserializer::parse(text)
        .map_err(|error| fail(line_of(text, &error), String::new(), error.message().into()))?;
    let plan: T = serde_path_to_error::deserialize(from).map_err(|error| {
        let key = error.path().to_string();
        let inner = error.into_inner();
        let key = if key == "." { String::new() } else { key };
        fail(line_of(text, &inner), key, with_nearest(inner.message()))
    })?;
    check(&plan).map_err(|(key, what)| fail(line_of_key(text, key), key.to_owned(), what))?;
    Ok(plan)
}

fn line_of(text: &str, error: &toml::de::Error) -> Option<usize> {
    error.span().map(|span| line_at(text, span.start))
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text[..at.min(text.len())].matches('\n').count()
}

/// The line on which `key` (dotted) is written, or its nearest table's.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut line = None;
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else {
            break;
        };
        line = Some(line_at(text, name.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => break,
        }
    }
    line
}

/// Adds the nearest known key to serde's "unknown field" message.
fn with_nearest(message: &str) -> String {
    let message = message.trim();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(given) = quoted
        .next()
        .filter(|_| message.starts_with("unknown field"))
    else {
        return message.to_owned();
    };
    match quoted.min_by_key(|known| distance(given, known)) {
        Some(known) if distance(given, known) <= given.len().div_ceil(2) => {
            format!("unknown key {given:?}; did you mean {known:?}?")
        }
        Some(_) | None => message.to_owned(),
    }
}

/// Levenshtein's distance; keys are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let swap = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = swap.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(file: &Path, text: &str) -> Result<Plan, PlanError> {
        parse_as(file, text, check::check)
    }

    fn refused(text: &str) -> String {
        parse(Path::new("p.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_plan_is_the_default() {
        assert_eq!(parse(Path::new("p.toml"), "").unwrap(), Plan::default());
    }

    #[test]
    fn a_whole_plan_is_read() {
        let text = r#"
            about = "all of it"  # comments are fine
            rooms = 2
            viewers = 10
            [transport]
            quic = 1
            [phases]
            ramp = 50
            steady = "3s"
            [messages]
            text = 4
            gift = 0.5
            [host]
            grace = "500ms"
            crash = { at = "1s", returns_after = "200ms" }
            [limits]
            p99_ms = 80
        "#;
        let plan = parse(Path::new("p.toml"), text).unwrap();
        assert_eq!(plan.clients(), 2 * (1 + 1 + 10));
        assert_eq!(plan.phases.steady, Duration::from_secs(3));
        let crash = plan.host.crash.unwrap();
        assert_eq!(crash.returns_after, Some(Duration::from_millis(200)));
        assert_eq!(plan.limits.p99_ms, Some(80.0));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
        let error = refused("rooms = 1\n\n[phases]\nsteddy = \"3s\"\n");
        assert_eq!(
            error,
            "p.toml:4: phases.steddy: unknown key \"steddy\"; did you mean \"steady\"?"
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_line() {
        assert!(refused("\nrooms = \"two\"").starts_with("p.toml:2: rooms: "));
        assert!(refused("[phases]\nsteady = 3").starts_with("p.toml:2: phases.steady: "));
        assert!(refused("[phases]\nsteady = \"3\"").starts_with("p.toml:2: phases.steady: "));
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_line() {
        assert!(refused("rooms = 1\nviewers = = 3").starts_with("p.toml:2: "));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_the_line_of_its_key() {
        let error = refused("viewers = 5\n[phases]\nsteady = \"3s\"\nramp = 0");
        assert!(error.starts_with("p.toml:4: phases.ramp: "), "{error}");
        let error = refused("[messages]\ntext = 2\npayload_bytes = 3");
        assert!(
            error.starts_with("p.toml:3: messages.payload_bytes: "),
            "{error}"
        );
    }

    #[test]
    fn every_plan_that_comes_with_livegate_is_runnable() {
        let mut seen = 0;
        for file in plans() {
            let plan = read(&file).unwrap_or_else(|error| panic!("{error}"));
            assert!(!plan.about.is_empty());
            seen += 1;
        }
        assert!(seen >= 7, "{seen} plans");
    }

    #[test]
    fn a_plan_survives_being_printed() {
        for file in plans() {
            let plan = read(&file).unwrap();
            let text = toml::to_string(&plan).unwrap();
            assert_eq!(parse(Path::new("p.toml"), &text).unwrap(), plan);
        }
    }

    /// The plans of `run`; those of other commands lie in directories below.
    fn plans() -> impl Iterator<Item = PathBuf> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
        let files = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files.filter(|file| file.is_file())
    }
}
