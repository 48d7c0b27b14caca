//! Requests that wait for their answer.

use smallvec::SmallVec;

/// The requests in flight on one connection, each once.
#[derive(Debug, Default)]
pub(super) struct InFlight(SmallVec<[Request; 2]>);

#[derive(Debug, Clone, Copy)]
struct Request {
    id: u64,
    kind: Flying,
}

/// What a request in flight counts as until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flying {
    /// A room.
    Enter,
    /// A call of the backend.
    Call,
    /// Nothing more.
    Other,
}

impl InFlight {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them are of this kind.
    pub(super) fn count(&self, kind: Flying) -> usize {
        self.0.iter().filter(|request| request.kind == kind).count()
    }

    /// Whether `id` waits.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.0.iter().any(|request| request.id == id)
    }

    /// Puts `id` in; the caller has seen that it is not there.
    pub(super) fn insert(&mut self, id: u64, kind: Flying) {
        debug_assert!(!self.contains(id));
        self.0.push(Request { id, kind });
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
