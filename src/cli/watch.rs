//! `livegate watch`: prints what happens in a room, as a viewer.
//!
//! It waits for a room that does not exist yet, comes back by itself after a
//! loss, and ends only when asked to or when the gateway's answer is final.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use livegate_client::{Client, Events, TransportPreference};

use super::connect::ConnectArgs;
use super::entering::{self, Entering, Missing};
use super::interrupt::Interrupt;
use super::show::Printer;
use super::{exit, print};

/// Prints a room's events.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs `livegate watch`.
pub(super) fn run(args: &Args) -> ExitCode {
    match super::block_on(watch(args)) {
        Ok(()) => exit::OK.into(),
        Err(error) => {
            print::complain(format_args!("{error:#}"));
            exit::FAILED.into()
        }
    }
}

async fn watch(args: &Args) -> anyhow::Result<()> {
    let user = args.connect.user(random_name)?;
    let (client, events) = Client::start(args.connect.config(&user, TransportPreference::Race)?)?;
    let printer = Printer::new(args.connect.json);
    let outcome = follow(&args.connect, &client, events, printer).await;
    client.close().await;
    outcome
}

async fn follow(
    args: &ConnectArgs,
    client: &Client,
    mut events: Events,
    printer: Printer,
) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let enter = || Entering::new(client.clone(), args.room.as_str(), Missing::Wait, printer);
    let mut entering = Some(enter());
    loop {
        tokio::select! {
            biased;
            () = interrupt.asked() => return Ok(()),
            event = events.next() => {
                let event = event.context("the gateway's answer is final")?;
                printer.print(&event)?;
                if entering::is_kicked(&event) {
                    bail!("kicked out of the room");
                }
                if entering::is_lost(&event) {
                    entering = Some(enter());
                }
            }
            entered = entering::done(&mut entering) => drop(entered?),
        }
    }
}

fn random_name() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("watcher-{}", &id[id.len() - 8..])
}
