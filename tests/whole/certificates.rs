//! Certificates are changed under a running gateway.

use livegate::gateway::CertFiles;
use livegate_client::{ConnectError, DialError, Roots, TransportPreference};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::people::Login;
use crate::running::{CERT, Running, Setup};

/// How often the gateway looked at its certificates, by outcome.
async fn looked(running: &Running, outcome: &str) -> u64 {
    let mut stream = TcpStream::connect(running.internal).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let name = format!("livegate_gateway_certificate_reloads_total{{result=\"{outcome}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn reload(running: &Running, outcome: &str) {
    let before = looked(running, outcome).await;
    running.reload();
    while looked(running, outcome).await == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn new_certificates_are_shown_to_new_connections_and_bad_ones_to_none() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let both = [TransportPreference::Tls, TransportPreference::Quic];
    let old = running.roots.clone();
    let before = Login::new("before", TransportPreference::Quic)
        .connect(&running)
        .await;
    before.client.enter("demo").await.unwrap();

    let cert = dir.path().join(CERT);
    let (saved, files) = (
        dir.path().join("saved.pem"),
        CertFiles::in_dir(cert.parent().unwrap()),
    );
    std::fs::rename(&cert, &saved).unwrap();
    std::fs::write(&cert, "no certificate").unwrap();
    reload(&running, "error").await;
    for over in both {
        let login = Login::new("meanwhile", over);
        login.connect(&running).await.kill();
    }

    std::fs::remove_file(&cert).unwrap();
    std::fs::remove_file(cert.with_extension("key")).unwrap();
    files.make(&[]).unwrap();
    reload(&running, "ok").await;
    let new = Roots::pem_file(&cert).unwrap();
    for over in both {
        let login = Login::new("after", over);
        login
            .try_connect(&running, new.clone())
            .await
            .unwrap()
            .kill();
        let refused = login
            .try_connect(&running, old.clone())
            .await
            .err()
            .unwrap();
        assert!(
            matches!(refused, ConnectError::Dial(DialError::Attempts { .. })),
            "{refused:?}"
        );
    }
    before
        .client
        .room("demo")
        .send_text("still here")
        .await
        .unwrap();
}
