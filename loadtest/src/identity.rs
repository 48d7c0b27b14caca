//! Who the clients of a run are: an app, its key, and a UserSig for each user.
//!
//! Signs like the vendor's TLSSigAPI v2 does, written anew and not shared with
//! the gateway: a mistake on either side shows as a refused login.

use std::io::Write;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;

/// The development app of `livegate serve --dev`: the vendor's published sample.
pub(crate) const DEV_APP: u32 = 1_400_000_000;
/// Its published key.
pub(crate) const DEV_KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

/// Seconds that signatures of a run are good for.
const LIFETIME: u64 = 86_400;

/// The app that all clients of a run log in to.
#[derive(Clone)]
pub(crate) struct App {
    /// Its `sdk_app_id`.
    pub(crate) id: u32,
    text: String,
    key: hmac::Key,
}

impl std::fmt::Debug for App {
    /// Writes no key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl App {
    /// The app `id`, whose key is used as the text it is.
    pub(crate) fn new(id: u32, key: &str) -> Self {
        Self {
            id,
            text: key.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
        }
    }

    /// Its key, for another process of the run.
    pub(crate) fn key(&self) -> &str {
        &self.text
    }

    /// A UserSig for `user`, issued at `now` (Unix seconds).
    pub(crate) fn sign(&self, user: &str, now: u64) -> String {
        let id = self.id;
        let content = format!(
            "TLS.identifier:{user}\nTLS.sdkappid:{id}\nTLS.time:{now}\nTLS.expire:{LIFETIME}\n"
        );
        let sig = STANDARD.encode(hmac::sign(&self.key, content.as_bytes()));
        let json = serde_json::json!({
            "TLS.ver": "2.0",
            "TLS.identifier": user,
            "TLS.sdkappid": id,
            "TLS.time": now,
            "TLS.expire": LIFETIME,
            "TLS.sig": sig,
        });
        envelope(json.to_string().as_bytes())
    }
}

fn envelope(json: &[u8]) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let packed = zlib.write_all(json).and_then(|()| zlib.finish());
    let packed = packed.expect("writing to memory cannot fail");
    let plain = STANDARD.encode(packed);
    plain
        .chars()
        .map(|c| match c {
            '+' => '*',
            '/' => '-',
            '=' => '_',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn the_hmac_is_the_one_of_the_published_vector() {
        let app = App::new(DEV_APP, DEV_KEY);
        let content = "TLS.identifier:xiaojun\nTLS.sdkappid:1400000000\n\
                       TLS.time:1700000000\nTLS.expire:15552000\n";
        let sig = STANDARD.encode(hmac::sign(&app.key, content.as_bytes()));
        assert_eq!(sig, "LvA7d/Iw7gSsnskvVzBDPOCCDbuNCw4GHwTC0bip+B4=");
    }

    #[test]
    fn the_envelope_opens_to_the_signed_fields() {
        let sig = App::new(DEV_APP, DEV_KEY).sign("ada", 1_700_000_000);
        assert!(!sig.contains(['+', '/', '=']));
        let plain: String = sig
            .chars()
            .map(|c| match c {
                '*' => '+',
                '-' => '/',
                '_' => '=',
                other => other,
            })
            .collect();
        let packed = STANDARD.decode(plain).unwrap();
        let mut json = String::new();
        ZlibDecoder::new(packed.as_slice())
            .read_to_string(&mut json)
            .unwrap();
        let fields: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(fields["TLS.identifier"], "ada");
        assert_eq!(fields["TLS.time"], 1_700_000_000);
    }
}
