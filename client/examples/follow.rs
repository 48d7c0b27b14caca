//! Follows a room and says hello, against `livegate serve --dev`:
//!
//! ```text
//! LIVEGATE_SIG=$(livegate usersig issue --app 1400000000 --key "$KEY" --user ada) \
//!     cargo run -p livegate-client --example follow -- demo
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use livegate_client::{Client, Config, Event, RoomEventKind, Roots, SigProvider};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let room_id = std::env::args().nth(1).unwrap_or_else(|| "demo".to_owned());
    let roots = Roots::pem_file("certs/livegate.pem")?;
    // Asked at each login and before the signature runs out; an app asks its
    // backend here.
    let sig = SigProvider::from_fn(|| std::env::var("LIVEGATE_SIG").map_err(Into::into));
    let config = Config::new("127.0.0.1:7443", 1_400_000_000, "ada", sig, roots);

    let (client, mut events) = Client::connect(config).await?;
    let room = client.enter(&room_id).await?;
    let sent = room.send_text("hello").await?;
    println!("said hello as number {} of the room", sent.seq);

    while let Some(event) = events.next().await {
        match event {
            Event::Room(event) => match event.kind {
                RoomEventKind::Message(message) => println!("{}: {message:?}", event.seq),
                RoomEventKind::LiveEnded { ended, .. } => println!("live ended: {ended:?}"),
                other => println!("{other:?}"),
            },
            Event::Gap(gap) => println!("missed {} to {}", gap.from_seq, gap.to_seq),
            Event::Disconnected(gone) => println!("{}, back in {:?}", gone.cause, gone.retry_in),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
