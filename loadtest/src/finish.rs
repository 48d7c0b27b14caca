//! How long a command may take, and what ends it before.
//!
//! Whoever is dropped here kills the processes that it started, so a gateway
//! outlives neither a run that is too long nor one that is told to stop.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// What `run` comes to within `longest`, unless SIGINT or SIGTERM comes first.
///
/// # Errors
/// When it failed, took longer, or was interrupted.
pub(crate) async fn within<T>(
    longest: Duration,
    run: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        ended = timeout(longest, run) => match ended {
            Ok(ended) => ended,
            Err(_) => bail!("the run did not end within {longest:?}"),
        },
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_dropped_with_what_it_holds() {
        struct Process<'a>(&'a std::cell::Cell<bool>);
        impl Drop for Process<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let killed = std::cell::Cell::new(false);
        let run = async {
            let _process = Process(&killed);
            std::future::pending::<Result<()>>().await
        };
        let ended = within(Duration::from_secs(9), run).await;
        assert_eq!(
            ended.unwrap_err().to_string(),
            "the run did not end within 9s"
        );
        assert!(killed.get());
    }
}
