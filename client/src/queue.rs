//! The bounded queue between a connection and the app.
//!
//! Invariants: it never holds more than its capacity, its reserve and one
//! frame's events; what is skipped is counted and told; what may not be
//! skipped never is, the connection stops reading instead.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::event::Event;

/// The app's end: what happened, in order.
pub struct Events(Arc<Mutex<Queue>>);

/// The connection's end.
pub(crate) struct Sender(Arc<Mutex<Queue>>);

struct Queue {
    events: VecDeque<Event>,
    capacity: usize,
    reserve: usize,
    skipped: u64,
    sender_gone: bool,
    receiver_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A queue of `capacity` places and `reserve` more for what is never skipped.
pub(crate) fn queue(capacity: usize, reserve: usize) -> (Sender, Events) {
    let queue = Arc::new(Mutex::new(Queue {
        events: VecDeque::new(),
        capacity: capacity.max(1),
        reserve,
        skipped: 0,
        sender_gone: false,
        receiver_gone: false,
        reader: None,
        writer: None,
    }));
    (Sender(Arc::clone(&queue)), Events(queue))
}

impl Events {
    /// Waits for the next event; `None` when the client has stopped for good.
    /// May be cancelled.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.lock().pop()
    }

    /// As [`next`](Self::next), for those who write futures by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.0.lock();
        match queue.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.sender_gone => Poll::Ready(None),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.receiver_gone = true;
        queue.events.clear();
        wake(&mut queue.writer);
    }
}

impl Sender {
    /// Offers an event; skips and counts it when it may be and there is no
    /// place.
    pub(crate) fn send(&self, event: Event) {
        let mut queue = self.0.lock();
        if queue.receiver_gone {
            return;
        }
        if queue.events.len() >= queue.capacity && event.may_be_skipped() {
            queue.skipped += 1;
            return;
        }
        queue.tell_skipped();
        queue.events.push_back(event);
        wake(&mut queue.reader);
    }

    /// Whether even the reserve is taken: read no more.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().is_full()
    }

    /// Waits until it is not full.
    pub(crate) async fn has_room(&self) {
        poll_fn(|cx| {
            let mut queue = self.0.lock();
            if queue.is_full() {
                queue.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.sender_gone = true;
        wake(&mut queue.reader);
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        !self.receiver_gone && self.events.len() >= self.capacity + self.reserve
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.skipped > 0 {
            self.tell_skipped();
            return self.events.pop_front();
        }
        if !self.is_full() {
            wake(&mut self.writer);
        }
        event
    }

    /// Says where in the order something was skipped.
    fn tell_skipped(&mut self) {
        if self.skipped > 0 {
            let skipped = std::mem::take(&mut self.skipped);
            self.events.push_back(Event::Lagged { skipped });
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} waiting)", self.0.lock().events.len())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} waiting)", self.0.lock().events.len())
    }
}

#[cfg(test)]
mod tests {
    use livegate_proto::client::{PresenceDigest, RoomDestroyed};

    use super::*;
    use crate::event::{RoomEvent, RoomEventKind, Source};

    fn room_event(seq: u64, kind: RoomEventKind) -> Event {
        Event::Room(RoomEvent {
            room_id: "r".to_owned(),
            epoch: 1,
            seq,
            time_ms: 0,
            source: Source::Push,
            kind,
        })
    }

    fn ordinary(seq: u64) -> Event {
        room_event(seq, RoomEventKind::Digest(PresenceDigest::default()))
    }

    fn essential(seq: u64) -> Event {
        room_event(seq, RoomEventKind::Destroyed(RoomDestroyed::default()))
    }

    /// Seqs as they come out, and `-n` for `n` skipped.
    fn read(events: &mut Events) -> Vec<i64> {
        let mut out = Vec::new();
        while let Some(event) = events.try_next() {
            out.push(match event {
                Event::Room(event) => i64::try_from(event.seq).unwrap(),
                Event::Lagged { skipped } => -i64::try_from(skipped).unwrap(),
                other => panic!("unexpected {other:?}"),
            });
        }
        out
    }

    #[test]
    fn ordinary_events_beyond_the_capacity_are_skipped_and_counted_in_place() {
        let (sender, mut events) = queue(2, 2);
        for seq in 1..=5 {
            sender.send(ordinary(seq));
        }
        sender.send(essential(6));
        sender.send(ordinary(7));
        assert_eq!(read(&mut events), [1, 2, -3, 6, -1]);
        sender.send(ordinary(8));
        assert_eq!(read(&mut events), [8]);
    }

    #[test]
    fn essential_events_are_never_skipped_but_say_when_to_stop_reading() {
        let (sender, mut events) = queue(1, 2);
        for seq in 1..=4 {
            assert_eq!(sender.is_full(), seq == 4);
            sender.send(essential(seq));
        }
        assert_eq!(read(&mut events), [1, 2, 3, 4]);
        assert!(!sender.is_full());
    }

    #[tokio::test]
    async fn the_writer_is_woken_when_the_app_reads_or_leaves() {
        let (sender, mut events) = queue(1, 0);
        sender.send(essential(1));
        let waits = sender.has_room();
        tokio::pin!(waits);
        let pending = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        assert!(events.next().await.is_some());
        waits.await;
        sender.send(essential(2));
        drop(events);
        sender.has_room().await;
    }

    #[tokio::test]
    async fn the_app_sees_the_end_after_what_came_before() {
        let (sender, mut events) = queue(4, 0);
        sender.send(essential(1));
        drop(sender);
        assert!(events.next().await.is_some());
        assert!(events.next().await.is_none());
    }
}
