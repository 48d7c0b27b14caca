//! The command line keeps its promises to scripts: exit codes, and answers on
//! stdout.

use std::process::{Command, Output};

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
