//! Finds the line of a key in a TOML file, for errors.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line (from 1) of the key `path`, such as `apps[0].keys[1]`, or of the
/// innermost part of it that the file has.
pub(super) fn line_of_key(text: &str, path: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.into_inner();
    let mut found = None;
    for part in path.split('.') {
        let (name, index) = split_index(part);
        let Some((key, value)) = take(&mut table, name) else {
            break;
        };
        found = Some(key);
        match descend(value, index) {
            Some((span, inner)) => {
                found = Some(span.max(key));
                match inner {
                    Some(inner) => table = inner,
                    None => break,
                }
            }
            None => break,
        }
    }
    found.map(|at| line_at(text, at))
}

/// The line (from 1) of a byte.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

fn split_index(part: &str) -> (&str, Option<usize>) {
    match part.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()),
        None => (part, None),
    }
}

fn take<'a>(table: &mut DeTable<'a>, name: &str) -> Option<(usize, Spanned<DeValue<'a>>)> {
    let (key, value) = table.remove_entry(name)?;
    Some((key.span().start, value))
}

/// Goes into an array's element, and into a table.
fn descend(
    value: Spanned<DeValue<'_>>,
    index: Option<usize>,
) -> Option<(usize, Option<DeTable<'_>>)> {
    let span = value.span().start;
    match (value.into_inner(), index) {
        (DeValue::Table(table), None) => Some((span, Some(table))),
        (DeValue::Array(array), Some(index)) => {
            let element = array.into_iter().nth(index)?;
            descend(element, None)
        }
        _ => Some((span, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[listen]
# a comment
public = \"x\"

[[apps]]
sdk_app_id = 1
[[apps]]
sdk_app_id = 2
keys = [
  \"a\",
  \"b\",
]
";

    #[test]
    fn keys_are_found_in_tables_and_arrays() {
        let cases = [
            ("listen.public", 3),
            ("listen.missing", 1),
            ("apps[1].sdk_app_id", 8),
            ("apps[0].sdk_app_id", 6),
            ("apps[1].keys[1]", 11),
        ];
        for (path, line) in cases {
            assert_eq!(line_of_key(TEXT, path), Some(line), "{path}");
        }
        assert_eq!(line_of_key(TEXT, "nothing.there"), None);
        assert_eq!(line_of_key("no = = toml", "no"), None);
    }
}
