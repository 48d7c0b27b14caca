//! The contract keeps to buf's STANDARD rules, checked without buf.
//!
//! The property: packages are versioned and lie in their own folders; enums
//! begin with an unspecified value and prefix their values; services and the
//! messages of their calls are named by the rule; fields and oneofs are in
//! lower_snake_case. A generated client of another language depends on it.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_contract_keeps_the_standard_rules() {
    let mut wrong = Vec::new();
    let files = protos();
    assert!(!files.is_empty());
    for (file, text) in files {
        for complaint in lint(&file, &text) {
            wrong.push(format!("{}: {complaint}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_rule_complains() {
    let text = "syntax = \"proto3\";\npackage livegate.client;\n\
        enum CloseCode {\n CLOSE_CODE_KICKED = 0;\n SLOW = 1;\n}\n\
        message push_it {\n string roomId = 1;\n oneof Body {\n Text text = 2;\n }\n}\n\
        service Backend {\n rpc GetRoom(RoomQuery) returns (GetRoomResponse);\n}\n";
    let found = lint(Path::new("livegate/backend/v1/x.proto"), text);
    let expected = [
        "package `livegate.client` has no version",
        "package `livegate.client` is not the folder's",
        "enum CloseCode: CLOSE_CODE_KICKED is 0, which is CLOSE_CODE_UNSPECIFIED's",
        "enum CloseCode: SLOW lacks the prefix CLOSE_CODE_",
        "message push_it is not in PascalCase",
        "field roomId is not in lower_snake_case",
        "oneof Body is not in lower_snake_case",
        "service Backend lacks the suffix Service",
        "rpc GetRoom takes RoomQuery, not GetRoomRequest",
    ];
    assert_eq!(found, expected);
}

fn lint(file: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut inside: Vec<(String, String)> = Vec::new();
    for line in text
        .lines()
        .map(|line| line.split("//").next().unwrap().trim())
    {
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || "(){};=".contains(c))
            .filter(|word| !word.is_empty() && *word != "stream")
            .collect();
        let block = inside
            .last()
            .map(|(kind, name)| (kind.as_str(), name.as_str()));
        match (words.as_slice(), block) {
            (["package", name], _) => package(file, name, &mut wrong),
            (["message", name, ..], _) if !is_pascal(name) => {
                wrong.push(format!("message {name} is not in PascalCase"));
            }
            (["oneof", name, ..], _) if !is_snake(name) => {
                wrong.push(format!("oneof {name} is not in lower_snake_case"));
            }
            (["service", name, ..], _) if !name.ends_with("Service") => {
                wrong.push(format!("service {name} lacks the suffix Service"));
            }
            (["rpc", name, request, "returns", response, ..], _) => {
                call(name, request, response, &mut wrong);
            }
            ([value, number], Some(("enum", name))) => enum_value(name, value, number, &mut wrong),
            ([.., field, number], Some(("message" | "oneof", _)))
                if number.parse::<u32>().is_ok() && !is_snake(field) =>
            {
                wrong.push(format!("field {field} is not in lower_snake_case"));
            }
            _ => {}
        }
        if line.ends_with('{') {
            inside.push((
                words[0].to_owned(),
                (*words.get(1).unwrap_or(&"")).to_owned(),
            ));
        } else if line.starts_with('}') {
            inside.pop();
        }
    }
    wrong
}

fn package(file: &Path, name: &str, wrong: &mut Vec<String>) {
    let version = name.rsplit('.').next().unwrap();
    let number = version
        .strip_prefix('v')
        .and_then(|n| n.parse::<u32>().ok());
    if number.is_none() {
        wrong.push(format!("package `{name}` has no version"));
    }
    if Path::new(&name.replace('.', "/")) != file.parent().unwrap() {
        wrong.push(format!("package `{name}` is not the folder's"));
    }
}

fn enum_value(name: &str, value: &str, number: &str, wrong: &mut Vec<String>) {
    let prefix = upper_snake(name);
    if !value.starts_with(&prefix) {
        wrong.push(format!("enum {name}: {value} lacks the prefix {prefix}"));
    }
    let unspecified = format!("{prefix}UNSPECIFIED");
    if number == "0" && value != unspecified {
        wrong.push(format!(
            "enum {name}: {value} is 0, which is {unspecified}'s"
        ));
    }
}

fn call(name: &str, request: &str, response: &str, wrong: &mut Vec<String>) {
    if request != format!("{name}Request") {
        wrong.push(format!("rpc {name} takes {request}, not {name}Request"));
    }
    if response != format!("{name}Response") {
        wrong.push(format!("rpc {name} answers {response}, not {name}Response"));
    }
}

/// `CLOSE_CODE_` for `CloseCode`.
fn upper_snake(name: &str) -> String {
    let mut prefix = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_uppercase());
    }
    prefix + "_"
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_')
}

fn is_snake(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed)
}

/// Every file of the contract, by its path as imports write it.
fn protos() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut left = vec![root.join("livegate")];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|kind| kind == "proto") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}
