//! How the room tells combos of gifts.

use livegate_proto::client::{RoomMessage, push};

use super::reporting::Cause;
use super::{Core, Out};
use crate::clock::Moment;
use crate::dispatch::Class;
use crate::rooms::limit::Urgency;

impl Core {
    /// Takes a gift into its combo, if that is open; whether it did. Such a
    /// gift has no place of its own in the room's order and costs the room's
    /// rate nothing.
    pub(super) fn gather(&mut self, message: &RoomMessage, now: Moment) -> bool {
        let gathered = self.combos.gather(message, now.instant);
        if gathered {
            self.metrics.rooms().taken(Class::High);
        }
        gathered
    }

    /// Tells what combos are due, or with `all` the end of each. The last word
    /// of a combo is said whatever the room's rate; what the log has no place
    /// for is tried again a window later.
    pub(super) fn tell_combos(&mut self, all: bool, now: Moment, out: &mut Out) {
        while let Some(telling) = self.combos.due(now.instant, all) {
            let may = telling.is_last() || self.bucket.take(Urgency::High, now.instant);
            let body = push::Body::RoomMessage(telling.message.clone());
            let stamped = may.then(|| self.stamp(Class::High, body, now, out));
            if let Some(Ok(seq)) = stamped {
                let cause = Cause::default();
                self.report_said(&telling.message, &cause, seq, now, out);
                self.combos.told(&telling, now.instant);
            } else if all {
                // Nothing comes later.
                return;
            } else {
                self.combos.put_off(&telling, now.instant);
            }
        }
    }
}
