//! The outer layers: a base64 variant around a zlib stream.
//!
//! Invariant: opening costs at most [`MAX_TEXT`] bytes read and
//! [`MAX_INFLATED`] bytes written, whatever a stranger sends. A text is opened
//! only when nothing is left over: canonical padding, one complete zlib stream
//! with its checksum, no byte after it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::auth::SigError;

/// Longest signature text, in bytes. Real ones take 180 to 400. Part of the
/// format as livegate speaks it and not configurable: the login frame that
/// carries it is at most 4 KiB.
pub const MAX_TEXT: usize = 2048;

/// Longest JSON document inside, in bytes; a zlib bomb stops here.
pub const MAX_INFLATED: usize = 4096;

/// Opens `text` and returns the document inside.
pub(super) fn open(text: &str) -> Result<Vec<u8>, SigError> {
    if text.is_empty() {
        return Err(SigError::Empty);
    }
    if text.len() > MAX_TEXT {
        return Err(SigError::Malformed("text too long"));
    }
    let standard: Vec<u8> = text.bytes().map(to_standard).collect();
    let deflated = STANDARD
        .decode(standard)
        .map_err(|_| SigError::Malformed("not base64"))?;
    inflate(&deflated).ok_or(SigError::Malformed("not one zlib stream of at most 4 KiB"))
}

/// Puts any `document` into an envelope; `None` when it would not open again.
/// For [`issue`](super::issue()) and for tests: an envelope proves nothing.
pub fn seal(document: &[u8]) -> Option<String> {
    if document.len() > MAX_INFLATED {
        return None;
    }
    let mut text = STANDARD.encode(deflate(document)?);
    // Only ASCII is exchanged for ASCII.
    for (standard, variant) in [("+", "*"), ("/", "-"), ("=", "_")] {
        text = text.replace(standard, variant);
    }
    (text.len() <= MAX_TEXT).then_some(text)
}

/// One table for both spellings: no character means two things. A space is a
/// plus sign that went through a query string.
fn to_standard(byte: u8) -> u8 {
    match byte {
        b'*' | b' ' => b'+',
        b'-' => b'/',
        b'_' => b'=',
        other => other,
    }
}

fn inflate(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut document = vec![0; MAX_INFLATED];
    let mut zlib = Decompress::new(true);
    let status = zlib
        .decompress(deflated, &mut document, FlushDecompress::Finish)
        .ok()?;
    let ended = status == Status::StreamEnd;
    let all_read = usize::try_from(zlib.total_in()) == Ok(deflated.len());
    if !ended || !all_read {
        return None;
    }
    document.truncate(usize::try_from(zlib.total_out()).ok()?);
    Some(document)
}

fn deflate(document: &[u8]) -> Option<Vec<u8>> {
    // What cannot be compressed grows by 5 bytes a block and 6 for the frame.
    let mut deflated = Vec::with_capacity(document.len() + 64);
    let mut zlib = Compress::new(Compression::default(), true);
    let status = zlib
        .compress_vec(document, &mut deflated, FlushCompress::Finish)
        .ok()?;
    (status == Status::StreamEnd).then_some(deflated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MALFORMED: i32 = 70003;

    fn code(text: &str) -> i32 {
        open(text).expect_err("refused").code().0
    }

    fn zlib(document: &[u8], level: u32) -> Vec<u8> {
        use std::io::Write;
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), Compression::new(level));
        out.write_all(document).expect("memory takes it");
        out.finish().expect("memory takes it")
    }

    #[test]
    fn both_alphabets_and_a_mangled_plus_open_to_the_same() {
        // 0xfb 0xff 0xbf encodes to letters of the variant part only.
        let document: Vec<u8> = (0..=255).rev().collect();
        let variant = seal(&document).unwrap();
        let standard = variant
            .replace('*', "+")
            .replace('-', "/")
            .replace('_', "=");
        let mangled = variant.replace('*', " ");
        assert!(variant.contains('*') && variant.contains('-'));
        for text in [variant, standard, mangled] {
            assert_eq!(open(&text).unwrap(), document);
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let full = STANDARD.encode(zlib(&[0; MAX_INFLATED], 9));
        assert_eq!(open(&full).unwrap().len(), MAX_INFLATED);
        let over = STANDARD.encode(zlib(&[0; MAX_INFLATED + 1], 9));
        assert_eq!(code(&over), MALFORMED);
        let bomb = STANDARD.encode(zlib(&vec![0; 1 << 20], 9));
        assert!(bomb.len() <= MAX_TEXT, "tests the inflater, not the text");
        assert_eq!(code(&bomb), MALFORMED);
    }

    #[test]
    fn a_text_over_the_limit_is_not_even_decoded() {
        assert_eq!(
            open(&"A".repeat(MAX_TEXT + 1)),
            Err(SigError::Malformed("text too long"))
        );
    }

    #[test]
    fn only_one_clean_zlib_stream_opens() {
        let whole = zlib(b"{}", 6);
        let mut checksum = whole.clone();
        *checksum.last_mut().unwrap() ^= 1;
        let raw = &whole[2..whole.len() - 4];
        let twice = [&whole[..], &whole[..]].concat();
        let trailing = [&whole[..], b"\0"].concat();
        let short = &whole[..whole.len() - 1];
        let dictionary = [&[0x78, 0xbb][..], &whole[2..]].concat();
        for bytes in [
            &checksum[..],
            raw,
            &twice,
            &trailing,
            short,
            &dictionary,
            b"",
        ] {
            let text = STANDARD.encode(bytes);
            assert!(open(&text).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn padding_is_canonical() {
        let text = seal(b"{}").unwrap();
        assert!(text.ends_with('_'), "{text}");
        let unpadded = text.trim_end_matches('_');
        for bad in [
            unpadded.to_owned(),
            format!("{text}____"),
            format!("{text}\n"),
        ] {
            assert_eq!(code(&bad), MALFORMED, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_open_or_are_refused(text: String) {
            let _ = open(&text);
        }

        #[test]
        fn any_deflated_looking_bytes_open_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let header = [&[0x78, 0x9c][..], &bytes].concat();
            if let Ok(document) = open(&STANDARD.encode(header)) {
                prop_assert!(document.len() <= MAX_INFLATED);
            }
        }

        #[test]
        fn what_is_sealed_opens(document in prop::collection::vec(any::<u8>(), 0..1400)) {
            let text = seal(&document).expect("fits");
            prop_assert_eq!(open(&text).unwrap(), document);
        }
    }
}
