//! The process of a target: started on free loopback ports with a certificate
//! and a configuration of its own, gone with its [`Server`].
//!
//! Invariant: it never outlives this program. It is killed when dropped, and by
//! the kernel when this program is killed.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::plan::{Plan, Target};
use super::under;
use crate::dice::Dice;
use crate::gateway::{app, free_port, signal};
use crate::http;

/// Most time until a server is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Most time for a stop that was asked for; then it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// What installs the peers where they are missing.
const INSTALL: &str = "apt-get install -y --no-install-recommends mosquitto nats-server";

/// A target that runs.
#[derive(Debug)]
pub(super) struct Server {
    /// Where clients go.
    pub(super) addr: SocketAddr,
    /// Where livegate tells its counters.
    pub(super) internal: Option<SocketAddr>,
    /// Its process.
    pub(super) pid: u32,
    command: Vec<OsString>,
    go_max_procs: Option<usize>,
    child: Child,
    home: TempDir,
}

impl Server {
    /// Starts `target` and waits until it is ready. The limit joins `batch`
    /// messages in one write.
    ///
    /// # Errors
    /// When it is not installed or does not start; what it said last is in the
    /// error.
    pub(super) async fn start(
        target: Target,
        plan: &Plan,
        gateway: &Path,
        batch: f64,
        dice: &mut Dice,
    ) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("livegate-compare-")
            .tempdir()?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(home.path().join("cert.pem"), made.cert.pem())?;
        std::fs::write(
            home.path().join("key.pem"),
            made.signing_key.serialize_pem(),
        )?;
        let (addr, internal) = (free_port(dice)?, free_port(dice)?);
        let site = Site {
            home: home.path(),
            addr,
            internal,
        };
        let command = match target {
            Target::Livegate | Target::LivegateQuic => site.livegate(&plan.livegate, gateway)?,
            Target::LivegateOther => site.livegate(&plan.other, gateway)?,
            Target::Limit => site.limit(plan, batch, 1)?,
            Target::LimitChunks => site.limit(plan, batch, 128)?,
            Target::Mosquitto => site.mosquitto()?,
            Target::Nats => site.nats()?,
        };
        let cores = plan.server_cpus.len();
        let go_max_procs = (cores > 0).then_some(cores);
        let command = under::arguments(&plan.server_cpus, &command);
        let child = launch(home.path(), &command, go_max_procs)
            .with_context(|| format!("starting {target}"))?;
        let mut server = Self {
            addr,
            internal: target.is_livegate().then_some(internal),
            pid: child.id().context("the process has just begun")?,
            command,
            go_max_procs,
            child,
            home,
        };
        server.wait_ready().await.with_context(|| target.name())?;
        Ok(server)
    }

    /// Kills it without a word and starts it again on the same port and data;
    /// waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started again.
    pub(super) async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        self.child = launch(self.home.path(), &self.command, self.go_max_procs)?;
        self.pid = self.child.id().context("the process has just begun")?;
        Ok(())
    }

    /// The certificate that its clients trust.
    pub(super) fn certificate(&self) -> PathBuf {
        self.home.path().join("cert.pem")
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("left with {status}; it said last:\n{}", self.log_tail());
            }
            let ready = match self.internal {
                Some(internal) => {
                    let answer = http::get(internal, "/readyz").await;
                    answer.is_ok_and(|(status, _)| status == 200)
                }
                None => TcpStream::connect(self.addr).await.is_ok(),
            };
            if ready {
                return Ok(());
            }
            let late = Instant::now() >= deadline;
            ensure!(!late, "not ready; it said last:\n{}", self.log_tail());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to stop and waits until it is gone.
    ///
    /// # Errors
    /// When the kernel does not let it go.
    pub(super) async fn stop(mut self) -> Result<()> {
        // One that has left already is what is wanted.
        let _ = signal(self.child.id(), Signal::TERM);
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }

    /// The last lines that it said.
    pub(super) fn log_tail(&self) -> String {
        let log = std::fs::read(self.home.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn launch(home: &Path, command: &[OsString], go_max_procs: Option<usize>) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(home.join("log"))?;
    let mut process = Command::new(std::env::current_exe()?);
    process
        .args(command)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    if let Some(cores) = go_max_procs {
        process.env("GOMAXPROCS", cores.to_string());
    }
    Ok(process.spawn()?)
}

/// Where a server is to run.
struct Site<'a> {
    home: &'a Path,
    addr: SocketAddr,
    internal: SocketAddr,
}

