//! The gateway in one simulated process: real TLS, a real store, a network that
//! can be cut and hosts that crash. The same seed gives the same run.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{APP, Client, START, say, settings};
use arc_swap::ArcSwap;
use livegate::auth::usersig::{Grant, issue};
use livegate::auth::{AppConfig, AuthConfig, HmacKey, KeyRing};
use livegate::clock::Clock;
use livegate::gateway::admission::Admission;
use livegate::gateway::door::Door;
use livegate::gateway::tls::{self, Current};
use livegate::gateway::{GatewayConfig, TlsConfig};
use livegate::id::{ShardId, UserId};
use livegate::server::{Node, NodeSettings};
use livegate::shard::Handle;
use livegate::shard::adopted::Transport;
use livegate::shard::carrier::StreamCarrier;
use livegate::shard::tls::Tls;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{EndReason, LoginRequest, Push, live_event, push};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use turmoil::net::{TcpListener, TcpStream};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A certificate of which every signature has one length, so that runs of one
/// seed are alike.
#[derive(Clone)]
struct Identity {
    cert: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new(vec!["gateway".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            cert: cert.der().clone(),
            key: key.serialize_der(),
        }
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        let config = TlsConfig::default();
        let provider = tls::provider(&config);
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let signer = provider.key_provider.load_private_key(key).unwrap();
        let certified = Arc::new(CertifiedKey::new(vec![self.cert.clone()], signer));
        tls::tcp_config(&config, provider, Current::new(certified)).unwrap()
    }

    fn client(&self) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.cert.clone()).unwrap();
        let provider = tls::provider(&TlsConfig::default());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![livegate_proto::ALPN.to_vec()];
        Arc::new(config).into()
    }
}

/// The gateway as a simulated host: accepts, shakes hands, hands over to its
/// one shard. What it recorded outlives its crash.
#[allow(clippy::disallowed_methods)] // tasks of a simulated host end with it
async fn gateway(identity: Identity, settings: NodeSettings) -> Outcome {
    let clock = Clock::simulated(START);
    let (node, outcomes, stepper) = Node::open_stepped(settings, clock.clone())?;
    let stop = CancellationToken::new();
    tokio::task::spawn_local(stepper.run());
    let rooms = Arc::clone(&node.rooms);
    let driver = livegate::rooms::driver::run(rooms, outcomes, clock.clone(), stop.clone());
    tokio::task::spawn_local(driver);
    let handle = Handle::<StreamCarrier<TcpStream>>::new(ShardId(0), &node.dispatch);
    let parts = node.shard_parts(handle.clone());
    tokio::task::spawn_local(livegate::shard::run(parts, stop.clone()));
    let config = GatewayConfig::default();
    let auth = AuthConfig {
        apps: vec![AppConfig::development()],
        ..AuthConfig::default()
    };
    let door = Rc::new(Door {
        clock: clock.clone(),
        admission: Admission::new(&config, 1),
        config,
        keys: Arc::new(ArcSwap::from_pointee(KeyRing::open(
            &auth,
            std::path::Path::new("."),
        )?)),
        revoked: {
            let directory = Arc::clone(&node.directory);
            Arc::new(move |user: &livegate::id::UserKey| directory.revoked_at(user))
        },
        lobby: None,
        asks: Arc::default(),
        place: Arc::new(move |adopted| handle.adopt(adopted)),
        metrics: Arc::clone(&node.metrics),
        stop,
    });
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), 7443)).await?;
    node.rooms.accepting(clock.now())?;
    let tls = identity.server();
    loop {
        let (stream, peer) = listener.accept().await?;
        let seat = door.admission.try_seat().ok_or("no seat")?;
        let pending = door.admission.admit(seat, peer.ip());
        let pending = pending.map_err(|_| "refused")?;
        let stranger = door.stranger(peer, Transport::Tls, pending);
        let (door, tls) = (Rc::clone(&door), Tls::new(Arc::clone(&tls))?);
        tokio::task::spawn_local(async move {
            door.receive_tls(StreamCarrier::new(stream), tls, stranger)
                .await;
        });
    }
}

/// A logged-in client over simulated TCP and real TLS.
async fn connect(
    identity: &Identity,
    user: &str,
) -> Result<Client<TlsStream<TcpStream>>, Box<dyn std::error::Error>> {
    let tcp = TcpStream::connect(("gateway", 7443)).await?;
    let name = ServerName::try_from("gateway")?;
    let mut client = Client::new(identity.client().connect(name, tcp).await?);
    let development = AppConfig::development();
    let key = HmacKey::new(development.keys[0].secret())?;
    let grant = Grant {
        app: livegate::id::AppId(APP),
        user: &UserId::new(user)?,
        issued_at: START,
        lifetime: Duration::from_secs(86_400),
        userbuf: None,
    };
    let login = Body::Login(LoginRequest {
        sdk_app_id: APP,
        user_id: user.to_owned(),
        user_sig: issue(&key, &grant)?,
        ..LoginRequest::default()
    });
    let reply = client.call(login).await;
    assert_eq!(reply.code, 0, "login: {}", reply.message);
    Ok(client)
}

