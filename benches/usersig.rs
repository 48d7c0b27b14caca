//! What a UserSig costs: `cargo bench --bench usersig`.
//!
//! Prints the median cost of each operation on one core and its ratio to a v2
//! verification. Asserts nothing about time: a figure is read, not enforced.

use std::io::{self, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use livegate::auth::usersig::{Grant, Token, issue, issue_v1};
use livegate::auth::{HmacKey, KeyRing, PrivateKey, PublicKey};
use livegate::clock::{Clock, Unix};
use livegate::id::{AppId, UserId};
use serde_json::Value;

const APP: AppId = AppId(1_400_000_000);
const NOW: Unix = Unix(1_700_000_000_000);
const ROUNDS: usize = 31;

fn main() -> io::Result<()> {
    // A test runner that asks for its list of tests gets an empty one.
    if std::env::args().any(|arg| arg == "--list") {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{:<34}{:>12}{:>10}", "operation", "ns", "ratio")?;
    let mut first = None;
    for (name, cost) in Bench::new().run() {
        let ratio = cost / *first.get_or_insert(cost);
        writeln!(out, "{name:<34}{cost:>12.0}{ratio:>10.2}")?;
    }
    Ok(())
}

struct Bench {
    clock: Clock,
    hmac: HmacKey,
    curves: [(&'static str, PrivateKey, PublicKey); 2],
    user: UserId,
}

impl Bench {
    fn new() -> Self {
        let secret = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
        let vectors = include_str!("../tests/data/usersig-vectors.json");
        let vectors: Value = serde_json::from_str(vectors).expect("the vectors are JSON");
        let pair = |name, curve| {
            let all = vectors["v1"].as_array().expect("a list");
            let vector = all.iter().find(|vector| vector["curve"] == curve);
            let pem = |key: &str| vector.expect("a pair of it")[key].as_str().expect("PEM");
            let private = PrivateKey::from_pem(&pem("private_key_pem").into());
            let public = PublicKey::from_pem(pem("public_key_pem"));
            (name, private.expect("a key"), public.expect("a key"))
        };
        Self {
            clock: Clock::system(),
            hmac: HmacKey::new(&secret.into()).expect("a key"),
            curves: [pair("P-256", "prime256v1"), pair("secp256k1", "secp256k1")],
            user: UserId::new("xiaojun").expect("an id"),
        }
    }

    /// Each operation's name and cost in nanoseconds; v2's verification first.
    fn run(&self) -> Vec<(String, f64)> {
        let grant = Grant {
            app: APP,
            user: &self.user,
            issued_at: NOW,
            lifetime: Duration::from_secs(86_400),
            userbuf: None,
        };
        let v2 = issue(&self.hmac, &grant).expect("fits");
        let stranger = HmacKey::new(&"another-key".into()).expect("a key");
        let previous = KeyRing::of_app(APP, [stranger, self.hmac.clone()], []);
        let ring = KeyRing::of_app(APP, [self.hmac.clone()], []);
        let bomb = bomb();
        let verify = |ring: &KeyRing, sig: &str| ring.verify(APP, None, sig, NOW).is_ok();
        let mut costs = vec![
            ("verify v2".to_owned(), self.cost(|| verify(&ring, &v2))),
            (
                "verify v2, previous key".to_owned(),
                self.cost(|| verify(&previous, &v2)),
            ),
            (
                "parse v2 alone".to_owned(),
                self.cost(|| Token::parse(&v2).is_ok()),
            ),
            (
                "refuse a zlib bomb".to_owned(),
                self.cost(|| !verify(&ring, &bomb)),
            ),
            (
                "issue v2".to_owned(),
                self.cost(|| issue(&self.hmac, &grant).is_ok()),
            ),
        ];
        for (name, private, public) in &self.curves {
            let v1 = issue_v1(private, &grant).expect("fits");
            let ring = KeyRing::of_app(APP, [], [public.clone()]);
            costs.push((
                format!("verify v1 on {name}"),
                self.cost(|| verify(&ring, &v1)),
            ));
            costs.push((
                format!("issue v1 on {name}"),
                self.cost(|| issue_v1(private, &grant).is_ok()),
            ));
        }
        costs
    }

    /// The median over rounds of the mean cost of one call, in nanoseconds.
    fn cost(&self, operation: impl Fn() -> bool) -> f64 {
        const CALLS: u32 = 1000;
        let round = || {
            let start = self.clock.now().instant;
            for _ in 0..CALLS {
                assert!(std::hint::black_box(operation()));
            }
            let spent = self.clock.now().instant.since(start);
            spent.as_secs_f64() * 1e9 / f64::from(CALLS)
        };
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2]
    }
}

/// The largest bomb that fits a signature's text.
fn bomb() -> String {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&vec![0; 1_500_000])
        .expect("memory takes it");
    STANDARD.encode(zlib.finish().expect("memory takes it"))
}
