//! The order of sources: file, environment, flags.
//!
//! The file is read alone first, because only then do its errors have lines.
//! Each later source is laid over it one by one, so that a mistake is blamed on
//! the one who made it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::{ConfigError, Found, Place};
use super::{App, Config, DEV, locate};

/// Variables of the environment that set keys begin so: `LIVEGATE__`, then the
/// key's path in capitals, joined by two underscores.
const ENV_PREFIX: &str = "LIVEGATE__";

/// Longest configuration file, bytes.
const MAX_FILE: u64 = 4 << 20;

/// A configuration that was read and holds.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where relative paths in it start: the file's directory.
    pub base: PathBuf,
    /// To find the place of a key that turns out wrong later.
    source: Source,
}

/// What a configuration was read from.
#[derive(Clone)]
struct Source {
    text: String,
    place: Place,
    set: Vec<Override>,
}

impl fmt::Debug for Source {
    /// Writes the place only: the text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.place, f)
    }
}

impl Loaded {
    /// The error for a value of `key` (with its section) that does not work,
    /// told with the place of whoever set it.
    pub fn blame(&self, key: String, problem: String) -> ConfigError {
        self.source.blame(key, problem)
    }
}

impl Source {
    fn blame(&self, key: String, problem: String) -> ConfigError {
        let by = self.set.iter().rev().find(|over| over.sets(&key));
        let place = match by {
            Some(over) => over.place.clone(),
            None => at_line(self.place.clone(), locate::line_of_key(&self.text, &key)),
        };
        ConfigError {
            place,
            key: Some(key),
            problem,
            meant: None,
        }
    }
}

/// One key that is set from outside the file.
#[derive(Clone)]
pub struct Override {
    /// Who sets it.
    pub place: Place,
    /// The key's path: section, then key.
    pub path: Vec<String>,
    /// As given: TOML, or just the text where a text is wanted.
    pub value: String,
}

impl fmt::Debug for Override {
    /// Leaves the value out: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Override")
            .field("place", &self.place)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Override {
    /// Whether it sets `key`, which is written with brackets for elements.
    fn sets(&self, key: &str) -> bool {
        let own: Vec<_> = self.path.iter().map(String::as_str).collect();
        let key = key.replace('[', ".").replace(']', "");
        own.join(".") == key
    }

    /// A key that a flag sets.
    pub fn flag(name: &'static str, path: &str, value: impl Into<String>) -> Self {
        Self {
            place: Place::Flag(name),
            path: path.split('.').map(str::to_owned).collect(),
            value: value.into(),
        }
    }
}

/// What is laid under environment and flags.
#[derive(Debug, Clone, Copy)]
pub enum Ground<'a> {
    /// A file.
    File(&'a Path),
    /// Development mode: the vendor's sample app, loopback only; paths start in
    /// the current directory.
    Dev,
}

/// The variables of this process's environment that are text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |os: std::ffi::OsString| os.into_string().ok();
    std::env::vars_os().filter_map(move |(name, value)| Some((text(name)?, text(value)?)))
}

