//! Requests that wait for their answer.

use smallvec::SmallVec;

/// The requests in flight on one connection, each once.
#[derive(Debug, Default)]
pub(super) struct InFlight(SmallVec<[Request; 2]>);

#[derive(Debug, Clone, Copy)]
struct Request {
    id: u64,
    /// It asks to enter a room: counts as one until it is answered.
    enters: bool,
}

impl InFlight {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them ask to enter a room.
    pub(super) fn entering(&self) -> usize {
        self.0.iter().filter(|request| request.enters).count()
    }

    /// Whether `id` waits.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.0.iter().any(|request| request.id == id)
    }

    /// Puts `id` in; the caller has seen that it is not there.
    pub(super) fn insert(&mut self, id: u64, enters: bool) {
        debug_assert!(!self.contains(id));
        self.0.push(Request { id, enters });
    }

    /// Takes `id` out; false when it did not wait.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.0.iter().position(|request| request.id == id) else {
            return false;
        };
        self.0.swap_remove(at);
        if self.0.is_empty() {
            // What a burst of requests took is given back.
            self.0.shrink_to_fit();
        }
        true
    }
}