fn live(push: &Push) -> Option<live_event::Kind> {
    match &push.body {
        Some(push::Body::Live(event)) => event.kind.clone(),
        _ => None,
    }
}

fn simulation(seed: u64) -> turmoil::Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(5))
        .simulation_duration(Duration::from_secs(120))
        .tcp_capacity(4096)
        .build()
}

/// What a viewer was told of lives, with the simulated time in ms.
type Told = Rc<RefCell<Vec<(u128, String)>>>;

fn note(told: &Told, kind: &live_event::Kind) {
    let what = match kind {
        live_event::Kind::Started(_) => "started".to_owned(),
        live_event::Kind::Away(_) => "away".to_owned(),
        live_event::Kind::Back(_) => "back".to_owned(),
        live_event::Kind::Ended(ended) => format!("ended {:?}", ended.reason()),
    };
    told.borrow_mut()
        .push((turmoil::sim_elapsed().unwrap_or_default().as_millis(), what));
}

/// A host starts a live and goes silent behind a cut network; a viewer watches.
fn cut_off_host(seed: u64) -> Vec<(u128, String)> {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new();
    let mut sim = simulation(seed);
    let (served, path) = (identity.clone(), dir.path().to_owned());
    sim.host("gateway", move || gateway(served.clone(), settings(&path)));
    let told = Told::default();
    let (seen, known) = (Rc::clone(&told), identity.clone());
    sim.client("viewer", async move {
        let mut viewer = connect(&known, "viewer").await?;
        while viewer.call(say::enter("demo")).await.code != 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        loop {
            let kind = tokio::time::timeout(Duration::from_secs(20), viewer.find(live)).await?;
            note(&seen, &kind);
            if matches!(kind, live_event::Kind::Ended(_)) {
                return Ok(());
            }
        }
    });
    sim.client("host", async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut host = connect(&identity, "host").await?;
        host.call(say::create("demo")).await;
        host.call(say::enter("demo")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(host.call(say::start("demo", "s1")).await.code, 0);
        turmoil::partition("host", "gateway");
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    });
    sim.run().unwrap();
    told.borrow().clone()
}

#[test]
fn a_host_behind_a_cut_network_is_away_in_its_allowance_and_ended_once() {
    let told = cut_off_host(7);
    let kinds: Vec<&str> = told.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(kinds, ["started", "away", "ended HostCrashed"]);
    let silent = told[1].0 - told[0].0;
    assert!((7_500..9_500).contains(&silent), "away after {silent} ms");
    let grace = told[2].0 - told[1].0;
    assert!((9_900..10_400).contains(&grace), "ended after {grace} ms");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let stories: Vec<_> = (0..2).map(|_| cut_off_host(11)).collect();
    assert_eq!(stories[0], stories[1]);
}

#[test]
fn a_live_survives_the_crash_of_its_gateway_and_ends_once() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new();
    let mut sim = simulation(3);
    let (served, path) = (identity.clone(), dir.path().to_owned());
    sim.host("gateway", move || gateway(served.clone(), settings(&path)));
    let known = identity.clone();
    sim.client("host", async move {
        let mut host = connect(&known, "host").await?;
        host.call(say::create("demo")).await;
        host.call(say::enter("demo")).await;
        assert_eq!(host.call(say::start("demo", "s1")).await.code, 0);
        while host.frame().await.is_some() {}
        Ok(())
    });
    while sim.elapsed() < Duration::from_secs(5) {
        sim.step().unwrap();
    }
    sim.crash("gateway");
    sim.bounce("gateway");
    let told = Told::default();
    let seen = Rc::clone(&told);
    sim.client("viewer", async move {
        let mut viewer = loop {
            match connect(&identity, "viewer").await {
                Ok(viewer) => break viewer,
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        assert_eq!(viewer.call(say::enter("demo")).await.code, 0);
        let kind = viewer.find(live).await;
        note(&seen, &kind);
        let live_event::Kind::Ended(ended) = kind else {
            panic!("told something else");
        };
        assert_eq!(ended.reason(), EndReason::HostLostInRestart);
        assert!(ended.stats.is_some_and(|stats| stats.approximate));
        Ok(())
    });
    sim.run().unwrap();
    assert_eq!(told.borrow().len(), 1);
}
