//! Signatures of any content, made without the library's own code: what it
//! refuses to sign has to be tried too.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Standard base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// HMAC-SHA256 in standard base64.
pub(crate) fn mac(key: &[u8], content: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    base64(hmac::sign(&key, content.as_bytes()).as_ref())
}

/// The envelope around `document`: one stored block, so that a million cost
/// little.
pub(crate) fn envelope(document: &[u8]) -> String {
    let length = u16::try_from(document.len()).expect("fits a stored block");
    let mut zlib = vec![0x78, 0x01, 0x01];
    zlib.extend_from_slice(&length.to_le_bytes());
    zlib.extend_from_slice(&(!length).to_le_bytes());
    zlib.extend_from_slice(document);
    zlib.extend_from_slice(&adler32(document).to_be_bytes());
    variant(&base64(&zlib))
}

/// The document in an envelope, when there is one.
pub(crate) fn document(sig: &str) -> Option<Vec<u8>> {
    use std::io::Read;
    let standard = sig.replace(['*', ' '], "+").replace('-', "/");
    let zlib = STANDARD.decode(standard.replace('_', "=")).ok()?;
    let mut document = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(&zlib[..]);
    reader.read_to_end(&mut document).ok()?;
    Some(document)
}

fn variant(standard: &str) -> String {
    let variant = standard.replace('+', "*").replace('/', "-");
    variant.replace('=', "_")
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    b << 16 | a
}
