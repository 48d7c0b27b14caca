//! The slab of a shard's sessions.
//!
//! Invariant: a [`SessionId`] finds only the session that it was given to:
//! each slot counts its generations, so an id kept too long finds nothing.

use crate::id::{SessionId, ShardId};

/// A slab that gives its ids as [`SessionId`]s of one shard.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    shard: ShardId,
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    /// Boxed, so that a slot that rests empty costs a pointer.
    value: Option<Box<T>>,
}

impl<T> Slots<T> {
    /// An empty slab.
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Sessions held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Puts in what `make` makes for its id; `None` when every slot is taken.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(SessionId) -> T) -> Option<SessionId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.entries.len() < SessionId::MAX_SLOTS => {
                self.entries.push(Entry {
                    generation: 0,
                    value: None,
                });
                u32::try_from(self.entries.len() - 1).expect("bounded by MAX_SLOTS")
            }
            None => return None,
        };
        let entry = &mut self.entries[slot as usize];
        let id = SessionId::new(self.shard, slot, entry.generation);
        entry.value = Some(Box::new(make(id)));
        Some(id)
    }

    /// The session of this id, if it is still there.
    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot() as usize)?;
        if SessionId::new(self.shard, id.slot(), entry.generation) != id {
            return None;
        }
        entry.value.as_deref_mut()
    }

    /// Takes the session of this id out.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Box<T>> {
        self.get_mut(id)?;
        let entry = &mut self.entries[id.slot() as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot());
        entry.value.take()
    }

    /// Every session, in slot order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries
            .iter_mut()
            .filter_map(|entry| entry.value.as_deref_mut())
    }

    /// The ids of all sessions, in slot order.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        (0u32..)
            .zip(&self.entries)
            .filter(|(_, entry)| entry.value.is_some())
            .map(|(slot, entry)| SessionId::new(self.shard, slot, entry.generation))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_old_id_does_not_find_its_successor() {
        let mut slots = Slots::new(ShardId(3));
        let first = slots.insert_with(|_| "first").unwrap();
        assert_eq!(first.shard(), ShardId(3));
        slots.remove(first);
        let second = slots.insert_with(|_| "second").unwrap();
        assert_eq!(first.slot(), second.slot());
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(ops in prop::collection::vec((any::<bool>(), 0usize..40), 0..200)) {
            let mut slots = Slots::new(ShardId(0));
            let (mut model, mut ids) = (HashMap::new(), Vec::new());
            for (n, (insert, pick)) in ops.into_iter().enumerate() {
                if insert {
                    let id = slots.insert_with(|_| n).unwrap();
                    prop_assert!(model.insert(id, n).is_none());
                    ids.push(id);
                } else if let Some(id) = ids.get(pick % ids.len().max(1)) {
                    prop_assert_eq!(slots.remove(*id).map(|v| *v), model.remove(id));
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert_eq!(slots.ids().len(), model.len());
            }
            for id in ids {
                prop_assert_eq!(slots.get_mut(id).copied(), model.get(&id).copied());
            }
        }
    }
}
