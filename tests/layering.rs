//! Modules see each other in one direction only.
//!
//! The property: a module of the server names only modules of lower layers.
//! What must go up goes as a value on a stream that its owner polls. Modules
//! of one layer do not see each other.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. `livegate_proto` lies below all of them.
const LAYERS: &[&[&str]] = &[
    &["id", "clock", "telemetry"],
    &["event"],
    &["auth", "liveness", "dispatch"],
    &["engine"],
    &["callback"],
    &["online", "rooms", "directory"],
    &["actions"],
    &["session", "backend"],
    &["shard"],
    &["gateway"],
    &["console"],
    &["config"],
    &["server"],
    &["cli", "main"],
];

#[test]
fn a_module_names_only_modules_of_lower_layers() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let Some(own) = layer(&module) else {
            wrong.push(format!(
                "{}: module `{module}` is in no layer",
                file.display()
            ));
            continue;
        };
        for (line, named) in named_modules(&file, &text) {
            match layer(&named) {
                _ if named == module => {}
                Some(other) if other < own => {}
                Some(_) => wrong.push(format!(
                    "{}:{line}: `{module}` may not see `{named}`",
                    file.display()
                )),
                None => wrong.push(format!(
                    "{}:{line}: `{named}` is no module in a layer",
                    file.display()
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn paths_are_found_in_every_form_that_rust_has() {
    let text = r#"
use crate::id::{RoomKey, UserKey};
use crate::{clock, rooms::{log, core::Core}, dispatch::Dispatch};
fn f() -> crate::event::EndReason { super::super::online::find() }
#[serde(with = "crate::liveness::span")]
// crate::server is only spoken of
mod tests { use super::super::*; }
"#;
    let found: Vec<String> = named_modules(Path::new("src/rooms/log.rs"), text)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    let expected = [
        "id", "clock", "rooms", "dispatch", "event", "online", "liveness",
    ];
    assert_eq!(found, expected);
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every source file of the server crate, by its path from the root.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_owned(), text);
            }
        }
    }
    assert!(
        found.len() > 10,
        "the sources are not where this test looks"
    );
    found
}

/// `rooms` for `src/rooms/log.rs`, `online` for `src/online.rs`.
fn module_of(file: &Path) -> String {
    let first = file.components().nth(1).unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// How many modules deep the file's own module lies below the crate's root.
fn depth(file: &Path) -> usize {
    let below_src = file.components().count() - 1;
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        below_src - 1
    } else {
        below_src
    }
}

/// The top modules that `text` names, each with its line.
fn named_modules(file: &Path, text: &str) -> Vec<(usize, String)> {
    let code: String = text
        .split_inclusive('\n')
        .map(|line| match line.find("//") {
            Some(at) if !line[..at].contains('"') => format!("{}\n", &line[..at]),
            _ => line.to_owned(),
        })
        .collect();
    let from_root = [
        ("crate::".to_owned(), true),
        ("super::".repeat(depth(file)), false),
    ];
    let mut found = Vec::new();
    for (prefix, certain) in from_root {
        for (at, _) in code.match_indices(&prefix) {
            let before = code[..at].chars().next_back();
            let inside_path = before.is_some_and(|c| c == ':' || c.is_alphanumeric() || c == '_');
            if inside_path {
                continue;
            }
            let line = code[..at].lines().count().max(1);
            let names = heads(&code[at + prefix.len()..]).into_iter();
            // From within `mod tests` the same `super`s end one module earlier.
            let names = names.filter(|name| certain || layer(name).is_some());
            found.extend(names.map(|name| (at, line, name)));
        }
    }
    found.sort_by_key(|(at, _, _)| *at);
    found
        .into_iter()
        .map(|(_, line, name)| (line, name))
        .collect()
}

/// The first names of the path or of the braced paths at the beginning of
/// `rest`. Names of items at the root (macros, constants) do not occur: the
/// crate has none.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(braced) = rest.strip_prefix('{') else {
        return Some(name(rest))
            .filter(|name| !name.is_empty())
            .into_iter()
            .collect();
    };
    let mut heads = vec![name(braced)];
    let mut open = 1;
    for (at, c) in braced.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => heads.push(name(&braced[at + 1..])),
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}
