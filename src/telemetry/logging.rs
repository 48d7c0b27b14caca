//! Sets up `tracing`: which lines, in which form, on standard error.
//!
//! Contract of levels: per frame TRACE, a deviation DEBUG, what a user sees
//! change INFO, what should wake somebody WARN, what is broken ERROR. Never a
//! UserSig, a key or a message body; no address above DEBUG.
//!
//! Invariant: a line of the human form is one line. Control characters in
//! values are escaped, so nobody can forge a line or steer a terminal.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// How the gateway logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Which lines: a level, or directives such as `info,livegate::shard=debug`.
    pub filter: String,
    /// `human` for eyes, `json` for machines: one object a line.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text, coloured on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logging was not set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("log filter `{filter}` cannot be read")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a subscriber already.
    #[error("logging is set up already")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

impl LogConfig {
    /// Checks the filter without setting anything up.
    ///
    /// # Errors
    /// [`LogError::Filter`] when it cannot be read.
    pub fn validate(&self) -> Result<(), LogError> {
        self.env_filter().map(drop)
    }

    /// Makes this process log so, on standard error. Once per process.
    ///
    /// # Errors
    /// A filter that cannot be read; a subscriber that is there already.
    pub fn install(&self) -> Result<(), LogError> {
        let colours = io::stderr().is_terminal();
        let subscriber = self.subscriber(io::stderr, colours)?;
        subscriber.try_init().map_err(LogError::Installed)
    }

    /// A subscriber that writes to `writer`.
    ///
    /// # Errors
    /// [`LogError::Filter`] when the filter cannot be read.
    pub fn subscriber<W>(
        &self,
        writer: W,
        colours: bool,
    ) -> Result<impl Subscriber + Send + Sync + 'static, LogError>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let base = tracing_subscriber::fmt::layer().with_writer(writer);
        let layer: Box<dyn Layer<Registry> + Send + Sync> = match self.format {
            LogFormat::Json => base.json().flatten_event(true).boxed(),
            LogFormat::Human => base
                .with_ansi(colours)
                .fmt_fields(debug_fn(field).delimited(" "))
                .boxed(),
        };
        Ok(Registry::default().with(layer.with_filter(self.env_filter()?)))
    }

    fn env_filter(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::try_new(&self.filter).map_err(|source| LogError::Filter {
            filter: self.filter.clone(),
            source,
        })
    }
}

/// Writes one field of a human line.
fn field(
    writer: &mut tracing_subscriber::fmt::format::Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaped(writer), "{value:?}")
}

/// Lets text through and writes control characters as escapes.
struct Escaped<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            let (clean, control) = match part.chars().next_back() {
                Some(last) if last.is_control() => {
                    (&part[..part.len() - last.len_utf8()], Some(last))
                }
                Some(_) | None => (part, None),
            };
            self.0.write_str(clean)?;
            if let Some(control) = control {
                write!(self.0, "{}", control.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_value_cannot_forge_a_line() {
        let log = logged(LogFormat::Human, || {
            tracing::info!(nick = %"a\nINFO forged", raw = "\u{1b}[31m", "mess\u{9b}age\r\n");
        });
        assert_eq!(log.lines().count(), 1);
        assert!(log.contains(r"nick=a\nINFO forged"), "{log}");
        assert!(log.contains(r"mess\u{9b}age\r\n"), "{log}");
        assert!(!log.contains('\u{1b}'));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let log = logged(LogFormat::Json, || tracing::info!(room = "a\nb", "entered"));
        let line: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
        assert_eq!(line["message"], "entered");
        assert_eq!(line["room"], "a\nb");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let config = LogConfig {
            filter: "livegate=loud".to_owned(),
            ..LogConfig::default()
        };
        let refused = config.validate().unwrap_err();
        assert!(refused.to_string().contains("livegate=loud"));
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, act: impl FnOnce()) -> String {
        let sink = Sink::default();
        let config = LogConfig {
            format,
            ..LogConfig::default()
        };
        let writer = sink.clone();
        let subscriber = config.subscriber(move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }
}
