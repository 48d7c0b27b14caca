//! What a signature claims, each value checked, nothing proven yet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::content;
use super::document::{Document, Figure, Text};
use super::envelope;
use crate::auth::SigError;
use crate::id::{AppId, UserId};

/// A signature taken apart. Every value is within its bounds and free of
/// control characters, so the signed text has one meaning only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For whom.
    pub user: UserId,
    /// For which app.
    pub app: AppId,
    /// When it was issued, Unix seconds.
    pub time: u64,
    /// How long it lasts from then, seconds.
    pub expire: u64,
    /// Bytes that the backend signed along.
    pub userbuf: Option<Vec<u8>>,
    /// The signature proper.
    pub proof: Proof,
    /// The text under the signature.
    pub(in crate::auth) signed: String,
}

/// The signature over a token's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Version 2: HMAC-SHA256.
    Hmac([u8; 32]),
    /// Version 1: ECDSA over SHA-256, ASN.1 DER.
    Ecdsa(Vec<u8>),
}

/// Longest value of v1's `TLS.account_type` and `TLS.appid_at_3rd`, bytes.
const MAX_LABEL: usize = 64;

impl Token {
    /// Takes `sig` apart and checks each value, without any key.
    ///
    /// # Errors
    /// [`SigError::Empty`], [`SigError::Malformed`] when it cannot be read,
    /// [`SigError::Invalid`] when a value is never accepted.
    pub fn parse(sig: &str) -> Result<Self, SigError> {
        let json = envelope::open(sig)?;
        let document = Document::read(&json)?;
        // As the vendor tells them apart; which version counts is the key ring's
        // to say.
        if document.ver.is_some() {
            parse_v2(&document)
        } else {
            parse_v1(&document)
        }
    }

    /// When it ends, Unix seconds.
    pub fn expires_at(&self) -> u64 {
        self.time.saturating_add(self.expire)
    }
}

fn parse_v2(document: &Document<'_>) -> Result<Token, SigError> {
    let Document {
        ver: Some(ver),
        sdkappid: Some(sdkappid),
        expire: Some(expire),
        time: Figure::Number(time),
        account_type: None,
        appid_at_3rd: None,
        sdk_appid: None,
        expire_after: None,
        version: None,
        identifier,
        sig,
        userbuf,
    } = document
    else {
        return Err(SigError::Malformed("not the fields of version 2.0"));
    };
    if ver.0 != "2.0" {
        return Err(SigError::Invalid("unknown version"));
    }
    let user = identity(identifier)?;
    let (encoded, userbuf) = decode_userbuf(userbuf.as_ref())?;
    let mac = decode_sig(sig)?;
    let mac = mac.try_into().map_err(|_| MALFORMED_SIG)?;
    let content = content::V2 {
        identifier: user.as_str(),
        sdkappid: *sdkappid,
        time: *time,
        expire: *expire,
        userbuf: encoded,
    };
    Ok(Token {
        signed: content.text(),
        app: AppId(*sdkappid),
        time: *time,
        expire: *expire,
        userbuf,
        proof: Proof::Hmac(mac),
        user,
    })
}

fn parse_v1(document: &Document<'_>) -> Result<Token, SigError> {
    let Document {
        ver: None,
        sdkappid: None,
        expire: None,
        time: Figure::Text(time),
        account_type: Some(account_type),
        appid_at_3rd,
        sdk_appid: Some(sdk_appid),
        expire_after: Some(expire_after),
        version: _,
        identifier,
        sig,
        userbuf,
    } = document
    else {
        return Err(SigError::Malformed("not the fields of either version"));
    };
    let user = identity(identifier)?;
    let app = decimal(&sdk_appid.0).and_then(|id| u32::try_from(id).ok());
    let app = app.ok_or(SigError::Malformed("TLS.sdk_appid is no app id"))?;
    let figure = |text| decimal(text).ok_or(SigError::Malformed("a figure is no plain integer"));
    let (encoded, userbuf) = decode_userbuf(userbuf.as_ref())?;
    let content = content::V1 {
        appid_at_3rd: appid_at_3rd.as_ref().map(label).transpose()?,
        account_type: label(account_type)?,
        identifier: user.as_str(),
        sdk_appid: &sdk_appid.0,
        time,
        expire_after: &expire_after.0,
        userbuf: encoded,
    };
    Ok(Token {
        signed: content.text(),
        app: AppId(app),
        time: figure(time)?,
        expire: figure(&expire_after.0)?,
        userbuf,
        proof: Proof::Ecdsa(decode_sig(sig)?),
        user,
    })
}

fn identity(identifier: &Text<'_>) -> Result<UserId, SigError> {
    UserId::new(&identifier.0).map_err(|_| SigError::Invalid("identifier has no allowed form"))
}

