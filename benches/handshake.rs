//! What a TLS handshake costs the gateway: `cargo bench --bench handshake`.
//!
//! Both ends in one thread, no sockets: processor time of the server's side and
//! the bytes that it sends (ticket included), full and resumed by a ticket, with
//! and without the hybrid key exchange. Once with the certificate that development
//! mode makes, and once with what a public authority gives: a leaf that carries
//! two signed certificate timestamps, and the intermediate that signed it.
#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livegate::gateway::tls::{Current, provider, tcp_config};
use livegate::gateway::{CertFiles, TlsConfig};
use livegate::shard::tls::Tls;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

fn main() {
    // A test runner that asks for its list of tests gets an empty one.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let rounds = if quick { 2 } else { 2_000 };
    println!(
        "{:<16} {:<12} {:<8} {:>10} {:>10}",
        "key exchange", "certificate", "kind", "us", "bytes sent"
    );
    for (post_quantum, group) in [(false, "X25519"), (true, "X25519MLKEM768")] {
        for (shape, certificate) in [(Shape::Own, "development"), (Shape::Public, "public")] {
            let (server, client) = ends(post_quantum, shape);
            let full = average(rounds, || shake(&server, &fresh(&client)));
            shake(&server, &client);
            let resumed = average(rounds, || shake(&server, &client));
            for (kind, cost) in [("full", full), ("resumed", resumed)] {
                let us = cost.spent.as_secs_f64() * 1e6;
                let sent = cost.sent;
                println!("{group:<16} {certificate:<12} {kind:<8} {us:>10.1} {sent:>10}");
            }
            println!(
                "{group:<16} {certificate:<12} {:<8} {:>10.2} {:>10.2}",
                "ratio",
                resumed.spent.as_secs_f64() / full.spent.as_secs_f64(),
                resumed.sent as f64 / full.sent as f64
            );
        }
    }
}

/// Which certificates the server has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One that it made itself.
    Own,
    /// A leaf and its intermediate.
    Public,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    spent: Duration,
    sent: usize,
}

fn average(rounds: u32, mut shake: impl FnMut() -> Cost) -> Cost {
    let mut sum = Cost::default();
    for _ in 0..rounds {
        let cost = shake();
        sum.spent += cost.spent;
        sum.sent += cost.sent;
    }
    Cost {
        spent: sum.spent / rounds,
        sent: sum.sent / rounds as usize,
    }
}

/// The gateway's own configuration and a client that trusts its certificate.
fn ends(post_quantum: bool, shape: Shape) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = CertFiles::in_dir(dir.path());
    files.make(&[]).expect("certificates can be made");
    let authority = match shape {
        Shape::Own => std::fs::read_to_string(&files.cert).expect("the file just made"),
        Shape::Public => publish(&files).expect("certificates can be made"),
    };
    let tls = TlsConfig {
        post_quantum,
        ..TlsConfig::default()
    };
    let provider = provider(&tls);
    let current = Current::new(files.load(&provider).expect("the files just made"));
    let server = tcp_config(&tls, Arc::clone(&provider), current).expect("a good configuration");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        let _ = roots.add(certificate.expect("a certificate"));
    }
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3 is built in")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![livegate_proto::ALPN.to_vec()];
    (server, Arc::new(client))
}

/// Puts a chain of two in the place of the one certificate; gives the authority's
/// own, PEM.
fn publish(files: &CertFiles) -> Result<String, rcgen::Error> {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    /// Signed certificate timestamps (RFC 6962, section 3.3).
    const TIMESTAMPS: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
    let named = |name: &str, names: Vec<String>| {
        let mut params = CertificateParams::new(names)?;
        let title = rcgen::DnType::CommonName;
        params.distinguished_name.push(title, name);
        Ok::<_, rcgen::Error>(params)
    };
    let mut root = named("An Authority's Root", Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate()?;
    let authority = root.self_signed(&root_key)?.pem();
    let root = rcgen::Issuer::new(root, root_key);
    let mut middle = named("An Authority's Intermediate", Vec::new())?;
    middle.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let middle_key = KeyPair::generate()?;
    let middle_pem = middle.signed_by(&middle_key, &root)?.pem();
    let middle = rcgen::Issuer::new(middle, middle_key);
    let mut leaf = named("live.example", vec!["localhost".to_owned()])?;
    // Two timestamps take 120 bytes each.
    let timestamps = rcgen::CustomExtension::from_oid_content(TIMESTAMPS, vec![0; 240]);
    leaf.custom_extensions.push(timestamps);
    let leaf_key = KeyPair::generate()?;
    let leaf_pem = leaf.signed_by(&leaf_key, &middle)?.pem();
    std::fs::write(&files.cert, leaf_pem + &middle_pem).expect("the directory is ours");
    std::fs::write(&files.key, leaf_key.serialize_pem()).expect("the directory is ours");
    Ok(authority)
}

/// The same client without a ticket.
fn fresh(client: &ClientConfig) -> Arc<ClientConfig> {
    let mut client = client.clone();
    client.resumption = rustls::client::Resumption::in_memory_sessions(1);
    Arc::new(client)
}

/// One handshake; the client's side is not timed.
fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Cost {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut cost = Cost::default();
    let begun = Instant::now();
    let mut end = Tls::new(Arc::clone(server)).expect("a server");
    cost.spent += begun.elapsed();
    while client.is_handshaking() || client.wants_write() || !end.is_established() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client
                .write_tls(&mut there)
                .expect("a Vec takes everything");
        }
        let begun = Instant::now();
        let heard = end.receive(&mut there, &mut Vec::new(), &mut back);
        cost.spent += begun.elapsed();
        heard.expect("the client speaks TLS");
        cost.sent += back.len();
        let mut back = &back[..];
        while !back.is_empty() {
            client
                .read_tls(&mut back)
                .expect("a slice gives everything");
            client.process_new_packets().expect("the server speaks TLS");
            let _ = client.reader().read_to_end(&mut Vec::new());
        }
    }
    cost
}
