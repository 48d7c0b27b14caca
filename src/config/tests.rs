use std::fs;
use std::path::PathBuf;

use toml::{Table, Value};

use super::*;

struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("livegate.toml");
    fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    read_with(text, &[], Vec::new())
}

fn read_with(
    text: &str,
    env: &[(&str, &str)],
    flags: Vec<Override>,
) -> Result<Config, ConfigError> {
    let file = file(text);
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load(Ground::File(&file.path), env, flags).map(|loaded| loaded.config)
}

/// What the operator is told, the directory left out.
fn told(result: Result<Config, ConfigError>) -> String {
    let told = result.unwrap_err().to_string();
    match told.find("livegate.toml") {
        Some(at) => told[at..].to_owned(),
        None => told,
    }
}

/// `serde`'s view of a configuration, without what differs by nature.
fn plain(config: &Config) -> Table {
    let Value::Table(table) = Value::try_from(config).unwrap() else {
        unreachable!("a struct is a table");
    };
    table
}

#[test]
fn the_sample_is_equal_to_the_defaults() {
    let sample: Config = toml::from_str(SAMPLE).unwrap();
    assert_eq!(sample, Config::default());
}

/// Every key of `table`, dotted.
fn keys(table: &Table, prefix: &str, out: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => keys(inner, &format!("{path}."), out),
            _ => out.push(path),
        }
    }
}

