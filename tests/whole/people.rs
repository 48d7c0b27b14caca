//! People with the SDK, each on a runtime of their own, so that one can be
//! ended as a process is when it is killed: no word, its sockets closed.

use std::time::Duration;

use livegate::auth::SecretText;
use livegate::auth::usersig::{Grant, issue};
use livegate::auth::{HmacKey, Privileges};
use livegate::clock::unix_now;
use livegate::id::{AppId, UserId};
use livegate_client::wire::{Platform, Profile, RoomMessage, room_message};
use livegate_client::{
    Client, Config, ConnectError, Event, Events, RoomEvent, RoomEventKind, Roots, SigProvider,
    TransportPreference,
};
use tokio::runtime::Runtime;

use crate::running::{APP, SECRET, Site};

/// How long anything is waited for before a test is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// Who is to log in, and how.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) app: u32,
    pub(crate) user: &'static str,
    pub(crate) platform: Platform,
    pub(crate) over: TransportPreference,
    pub(crate) lifetime: Duration,
    /// Signatures may be renewed.
    pub(crate) renews: bool,
    pub(crate) privileges: Option<Privileges>,
}

impl Login {
    pub(crate) fn new(user: &'static str, over: TransportPreference) -> Self {
        Self {
            app: APP,
            user,
            platform: Platform::Linux,
            over,
            lifetime: Duration::from_secs(3_600),
            renews: true,
            privileges: None,
        }
    }

    pub(crate) fn sig(&self) -> String {
        let (app, user) = (AppId(self.app), UserId::new(self.user).unwrap());
        let key = HmacKey::new(SecretText::new(SECRET).secret()).unwrap();
        let userbuf = self.privileges.as_ref();
        let userbuf = userbuf.map(|rights| rights.to_userbuf(app, self.user).unwrap());
        let grant = Grant {
            app,
            user: &user,
            issued_at: unix_now(),
            lifetime: self.lifetime,
            userbuf: userbuf.as_deref(),
        };
        issue(&key, &grant).unwrap()
    }

    fn config(&self, site: &Site, roots: Roots) -> Config {
        let login = self.clone();
        let sig = match self.renews {
            true => SigProvider::from_fn(move || Ok(login.sig())),
            false => SigProvider::fixed(self.sig()),
        };
        let addr = site.public.to_string();
        let mut config = Config::new(addr, self.app, self.user, sig, roots);
        config.login.platform = self.platform;
        config.login.profile = Some(Profile {
            nick: self.user.to_uppercase(),
            ..Profile::default()
        });
        config.dial.transport = self.over;
        config.backoff.base = Duration::from_millis(20);
        config
    }

    /// Connects and logs in.
    pub(crate) async fn connect(&self, site: &Site) -> Person {
        let done = self.try_connect(site, site.roots.clone()).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", self.user))
    }

    /// As [`connect`](Self::connect), trusting `roots`.
    pub(crate) async fn try_connect(
        &self,
        site: &Site,
        roots: Roots,
    ) -> Result<Person, ConnectError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = self.config(site, roots);
        let connected = runtime.spawn(Client::connect(config)).await.unwrap();
        let (client, events) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Person {
            client,
            events,
            runtime: Some(runtime),
        })
    }
}

/// One logged-in user.
pub(crate) struct Person {
    pub(crate) client: Client,
    events: Events,
    runtime: Option<Runtime>,
}

impl Drop for Person {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Person {
    /// Ends everything of this person at once, as kill -9 does.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// The next event that `pick` picks; those before it are dropped.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.next().await.expect("no more events");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.expect("did not happen in time")
    }

    /// The next event of a room that `pick` picks.
    pub(crate) async fn room<T>(&mut self, pick: impl Fn(&RoomEventKind) -> Option<T>) -> T {
        self.until(|event| match event {
            Event::Room(RoomEvent { kind, .. }) => pick(kind),
            _ => None,
        })
        .await
    }

    /// The next message in a room: its seq and itself.
    pub(crate) async fn message(&mut self) -> (u64, RoomMessage) {
        self.until(|event| match event {
            Event::Room(RoomEvent {
                kind: RoomEventKind::Message(message),
                seq,
                ..
            }) => Some((*seq, message.clone())),
            _ => None,
        })
        .await
    }

    /// The next text in a room, with who said it.
    pub(crate) async fn text(&mut self) -> (String, String) {
        loop {
            let (_, message) = self.message().await;
            if let Some(room_message::Content::Text(text)) = message.content {
                return (message.from.unwrap_or_default().user_id, text.text);
            }
        }
    }

    /// What has come and was not read. Nothing more is waited for.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_next()).collect()
    }
}