/// v1's other texts: printable ASCII, possibly empty.
fn label<'a>(text: &'a Text<'_>) -> Result<&'a str, SigError> {
    let allowed = text.0.len() <= MAX_LABEL && text.0.bytes().all(|b| b.is_ascii_graphic());
    if !allowed {
        return Err(SigError::Invalid("account type or third-party id"));
    }
    Ok(&text.0)
}

/// A figure of v1: digits only, no leading zero.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

const MALFORMED_SIG: SigError = SigError::Malformed("TLS.sig");

fn decode_sig(sig: &Text<'_>) -> Result<Vec<u8>, SigError> {
    STANDARD.decode(sig.0.as_bytes()).map_err(|_| MALFORMED_SIG)
}

/// The text that is signed, and its bytes. Only the one canonical encoding
/// passes: whatever else a lenient decoder would skip could hide signed lines.
fn decode_userbuf<'a>(
    userbuf: Option<&'a Text<'_>>,
) -> Result<(Option<&'a str>, Option<Vec<u8>>), SigError> {
    let Some(Text(encoded)) = userbuf else {
        return Ok((None, None));
    };
    let bytes = STANDARD
        .decode(encoded.as_bytes())
        .map_err(|_| SigError::Invalid("userbuf is not canonical base64"))?;
    Ok((Some(encoded), Some(bytes)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn v2() -> Value {
        json!({
            "TLS.ver": "2.0", "TLS.identifier": "a", "TLS.sdkappid": 7, "TLS.time": 1,
            "TLS.expire": 2, "TLS.sig": STANDARD.encode([0; 32]),
        })
    }

    fn v1() -> Value {
        json!({
            "TLS.account_type": "0", "TLS.identifier": "a", "TLS.appid_at_3rd": "0",
            "TLS.sdk_appid": "7", "TLS.expire_after": "2", "TLS.time": "1",
            "TLS.version": "201610110000", "TLS.sig": STANDARD.encode([0; 70]),
        })
    }

    fn parse(document: &str) -> Result<Token, SigError> {
        Token::parse(&envelope::seal(document.as_bytes()).expect("fits"))
    }

    fn with(mut document: Value, key: &str, value: Value) -> Result<Token, SigError> {
        document[key] = value;
        parse(&document.to_string())
    }

    fn code(result: Result<Token, SigError>) -> i32 {
        result.map_or_else(|error| error.code().0, |_| 0)
    }

    #[test]
    fn both_versions_parse() {
        let v2 = parse(&v2().to_string()).unwrap();
        let v1 = parse(&v1().to_string()).unwrap();
        assert_eq!((v2.app, v2.time, v2.expire), (AppId(7), 1, 2));
        assert_eq!((v1.app, v1.time, v1.expire), (AppId(7), 1, 2));
        assert_eq!(v2.proof, Proof::Hmac([0; 32]));
        assert_eq!(v1.proof, Proof::Ecdsa(vec![0; 70]));
    }

    #[test]
    fn a_missing_null_unknown_or_foreign_field_is_refused() {
        for (document, foreign) in [(v2(), "TLS.sdk_appid"), (v1(), "TLS.ver")] {
            let fields = document.as_object().unwrap().keys();
            for key in fields.clone() {
                assert_eq!(
                    code(with(document.clone(), key, Value::Null)),
                    70003,
                    "{key}"
                );
                let mut less = document.clone();
                less.as_object_mut().unwrap().remove(key);
                // One line is left out when its field is, the version is unused.
                let optional = ["TLS.appid_at_3rd", "TLS.version"].contains(&key.as_str());
                let expected = if optional { 0 } else { 70003 };
                assert_eq!(code(parse(&less.to_string())), expected, "{key}");
            }
            assert_eq!(
                code(with(document.clone(), "TLS.userbuf", Value::Null)),
                70003
            );
            assert_eq!(code(with(document.clone(), "TLS.other", json!("x"))), 70003);
            assert_eq!(code(with(document.clone(), foreign, json!("2.0"))), 70003);
        }
    }

    #[test]
    fn a_field_given_twice_is_refused_even_with_one_value() {
        for document in [v2(), v1()] {
            for (key, value) in document.as_object().unwrap() {
                let text = document.to_string();
                let twice = text.replacen('{', &format!("{{\"{key}\":{value},"), 1);
                assert_eq!(code(parse(&twice)), 70003, "{key}");
            }
        }
    }

    #[test]
    fn a_document_is_an_object_and_nothing_around_it() {
        let object = v2().to_string();
        // As serde would take them for the fields in their order.
        let mac = STANDARD.encode([0; 32]);
        let values = json!(["a", 1, mac, "", "2.0", 7, 2]);
        for text in [
            values.to_string(),
            format!("[{object}]"),
            format!("{object}{object}"),
            format!("{object}\0"),
            format!("\u{feff}{object}"),
            String::new(),
            "null".to_owned(),
        ] {
            assert_eq!(code(parse(&text)), 70003, "{text}");
        }
        assert_eq!(code(parse(&format!(" \r\n\t{object}\n"))), 0);
    }

    #[test]
    fn figures_are_plain_unsigned_integers_of_their_versions_type() {
        let time = |document: Value, figure: &str| {
            let text = document.to_string();
            let plain = document["TLS.time"].to_string();
            let changed = text.replace(
                &format!("\"TLS.time\":{plain}"),
                &format!("\"TLS.time\":{figure}"),
            );
            assert_ne!(text, changed);
            code(parse(&changed))
        };
        for bad in [
            "\"1\"",
            "1.0",
            "1e0",
            "-1",
            "+1",
            "01",
            "18446744073709551616",
            "[1]",
            "true",
        ] {
            assert_eq!(time(v2(), bad), 70003, "{bad}");
        }
        for bad in [
            "1",
            "\"1.0\"",
            "\"-1\"",
            "\"+1\"",
            "\"01\"",
            "\" 1\"",
            "\"\"",
            "\"18446744073709551616\"",
        ] {
            assert_eq!(time(v1(), bad), 70003, "{bad}");
        }
        assert_eq!(time(v2(), "18446744073709551615"), 0);
        assert_eq!(time(v1(), "\"0\""), 0);
        assert_eq!(code(with(v2(), "TLS.sdkappid", json!(1u64 << 32))), 70003);
        assert_eq!(
            code(with(v1(), "TLS.sdk_appid", json!("4294967296"))),
            70003
        );
    }

    #[test]
    fn names_without_control_characters_and_canonical_base64_only() {
        for document in [v2(), v1()] {
            for bad in ["", "a\nb", "a\0b", "a\u{85}b", "a b", &"x".repeat(65)] {
                let refused = with(document.clone(), "TLS.identifier", json!(bad));
                assert_eq!(code(refused), 70005, "{bad:?}");
            }
            // Not padded, line end, trailing bits, the url alphabet, no alphabet.
            for bad in [
                "YQ", "YQ==\n", "Y\nQ==", "YR==", "-_==", "a:b\n", "YQ==YQ==",
            ] {
                let refused = with(document.clone(), "TLS.userbuf", json!(bad));
                assert_eq!(code(refused), 70005, "{bad:?}");
            }
            for bad in ["YQ", "YR==", "\n", "*A=="] {
                let refused = with(document.clone(), "TLS.sig", json!(bad));
                assert_eq!(code(refused), 70003, "{bad:?}");
            }
        }
        for bytes in [0, 31, 33] {
            let refused = with(v2(), "TLS.sig", json!(STANDARD.encode(vec![0; bytes])));
            assert_eq!(code(refused), 70003, "{bytes} bytes");
        }
        for key in ["TLS.account_type", "TLS.appid_at_3rd"] {
            for bad in ["0\nTLS.identifier:b", "0 0", "零", &"0".repeat(65)] {
                assert_eq!(code(with(v1(), key, json!(bad))), 70005, "{bad:?}");
            }
        }
        assert_eq!(code(with(v2(), "TLS.ver", json!("2.1"))), 70005);
    }

    /// Texts that a hostile or careless signer might use.
    fn text() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec![
            "a",
            "0",
            "7",
            "2.0",
            "\n",
            ":",
            "=",
            "YQ==",
            "TLS.identifier",
            "TLS.userbuf",
            "用",
        ]);
        prop::collection::vec(parts, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(sig: String) {
            let _ = Token::parse(&sig);
        }

        #[test]
        fn any_document_parses_or_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Token::parse(&envelope::seal(&bytes).expect("fits"));
        }

        #[test]
        fn the_signed_text_of_what_parses_has_one_meaning(
            old: bool,
            fields in prop::collection::vec((0usize..9, text()), 0..4),
        ) {
            let mut document = if old { v1() } else { v2() };
            let keys: Vec<_> = document.as_object().unwrap().keys().cloned().collect();
            for (index, value) in fields {
                let key = keys.get(index).map_or("TLS.userbuf", String::as_str);
                document[key] = json!(value);
            }
            if let Ok(token) = parse(&document.to_string()) {
                let lines: Vec<_> = token.signed.lines().map(|line| line.split_once(':').unwrap()).collect();
                let keys: std::collections::HashSet<_> = lines.iter().map(|(key, _)| key).collect();
                prop_assert_eq!(keys.len(), lines.len());
                for (key, value) in lines {
                    let claimed = &document[key];
                    prop_assert_eq!(value, claimed.as_str().map_or_else(|| claimed.to_string(), str::to_owned));
                }
            }
        }
    }
}