#[test]
fn the_sample_has_every_key_with_a_comment_above() {
    let mut missing = Vec::new();
    let mut wanted = Vec::new();
    keys(&plain(&Config::default()), "", &mut wanted);
    // Apps are tables of their own.
    wanted.retain(|key| !key.ends_with("apps"));
    let lines: Vec<&str> = SAMPLE.lines().collect();
    for key in wanted {
        let line = locate::line_of_key(SAMPLE, &key);
        let name = key.rsplit('.').next().unwrap();
        let there = line.filter(|line| lines[line - 1].starts_with(&format!("{name} = ")));
        match there {
            Some(line) if lines[line - 2].starts_with('#') => {}
            Some(_) | None => missing.push(key),
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_samples_app_is_one_that_works_when_uncommented() {
    let at = SAMPLE.find("#[[apps]]").expect("a commented app");
    let app: Vec<_> = SAMPLE[at..]
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .collect();
    let config: Config = toml::from_str(&app.join("\n")).unwrap();
    assert_eq!(config.apps[0].sdk_app_id, 1_400_000_000);
    let mut given = Vec::new();
    keys(&plain(&config), "", &mut given);
    let mut known = App {
        callback: Some(Callback {
            ca_file: Some(PathBuf::new()),
            ..Callback::default()
        }),
        ..App::default()
    };
    known.sdk_app_id = 1;
    let Value::Table(known) = Value::try_from(known).unwrap() else {
        unreachable!("a struct is a table");
    };
    let mut wanted = Vec::new();
    keys(&known, "", &mut wanted);
    for key in wanted {
        let name = format!("{} = ", key.rsplit('.').next().unwrap());
        assert!(SAMPLE[at..].contains(&name), "{key}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    let told = told(read("[listen]\ntcp = true\npublik = \"0.0.0.0:1\"\n"));
    assert_eq!(
        told,
        "livegate.toml:3: listen.publik: unknown key; did you mean `listen.public`?"
    );
}

#[test]
fn mistakes_are_told_with_file_line_and_key() {
    let cases = [
        (
            "[lisen]\n",
            "livegate.toml:1: lisen: unknown key; did you mean `listen`?",
        ),
        (
            "\n[listen]\ntcp = \"yes\"\n",
            "livegate.toml:3: listen.tcp: invalid type",
        ),
        (
            "[session]\nmax_rooms = -1\n",
            "livegate.toml:2: session.max_rooms: ",
        ),
        (
            "[gateway]\nlogin_deadline = \"5\"\n",
            "livegate.toml:2: gateway.login_deadline: \"5\" is no duration",
        ),
        ("[listen\n", "livegate.toml:1: "),
        (
            "[listen]\npublic = \"nowhere\"\n",
            "livegate.toml:2: listen.public: ",
        ),
        (
            "[session]\nmax_rooms = 0\n",
            "livegate.toml:2: session.max_rooms: must be at least 1",
        ),
        (
            "[internal]\nbind = \"0.0.0.0:80\"\n",
            "livegate.toml:2: internal.bind: ",
        ),
        (
            "[[apps]]\nadmins = []\n",
            "livegate.toml:1: apps[0].sdk_app_id: must be",
        ),
        (
            "[[apps]]\nsdk_app_id = 7\n[[apps]]\nsdk_app_id = 7\n",
            "livegate.toml:4: apps[1].sdk_app_id: another app",
        ),
        (
            "[[auth.apps]]\nsdk_app_id = 7\n",
            "livegate.toml:1: auth.apps: apps are tables",
        ),
        (
            "[[apps]]\nsdk_app_id = 7\nkey = \"x\"\n",
            "livegate.toml:3: apps[0].key: unknown key; did you mean `apps[0].keys`?",
        ),
        ("[log]\nfilter = \"=,=\"\n", "livegate.toml:2: log.filter: "),
    ];
    for (text, expected) in cases {
        let told = told(read(text));
        assert!(told.starts_with(expected), "{text:?} gives {told:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = load(Ground::File(Path::new("no/such.toml")), [], Vec::new());
    let told = missing.unwrap_err().to_string();
    assert!(told.starts_with("no/such.toml: cannot be read: "), "{told}");
}

#[test]
fn the_environment_is_laid_over_the_file_and_flags_over_both() {
    let text = "[listen]\npublic = \"127.0.0.1:1\"\ntcp = false\n";
    let env = [
        ("LIVEGATE__LISTEN__PUBLIC", "127.0.0.1:2"),
        ("LIVEGATE__LISTEN__BACKLOG", "77"),
        ("LIVEGATE__GATEWAY__LOGIN_DEADLINE", "2s"),
        ("LIVEGATE__LOG__FILTER", "debug"),
        ("OTHER__LISTEN__TCP", "true"),
    ];
    let config = read_with(text, &env, Vec::new()).unwrap();
    assert_eq!(config.listen.public.port(), 2);
    assert_eq!((config.listen.tcp, config.listen.backlog), (false, 77));
    assert_eq!(config.gateway.login_deadline, Duration::from_secs(2));
    assert_eq!(config.log.filter, "debug");
    let flags = vec![Override::flag("--public", "listen.public", "127.0.0.1:3")];
    let config = read_with(text, &env, flags).unwrap();
    assert_eq!(config.listen.public.port(), 3);
}

#[test]
fn whoever_sets_a_wrong_value_is_blamed() {
    let env = [("LIVEGATE__LISTEN__PUBLIK", "127.0.0.1:2")];
    assert_eq!(
        told(read_with("", &env, Vec::new())),
        "environment variable LIVEGATE__LISTEN__PUBLIK: listen.publik: unknown key; \
         did you mean `listen.public`?"
    );
    let env = [("LIVEGATE__SESSION__MAX_ROOMS", "0")];
    let by_env = told(read_with("[session]\nmax_rooms = 5\n", &env, Vec::new()));
    assert!(by_env.starts_with("environment variable LIVEGATE__SESSION__MAX_ROOMS: "));
    let flags = vec![Override::flag("--public", "listen.public", "here")];
    let by_flag = told(read_with("", &[], flags));
    assert!(
        by_flag.starts_with("--public: listen.public: "),
        "{by_flag}"
    );
}

#[test]
fn secrets_may_come_by_the_environment_and_are_not_told() {
    let secret = "0123456789abcdef0123456789abcdef";
    let text = "[[apps]]\nsdk_app_id = 7\nkeys = [\"\"]\n";
    let env = [("LIVEGATE__APPS__0__KEYS__0", secret)];
    let config = read_with(text, &env, Vec::new()).unwrap();
    assert_eq!(config.apps[0].keys, [SecretText::new(secret)]);
    let wrong = [("LIVEGATE__APPS__0__KEYS", secret)];
    let error = read_with(text, &wrong, Vec::new()).unwrap_err();
    assert!(!error.to_string().contains(secret), "{error}");
}

#[test]
fn development_mode_stays_on_this_machine() {
    let dev = |flags| load(Ground::Dev, [], flags).map(|loaded| loaded.config);
    let config = dev(Vec::new()).unwrap();
    assert_eq!(config.apps[0].sdk_app_id, 1_400_000_000);
    assert_eq!(config.apps[0].admins, ["administrator"]);
    assert!(config.listen.public.ip().is_loopback());
    assert!(config.gateway.exempt_loopback);
    let flags = vec![Override::flag("--public", "listen.public", "0.0.0.0:7443")];
    let told = told(dev(flags));
    assert!(
        told.starts_with("--public: listen.public: development mode listens on loopback"),
        "{told}"
    );
}

#[test]
fn relative_paths_start_at_the_file() {
    let file = file("[engine]\ndir = \"state\"\n");
    let loaded = load(Ground::File(&file.path), [], Vec::new()).unwrap();
    assert_eq!(loaded.config.engine.dir, file.path.with_file_name("state"));
    assert_eq!(loaded.base, file.path.parent().unwrap());
}
