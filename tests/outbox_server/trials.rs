//! How often a trial is made.

/// `LIVEGATE_LONG` takes the long variant.
pub(crate) fn rounds(smoke: u64, long: u64) -> u64 {
    match std::env::var_os("LIVEGATE_LONG") {
        Some(_) => long,
        None => smoke,
    }
}
