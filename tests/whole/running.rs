//! A gateway of a test: bound to free ports, configured by a file.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;

use livegate::config::{self, Ground, Loaded};
use livegate::server::{Reload, Server, Settings};
use livegate_client::Roots;
use livegate_proto::backend::backend_service_client::BackendServiceClient;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// The app of every test here.
pub(crate) const APP: u32 = 1_400_000_000;

/// Its v2 secret.
pub(crate) const SECRET: &str = "a-secret-of-tests-of-32-characters-or-more";

/// Signs what the app's backend is told.
pub(crate) const HOOK_SECRET: &str = "a-secret-for-callbacks-in-tests";

/// Where its certificate lies, from its directory.
pub(crate) const CERT: &str = "certs/livegate.pem";

pub(crate) const API_KEY: &str = "an-api-key-of-tests";

/// What a test sets besides the ground that all share.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// Whole sections, in TOML.
    pub(crate) sections: &'static str,
    /// Keys of the store, in TOML.
    pub(crate) engine: &'static str,
    /// Keys of the app, in TOML.
    pub(crate) app: &'static str,
    /// Where the backend is told, if anywhere.
    pub(crate) hook: Option<SocketAddr>,
    /// Where calls of the service "shop" go, if anywhere.
    pub(crate) shop: Option<SocketAddr>,
    /// Keys of its callbacks, in TOML.
    pub(crate) callback: &'static str,
}

impl Setup {
    pub(crate) fn file(&self, public: SocketAddr) -> String {
        let Self {
            sections,
            engine,
            app,
            hook,
            shop,
            callback,
        } = self;
        let shop = shop.map_or_else(String::new, |shop| {
            format!(
                "[[apps.routes]]\nservice = \"shop\"\nurl = \"http://{shop}/shop\"\n\
                 secrets = [\"{HOOK_SECRET}\"]\n"
            )
        });
        let hook = hook.map_or_else(String::new, |hook| {
            format!(
                "[apps.callback]\nurl = \"http://{hook}/hook\"\nsecrets = [\"{HOOK_SECRET}\"]\n{callback}\n"
            )
        });
        format!(
            "[listen]\npublic = \"{public}\"\n\
             [internal]\nbind = \"127.0.0.1:0\"\napi_keys = [\"{API_KEY}\"]\n\
             [shard]\nthreads = 2\n\
             [engine]\nverify = false\n{engine}\n\
             {sections}\n\
             [[apps]]\nsdk_app_id = {APP}\nkeys = [\"{SECRET}\"]\nadmins = [\"administrator\"]\n\
             {app}\n{shop}{hook}"
        )
    }
}

/// The backend's client.
pub(crate) type Backend = BackendServiceClient<InterceptedService<Channel, WithKey>>;

/// Has a backend of the test answer on a free port.
pub(crate) async fn serve(router: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    address
}

/// What clients need to know of a gateway.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) public: SocketAddr,
    pub(crate) roots: Roots,
}

/// A gateway that runs.
pub(crate) struct Running {
    site: Site,
    pub(crate) internal: SocketAddr,
    reload: Reload,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Starts one that keeps its files in `dir`, with a certificate made anew
    /// unless there is one.
    pub(crate) async fn start(dir: &TempDir, setup: &Setup) -> Self {
        Self::start_at(dir, setup, "127.0.0.1:0".parse().unwrap()).await
    }

    /// As [`start`](Self::start), at an address of an earlier one.
    pub(crate) async fn start_at(dir: &TempDir, setup: &Setup, public: SocketAddr) -> Self {
        let running = Self::start_unheard(dir, setup, public).await;
        running.accepting().await;
        running
    }

    /// As [`start`](Self::start), without a call to see that it accepts.
    pub(crate) async fn start_unheard(dir: &TempDir, setup: &Setup, public: SocketAddr) -> Self {
        let loaded = load(dir.path(), &setup.file(public));
        let files = loaded.cert_files();
        if !files.exist() {
            files.make(&[]).unwrap();
        }
        let roots = Roots::pem_file(dir.path().join(CERT)).unwrap();
        let server = Server::bind(Settings::from(loaded)).await.unwrap();
        let (public, internal) = (server.public(), server.internal());
        let (reload, stop) = (server.reload(), CancellationToken::new());
        let ended = TaskTracker::new().spawn(server.run(stop.clone()));
        Self {
            site: Site { public, roots },
            internal,
            reload,
            stop,
            ended,
        }
    }

    /// Clients wait in the backlog until it accepts; backends would be refused.
    async fn accepting(&self) {
        let mut backend = self.backend().await;
        let request = livegate_proto::backend::ListLivesRequest {
            sdk_app_id: APP,
            ..Default::default()
        };
        backend.list_lives(request).await.unwrap();
    }

    /// A client of the internal port, with its key.
    pub(crate) async fn backend(&self) -> Backend {
        BackendServiceClient::with_interceptor(channel(self.internal).await, WithKey)
    }

    /// Has the certificate files looked at, as SIGHUP does.
    pub(crate) fn reload(&self) {
        self.reload.now();
    }

    /// Begins a planned stop, as SIGTERM does.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        self.ended.await.unwrap().unwrap();
    }
}

/// A connection to an internal port.
pub(crate) async fn channel(internal: SocketAddr) -> Channel {
    let uri = format!("http://{internal}");
    Channel::from_shared(uri).unwrap().connect().await.unwrap()
}

fn load(dir: &Path, text: &str) -> Loaded {
    let file = dir.join("livegate.toml");
    std::fs::write(&file, text).unwrap();
    config::load(Ground::File(&file), [], Vec::new()).unwrap_or_else(|error| panic!("{error}"))
}

impl Deref for Running {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// Puts the API key to every call.
#[derive(Clone, Copy)]
pub(crate) struct WithKey;

impl tonic::service::Interceptor for WithKey {
    fn call(&mut self, mut call: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        let key = AsciiMetadataValue::from_static(API_KEY);
        call.metadata_mut().insert("x-api-key", key);
        Ok(call)
    }
}
