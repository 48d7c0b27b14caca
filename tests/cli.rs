//! The command line keeps its promises to scripts: exit codes, and answers on
//! stdout.

use std::process::{Command, Output};

use serde_json::{Value, json};

const APP: &str = "1400000000";
const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

fn livegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livegate"))
        .args(args)
        .output()
        .expect("the binary starts")
}

#[test]
fn version_and_help_are_answers() {
    let version = livegate(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let expected = concat!("livegate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);

    let help = livegate(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(!help.stdout.is_empty());
}

#[test]
fn bad_arguments_exit_64_and_answer_nothing() {
    for args in [&[][..], &["--nonsense"], &["nonsense"]] {
        let refused = livegate(args);
        assert_eq!(refused.status.code(), Some(64), "{args:?}");
        assert!(refused.stdout.is_empty(), "{args:?}");
        assert!(!refused.stderr.is_empty(), "{args:?}");
    }
}

/// The signature that `usersig issue` prints for alice, with more arguments.
fn issued(more: &[&str]) -> String {
    let args = ["usersig", "issue", "--app", APP, "--user", "alice"];
    let done = livegate(&[&args[..], more].concat());
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let text = String::from_utf8(done.stdout).expect("ASCII");
    text.strip_suffix('\n').expect("one line").to_owned()
}

/// The exit code and the one JSON object of `usersig verify`.
fn verdict(more: &[&str]) -> (Option<i32>, Value) {
    let done = livegate(&[&["usersig", "verify", "--app", APP], more].concat());
    let answer = serde_json::from_slice(&done.stdout);
    (done.status.code(), answer.expect("one JSON object"))
}

#[test]
fn an_issued_signature_verifies_for_its_user_and_no_other() {
    let sig = issued(&["--key", KEY, "--expire", "3600", "--userbuf", "YWJj"]);
    let (code, answer) = verdict(&["--key", KEY, "--user", "alice", &sig]);
    assert_eq!(code, Some(0));
    let expires_at = answer["expires_at"].as_u64().unwrap();
    let expected = json!({"valid": true, "identifier": "alice", "expires_at": expires_at});
    assert_eq!(answer, expected);

    let (code, answer) = verdict(&["--key", KEY, "--user", "bob", &sig]);
    assert_eq!((code, &answer["code"]), (Some(1), &json!(70013)));

    let end = expires_at.to_string();
    let (code, answer) = verdict(&["--key", KEY, "--at", &end, &sig]);
    assert_eq!(code, Some(1));
    let expected = json!({"valid": false, "code": 70001, "error": "signature expired"});
    assert_eq!(answer, expected);
}

#[test]
fn the_printed_verdict_has_its_keys_in_order() {
    let vectors = include_str!("data/usersig-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let sig = vectors["v2"][0]["sig"].as_str().unwrap();
    let args = [
        "usersig",
        "verify",
        "--app",
        APP,
        "--key",
        KEY,
        "--at",
        "1700000060",
    ];
    let done = livegate(&[&args[..], &[sig]].concat());
    let expected = "{\"valid\":true,\"identifier\":\"xiaojun\",\"expires_at\":1715552000}\n";
    assert_eq!(String::from_utf8(done.stdout).unwrap(), expected);
}

#[test]
fn an_empty_signature_is_an_answer_and_no_usage_error() {
    let (code, answer) = verdict(&["--key", KEY, ""]);
    assert_eq!((code, &answer["code"]), (Some(1), &json!(70002)));
}

#[test]
fn a_key_pair_makes_and_checks_version_1() {
    let vectors = include_str!("data/usersig-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for vector in vectors["v1"].as_array().unwrap() {
        let file = |name: &str, key: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, vector[key].as_str().unwrap()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let private = file("private.pem", "private_key_pem");
        let public = file("public.pem", "public_key_pem");
        let sig = issued(&["--private-key", &private]);
        let (code, answer) = verdict(&["--public-key", &public, "--user", "alice", &sig]);
        assert_eq!(code, Some(0), "{answer}");
        let (_, answer) = verdict(&["--key", KEY, &sig]);
        assert_eq!(answer["code"], json!(70016), "the key says the version");
    }
}

#[test]
fn bad_arguments_of_usersig_exit_64_and_show_no_key() {
    let issue = ["usersig", "issue", "--app", APP];
    let verify = ["usersig", "verify", "--app", APP];
    let cases: [(&[&str], &[&str]); 9] = [
        (&issue, &["--user", "a"]),
        (&issue, &["--key", KEY]),
        (&issue, &["--key", KEY, "--user", "a\nb"]),
        (&issue, &["--key", KEY, "--user", "a", "--userbuf", "YQ"]),
        (&issue, &["--key", KEY, "--user", "a", "--expire", "-1"]),
        (&issue, &["--key", "with space 5bd2850f", "--user", "a"]),
        (&verify, &["--key", KEY]),
        (&verify, &["x"]),
        (&verify, &["--public-key", "/nowhere/key.pem", "x"]),
    ];
    for (command, more) in cases {
        let refused = livegate(&[command, more].concat());
        assert_eq!(refused.status.code(), Some(64), "{more:?}");
        assert!(refused.stdout.is_empty(), "{more:?}");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!said.is_empty() && !said.contains("5bd2850f"), "{said}");
    }
}
