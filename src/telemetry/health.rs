//! Whether the gateway lives, and whether it should be given traffic.
//!
//! Alive means that the process answers. Ready means that it accepts and that
//! no part has reported a fault. Draining turns readiness off first, so that
//! balancers look away before connections are told to go.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Serialize;

/// Where the process stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads its store, binds its sockets.
    #[default]
    Starting,
    /// Takes connections.
    Accepting,
    /// Has stopped taking connections and sends the others away.
    Draining,
}

/// The health of the process; share it by `Arc`.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    faults: BTreeMap<&'static str, String>,
}

/// What `/readyz` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Readiness {
    /// Send traffic here.
    pub ready: bool,
    /// Where the process stands.
    pub phase: Phase,
    /// What is wrong, by part.
    pub faults: BTreeMap<&'static str, String>,
}

impl Health {
    /// Marks that connections are taken. Does not undo draining.
    pub fn accepting(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Starting {
            state.phase = Phase::Accepting;
        }
    }

    /// Marks that the process is on its way out.
    pub fn draining(&self) {
        self.0.lock().phase = Phase::Draining;
    }

    /// Reports a fault of `part`, in place of its earlier one. At most one a
    /// part is kept; parts are names in the code.
    pub fn fault(&self, part: &'static str, reason: impl Into<String>) {
        self.0.lock().faults.insert(part, reason.into());
    }

    /// Takes back the fault of `part`.
    pub fn mended(&self, part: &'static str) {
        self.0.lock().faults.remove(part);
    }

    /// What is to be answered now.
    pub fn readiness(&self) -> Readiness {
        let state = self.0.lock();
        Readiness {
            ready: state.phase == Phase::Accepting && state.faults.is_empty(),
            phase: state.phase,
            faults: state.faults.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_accepting_and_no_fault() {
        let health = Health::default();
        assert!(!health.readiness().ready);
        health.accepting();
        assert!(health.readiness().ready);
        health.fault("store", "no space left");
        assert!(!health.readiness().ready);
        health.mended("store");
        assert!(health.readiness().ready);
    }

    #[test]
    fn draining_is_for_good() {
        let health = Health::default();
        health.draining();
        health.accepting();
        let answer = serde_json::to_string(&health.readiness()).unwrap();
        assert_eq!(answer, r#"{"ready":false,"phase":"draining","faults":{}}"#);
    }
}
