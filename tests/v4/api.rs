//! A backend that calls the API as simple libraries do: HTTP/1.1, a connection
//! a call, no content type.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use livegate::auth::HmacKey;
use livegate::auth::SecretText;
use livegate::auth::usersig::{Grant, issue};
use livegate::clock::{Unix, unix_now};
use livegate::id::{AppId, UserId};
use livegate_client::TransportPreference;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::people::{Login, Person};
use crate::running::{APP, CERT, Running, SECRET, Setup};

/// Over what the people of these tests connect.
pub(crate) const OVER: TransportPreference = TransportPreference::Tls;

/// A gateway, and an admin who calls it.
pub(crate) struct Site {
    pub(crate) running: Running,
    pub(crate) api: Api,
    dir: TempDir,
}

impl Site {
    /// The certificate of its public port, in PEM.
    pub(crate) fn certificate(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(CERT)).unwrap()
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(&Setup::default()).await
    }

    pub(crate) async fn start_with(setup: &Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start(&dir, setup).await;
        let api = Api::new(running.internal);
        Self { running, api, dir }
    }

    /// A person who is logged in.
    pub(crate) async fn person(&self, user: &'static str) -> Person {
        Login::new(user, OVER).connect(&self.running).await
    }

    /// A live room of this name.
    pub(crate) async fn room(&self, id: &str) {
        let made = json!({"Type": "AVChatRoom", "Name": "n", "GroupId": id});
        self.api.ok("group_open_http_svc/create_group", &made).await;
    }

    pub(crate) async fn stop(self) {
        self.running.stop();
        self.running.stopped().await;
    }
}

/// Who calls, and where.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) app: u32,
    pub(crate) identifier: String,
    pub(crate) sig: String,
}

/// A signature of `user` in `app`, issued at `at`.
pub(crate) fn sig_at(app: u32, user: &str, at: Unix, secret: &str) -> String {
    let key = HmacKey::new(SecretText::new(secret).secret()).unwrap();
    let grant = Grant {
        app: AppId(app),
        user: &UserId::new(user).unwrap(),
        issued_at: at,
        lifetime: Duration::from_secs(3_600),
        userbuf: None,
    };
    issue(&key, &grant).unwrap()
}

pub(crate) fn sig(app: u32, user: &str) -> String {
    sig_at(app, user, unix_now(), SECRET)
}

impl Api {
    /// The admin of the tests' app.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::of(address, APP)
    }

    /// The admin of an app.
    pub(crate) fn of(address: SocketAddr, app: u32) -> Self {
        Self {
            address,
            app,
            identifier: "administrator".into(),
            sig: sig(app, "administrator"),
        }
    }

    pub(crate) fn query(&self) -> String {
        format!(
            "sdkappid={}&identifier={}&usersig={}&random=99999999&contenttype=json",
            self.app, self.identifier, self.sig
        )
    }

    /// What `path` answers to `body`, which must be HTTP 200 with the three
    /// fields.
    pub(crate) async fn call(&self, path: &str, body: &Value) -> Value {
        self.raw(path, &self.query(), body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn raw(&self, path: &str, query: &str, body: &[u8]) -> Value {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let target = format!("/v4/{path}?{query}");
        verdict(&post(stream, &target, body).await)
    }

    /// The same, which must be done.
    pub(crate) async fn ok(&self, path: &str, body: &Value) -> Value {
        let answer = self.call(path, body).await;
        assert_eq!(answer["ErrorCode"], 0, "{path}: {answer}");
        assert_eq!(answer["ActionStatus"], "OK", "{path}");
        answer
    }

    /// The code with which it is refused.
    pub(crate) async fn refused(&self, path: &str, body: &Value) -> i64 {
        let answer = self.call(path, body).await;
        assert_eq!(answer["ActionStatus"], "FAIL", "{path}: {answer}");
        answer["ErrorCode"].as_i64().unwrap()
    }
}

/// A client of TLS that trusts `root` and shows a certificate and its key, if
/// it has them.
pub(crate) fn connector(root: &str, shows: Option<(&str, &str)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A connection of TLS to this machine.
pub(crate) async fn secured(
    connector: &TlsConnector,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await?;
    connector.connect(name, stream).await
}

/// Posts and returns the whole response.
pub(crate) async fn post<S>(mut stream: S, target: &str, body: &[u8]) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The body of a response, after holding it to the contract.
pub(crate) fn verdict(response: &str) -> Value {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["ActionStatus"].is_string(), "{body}");
    assert!(body["ErrorCode"].is_i64(), "{body}");
    assert!(body["ErrorInfo"].is_string(), "{body}");
    body
}

/// A message of one text.
pub(crate) fn text(text: &str) -> Value {
    json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}])
}
