//! Habits of the sources that no lint of the compiler holds.
//!
//! The properties: only `clock.rs` reads a clock; nothing on the fan-out path
//! awaits; no file grows beyond what can be read at once; every module says
//! what it owns; no name of a key, a signature or a body stands in a log line.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, without its tests.
const MOST_LINES: usize = 600;

#[test]
fn only_the_clock_reads_a_clock() {
    let reads = [
        "Instant::now(",
        "SystemTime::now(",
        "SystemTime::UNIX_EPOCH",
        "OffsetDateTime::now",
    ];
    let wrong = offending(&["src"], |file, line| {
        file != Path::new("src/clock.rs") && reads.iter().any(|read| line.contains(read))
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nothing_on_the_fan_out_path_awaits() {
    // What awaits in a shard: its loop with its readers, and the reaper of QUIC.
    let may = ["src/shard/run.rs", "src/shard/quic.rs"].map(Path::new);
    let path = ["src/shard", "src/rooms/core", "src/rooms/live"];
    let wrong = offending(&path, |file, line| {
        !may.contains(&file) && (line.contains(".await") || line.contains("async "))
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_log_line_names_no_secret_and_no_body() {
    let logs = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
    let secrets = [
        "user_sig",
        "usersig",
        "secret",
        "api_key",
        "private_key",
        "expose_secret",
    ];
    let wrong = offending(&["src", "client/src"], |_, line| {
        logs.iter().any(|log| line.contains(log)) && secrets.iter().any(|word| line.contains(word))
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let mut wrong = Vec::new();
    for (file, text) in sources(&["src", "client/src", "loadtest/src", "proto/src"]) {
        let lines = without_tests(&file, &text).lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let all = sources(&["src", "client/src", "loadtest/src", "proto/src", "tests"]);
    let silent: Vec<String> = all
        .iter()
        .filter(|(file, text)| !text.starts_with("//! ") && !is_unit_tests(file))
        .map(|(file, _)| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no head in {}", silent.join(", "));
}

#[test]
fn no_module_is_a_drawer() {
    let drawers = [
        "util", "utils", "common", "helper", "helpers", "manager", "misc",
    ];
    for (file, _) in sources(&["src", "client/src", "loadtest/src", "proto/src"]) {
        for part in file.with_extension("").components() {
            let name = part.as_os_str().to_str().unwrap();
            assert!(!drawers.contains(&name), "{}", file.display());
        }
    }
}

#[test]
fn documents_name_files_and_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code: String = sources(&["src", "client", "loadtest/src", "proto", "tests"])
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let mut wrong = Vec::new();
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for named in text.split('`').skip(1).step_by(2) {
            let is_file = named.contains('/')
                && [".rs", ".toml", ".md"]
                    .iter()
                    .any(|end| named.ends_with(end));
            if is_file && !named.contains(['*', ' ', 'N']) && !root.join(named).exists() {
                wrong.push(format!("{page}: no file {named}"));
            }
            let is_test =
                named.matches('_').count() >= 3 && !named.contains(['.', '/', '{', '=', ' ']);
            if is_test && !code.contains(&format!("fn {named}(")) {
                wrong.push(format!("{page}: no test {named}"));
            }
        }
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if !link.contains("://") && !root.join(link).exists() {
                wrong.push(format!("{page}: no file {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Lines outside tests for which `is_wrong` holds, as `file:line: text`.
fn offending(folders: &[&str], is_wrong: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, text) in sources(folders) {
        for (n, line) in without_tests(&file, &text).lines().enumerate() {
            let comment = line.trim_start().starts_with("//");
            if !comment && is_wrong(&file, line) {
                wrong.push(format!("{}:{}: {}", file.display(), n + 1, line.trim()));
            }
        }
    }
    wrong
}

/// What stands before the tests of a file; nothing of a file of tests.
fn without_tests<'a>(file: &Path, text: &'a str) -> &'a str {
    let is_tests = |part: &str| part == "tests.rs" || part == "tests";
    let mut parts = file
        .components()
        .map(|part| part.as_os_str().to_str().unwrap());
    if parts.any(is_tests) {
        return "";
    }
    text.split_once("#[cfg(test)]\nmod tests {")
        .map_or(text, |(before, _)| before)
}

/// Whether the file holds the tests of the module beside it.
fn is_unit_tests(file: &Path) -> bool {
    let in_sources = file.components().any(|part| part.as_os_str() == "src");
    let is_tests = |part: &std::ffi::OsStr| part == "tests.rs" || part == "tests";
    in_sources && file.components().any(|part| is_tests(part.as_os_str()))
}

/// Every Rust file under `folders`, by its path from the root.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}
