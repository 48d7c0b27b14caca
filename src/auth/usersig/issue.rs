//! Makes signatures: for the command line, for tests and for development.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use thiserror::Error;

use super::{content, envelope};
use crate::auth::key::{HmacKey, PrivateKey};
use crate::clock::Unix;
use crate::id::{AppId, UserId};

/// What is to be signed. The checked [`UserId`] keeps a signer from signing a
/// text of two meanings.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    /// For which app.
    pub app: AppId,
    /// For whom.
    pub user: &'a UserId,
    /// From when; parts of a second are dropped.
    pub issued_at: Unix,
    /// For how long; parts of a second are dropped.
    pub lifetime: Duration,
    /// Bytes to sign along, such as
    /// [`Privileges::to_userbuf`](crate::auth::Privileges::to_userbuf).
    pub userbuf: Option<&'a [u8]>,
}

/// Why no signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IssueError {
    /// The text would exceed [`MAX_TEXT`](super::MAX_TEXT).
    #[error("userbuf makes the signature longer than is accepted")]
    TooLong,
    /// The private key does not sign.
    #[error("private key does not sign")]
    Sign,
}

#[derive(Serialize)]
struct V2Document<'a> {
    #[serde(rename = "TLS.ver")]
    ver: &'static str,
    #[serde(rename = "TLS.identifier")]
    identifier: &'a str,
    #[serde(rename = "TLS.sdkappid")]
    sdkappid: u32,
    #[serde(rename = "TLS.time")]
    time: u64,
    #[serde(rename = "TLS.expire")]
    expire: u64,
    #[serde(rename = "TLS.userbuf", skip_serializing_if = "Option::is_none")]
    userbuf: Option<&'a str>,
    #[serde(rename = "TLS.sig")]
    sig: String,
}

/// Makes a v2 signature (HMAC-SHA256).
///
/// # Errors
/// [`IssueError::TooLong`].
pub fn issue(key: &HmacKey, grant: &Grant<'_>) -> Result<String, IssueError> {
    let userbuf = grant.userbuf.map(|bytes| STANDARD.encode(bytes));
    let userbuf = userbuf.as_deref();
    let (identifier, sdkappid) = (grant.user.as_str(), grant.app.0);
    let (time, expire) = (grant.issued_at.seconds(), grant.lifetime.as_secs());
    let content = content::V2 {
        identifier,
        sdkappid,
        time,
        expire,
        userbuf,
    };
    seal(&V2Document {
        ver: "2.0",
        sig: STANDARD.encode(key.sign(content.text().as_bytes())),
        identifier,
        sdkappid,
        time,
        expire,
        userbuf,
    })
}

#[derive(Serialize)]
struct V1Document<'a> {
    #[serde(rename = "TLS.account_type")]
    account_type: &'a str,
    #[serde(rename = "TLS.identifier")]
    identifier: &'a str,
    #[serde(rename = "TLS.appid_at_3rd")]
    appid_at_3rd: &'a str,
    #[serde(rename = "TLS.sdk_appid")]
    sdk_appid: &'a str,
    #[serde(rename = "TLS.expire_after")]
    expire_after: &'a str,
    #[serde(rename = "TLS.version")]
    version: &'a str,
    #[serde(rename = "TLS.time")]
    time: &'a str,
    #[serde(rename = "TLS.userbuf", skip_serializing_if = "Option::is_none")]
    userbuf: Option<&'a str>,
    #[serde(rename = "TLS.sig")]
    sig: String,
}

/// Makes a v1 signature (ECDSA). Each call gives another text.
///
/// # Errors
/// [`IssueError`].
pub fn issue_v1(key: &PrivateKey, grant: &Grant<'_>) -> Result<String, IssueError> {
    let userbuf = grant.userbuf.map(|bytes| STANDARD.encode(bytes));
    let sdk_appid = grant.app.to_string();
    let time = grant.issued_at.seconds().to_string();
    let expire_after = grant.lifetime.as_secs().to_string();
    let content = content::V1 {
        appid_at_3rd: Some("0"),
        account_type: "0",
        identifier: grant.user.as_str(),
        sdk_appid: &sdk_appid,
        time: &time,
        expire_after: &expire_after,
        userbuf: userbuf.as_deref(),
    };
    let signature = key.sign(content.text().as_bytes());
    let signature = signature.ok_or(IssueError::Sign)?;
    seal(&V1Document {
        account_type: content.account_type,
        identifier: content.identifier,
        appid_at_3rd: "0",
        sdk_appid: content.sdk_appid,
        expire_after: content.expire_after,
        version: "201610110000",
        time: content.time,
        userbuf: content.userbuf,
        sig: STANDARD.encode(signature),
    })
}

fn seal(document: &impl Serialize) -> Result<String, IssueError> {
    let json = serde_json::to_vec(document).expect("texts and integers serialise");
    envelope::seal(&json).ok_or(IssueError::TooLong)
}
