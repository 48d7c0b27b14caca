//! `limit-server`: what a fan-out costs when nothing is done but what must be.
//!
//! A publisher's messages are gathered until a batch is full; then for each
//! subscriber, one after another, the batch is sealed with rustls and sent with
//! one `send`. No runtime, no readiness, no queue, nothing read from
//! subscribers: a thread per core that does nothing else, sockets that block.
//! With `--chunk` above 1 it seals for so many subscribers and then sends to
//! them. Same cipher and socket options as the servers it is compared with.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{ServerConfig, crypto::aws_lc_rs};

use super::wire::{BARE_ALPN, MESSAGE, PUBLISHER, READY, SUBSCRIBER, frame};

/// Most time for a client's handshake and first word.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// A batch that is not full goes out after this time without a message.
const FLUSH_AFTER: Duration = Duration::from_millis(200);

/// Plaintext of one TLS record.
const RECORD: usize = 16 * 1024;

/// What a record adds to its plaintext, rounded up.
const OVERHEAD: usize = 64;

/// Batches that wait for a thread.
const WAITING: usize = 64;

/// Arguments of `limit-server`.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Where clients come in.
    #[arg(long)]
    listen: SocketAddr,
    /// Its certificate, PEM.
    #[arg(long)]
    cert: PathBuf,
    /// The certificate's key, PEM.
    #[arg(long)]
    key: PathBuf,
    /// Threads that subscribers are spread over.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Messages that one write carries, on average.
    #[arg(long, default_value_t = 1.0)]
    batch: f64,
    /// Subscribers that are sealed for before any of them is sent to.
    #[arg(long, default_value_t = 1)]
    chunk: usize,
}

/// What a thread is handed.
enum Input {
    Join(Box<Bare>),
    Sweep(Arc<Vec<u8>>),
}

/// Serves until it is killed.
///
/// # Errors
/// When it cannot listen or TLS cannot be set up.
pub(crate) fn main(args: &LimitArgs) -> Result<bool> {
    let config = Arc::new(config(args)?);
    let listener = TcpListener::bind(args.listen)?;
    let mut threads = Vec::new();
    for _ in 0..args.threads.max(1) {
        let (sender, inputs) = sync_channel(WAITING);
        let chunk = args.chunk.max(1);
        std::thread::spawn(move || sweep(&inputs, chunk));
        threads.push(sender);
    }
    let mut next = 0;
    for socket in listener.incoming() {
        let Ok((bare, kind)) = socket
            .map_err(Into::into)
            .and_then(|socket| Bare::accept(socket, config.clone()))
        else {
            continue;
        };
        if kind == SUBSCRIBER {
            threads[next % threads.len()].send(Input::Join(Box::new(bare)))?;
            next += 1;
        } else {
            let (threads, batch) = (threads.clone(), args.batch);
            std::thread::spawn(move || publish(bare, &threads, batch));
        }
    }
    Ok(true)
}

