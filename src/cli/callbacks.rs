//! `livegate callbacks`: looks after callbacks that were given up, through the
//! internal port of a running gateway (the store's file has one owner).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{exit, print};
use crate::backend::{Count, Letter, Letters, Order};
use crate::callback;

/// Letters of one page.
const PAGE: usize = 1_000;
/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Lists callbacks that were given up, has them told again, or forgets them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The internal port.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:7080"
    )]
    url: Url,
    /// An API key of the internal port.
    #[arg(long, global = true, env = "LIVEGATE_API_KEY", hide_env_values = true)]
    api_key: Option<SecretString>,
    /// PEM file of the authorities to trust, for an internal port with TLS; the
    /// system's when not given.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prints what was given up, oldest first, one JSON object a line. Bodies
    /// are not shown.
    List,
    /// Has callbacks told again, behind what waits for their rooms.
    Replay(Which),
    /// Forgets callbacks for good.
    Drop(Which),
}

/// Which ones.
#[derive(Debug, clap::Args)]
struct Which {
    /// Their places, as `list` prints them.
    #[arg(value_name = "PLACE", required_unless_present = "all")]
    places: Vec<u64>,
    /// All of them.
    #[arg(long, conflicts_with = "places")]
    all: bool,
    /// With --all: those of one app only.
    #[arg(long, value_name = "ID", requires = "all")]
    app: Option<u32>,
}

/// Runs `livegate callbacks`.
pub(super) fn run(args: &Args) -> ExitCode {
    match super::block_on(act(args)) {
        Ok(()) => exit::OK.into(),
        Err(error) => {
            print::complain(format_args!("{error:#}"));
            exit::FAILED.into()
        }
    }
}

async fn act(args: &Args) -> anyhow::Result<()> {
    let door = Door::open(args)?;
    match &args.action {
        Action::List => list(&door).await,
        Action::Replay(which) => order(&door, "replay", which).await,
        Action::Drop(which) => order(&door, "drop", which).await,
    }
}

async fn list(door: &Door) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let path = format!("livegate/v1/callbacks?after={after}&limit={PAGE}");
        let page: Letters = door.ask(Method::GET, &path, None::<&()>).await?;
        for letter in &page.letters {
            print::line(serde_json::to_string(letter)?)?;
        }
        match page.letters.last() {
            Some(Letter { place, .. }) if page.more => after = *place,
            Some(_) | None => return Ok(()),
        }
    }
}

/// Gives the order until nothing is left that it concerns, and prints how many
/// letters that were.
async fn order(door: &Door, what: &str, which: &Which) -> anyhow::Result<()> {
    let path = format!("livegate/v1/callbacks/{what}");
    let mut total = 0;
    if which.all {
        let all = Order {
            places: Vec::new(),
            sdk_app_id: which.app,
        };
        loop {
            let done: Count = door.ask(Method::POST, &path, Some(&all)).await?;
            total += done.count;
            if done.count == 0 {
                break;
            }
        }
    }
    for places in which.places.chunks(PAGE) {
        let some = Order {
            places: places.to_vec(),
            sdk_app_id: None,
        };
        let done: Count = door.ask(Method::POST, &path, Some(&some)).await?;
        total += done.count;
    }
    print::line(total)?;
    Ok(())
}

/// The internal port.
struct Door {
    url: Url,
    key: SecretString,
    client: Client,
}

impl Door {
    fn open(args: &Args) -> anyhow::Result<Self> {
        let Some(key) = args.api_key.clone() else {
            bail!("an API key is needed: --api-key or LIVEGATE_API_KEY");
        };
        let client = callback::operator_client(&args.url, args.ca.as_deref(), TIMEOUT);
        Ok(Self {
            url: args.url.clone(),
            key,
            client: client.context("--ca")?,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let url = self.url.join(path).context("--url")?;
        let mut request = self
            .client
            .request(method, url)
            .header("x-api-key", self.key.expose_secret());
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(serde_json::to_vec(body)?);
        }
        let response = request.send().await.context("the internal port")?;
        let status = response.status();
        let body = response.bytes().await.context("the internal port")?;
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).context("the internal port's answer")
    }
}
