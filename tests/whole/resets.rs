//! A killed gateway's clients hear from the next process that they are
//! forgotten, on QUIC too, where nothing else would tell them.

use livegate_client::{Disconnect, Event, Roots, TransportPreference};
use tempfile::TempDir;

use crate::people::Login;
use crate::processes::Process;
use crate::running::{CERT, Setup, Site};

#[tokio::test]
async fn a_quic_client_of_a_killed_gateway_is_reset_by_the_next_process() {
    let dir = TempDir::new().unwrap();
    let file = Setup::default().file("127.0.0.1:0".parse().unwrap());
    std::fs::write(dir.path().join("livegate.toml"), file).unwrap();
    assert_eq!(Process::start(dir.path(), &["certs"]).ended(), Some(0));
    let killed = Process::start(dir.path(), &["serve"]);
    let public = killed.address();
    let site = Site {
        public,
        roots: Roots::pem_file(dir.path().join(CERT)).unwrap(),
    };
    let mut ada = Login::new("ada", TransportPreference::Quic)
        .connect(&site)
        .await;
    let room = ada.client.enter("demo").await.unwrap();
    killed.kill();
    let public = public.to_string();
    let _next = Process::start(dir.path(), &["serve", "--public", &public]);
    // Whatever is sent next is answered with a reset; this is sent again on the
    // connection that follows.
    room.info().await.unwrap();
    let cause = ada
        .until(|event| match event {
            Event::Disconnected(gone) => Some(gone.cause.clone()),
            _ => None,
        })
        .await;
    // Without a reset only silence would tell.
    assert!(matches!(cause, Disconnect::Lost(_)), "{cause}");
    ada.until(|event| matches!(event, Event::Entered(entered) if entered.again).then_some(()))
        .await;
}