/// Reads and checks a configuration. `env` is the whole environment.
///
/// # Errors
/// The first mistake, with its place.
pub fn load(
    ground: Ground<'_>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: Vec<Override>,
) -> Result<Loaded, ConfigError> {
    let (text, place, base) = match ground {
        Ground::Dev => (DEV.to_owned(), Place::Dev, PathBuf::from(".")),
        Ground::File(path) => {
            let base = path.parent().map(Path::to_owned).unwrap_or_default();
            (read(path)?, Place::File(path.to_owned(), None), base)
        }
    };
    let mut config = parse(&text, &place)?;
    let mut table: Table = toml::from_str(&text).expect("was parsed a line ago");
    let mut set = Vec::new();
    for over in env_overrides(env).into_iter().chain(flags) {
        config = lay_over(&mut table, &over)?;
        set.push(over);
    }
    if let Ground::Dev = ground {
        config.apps.push(App::development());
        config.room_service.login_info = true;
    }
    let valid = match ground {
        Ground::Dev => config.validate().and_then(|()| config.stays_home()),
        Ground::File(_) => config.validate(),
    };
    let source = Source { text, place, set };
    valid.map_err(|(key, problem)| source.blame(key, problem))?;
    config.rebase(&base);
    Ok(Loaded {
        config,
        base,
        source,
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |problem: String| ConfigError {
        place: Place::File(path.to_owned(), None),
        key: None,
        problem,
        meant: None,
    };
    let text = || -> io::Result<String> {
        if fs::metadata(path)?.len() > MAX_FILE {
            return Err(io::Error::other("file is far too large"));
        }
        fs::read_to_string(path)
    };
    text().map_err(|error| failed(format!("cannot be read: {error}")))
}

/// Reads the text alone.
fn parse(text: &str, place: &Place) -> Result<Config, ConfigError> {
    let wrong = |path: &str, error: &toml::de::Error| {
        let found = Found::new(path, error.message());
        let line = match (&found.key, error.span()) {
            (_, Some(span)) => Some(locate::line_at(text, span.start)),
            (Some(key), None) => locate::line_of_key(text, key),
            (None, None) => None,
        };
        tell(at_line(place.clone(), line), found)
    };
    let input = toml::Deserializer::parse(text).map_err(|error| wrong(".", &error))?;
    serde_path_to_error::deserialize(input)
        .map_err(|error| wrong(&error.path().to_string(), error.inner()))
}

fn at_line(place: Place, line: Option<usize>) -> Place {
    match place {
        Place::File(path, _) => Place::File(path, line),
        other => other,
    }
}

fn tell(place: Place, found: Found) -> ConfigError {
    ConfigError {
        place,
        key: found.key,
        problem: found.problem,
        meant: found.meant,
    }
}

fn env_overrides(env: impl IntoIterator<Item = (String, String)>) -> Vec<Override> {
    let mut overrides: Vec<_> = env
        .into_iter()
        .filter_map(|(name, value)| {
            let path = name.strip_prefix(ENV_PREFIX)?;
            let path = path.split("__").map(str::to_ascii_lowercase).collect();
            let place = Place::Env(name);
            Some(Override { place, path, value })
        })
        .collect();
    // The environment has no order of its own.
    overrides.sort_by(|a, b| a.path.cmp(&b.path));
    overrides
}

/// Sets one key and reads everything again: as TOML first, then, where that
/// does not fit, as a text.
fn lay_over(table: &mut Table, over: &Override) -> Result<Config, ConfigError> {
    let quoted = Value::String(over.value.clone());
    let meant = toml::from_str::<Table>(&format!("value = {}", over.value));
    let meant = meant.ok().and_then(|mut table| table.remove("value"));
    let mut first = None;
    for value in meant.into_iter().chain([quoted]) {
        let mut tried = table.clone();
        let read = match set(&mut tried, &over.path, value) {
            Ok(()) => serde_path_to_error::deserialize(Value::Table(tried.clone()))
                .map_err(|error| Found::new(&error.path().to_string(), error.inner().message())),
            Err(problem) => Err(Found {
                key: Some(over.path.join(".")),
                problem: problem.to_owned(),
                meant: None,
            }),
        };
        match read {
            Ok(config) => {
                *table = tried;
                return Ok(config);
            }
            Err(found) => first = first.or(Some(found)),
        }
    }
    let found = first.expect("a text is always tried");
    Err(tell(over.place.clone(), found))
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), &'static str> {
    let [key, rest @ ..] = path else {
        return Err("names no key");
    };
    let Some(next) = rest.first() else {
        table.insert(key.clone(), value);
        return Ok(());
    };
    let inner = table
        .entry(key.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    match (inner, next.parse::<usize>()) {
        (Value::Table(inner), _) => set(inner, rest, value),
        (Value::Array(array), Ok(index)) => match (array.get_mut(index), &rest[1..]) {
            (Some(element), []) => {
                *element = value;
                Ok(())
            }
            (Some(Value::Table(element)), deeper) => set(element, deeper, value),
            _ => Err("no such element"),
        },
        _ => Err("is a value, not a section"),
    }
}
