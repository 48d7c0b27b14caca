//! Where an app's calls go: read from the configuration, checked, and the
//! connections to there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::auth::SecretText;
use crate::callback::breaker::{Breaker, Limits};
use crate::callback::delivery::Problem;
use crate::callback::sign::Signer;
use crate::callback::target::Line;
use crate::clock::span;
use crate::id::AppId;

/// Most bytes of a service's name.
pub const MAX_SERVICE: usize = 64;
/// Most routes of an app.
const MAX_ROUTES: usize = 256;

/// Where the calls of one service go.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// Names it in calls: 1 to 64 printable ASCII characters.
    pub service: String,
    /// Calls are posted here: http or https.
    pub url: String,
    /// Secrets that sign: the current one, then the next or previous one while
    /// they rotate. 1 or 2, each of at least 16 characters.
    pub secrets: Vec<SecretText>,
    /// PEM file of the authorities that may have issued the backend's
    /// certificate; absent: those of the system. Relative to the
    /// configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Networks in which a name in `url` may lie besides public addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// What the body is said to be.
    pub content_type: String,
    /// Longest time of a call, its retry included.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// Longest time to connect, within `timeout`.
    #[serde(with = "span")]
    pub connect_timeout: Duration,
    /// Calls under way at once; further ones are refused.
    pub parallel: usize,
    /// A call that the backend did not take may be sent once more. Else each
    /// call is sent at most once.
    pub idempotent: bool,
    /// Failures in a row after which the backend is left alone; 0: never.
    pub failures: u32,
    /// How long it is left alone.
    #[serde(with = "span")]
    pub rest: Duration,
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            service: String::new(),
            url: String::new(),
            secrets: Vec::new(),
            ca_file: None,
            networks: Vec::new(),
            content_type: "application/json".to_owned(),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            parallel: 64,
            idempotent: false,
            failures: 5,
            rest: Duration::from_secs(5),
        }
    }
}

/// The routes of one app.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AppRoutes {
    /// The app.
    pub sdk_app_id: u32,
    /// Its routes, each service once.
    pub routes: Vec<RouteConfig>,
}

/// What is wrong with a route.
#[derive(Debug, Error)]
#[error("{key}: {problem}")]
pub struct RouteError {
    /// The key: `apps[0].routes[1].url`.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub problem: RouteProblem,
}

/// What is wrong with a value of a route.
#[derive(Debug, Error)]
pub enum RouteProblem {
    /// The backend cannot be called so.
    #[error(transparent)]
    Backend(#[from] Problem),
    /// A service's name.
    #[error("is not 1 to {MAX_SERVICE} printable ASCII characters")]
    Service,
    /// Two routes of one name.
    #[error("the service is there twice")]
    Twice,
    /// More routes than an app may have.
    #[error("an app has at most {MAX_ROUTES} routes")]
    TooMany,
    /// The content type.
    #[error("cannot be a header's value")]
    ContentType,
    /// Nothing could ever be called.
    #[error("must be more than nothing")]
    Nothing,
}

/// The routes of every app.
#[derive(Debug, Default)]
pub struct Routes(HashMap<AppId, HashMap<String, Arc<Route>>>);

/// Where the calls of one service go, and how it fares there.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) url: Url,
    pub(super) signer: Signer,
    pub(super) client: Client,
    pub(super) content_type: HeaderValue,
    pub(super) timeout: Duration,
    pub(super) idempotent: bool,
    /// Calls that may be under way.
    pub(super) places: Arc<Semaphore>,
    pub(super) limits: Limits,
    pub(super) breaker: Mutex<Breaker>,
}

impl Routes {
    /// Checks the configuration, reads the files it names (relative paths
    /// start at `base`) and sets up clients. Connects to nothing.
    ///
    /// # Errors
    /// [`RouteError`] names the first key that is wrong.
    pub fn open(apps: &[AppRoutes], base: &Path) -> Result<Self, RouteError> {
        let mut all = HashMap::new();
        for (n, app) in apps.iter().enumerate() {
            if app.routes.len() > MAX_ROUTES {
                return Err(RouteError {
                    key: format!("apps[{n}].routes"),
                    problem: RouteProblem::TooMany,
                });
            }
            let mut routes = HashMap::new();
            for (m, config) in app.routes.iter().enumerate() {
                let at = |(key, problem): (&str, RouteProblem)| RouteError {
                    key: format!("apps[{n}].routes[{m}].{key}"),
                    problem,
                };
                let route = Arc::new(Route::open(config, base).map_err(at)?);
                if routes.insert(config.service.clone(), route).is_some() {
                    return Err(at(("service", RouteProblem::Twice)));
                }
            }
            all.insert(AppId(app.sdk_app_id), routes);
        }
        Ok(Self(all))
    }

