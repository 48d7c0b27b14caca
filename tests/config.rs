//! A configuration error names the file, the line and the key, and exits 78
//! before anything is bound or written; certificates are made and checked from
//! the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn livegate(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livegate"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory with a certificate and a configuration.
fn directory(config: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let made = livegate(dir.path(), &["certs"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    fs::write(dir.path().join("livegate.toml"), config).expect("written");
    dir
}

#[test]
fn the_sample_is_printed_and_can_be_used_as_it_is() {
    let dir = directory("");
    let sample = livegate(dir.path(), &["config", "default"]);
    assert_eq!(sample.status.code(), Some(0));
    assert_eq!(sample.stdout, include_bytes!("../livegate.toml"));
    fs::write(dir.path().join("livegate.toml"), &sample.stdout).expect("written");
    let check = livegate(dir.path(), &["config", "check", "livegate.toml"]);
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
}

#[test]
fn a_mistake_is_told_with_its_place_and_exits_78() {
    let weak = "[[apps]]\nsdk_app_id = 7\nkeys = [\"hunter2hunter2\"]\n";
    let cases = [
        (
            "[listen]\npublik = \"0.0.0.0:1\"\n",
            "livegate: livegate.toml:2: listen.publik: unknown key; did you mean `listen.public`?\n",
        ),
        (
            weak,
            "livegate: livegate.toml:3: apps[0].keys[0]: secret of fewer",
        ),
        (
            "[tls]\ncert = \"none.pem\"\n",
            "livegate: livegate.toml:2: tls.cert: cannot read none.pem: ",
        ),
        (
            "[internal.tls]\ncert = \"none.pem\"\n",
            "livegate: livegate.toml:2: internal.tls.cert: cannot read none.pem: ",
        ),
        (
            "[internal]\nbind = \"0.0.0.0:0\"\n",
            "livegate: livegate.toml:2: internal.bind: is an address that other machines reach",
        ),
        (
            "[[apps]]\nsdk_app_id = 7\n[apps.callback]\nurl = \"ftp://x\"\nsecrets = [\"0123456789abcdef\"]\n",
            "livegate: livegate.toml:4: apps[0].callback.url: ",
        ),
    ];
    for (config, expected) in cases {
        let dir = directory(config);
        for args in [&["config", "check", "livegate.toml"][..], &["serve"]] {
            let refused = livegate(dir.path(), args);
            let told = stderr(&refused);
            assert_eq!(refused.status.code(), Some(78), "{args:?}: {told}");
            assert!(told.starts_with(expected), "{args:?}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
            assert!(refused.stdout.is_empty(), "{args:?}");
        }
        assert!(!dir.path().join("data").exists(), "nothing was written");
    }
}

#[test]
fn serving_without_a_configuration_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = livegate(dir.path(), &["serve"]);
    assert_eq!(refused.status.code(), Some(78));
    let told = stderr(&refused);
    assert!(told.contains("livegate.toml: cannot be read"), "{told}");
    let both = livegate(dir.path(), &["serve", "--dev", "--config", "x.toml"]);
    assert_eq!(both.status.code(), Some(64), "{}", stderr(&both));
}

#[test]
fn development_mode_binds_nothing_but_loopback() {
    let dir = tempfile::tempdir().expect("a directory");
    for flag in ["--public", "--internal"] {
        let refused = livegate(dir.path(), &["serve", "--dev", flag, "0.0.0.0:0"]);
        assert_eq!(refused.status.code(), Some(78));
        let told = stderr(&refused);
        assert!(told.starts_with(&format!("livegate: {flag}: ")), "{told}");
    }
    let left = fs::read_dir(dir.path()).expect("readable").count();
    assert_eq!(left, 0, "nothing was written");
}

#[test]
fn certificates_are_not_replaced_unless_forced() {
    let dir = directory("");
    let cert = dir.path().join("certs/livegate.pem");
    let first = fs::read(&cert).expect("a certificate");
    let again = livegate(dir.path(), &["certs"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("--force"));
    assert_eq!(fs::read(&cert).expect("a certificate"), first);
    let forced = livegate(dir.path(), &["certs", "--force", "--name", "live.test"]);
    assert_eq!(forced.status.code(), Some(0));
    assert_ne!(fs::read(&cert).expect("a certificate"), first);
    let bad = livegate(dir.path(), &["certs", "--force", "--name", "no name"]);
    assert_eq!(bad.status.code(), Some(1), "{}", stderr(&bad));
}
