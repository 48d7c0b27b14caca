//! A gateway process of our own: started in dev mode on free loopback ports with
//! a data directory that goes away, watched from outside, stopped by its id.
//!
//! Invariant: the process never outlives its [`Gateway`], on whichever road the
//! run ends: return, error, panic or ctrl-c.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::dice::Dice;
use crate::http;

/// Most time until the gateway is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Most time for a stop that was asked for; then it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Below the range from which the kernel takes ports for clients: a port that
/// is free now stays free while a killed gateway is away.
const PORTS: std::ops::Range<u64> = 20_000..30_000;

/// Lines of the gateway's log that are shown when it fails.
const LOG_TAIL: usize = 20;

/// A running gateway, or one that was killed and may be started again.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The public port.
    pub(crate) public: SocketAddr,
    /// The internal port.
    pub(crate) internal: SocketAddr,
    binary: PathBuf,
    home: TempDir,
    child: Option<Child>,
}

/// How a list of apps begins in a configuration.
const APPS: &str = "[[apps]]";

/// The development app, as a configuration names it.
pub(crate) fn app() -> String {
    let (app, key) = (crate::identity::DEV_APP, crate::identity::DEV_KEY);
    format!("{APPS}\nsdk_app_id = {app}\nkeys = [\"{key}\"]\nadmins = [\"administrator\"]\n")
}

impl Gateway {
    /// Starts `binary` with `settings` as its configuration and waits until it
    /// is ready.
    ///
    /// # Errors
    /// When it cannot be started or is not ready in time; what it logged last
    /// is in the error.
    pub(crate) async fn start(binary: &Path, settings: &str, dice: &mut Dice) -> Result<Self> {
        let binary = std::path::absolute(binary)?;
        ensure!(
            binary.is_file(),
            "no gateway at {}: build it first (`cargo build --release -p livegate`) or name it \
             with --gateway",
            binary.display()
        );
        let home = tempfile::Builder::new()
            .prefix("livegate-loadtest-")
            .tempdir()?;
        let app = if settings.contains(APPS) {
            String::new()
        } else {
            app()
        };
        let settings = format!("[gateway]\nexempt_loopback = true\n{settings}\n{app}");
        std::fs::write(home.path().join("livegate.toml"), settings)?;
        let mut gateway = Self {
            public: free_port(dice)?,
            internal: free_port(dice)?,
            binary,
            home,
            child: None,
        };
        gateway.make_certificate().await?;
        gateway.restart().await?;
        Ok(gateway)
    }

    /// What goes wrong here the gateway tells when it starts without one.
    async fn make_certificate(&self) -> Result<()> {
        Command::new(&self.binary)
            .args(["certs", "--dir", "certs"])
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("starting {}", self.binary.display()))?;
        Ok(())
    }

    /// Starts it (again) on the same ports and data, and waits until it is ready.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.launch()?;
        self.wait_ready().await
    }

    /// Starts it (again) and waits for nothing.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("log"))?;
        let child = Command::new(&self.binary)
            .args(["serve", "--config", "livegate.toml", "--data", "data"])
            .args(["--public", &self.public.to_string()])
            .args(["--internal", &self.internal.to_string()])
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the kernel does not let it go.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("killing the gateway")?;
        }
        Ok(())
    }

    /// Asks it to stop, as an operator would; kills it when it does not.
    ///
    /// # Errors
    /// When it had to be killed, or left with an error.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        signal(child.id(), Signal::TERM)?;
        let Ok(status) = timeout(STOP_WITHIN, child.wait()).await else {
            child.kill().await?;
            bail!("the gateway did not stop within {STOP_WITHIN:?} of SIGTERM");
        };
        let status = status?;
        ensure!(
            status.success(),
            "the gateway left with {status}; it said last:\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// The certificate to trust that it made for itself.
    ///
    /// # Errors
    /// When it made none.
    pub(crate) fn certificate(&self) -> Result<PathBuf> {
        trusted(self.home.path())
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let child = self.child.as_mut().context("the gateway was not started")?;
            if let Some(status) = child.try_wait()? {
                bail!(
                    "the gateway left with {status}; it said last:\n{}",
                    self.log_tail()
                );
            }
            let ready = http::get(self.internal, "/readyz").await;
            if ready.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the gateway was not ready within {READY_WITHIN:?}; it said last:\n{}",
                self.log_tail()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(self.home.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

/// The certificate to trust of a gateway that runs in `dir`.
///
/// # Errors
/// When there is none.
pub(crate) fn trusted(dir: &Path) -> Result<PathBuf> {
    let places = ["certs/livegate.pem", "certs/dev-ca.pem"];
    let found = places
        .into_iter()
        .map(|place| dir.join(place))
        .find(|file| file.is_file());
    found.with_context(|| format!("no {} in {}", places.join(" or "), dir.display()))
}

/// Sends `what` to a process that we started.
///
/// # Errors
/// When there is no such process.
pub(crate) fn signal(pid: Option<u32>, what: Signal) -> Result<()> {
    let pid = pid
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    kill_process(pid.context("the process is gone")?, what).context("sending a signal")
}

/// A loopback address whose port is free for TCP and UDP.
///
/// # Errors
/// When 200 ports in a row are taken.
pub(crate) fn free_port(dice: &mut Dice) -> Result<SocketAddr> {
    for _ in 0..200 {
        let port = u16::try_from(dice.within(PORTS)).unwrap_or(u16::MAX);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    bail!("no free port on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_binary_that_is_not_there_is_named() {
        let started = Gateway::start(Path::new("/no/such/livegate"), "", &mut Dice::new(1)).await;
        let told = started.unwrap_err().to_string();
        assert!(told.contains("/no/such/livegate"), "{told}");
    }

    #[tokio::test]
    async fn a_gateway_that_leaves_at_once_is_told_with_its_status() {
        let binary = Path::new("/bin/false");
        let told = Gateway::start(binary, "", &mut Dice::new(2))
            .await
            .unwrap_err();
        assert!(told.to_string().contains("left with"), "{told}");
    }
}
