//! What is wrong with a call before anybody looks at the command.

use std::time::Duration;

use livegate::auth::usersig::{Grant, issue, issue_v1};
use livegate::auth::{HmacKey, PrivateKey, SecretText};
use livegate::clock::{Unix, unix_now};
use livegate::id::{AppId, UserId};
use serde_json::json;
use tokio::net::TcpStream;

use crate::api::{Api, Site, post, sig, sig_at, verdict};
use crate::running::{APP, SECRET, Setup};

const LIST: &str = "group_open_http_svc/get_appid_group_list";
/// An app without a key, one with a v1 key.
const OTHERS: &str = "[[apps]]\nsdk_app_id = 8\nadmins = [\"administrator\"]\n\
    [[apps]]\nsdk_app_id = 9\nadmins = [\"administrator\"]\npublic_keys = [\"\"\"\n\
    -----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFZiH0d2yLl/EQM230LQcgrXv4+Tp\n\
    yXxwT3EB7JyH3+PVxUgfKjlD9/XeuEkVmA3JIzb7Fr0EY2goPJjv0rSsug==\n\
    -----END PUBLIC KEY-----\n\"\"\"]\n";
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQYFMApXjI+sDpmVr\n\
    pjEHatwhboBQ4ClhmATHqOpSrryhRANCAAQVmIfR3bIuX8RAzbfQtByCte/j5OnJ\n\
    fHBPcQHsnIff49XFSB8qOUP39d64SRWYDckjNvsWvQRjaCg8mO/StKy6\n\
    -----END PRIVATE KEY-----\n";

fn grant(app: u32, user: &UserId) -> Grant<'_> {
    Grant {
        app: AppId(app),
        user,
        issued_at: unix_now(),
        lifetime: Duration::from_secs(60),
        userbuf: None,
    }
}

#[tokio::test]
async fn a_signature_is_refused_with_the_code_for_what_is_wrong() {
    let site = Site::start_with(&Setup {
        app: OTHERS,
        ..Setup::default()
    })
    .await;
    let address = site.running.internal;
    let as_who = |app: u32, identifier: &str, sig: String| Api {
        address,
        app,
        identifier: identifier.into(),
        sig,
    };
    let admin = "administrator";
    let other_secret = "another-secret-of-tests-of-32-characters";
    let forged = sig_at(APP, admin, unix_now(), other_secret);
    let long_ago = Unix(unix_now().0 - 7_200_000);
    let ahead = Unix(unix_now().0 + 3_600_000);
    let good = sig(APP, admin);
    let cases = [
        (as_who(APP, admin, String::new()), 70002),
        (as_who(APP, admin, good[..20].into()), 70003),
        (as_who(7, admin, sig(7, admin)), 70020),
        (as_who(8, admin, sig(8, admin)), 70016),
        (as_who(APP, admin, sig(8, admin)), 70014),
        (as_who(APP, admin, sig(APP, "anna")), 70013),
        (as_who(APP, admin, forged), 70009),
        (
            as_who(APP, admin, sig_at(APP, admin, long_ago, SECRET)),
            70001,
        ),
        (as_who(APP, admin, sig_at(APP, admin, ahead, SECRET)), 70005),
        (as_who(APP, "anna", sig(APP, "anna")), 60010),
    ];
    for (api, code) in cases {
        assert_eq!(api.refused(LIST, &json!({})).await, code);
        // Who may not call learns nothing of what there is.
        assert_eq!(api.refused("no/such", &json!({})).await, code);
    }
    let user = UserId::new(admin).unwrap();
    let key = PrivateKey::from_pem(SecretText::new(PRIVATE).secret()).unwrap();
    let v1 = issue_v1(&key, &grant(9, &user)).unwrap();
    as_who(9, admin, v1).ok(LIST, &json!({})).await;
    let hmac = HmacKey::new(SecretText::new(SECRET).secret()).unwrap();
    let plain = issue(&hmac, &grant(APP, &user)).unwrap();
    // As a library writes it that uses the ordinary alphabet, unescaped.
    let plain = plain.replace('*', "+").replace('-', "/").replace('_', "=");
    as_who(APP, admin, plain).ok(LIST, &json!({})).await;
    site.stop().await;
}

