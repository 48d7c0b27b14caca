//! The text that is signed: `key:value` lines, each ended by a newline.
//!
//! Invariant: no value given here contains a control character. The lines carry
//! no lengths, so a newline in a value would make one text mean two things.

use std::fmt::Write;

/// The figures and names of a v2 signature, in the order they are signed.
#[derive(Debug)]
pub(super) struct V2<'a> {
    pub(super) identifier: &'a str,
    pub(super) sdkappid: u32,
    pub(super) time: u64,
    pub(super) expire: u64,
    /// Standard base64.
    pub(super) userbuf: Option<&'a str>,
}

impl V2<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(192);
        line(&mut text, "TLS.identifier", self.identifier);
        line(&mut text, "TLS.sdkappid", self.sdkappid);
        line(&mut text, "TLS.time", self.time);
        line(&mut text, "TLS.expire", self.expire);
        if let Some(userbuf) = self.userbuf {
            line(&mut text, "TLS.userbuf", userbuf);
        }
        text
    }
}

/// The values of a v1 signature, in the order they are signed, each as the
/// document has it.
#[derive(Debug)]
pub(super) struct V1<'a> {
    /// The line is left out when the document lacks it.
    pub(super) appid_at_3rd: Option<&'a str>,
    pub(super) account_type: &'a str,
    pub(super) identifier: &'a str,
    pub(super) sdk_appid: &'a str,
    pub(super) time: &'a str,
    pub(super) expire_after: &'a str,
    /// Standard base64.
    pub(super) userbuf: Option<&'a str>,
}

impl V1<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(256);
        if let Some(appid_at_3rd) = self.appid_at_3rd {
            line(&mut text, "TLS.appid_at_3rd", appid_at_3rd);
        }
        line(&mut text, "TLS.account_type", self.account_type);
        line(&mut text, "TLS.identifier", self.identifier);
        line(&mut text, "TLS.sdk_appid", self.sdk_appid);
        line(&mut text, "TLS.time", self.time);
        line(&mut text, "TLS.expire_after", self.expire_after);
        if let Some(userbuf) = self.userbuf {
            line(&mut text, "TLS.userbuf", userbuf);
        }
        text
    }
}

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    writeln!(text, "{key}:{value}").expect("a String takes every write");
}