    /// Whether the app has any.
    pub(super) fn has(&self, app: AppId) -> bool {
        self.0.get(&app).is_some_and(|routes| !routes.is_empty())
    }

    /// The route of an app's service.
    pub(super) fn get(&self, app: AppId, service: &str) -> Option<&Arc<Route>> {
        self.0.get(&app)?.get(service)
    }
}

impl Route {
    fn open(config: &RouteConfig, base: &Path) -> Result<Self, (&'static str, RouteProblem)> {
        let printable = config.service.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || !(1..=MAX_SERVICE).contains(&config.service.len()) {
            return Err(("service", RouteProblem::Service));
        }
        let content_type = HeaderValue::from_str(&config.content_type)
            .map_err(|_| ("content_type", RouteProblem::ContentType))?;
        for (key, is_nothing) in [
            ("timeout", config.timeout.is_zero()),
            ("connect_timeout", config.connect_timeout.is_zero()),
            ("parallel", config.parallel == 0),
        ] {
            if is_nothing {
                return Err((key, RouteProblem::Nothing));
            }
        }
        let line = Line {
            url: &config.url,
            secrets: &config.secrets,
            ca_file: config.ca_file.as_deref(),
            networks: &config.networks,
            connect_timeout: config.connect_timeout,
            timeout: config.timeout,
        };
        let opened = line.open(base);
        let opened = opened.map_err(|(key, problem)| (key, RouteProblem::from(problem)))?;
        Ok(Self {
            url: opened.url,
            signer: opened.signer,
            client: opened.client,
            content_type,
            timeout: config.timeout,
            idempotent: config.idempotent,
            places: Arc::new(Semaphore::new(config.parallel.min(Semaphore::MAX_PERMITS))),
            limits: Limits {
                failures: match config.failures {
                    0 => u32::MAX,
                    failures => failures,
                },
                rest: config.rest,
            },
            breaker: Mutex::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> RouteConfig {
        RouteConfig {
            service: "shop".into(),
            url: "http://127.0.0.1:1/shop".into(),
            secrets: vec![SecretText::new("sixteen-characters")],
            ..RouteConfig::default()
        }
    }

    fn open(routes: Vec<RouteConfig>) -> Result<Routes, String> {
        let app = AppRoutes {
            sdk_app_id: 7,
            routes,
        };
        Routes::open(&[app], Path::new("/")).map_err(|error| error.key)
    }

    #[test]
    fn a_route_belongs_to_its_app() {
        let routes = open(vec![good()]).unwrap();
        assert!(routes.get(AppId(7), "shop").is_some());
        assert!(routes.get(AppId(8), "shop").is_none());
        assert!(routes.get(AppId(7), "Shop").is_none());
    }

    #[test]
    fn what_cannot_work_is_named() {
        type Change = fn(&mut RouteConfig);
        let cases: [(&str, Change); 8] = [
            ("service", |it| it.service.clear()),
            ("service", |it| it.service = "a b".into()),
            ("url", |it| it.url = "ftp://host/".into()),
            ("secrets", |it| it.secrets.clear()),
            ("secrets", |it| it.secrets = vec![SecretText::new("short")]),
            ("timeout", |it| it.timeout = Duration::ZERO),
            ("parallel", |it| it.parallel = 0),
            ("content_type", |it| it.content_type = "a\nb".into()),
        ];
        for (key, change) in cases {
            let mut config = good();
            change(&mut config);
            let expected = format!("apps[0].routes[0].{key}");
            assert_eq!(open(vec![config]).unwrap_err(), expected);
        }
        let twice = open(vec![good(), good()]).unwrap_err();
        assert_eq!(twice, "apps[0].routes[1].service");
    }

    #[test]
    fn the_defaults_survive_their_text_form() {
        let text = toml::to_string(&RouteConfig::default()).unwrap();
        let read: RouteConfig = toml::from_str(&text).unwrap();
        assert_eq!(read, RouteConfig::default());
    }
}
