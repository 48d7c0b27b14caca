//! Durations as plans write them: `"250ms"`, `"20s"`, `"5m"`, `"1h"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Reads `"<int><ms|s|m|h>"`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!(
                "{text:?} is no duration: write \"250ms\", \"20s\" or \"5m\""
            ));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no duration: the number does not fit"))
}

/// The shortest exact form of whole milliseconds.
pub(crate) fn print(duration: Duration) -> String {
    let ms = duration.as_millis();
    match [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(factor, _)| ms > 0 && ms.is_multiple_of(*factor))
    {
        Some((factor, unit)) => format!("{}{unit}", ms / factor),
        None => format!("{ms}ms"),
    }
}

/// For `#[serde(with = "crate::span")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// For `#[serde(with = "crate::span")]`.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&print(*duration))
}

/// For optional durations: `#[serde(with = "crate::span::option")]`.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    /// Reads a duration that is there.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text)
            .map(Some)
            .map_err(serde::de::Error::custom)
    }

    /// Writes the duration, or nothing.
    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, to),
            None => to.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        for ms in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse(&print(duration)), Ok(duration));
        }
    }

    #[test]
    fn a_number_without_unit_is_refused() {
        for text in [
            "20",
            "",
            "s",
            "1.5s",
            "-1s",
            "20 s",
            "99999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