#[tokio::test]
async fn a_url_and_a_body_are_refused_with_their_codes() {
    let site = Site::start().await;
    let api = &site.api;
    let good = api.query();
    let sig = &api.sig;
    for (query, code) in [
        (format!("identifier=administrator&usersig={sig}"), 60012),
        (
            format!("sdkappid=x&identifier=administrator&usersig={sig}"),
            60006,
        ),
        (format!("sdkappid={APP}&usersig={sig}"), 60004),
        (format!("sdkappid={APP}&identifier=administrator"), 70002),
        (good.replace("random=99999999", "random=some-uuid"), 0),
        (good.replace("&contenttype=json", ""), 0),
        (good.replace('*', "%2A"), 0),
    ] {
        let answer = api.raw(LIST, &query, b"{}").await;
        assert_eq!(answer["ErrorCode"], code, "{answer}");
    }
    for body in [
        "",
        "{",
        "[]",
        "7",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
        "{}x",
    ] {
        let answer = api.raw(LIST, &good, body.as_bytes()).await;
        assert_eq!(answer["ErrorCode"], 60003, "{body}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
    let answer = api.raw(LIST, &good, deep.as_bytes()).await;
    assert_eq!(answer["ErrorCode"], 60003);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let answer = api.raw(LIST, &good, large.as_bytes()).await;
    assert_eq!(answer["ErrorCode"], 60002);
    for path in ["", "x", "no/such", "group_open_http_svc/", "a/b/c"] {
        let answer = api.raw(path, &good, b"{}").await;
        assert_eq!(answer["ErrorCode"], 60009, "{path}");
    }
    let answer = api.raw(&LIST.to_uppercase(), &good, b"{}").await;
    assert_eq!(answer["ErrorCode"], 60009);
    site.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_at_the_deadline() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::start_with(&Setup {
        sections: "[internal.v4]\ndeadline = \"100ms\"\n",
        ..Setup::default()
    })
    .await;
    let head = format!(
        "POST /v4/{LIST}?{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: 100\r\n\r\n{{",
        site.api.query()
    );
    let mut stream = TcpStream::connect(site.running.internal).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(verdict(&answer)["ErrorCode"], 60008);
    site.stop().await;
}

#[tokio::test]
async fn any_content_type_will_do_and_no_other_method() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::start().await;
    let target = format!("/v4/{LIST}?{}", site.api.query());
    for (method, kind, code) in [
        ("POST", "application/x-www-form-urlencoded", 0),
        ("POST", "application/json; charset=utf-8", 0),
        ("POST", "text/html", 0),
        ("GET", "application/json", 60002),
        ("PUT", "application/json", 60002),
    ] {
        let mut stream = TcpStream::connect(site.running.internal).await.unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: {kind}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(verdict(&answer)["ErrorCode"], code, "{method} {kind}");
    }
    site.stop().await;
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::start().await;
    let target = format!("/v4/{LIST}?{}", site.api.query());
    let mut stream = TcpStream::connect(site.running.internal).await.unwrap();
    for _ in 0..3 {
        let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            answer.push(byte[0]);
        }
        assert_eq!(
            verdict(std::str::from_utf8(&answer).unwrap())["ErrorCode"],
            0
        );
    }
    site.stop().await;
}

#[tokio::test]
async fn calls_beyond_the_rate_are_refused_by_command() {
    let site = Site::start_with(&Setup {
        sections: "[internal.v4]\ncalls_per_second = 1\nbroadcasts_per_second = 1\n",
        ..Setup::default()
    })
    .await;
    let mut refused = 0;
    // A bucket of one fills once a second at most: of many calls some meet it
    // empty, however slow this machine is.
    while refused == 0 {
        let answer = site.api.call(LIST, &json!({})).await;
        refused = answer["ErrorCode"].as_i64().unwrap();
    }
    assert_eq!(refused, 60007);
    let made = json!({"Type": "AVChatRoom", "Name": "n"});
    site.api.ok("group_open_http_svc/create_group", &made).await;
    site.stop().await;
}

#[tokio::test]
async fn answers_are_counted_by_their_code() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::start().await;
    site.api.ok(LIST, &json!({})).await;
    for _ in 0..2 {
        site.api.refused("no/such", &json!({})).await;
    }
    let mut stream = TcpStream::connect(site.running.internal).await.unwrap();
    let head = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    for line in [
        "livegate_v4_answers_total{code=\"0\"} 1\n",
        "livegate_v4_answers_total{code=\"60009\"} 2\n",
    ] {
        assert!(page.contains(line), "{line}");
    }
    assert!(!page.contains("60010"));
    site.stop().await;
}

#[tokio::test]
async fn broadcasts_beyond_their_rate_are_refused() {
    let site = Site::start().await;
    let said = json!({"Random": 1, "MsgBody": crate::api::text("hi")});
    let mut refused = 0;
    while refused == 0 {
        let path = "group_open_http_svc/send_broadcast_msg";
        let answer = site.api.call(path, &said).await;
        refused = answer["ErrorCode"].as_i64().unwrap();
    }
    assert_eq!(refused, 10023);
    site.stop().await;
}

#[tokio::test]
async fn a_target_of_many_kinds_is_never_an_http_error() {
    let site = Site::start().await;
    for target in [
        "/v4",
        "/v4/",
        "/v4/%ff",
        "/v4/a/b?%ff=%zz&sdkappid",
        "/v4//",
    ] {
        let stream = TcpStream::connect(site.running.internal).await.unwrap();
        let answer = verdict(&post(stream, target, b"\xff").await);
        assert_eq!(answer["ActionStatus"], "FAIL", "{target}");
    }
    site.stop().await;
}
