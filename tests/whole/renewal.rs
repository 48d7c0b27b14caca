//! A signature that runs out: renewed on the running session, or the end of it.

use std::time::Duration;

use livegate_client::{Disconnect, Event, TransportPreference};
use livegate_proto::CloseCode;
use tempfile::TempDir;

use crate::people::Login;
use crate::running::{Running, Setup};

const SHORT: &str = "[session]\nsig_warning = \"2s\"\nsig_linger = \"1s\"";

#[tokio::test]
async fn a_signature_is_renewed_on_the_running_session_or_ends_it() {
    let dir = TempDir::new().unwrap();
    let setup = Setup {
        sections: SHORT,
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let short = |user| Login {
        lifetime: Duration::from_secs(3),
        ..Login::new(user, TransportPreference::Tls)
    };
    let mut renewer = short("renewer").connect(&running).await;
    let mut idler = Login {
        renews: false,
        ..short("idler")
    }
    .connect(&running)
    .await;
    renewer.client.enter("demo").await.unwrap();
    let mut renewed = Vec::new();
    // The third lies beyond the end of the first two signatures.
    while renewed.len() < 3 {
        renewed.push(
            renewer
                .until(|event| match event {
                    Event::SigRenewed { expires_at } => Some(*expires_at),
                    Event::Disconnected(gone) => panic!("ended: {}", gone.cause),
                    _ => None,
                })
                .await,
        );
    }
    assert!(renewed.is_sorted());
    renewer
        .client
        .room("demo")
        .send_text("still here")
        .await
        .unwrap();

    idler
        .until(|event| matches!(event, Event::SigExpiring { .. }).then_some(()))
        .await;
    let cause = idler
        .until(|event| match event {
            Event::Disconnected(gone) => Some(gone.cause.clone()),
            _ => None,
        })
        .await;
    let Disconnect::Closed { code, .. } = cause else {
        panic!("{cause}");
    };
    assert_eq!(code, i32::from(CloseCode::SigExpired));
}
