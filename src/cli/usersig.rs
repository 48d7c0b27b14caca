//! `livegate usersig`: makes a signature, or says whether one holds.
//!
//! `issue` prints the signature. `verify` prints one JSON object and exits 0
//! when it holds, 1 when it does not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Serialize;

use super::{exit, print};
use crate::auth::usersig::{self, Grant};
use crate::auth::{HmacKey, KeyRing, PrivateKey, PublicKey, SigError, Verified};
use crate::clock::{self, Unix};
use crate::id::{AppId, UserId};

/// Makes and checks UserSigs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Issue(Issue),
    Verify(Verify),
}

/// Prints a signature for a user.
#[derive(Debug, clap::Args)]
struct Issue {
    /// The app's sdk_app_id.
    #[arg(long, value_name = "ID")]
    app: u32,
    #[command(flatten)]
    key: SigningKey,
    /// Whom it is for.
    #[arg(long)]
    user: String,
    /// How long it holds, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 180 * 24 * 3600)]
    expire: u64,
    /// Bytes to sign along, in standard base64.
    #[arg(long, value_name = "BASE64")]
    userbuf: Option<String>,
}

/// What to sign with: one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SigningKey {
    /// The app's secret: makes a version 2 signature.
    #[arg(long)]
    key: Option<SecretString>,
    /// PEM file of the app's private key: makes a version 1 signature.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
}

/// Says whether a signature holds: one JSON object, exit status 0 or 1.
#[derive(Debug, clap::Args)]
struct Verify {
    /// The app's sdk_app_id.
    #[arg(long, value_name = "ID")]
    app: u32,
    #[command(flatten)]
    key: ProvingKey,
    /// Whose it must be; anybody's when not given.
    #[arg(long)]
    user: Option<String>,
    /// The moment it must hold at, in seconds since 1970; now when not given.
    #[arg(long, value_name = "UNIX")]
    at: Option<u64>,
    /// The signature.
    #[arg(value_name = "SIG")]
    sig: String,
}

/// What to hold it against: one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ProvingKey {
    /// The app's secret: only version 2 signatures count.
    #[arg(long)]
    key: Option<SecretString>,
    /// PEM file of the app's public key: only version 1 signatures count.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

/// Runs `livegate usersig`.
pub(super) fn run(args: Args) -> ExitCode {
    let outcome = match args.action {
        Action::Issue(args) => issue(&args).map(|sig| (sig, exit::OK)),
        Action::Verify(args) => verify(&args).map(|verdict| verdict.answer()),
    };
    match outcome {
        Ok((text, code)) => answer(print::line(text), code),
        Err(error) => {
            print::complain(format_args!("{error:#}"));
            exit::USAGE.into()
        }
    }
}

fn answer(printed: io::Result<()>, code: u8) -> ExitCode {
    match printed {
        Ok(()) => code.into(),
        Err(_) => exit::FAILED.into(),
    }
}

fn issue(args: &Issue) -> anyhow::Result<String> {
    let user = UserId::new(&args.user).context("--user")?;
    let userbuf = args.userbuf.as_deref().map(|text| STANDARD.decode(text));
    let userbuf = userbuf.transpose().context("--userbuf")?;
    let grant = Grant {
        app: AppId(args.app),
        user: &user,
        issued_at: clock::unix_now(),
        lifetime: Duration::from_secs(args.expire),
        userbuf: userbuf.as_deref(),
    };
    let SigningKey { key, private_key } = &args.key;
    if let Some(path) = private_key {
        let key = PrivateKey::from_pem(&read(path)?.into());
        return Ok(usersig::issue_v1(&key.context("--private-key")?, &grant)?);
    }
    let secret = key.as_ref().context("no key given")?;
    let key = HmacKey::new(secret).context("--key")?;
    Ok(usersig::issue(&key, &grant)?)
}

fn verify(args: &Verify) -> anyhow::Result<Verdict> {
    let app = AppId(args.app);
    let ProvingKey { key, public_key } = &args.key;
    let hmac = key.as_ref().map(HmacKey::new).transpose();
    let ecdsa = public_key.as_deref().map(read_public).transpose()?;
    let ring = KeyRing::of_app(app, hmac.context("--key")?, ecdsa);
    let now = args.at.map_or_else(clock::unix_now, from_seconds);
    let verdict = ring.verify(app, args.user.as_deref(), &args.sig, now);
    Ok(verdict.into())
}

fn read_public(path: &Path) -> anyhow::Result<PublicKey> {
    PublicKey::from_pem(&read(path)?).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).map_err(|error| anyhow!("cannot read {}: {error}", path.display()))
}

fn from_seconds(seconds: u64) -> Unix {
    Unix(seconds.saturating_mul(1000))
}

/// What `verify` prints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Verdict {
    Valid {
        valid: bool,
        identifier: String,
        expires_at: u64,
    },
    Invalid {
        valid: bool,
        code: i32,
        error: String,
    },
}

impl From<Result<Verified, SigError>> for Verdict {
    fn from(verdict: Result<Verified, SigError>) -> Self {
        match verdict {
            Ok(verified) => Self::Valid {
                valid: true,
                identifier: verified.user.to_string(),
                expires_at: verified.expires_at.seconds(),
            },
            Err(error) => Self::Invalid {
                valid: false,
                code: error.code().0,
                error: error.to_string(),
            },
        }
    }
}

impl Verdict {
    /// Its JSON and the exit code that goes with it.
    fn answer(&self) -> (String, u8) {
        let json = serde_json::to_string(self).expect("texts and integers serialise");
        let code = match self {
            Self::Valid { .. } => exit::OK,
            Self::Invalid { .. } => exit::FAILED,
        };
        (json, code)
    }
}
