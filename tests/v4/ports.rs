//! The internal port with TLS, with callers' certificates, and its description
//! of the API.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::api::{Api, Site, connector, post, secured, verdict};
use crate::running::{Running, Setup};

const LIST: &str = "group_open_http_svc/get_appid_group_list";

/// A certificate and its key in PEM.
struct Pem {
    cert: String,
    key: String,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(by: &CertifiedIssuer<'static, KeyPair>) -> Pem {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    Pem {
        cert: params.signed_by(&key, by).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

async fn metrics(api: &Api, connector: &TlsConnector) -> String {
    let mut stream = secured(connector, api.address).await.unwrap();
    let head = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// The code of an answer, or None when the port ends the connection.
async fn code(api: &Api, connector: &TlsConnector) -> Option<i64> {
    let mut stream = secured(connector, api.address).await.ok()?;
    let head = format!(
        "POST /v4/{LIST}?{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}",
        api.query()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = String::new();
    // A server that refuses a certificate may reset after the handshake.
    let _ = stream.read_to_string(&mut answer).await;
    if answer.is_empty() {
        return None;
    }
    verdict(&answer)["ErrorCode"].as_i64()
}

const TLS: &str = "[internal.tls]\ncert = \"in.pem\"\nkey = \"in.key\"\n";
const MUTUAL: &str =
    "[internal.tls]\ncert = \"in.pem\"\nkey = \"in.key\"\nclient_ca = \"backends.pem\"\n";

async fn start(sections: &'static str, ca: &str, own: &Pem) -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("in.pem", &own.cert);
    write("in.key", &own.key);
    write("backends.pem", ca);
    let setup = Setup {
        sections,
        ..Setup::default()
    };
    let public = "127.0.0.1:0".parse().unwrap();
    // The port is bound: who calls before it accepts waits in the backlog.
    let running = Running::start_unheard(&dir, &setup, public).await;
    (running, dir)
}

#[tokio::test]
async fn with_tls_plain_calls_get_nothing() {
    let ca = authority();
    let own = issued(&ca);
    let (running, _dir) = start(TLS, &ca.pem(), &own).await;
    let api = Api::new(running.internal);
    assert_eq!(code(&api, &connector(&ca.pem(), None)).await, Some(0));
    let mut plain = TcpStream::connect(api.address).await.unwrap();
    plain
        .write_all(b"POST /v4/x HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let (old, new) = (authority(), authority());
    let (running, dir) = start(TLS, &old.pem(), &issued(&old)).await;
    let api = Api::new(running.internal);
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let own = issued(&new);
    write("in.pem", "no certificate");
    running.reload();
    let refused = "certificate_reloads_total{result=\"error\"} 1";
    while !metrics(&api, &connector(&old.pem(), None))
        .await
        .contains(refused)
    {}
    assert_eq!(code(&api, &connector(&old.pem(), None)).await, Some(0));
    write("in.pem", &own.cert);
    write("in.key", &own.key);
    running.reload();
    // It is looked at behind the notice.
    while code(&api, &connector(&new.pem(), None)).await.is_none() {}
    assert_eq!(code(&api, &connector(&old.pem(), None)).await, None);
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn with_an_authority_only_its_callers_are_heard() {
    let (ca, strangers) = (authority(), authority());
    let (own, backend, stranger) = (issued(&ca), issued(&ca), issued(&strangers));
    let (running, _dir) = start(MUTUAL, &ca.pem(), &own).await;
    let api = Api::new(running.internal);
    let as_who = |pem: Option<&Pem>| {
        let shows = pem.map(|pem| (pem.cert.as_str(), pem.key.as_str()));
        connector(&ca.pem(), shows)
    };
    assert_eq!(code(&api, &as_who(Some(&backend))).await, Some(0));
    assert_eq!(code(&api, &as_who(None)).await, None);
    assert_eq!(code(&api, &as_who(Some(&stranger))).await, None);
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn the_api_describes_itself_and_each_path_is_a_command() {
    let site = Site::start().await;
    let mut stream = TcpStream::connect(site.running.internal).await.unwrap();
    let head = "GET /v4/openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"));
    let described: Value = serde_json::from_str(body).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.len() > 40);
    for (path, item) in paths {
        let schema = &item["post"]["responses"]["200"]["content"]["application/json"]["schema"];
        let known = schema["properties"].as_object().unwrap();
        let stream = TcpStream::connect(site.running.internal).await.unwrap();
        let target = format!("{path}?{}", site.api.query());
        let answer = verdict(&post(stream, &target, b"{}").await);
        assert_ne!(answer["ErrorCode"], 60009, "{path}");
        for field in answer.as_object().unwrap().keys() {
            assert!(known.contains_key(field), "{path}: {field}");
        }
    }
    site.stop().await;
}
