//! The shard's loop: the one place where a shard waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::id::SessionId;
use crate::shard::TICK;
use crate::shard::carrier::Carrier;
use crate::shard::state::{Next, Parts, State};

/// Runs a shard until `stop`. Must be called inside a `LocalSet`.
///
/// A panic in one connection's step ends that connection; a panic of the loop
/// itself leaves this function and is the caller's to end the process with.
pub async fn run<C: Carrier>(parts: Parts<C>, stop: CancellationToken) {
    let inbox = parts.handle.inbox.clone();
    let clock = parts.clock.clone();
    let state = Rc::new(RefCell::new(State::new(parts)));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = state.borrow_mut().turn();
        start_readers(&state);
        if next == Next::Again {
            // Whatever else is due: after the first the runtime has looked at
            // I/O, after the second the readers it woke have run.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        let due = async {
            match next {
                Next::Again => {}
                Next::At(at) => tokio::time::sleep_until(clock.deadline(at)).await,
                Next::Rest => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // 1. the end
            () = stop.cancelled() => break,
            // 2. heartbeats and deadlines, even under load
            _ = tick.tick() => state.borrow_mut().tick(),
            // 3. news
            () = inbox.rung() => {}
            // 4. sweeps that wait, or that go on
            () = due => {}
        }
    }
    state.borrow_mut().abandon();
}

fn start_readers<C: Carrier>(state: &Rc<RefCell<State<C>>>) {
    let newcomers = std::mem::take(&mut state.borrow_mut().newcomers);
    for id in newcomers {
        #[allow(clippy::disallowed_methods)] // the one place: a reader a connection
        tokio::task::spawn_local(reader(Rc::clone(state), id));
    }
}

/// Reads one connection until it is gone. Holds the state and an id, nothing
/// else: ten thousand of these must cost next to nothing.
pub(crate) fn reader<C: Carrier>(
    state: Rc<RefCell<State<C>>>,
    id: SessionId,
) -> impl Future<Output = ()> {
    poll_fn(move |cx| {
        let step = std::panic::AssertUnwindSafe(|| state.borrow_mut().poll_connection(id, cx));
        match std::panic::catch_unwind(step) {
            Ok(poll) => poll,
            Err(_) => {
                tracing::error!(session = %id, "connection step panicked");
                state.borrow_mut().panicked(id);
                Poll::Ready(())
            }
        }
    })
}