impl Site<'_> {
    /// The limits on what one session and one room may say are set high: they
    /// guard against people, and here a program speaks.
    fn livegate(&self, more: &str, binary: &Path) -> Result<Vec<OsString>> {
        let binary = std::path::absolute(binary)?;
        ensure!(
            binary.is_file(),
            "no gateway at {}: build it first (`cargo build --release -p livegate`) or name it \
             with --gateway",
            binary.display()
        );
        let settings = format!(
            "[gateway]\nexempt_loopback = true\n\
             [tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n\
             [session]\nmax_in_flight = 10000\n\
             [session.quota.chat]\nper_second = 1000000\nburst = 1000000\n\
             [rooms.rate]\nper_second = 1000000\nburst = 1000000\n\
             {more}\n{}",
            app()
        );
        std::fs::write(self.home.join("livegate.toml"), settings)?;
        let (public, internal) = (self.addr.to_string(), self.internal.to_string());
        let arguments = [
            "serve",
            "--config",
            "livegate.toml",
            "--data",
            "data",
            "--public",
            &public,
            "--internal",
            &internal,
        ];
        Ok(command(binary, &arguments))
    }

    fn limit(&self, plan: &Plan, batch: f64, chunk: usize) -> Result<Vec<OsString>> {
        let threads = plan.server_cpus.len().max(1).to_string();
        let (addr, batch, chunk) = (
            self.addr.to_string(),
            batch.max(1.0).to_string(),
            chunk.to_string(),
        );
        let arguments = [
            "limit-server",
            "--listen",
            &addr,
            "--cert",
            "cert.pem",
            "--key",
            "key.pem",
            "--threads",
            &threads,
            "--batch",
            &batch,
            "--chunk",
            &chunk,
        ];
        Ok(command(std::env::current_exe()?, &arguments))
    }

    /// Mosquitto with every limit that would lose messages or slow it down
    /// taken away: no persistence, no log, no statistics, queues without a
    /// bound, no delay of small segments. It reads its key after it has given
    /// up its rights unless it is told to keep them.
    fn mosquitto(&self) -> Result<Vec<OsString>> {
        let binary = installed("mosquitto")?;
        let settings = format!(
            "user root\n\
             persistence false\n\
             log_dest none\n\
             sys_interval 0\n\
             set_tcp_nodelay true\n\
             max_inflight_messages 0\n\
             max_queued_messages 0\n\
             max_queued_bytes 0\n\
             listener {} {}\n\
             max_connections -1\n\
             allow_anonymous true\n\
             tls_version tlsv1.3\n\
             certfile cert.pem\n\
             keyfile key.pem\n",
            self.addr.port(),
            self.addr.ip()
        );
        std::fs::write(self.home.join("mosquitto.conf"), settings)?;
        Ok(command(binary, &["-c", "mosquitto.conf"]))
    }

    /// NATS without limits that would close slow subscribers early; it sets
    /// `TCP_NODELAY` itself. `GOMAXPROCS` is the number of cores it is given.
    fn nats(&self) -> Result<Vec<OsString>> {
        let binary = installed("nats-server")?;
        let settings = format!(
            "listen: \"{}\"\n\
             max_connections: 1000000\n\
             max_pending: 268435456\n\
             write_deadline: \"60s\"\n\
             ping_interval: \"10m\"\n\
             tls {{\n  cert_file: \"cert.pem\"\n  key_file: \"key.pem\"\n  timeout: 30\n}}\n",
            self.addr
        );
        std::fs::write(self.home.join("nats.conf"), settings)?;
        Ok(command(binary, &["-c", "nats.conf"]))
    }
}

fn command(binary: PathBuf, arguments: &[&str]) -> Vec<OsString> {
    let mut command = vec![binary.into_os_string()];
    command.extend(arguments.iter().map(OsString::from));
    command
}

/// Where `program` is, in the path or where Debian puts servers.
fn installed(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut files = places.map(|place| place.join(program));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed: `{INSTALL}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_told_with_what_installs_it() {
        let told = installed("no-such-broker").unwrap_err().to_string();
        assert!(told.contains("apt-get install"), "{told}");
    }
}
