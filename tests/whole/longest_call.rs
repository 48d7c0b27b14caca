//! The longest call there may be, up and down, by a viewer, over each transport.

use axum::Router;
use axum::body::Bytes;
use livegate_client::{Code, TransportPreference};
use tempfile::TempDir;

use crate::people::Login;
use crate::running::{self, Running, Setup};

/// Bytes of the longest body, as the contract has it.
const LONGEST: usize = 65_536;

#[tokio::test]
async fn the_longest_body_goes_up_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let echo = Router::new().fallback(|body: Bytes| async { body });
    let setup = Setup {
        shop: Some(running::serve(echo).await),
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    for over in [TransportPreference::Tls, TransportPreference::Quic] {
        let viewer = Login::new("viewer", over).connect(&running).await;
        let body: Vec<u8> = (0..LONGEST).map(|n| (n % 251) as u8).collect();
        let (service, method) = ("shop", "m".repeat(128));
        // As many at once as the SDK lets wait to be sent.
        let calls = (0..3).map(|_| viewer.client.call(service, &method, body.clone(), None));
        for answer in futures_util::future::join_all(calls).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == body, "{over:?}: {}", answer.body.len());
        }
        let longer = viewer.client.call(service, "m", vec![0; LONGEST + 1], None);
        assert_eq!(longer.await.unwrap_err().code(), Some(Code::TOO_LONG));
        // Refused, and the connection goes on.
        let short = viewer.client.call(service, "m", "short", None).await;
        assert_eq!(short.unwrap().body, "short");
    }
    running.stop();
    running.stopped().await;
}
