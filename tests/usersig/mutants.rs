//! Changed signatures, none accepted: a hundred thousand in every run of the
//! suite, a million with `LIVEGATE_LONG=1`:
//!
//!     LIVEGATE_LONG=1 cargo test --release --test usersig mutants -- --nocapture
//!
//! Changes: bits and characters of the text, bits of the document put into a
//! fresh envelope, and fields edited with intent. A change that leaves the
//! document's meaning as it was (the other spelling of the alphabet, an idle
//! bit of the zlib stream, another JSON escape, v1's unsigned version) is no
//! forgery: it is drawn again and not counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use livegate::auth::KeyRing;
use serde_json::{Value, json};

use super::forge;
use super::vectors::{ring, text, vectors, verdict};

/// How many mutants have to be refused.
fn mutants() -> u64 {
    let long = std::env::var_os("LIVEGATE_LONG").is_some_and(|value| value == "1");
    if long { 1_000_000 } else { 100_000 }
}

/// Parts with a seed of their own each, so that the mutants are the same on
/// any number of cores.
const PARTS: u64 = 64;

/// Of each part, one in this many mutants is of v1: its check takes long.
const V1_SHARE: u64 = 20;

struct Seed {
    vector: Value,
    ring: KeyRing,
    document: Value,
}

/// The genuine signatures of `version` that the mutants are made from.
fn seeds(version: &str) -> Vec<Seed> {
    let valid = vectors(version)
        .into_iter()
        .filter(|vector| vector["expected"] == "valid");
    let seeds = valid.map(|mut vector| {
        let sig = text(&vector, "sig");
        assert!(verdict(&ring(&vector), &vector, sig).is_ok(), "{vector}");
        let document = forge::document(sig).expect("a genuine one opens");
        let document = serde_json::from_slice(&document).expect("it is JSON");
        // Any identity that a mutant claims is to be refused, not only others.
        vector["check"]["identifier"] = Value::Null;
        Seed {
            ring: ring(&vector),
            document,
            vector,
        }
    });
    seeds.collect()
}

#[test]
fn no_changed_signature_is_accepted() {
    let (mutants, seeds) = (mutants(), [seeds("v2"), seeds("v1")]);
    let tally = Tally::default();
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, Relaxed);
                    if part >= PARTS {
                        return;
                    }
                    try_part(part, mutants.div_ceil(PARTS), &seeds, &tally);
                }
            });
        }
    });
    let refused = tally.refused.load(Relaxed);
    let forged = tally.forged.load(Relaxed);
    println!("{refused} mutants refused, {forged} of them by the key alone");
    assert!(refused >= mutants, "{refused}");
    // Else the mutants would test the parser and never the key.
    assert!(forged * 4 > refused, "only {forged} got as far as the key");
}

#[derive(Default)]
struct Tally {
    refused: AtomicU64,
    forged: AtomicU64,
}

fn try_part(part: u64, mutants: u64, seeds: &[Vec<Seed>; 2], tally: &Tally) {
    let mut dice = Dice(part);
    let (mut refused, mut forged) = (0, 0);
    while refused < mutants {
        let of_version = &seeds[usize::from(dice.below(V1_SHARE) == 0)];
        let seed = dice.pick(of_version);
        let mutant = mutate(seed, of_version, &mut dice);
        match verdict(&seed.ring, &seed.vector, &mutant) {
            Err(code) => {
                refused += 1;
                forged += u64::from(code == 70009);
            }
            Ok(verified) => assert!(
                means_the_same(&mutant, seed),
                "{mutant} of {} proves {verified:?}",
                seed.vector["id"]
            ),
        }
    }
    tally.refused.fetch_add(refused, Relaxed);
    tally.forged.fetch_add(forged, Relaxed);
}

fn means_the_same(mutant: &str, seed: &Seed) -> bool {
    let document = forge::document(mutant).expect("what is accepted opens");
    let mut document: Value = serde_json::from_slice(&document).expect("and is JSON");
    if !seed.document["TLS.version"].is_null() {
        document["TLS.version"] = seed.document["TLS.version"].clone();
    }
    document == seed.document
}

fn mutate(seed: &Seed, others: &[Seed], dice: &mut Dice) -> String {
    match dice.below(10) {
        0..=2 => mutate_text(text(&seed.vector, "sig"), dice),
        3..=5 => mutate_document(text(&seed.vector, "inner_json"), dice),
        _ => {
            let document = edit(seed.document.clone(), dice.pick(others), dice);
            forge::envelope(document.to_string().as_bytes())
        }
    }
}

fn mutate_text(sig: &str, dice: &mut Dice) -> String {
    let mut bytes = sig.as_bytes().to_vec();
    let at = dice.index(bytes.len());
    match dice.below(4) {
        0 => bytes[at] ^= 1 << dice.below(7),
        1 => bytes[at] = *dice.pick(sig.as_bytes()),
        2 => drop(bytes.remove(at)),
        _ => bytes.swap(at, dice.index(sig.len())),
    }
    String::from_utf8(bytes).expect("a bit below the top keeps it ASCII")
}

fn mutate_document(json: &str, dice: &mut Dice) -> String {
    let mut bytes = json.as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.index(bytes.len());
        match dice.below(4) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, *dice.pick(json.as_bytes())),
            2 => bytes[at] = *dice.pick(b"0123456789aA\"\\{}:,+/= \n"),
            _ => bytes[at] ^= 1 << dice.below(8),
        }
    }
    forge::envelope(&bytes)
}

/// Changes a field as a forger would: each claim alone, or parts of another
/// genuine signature.
fn edit(mut document: Value, other: &Seed, dice: &mut Dice) -> Value {
    let keys: Vec<String> = document
        .as_object()
        .expect("an object")
        .keys()
        .filter(|key| *key != "TLS.version")
        .cloned()
        .collect();
    let key = dice.pick(&keys).as_str();
    match (dice.below(6), document[key].clone()) {
        (0, _) => {
            let fields = document.as_object_mut().expect("an object");
            fields.remove(key);
        }
        (1, _) => document[key] = other.document[key].clone(),
        (2, _) => document["TLS.userbuf"] = json!(forge::base64(&dice.next().to_be_bytes())),
        (3, _) => document["TLS.sig"] = json!(forge::base64(&dice.bytes())),
        (_, Value::Number(number)) => {
            let number = number.as_u64().expect("unsigned");
            document[key] = json!(number.wrapping_add(1 << dice.below(40)));
        }
        (_, value) => {
            let text = value.as_str().expect("a text");
            document[key] = json!(edit_text(text, dice));
        }
    }
    document
}

fn edit_text(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let letter = char::from(*dice.pick(b"0123456789abcxyzABCXYZ+/="));
    let at = dice.index(letters.len() + 1);
    if at < letters.len() && dice.below(2) == 0 {
        letters[at] = letter;
    } else {
        letters.insert(at, letter);
    }
    letters.into_iter().collect()
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..4).flat_map(|_| self.next().to_be_bytes()).collect()
    }
}
