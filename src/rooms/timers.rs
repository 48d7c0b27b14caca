//! One wheel for all rooms: each has at most one alarm, its earliest deadline.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Instant;
use crate::id::RoomUid;
use crate::liveness::wheel::{Token, Wheel};

/// How late a room's deadline may be met.
pub const TICK: Duration = Duration::from_millis(50);

/// The alarms of all rooms.
#[derive(Debug)]
pub(crate) struct Timers(Mutex<Wheel<RoomUid>>);

/// A room's alarm.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<(Instant, Token)>);

impl Timers {
    /// None set.
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Wheel::new(TICK, now)))
    }

    /// Sees to it that `alarm` goes off by `due`, at any earlier time at which
    /// it is set already, or, without `due`, not at all.
    pub(crate) fn set(&self, alarm: &mut Alarm, room: RoomUid, due: Option<Instant>) {
        let Some(due) = due else {
            self.clear(alarm);
            return;
        };
        if alarm.0.is_some_and(|(at, _)| at <= due) {
            return;
        }
        let mut wheel = self.0.lock();
        if let Some((_, token)) = alarm.0.take() {
            wheel.cancel(token);
        }
        alarm.0 = Some((due, wheel.insert(room, due)));
    }

    /// Takes the alarm back; one that went off is cleared too.
    pub(crate) fn clear(&self, alarm: &mut Alarm) {
        if let Some((_, token)) = alarm.0.take() {
            self.0.lock().cancel(token);
        }
    }

    /// Puts the rooms whose alarms go off into `due`.
    pub(crate) fn advance(&self, now: Instant, due: &mut Vec<RoomUid>) {
        self.0.lock().advance(now, |room| due.push(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_alarm_its_earliest() {
        let timers = Timers::new(Instant(0));
        let mut alarm = Alarm::default();
        let at = Instant::from_millis;
        timers.set(&mut alarm, RoomUid(1), Some(at(500)));
        timers.set(&mut alarm, RoomUid(1), Some(at(900)));
        timers.set(&mut alarm, RoomUid(1), Some(at(200)));
        let mut due = Vec::new();
        timers.advance(at(300), &mut due);
        assert_eq!(due, [RoomUid(1)]);
        timers.clear(&mut alarm);
        timers.advance(at(2_000), &mut due);
        assert_eq!(due.len(), 1);
    }
}
