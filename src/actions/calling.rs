//! What a client asks of its app's backend.

use super::{Actions, Done};
use crate::callback::call::Call;
use crate::id::AppId;
use crate::rooms::Refusal;

impl Actions {
    /// Whether the app has a service that clients may call.
    pub fn takes_calls(&self, app: AppId) -> bool {
        self.calls.has_routes(app)
    }

    /// Sends a call up; its answer comes as
    /// [`SessionEvent::Answered`](crate::dispatch::SessionEvent).
    ///
    /// # Errors
    /// [`Code::NO_ROUTE`](livegate_proto::code::Code::NO_ROUTE),
    /// [`Code::TOO_MANY_CALLS`](livegate_proto::code::Code::TOO_MANY_CALLS),
    /// [`Code::BACKEND_UNAVAILABLE`](livegate_proto::code::Code::BACKEND_UNAVAILABLE).
    pub fn call(&self, call: Call, request_id: u64) -> Result<Done, Refusal> {
        match self.calls.start(call, request_id) {
            Ok(()) => Ok(Done::Deferred),
            Err(error) => Err(Refusal {
                code: error.code(),
                message: error.text().into(),
                retry_after: error.retry_after(),
            }),
        }
    }
}
