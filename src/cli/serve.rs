//! `livegate serve`: runs the gateway.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{exit, print};
use crate::config::{self, ConfigError, Ground, Loaded, Override, Place};
use crate::server::{Server, Settings};

/// Run the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Development mode: makes a certificate, knows the vendor's sample app,
    /// listens on loopback only.
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "livegate.toml")]
    config: PathBuf,
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
pub(super) fn run(args: &Args) -> ExitCode {
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(problem) => {
            print::complain(problem);
            return ExitCode::from(exit::CONFIG);
        }
    };
    match start(loaded) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            print::complain(format_args!("{error:#}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Reads the configuration, and in development mode makes what it needs.
fn load(args: &Args) -> Result<Loaded, ConfigError> {
    let ground = match args.dev {
        true => Ground::Dev,
        false => Ground::File(&args.config),
    };
    let loaded = config::load(ground, config::environment(), args.overrides()?)?;
    let files = loaded.cert_files();
    if args.dev && !files.exist() {
        let made = files.make(&[]);
        made.map_err(|error| loaded.blame("tls.cert".to_owned(), error.to_string()))?;
    }
    loaded.check_files()?;
    Ok(loaded)
}

impl Args {
    fn overrides(&self) -> Result<Vec<Override>, ConfigError> {
        let mut set = Vec::new();
        if let Some(dir) = &self.data {
            // A flag means the directory as seen from here, not from the file.
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            let text = dir.to_str().ok_or_else(|| ConfigError {
                place: Place::Flag("--data"),
                key: None,
                problem: "is not UTF-8".to_owned(),
                meant: None,
            })?;
            set.push(Override::flag("--data", "engine.dir", text));
        }
        if let Some(public) = self.public {
            set.push(Override::flag(
                "--public",
                "listen.public",
                public.to_string(),
            ));
        }
        if let Some(internal) = self.internal {
            set.push(Override::flag(
                "--internal",
                "internal.bind",
                internal.to_string(),
            ));
        }
        Ok(set)
    }
}

fn start(loaded: Loaded) -> anyhow::Result<()> {
    loaded.config.log.install()?;
    let settings = Settings::from(loaded);
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
                        reload.now();
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
    // As it was called, so that the lines can be pasted as they are.
    let program = std::env::args().next();
    let livegate = program.as_deref().unwrap_or("livegate");
    let mut text = String::new();
    let _ = write!(
        text,
        "livegate {} listens on {public} (TLS and QUIC), internal port on {internal}\n\
         \n\
         In a second terminal:  {livegate} watch --room demo --addr {public}\n\
         In a third terminal:   {livegate} host --room demo --addr {public}\n\
         Then kill the host (kill -9) and look at the second.\n\
         Health and metrics:    curl http://{internal}/readyz\n",
        env!("CARGO_PKG_VERSION"),
    );
    text
}