fn config(args: &LimitArgs) -> Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(&args.cert)?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![BARE_ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The loop itself.
fn sweep(inputs: &Receiver<Input>, chunk: usize) {
    let mut subscribers: Vec<Bare> = Vec::new();
    let mut sealed = Vec::new();
    let mut ends = Vec::new();
    while let Ok(input) = inputs.recv() {
        let batch = match input {
            Input::Join(bare) => {
                subscribers.push(*bare);
                continue;
            }
            Input::Sweep(batch) => batch,
        };
        let mut broken = false;
        for some in subscribers.chunks_mut(chunk) {
            sealed.clear();
            ends.clear();
            for bare in some.iter_mut() {
                bare.broken |= bare.seal(&batch, &mut sealed).is_err();
                ends.push(sealed.len());
            }
            let mut from = 0;
            for (bare, end) in some.iter_mut().zip(&ends) {
                bare.broken |= bare.socket.write_all(&sealed[from..*end]).is_err();
                broken |= bare.broken;
                from = *end;
            }
        }
        if broken {
            subscribers.retain(|bare| !bare.broken);
        }
    }
}

/// Gathers a publisher's messages to batches until it leaves.
fn publish(mut bare: Bare, threads: &[SyncSender<Input>], mean: f64) -> Result<()> {
    bare.socket.set_read_timeout(Some(FLUSH_AFTER))?;
    let mut gather = Gather::new(mean);
    let mut plain = std::mem::take(&mut bare.plain);
    loop {
        let used = gather.take(&plain, &mut |batch| {
            let batch = Arc::new(batch);
            for thread in threads {
                thread.send(Input::Sweep(batch.clone()))?;
            }
            Ok(())
        })?;
        plain.drain(..used);
        match bare.receive(&mut plain) {
            Ok(()) => {}
            Err(error) if is_timeout(&error) => {
                if let Some(batch) = gather.flush() {
                    let batch = Arc::new(batch);
                    for thread in threads {
                        thread.send(Input::Sweep(batch.clone()))?;
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_timeout(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// Makes batches whose sizes are whole numbers around a mean.
struct Gather {
    mean: f64,
    owed: f64,
    want: u32,
    have: u32,
    batch: Vec<u8>,
}

impl Gather {
    fn new(mean: f64) -> Self {
        let mut gather = Self {
            mean,
            owed: 0.0,
            want: 0,
            have: 0,
            batch: Vec::new(),
        };
        gather.next();
        gather
    }

    fn next(&mut self) {
        self.owed += self.mean;
        self.want = (self.owed as u32).max(1);
        self.owed -= f64::from(self.want);
    }

    /// Takes whole messages of `plain` and hands out each batch that is full;
    /// the bytes taken.
    fn take(&mut self, plain: &[u8], each: &mut dyn FnMut(Vec<u8>) -> Result<()>) -> Result<usize> {
        let mut used = 0;
        while let Some((len, rest)) = plain[used..].split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            ensure!(len > 0 && len < 1 << 20, "malformed message");
            if rest.len() < len {
                break;
            }
            ensure!(rest[0] == MESSAGE, "malformed message");
            self.batch.extend_from_slice(&plain[used..used + 4 + len]);
            self.have += 1;
            used += 4 + len;
            if self.have >= self.want
                && let Some(batch) = self.flush()
            {
                each(batch)?;
            }
        }
        Ok(used)
    }

    fn flush(&mut self) -> Option<Vec<u8>> {
        if self.have == 0 {
            return None;
        }
        self.have = 0;
        self.next();
        Some(std::mem::take(&mut self.batch))
    }
}

/// One connection on rustls's unbuffered API.
struct Bare {
    socket: TcpStream,
    tls: UnbufferedServerConnection,
    /// Ciphertext that rustls has not used up.
    cipher: Vec<u8>,
    /// What the client said and nobody took yet.
    plain: Vec<u8>,
    broken: bool,
}

impl Bare {
    /// Shakes hands, reads the first word and answers it.
    fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> Result<(Self, u8)> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(HELLO_WITHIN))?;
        let mut bare = Self {
            socket,
            tls: UnbufferedServerConnection::new(config)?,
            cipher: Vec::new(),
            plain: Vec::new(),
            broken: false,
        };
        let mut plain = Vec::new();
        while plain.len() < 5 {
            bare.receive(&mut plain)?;
        }
        let len = u32::from_be_bytes([plain[0], plain[1], plain[2], plain[3]]) as usize;
        let kind = plain[4];
        ensure!([SUBSCRIBER, PUBLISHER].contains(&kind), "unknown kind");
        ensure!(plain.len() >= 4 + len, "a first word in pieces");
        bare.plain = plain.split_off(4 + len);
        let (mut answer, mut sealed) = (Vec::new(), Vec::new());
        frame(READY, b"", &mut answer);
        bare.seal(&answer, &mut sealed)?;
        bare.socket.write_all(&sealed)?;
        bare.cipher.shrink_to_fit();
        Ok((bare, kind))
    }

    /// Reads once and appends what was said to `plain`; the handshake's own
    /// answers are sent.
    fn receive(&mut self, plain: &mut Vec<u8>) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        let n = self.socket.read(&mut buffer)?;
        if n == 0 {
            bail!("closed");
        }
        self.cipher.extend_from_slice(&buffer[..n]);
        let mut out = Vec::new();
        loop {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut self.cipher);
            let rests = match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        plain.extend_from_slice(record?.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, &mut out)?;
                    false
                }
                ConnectionState::TransmitTlsData(transmit) => {
                    transmit.done();
                    false
                }
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => true,
                _ => bail!("closed"),
            };
            self.cipher.drain(..discard);
            if rests {
                break;
            }
        }
        Ok(self.socket.write_all(&out)?)
    }

    /// Appends `plain` as TLS records to `out`.
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let UnbufferedStatus { state, .. } = self.tls.process_tls_records(&mut self.cipher);
        let ConnectionState::WriteTraffic(mut traffic) = state? else {
            bail!("not open for data");
        };
        let start = out.len();
        let room = plain.len() + OVERHEAD * (plain.len() / RECORD + 1);
        out.resize(start + room, 0);
        let sealed = traffic.encrypt(plain, &mut out[start..]);
        let written = sealed.map_err(|error| anyhow::anyhow!("sealing: {error}"))?;
        out.truncate(start + written);
        Ok(())
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + RECORD, 0);
    let encoded = data.encode(&mut out[start..]);
    let written = encoded.ok().context("a handshake message beyond 16 KiB")?;
    out.truncate(start + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_the_mean_that_was_asked_for() {
        for mean in [1.0, 2.4, 13.37] {
            let mut gather = Gather::new(mean);
            let (mut batches, mut plain) = (0, Vec::new());
            for _ in 0..10_000 {
                frame(MESSAGE, b"x", &mut plain);
            }
            let used = gather.take(&plain, &mut |batch| {
                assert!(!batch.is_empty());
                batches += 1;
                Ok(())
            });
            assert_eq!(used.unwrap(), plain.len());
            let seen = 10_000.0 / f64::from(batches);
            assert!(
                (seen - mean).abs() < 0.02 * mean,
                "{seen} instead of {mean}"
            );
        }
    }

    #[test]
    fn what_is_no_message_ends_the_publisher() {
        let mut gather = Gather::new(1.0);
        let taken = gather.take(&[0, 0, 0, 1, b'?'], &mut |_| Ok(()));
        assert!(taken.is_err());
    }
}
