//! `livegate serve`: runs the gateway.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{exit, print};
use crate::gateway::CertFiles;
use crate::server::{Server, Settings};

/// Run the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Development mode: makes a certificate, knows the vendor's sample app,
    /// listens on loopback only.
    #[arg(long)]
    dev: bool,
    /// Where state lives.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the public transports (TCP and UDP).
    #[arg(long, value_name = "ADDR")]
    public: Option<SocketAddr>,
    /// Address of the internal port.
    #[arg(long, value_name = "ADDR")]
    internal: Option<SocketAddr>,
}

/// Runs until a signal says to stop.
pub(super) fn run(args: Args) -> ExitCode {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(problem) => {
            print::complain(problem);
            return ExitCode::from(exit::CONFIG);
        }
    };
    match start(settings) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            print::complain(format_args!("{error:#}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

fn settings(args: Args) -> Result<Settings, String> {
    if !args.dev {
        return Err("only --dev so far".to_owned());
    }
    let mut settings = Settings::dev();
    if let Some(dir) = args.data {
        settings.engine.dir = dir;
    }
    if let Some(public) = args.public {
        settings.listen.public = public;
    }
    if let Some(internal) = args.internal {
        settings.internal.bind = internal;
    }
    for address in [settings.listen.public, settings.internal.bind] {
        if !address.ip().is_loopback() {
            return Err(format!("--dev listens on loopback only, not on {address}"));
        }
    }
    let files = CertFiles::in_dir(&settings.base.join("certs"));
    if !files.exist() {
        files.make(&[]).map_err(|error| error.to_string())?;
    }
    Ok(settings)
}

fn start(settings: Settings) -> anyhow::Result<()> {
    crate::telemetry::LogConfig::default().install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("services")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Box::pin(Server::bind(settings)).await?;
        // Nobody reads it when this fails, and the gateway runs all the same.
        let _ = print::line(welcome(&server));
        let stop = CancellationToken::new();
        let (reload, signalled) = (server.reload(), stop.clone());
        let (mut term, mut int, mut hup) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        );
        let signals = async move {
            loop {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                    _ = hup.recv() => {
                        reload.notify_one();
                        continue;
                    }
                }
                if signalled.is_cancelled() {
                    tracing::warn!("stopped at once: told twice");
                    return;
                }
                signalled.cancel();
            }
        };
        tokio::select! {
            ended = server.run(stop) => ended,
            () = signals => Ok(()),
        }
    })
}

/// Tells what listens where, and what to do next.
fn welcome(server: &Server) -> String {
    let (public, internal) = (server.public(), server.internal());
    let mut text = String::new();
    let _ = write!(
        text,
        "livegate {} listens on {public} (TLS and QUIC), internal port on {internal}\n\
         \n\
         In a second terminal:  livegate watch --room demo --addr {public}\n\
         In a third terminal:   livegate host --room demo --addr {public}\n\
         Then kill the host (kill -9) and look at the second.\n\
         Health and metrics:    curl http://{internal}/readyz\n",
        env!("CARGO_PKG_VERSION"),
    );
    text
}
