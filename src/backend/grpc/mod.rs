//! The gRPC doors of `livegate.backend.v1`: `BackendService` here, what governs
//! rooms and users in [`govern`], streams in [`stream`].

pub(super) mod govern;
pub(super) mod stream;

use std::future::Future;
use std::sync::Arc;

use livegate_proto::backend::backend_service_server::BackendService;
use livegate_proto::backend::{
    EndLiveRequest, EndLiveResponse, GetRoomRequest, GetRoomResponse, KickUserRequest,
    KickUserResponse, ListLivesRequest, ListLivesResponse, PushToRoomRequest, PushToRoomResponse,
    PushToUserRequest, PushToUserResponse,
};
use tonic::{Request, Response, Status};

use super::auth::ApiKeys;
use super::{command, status};
use crate::actions::command::{EndLive, Kick, ListLives, PushToRoom, PushToUser};
use crate::actions::content::BadRequest;
use crate::id::RoomKey;
use crate::rooms::refusal::Refusal;
use crate::telemetry::{BackendMethod, Metrics};

/// What the door needs done.
pub trait BackendActions: Send + Sync + 'static {
    /// Says something to a room.
    ///
    /// # Errors
    /// Why not.
    fn push_to_room(&self, push: PushToRoom) -> Result<PushToRoomResponse, Refusal>;

    /// Says something to a user.
    ///
    /// # Errors
    /// Why not.
    fn push_to_user(&self, push: PushToUser) -> Result<PushToUserResponse, Refusal>;

    /// Takes a user out of a room, or off the gateway.
    ///
    /// # Errors
    /// Why not.
    fn kick(&self, kick: Kick) -> Result<KickUserResponse, Refusal>;

    /// Reads a room.
    ///
    /// # Errors
    /// Why not.
    fn room_info(&self, room: RoomKey) -> Result<GetRoomResponse, Refusal>;

    /// Lists lives.
    ///
    /// # Errors
    /// Why not.
    fn list_lives(&self, list: ListLives) -> Result<ListLivesResponse, Refusal>;

    /// Ends a live and waits until that is recorded.
    fn end_live(
        &self,
        end: EndLive,
    ) -> impl Future<Output = Result<EndLiveResponse, Refusal>> + Send;
}

/// The door.
pub(super) struct Grpc<A> {
    pub(super) actions: Arc<A>,
    pub(super) metrics: Arc<Metrics>,
}

/// Lets a call through that carries a valid API key.
pub(super) fn authorise(keys: &ApiKeys, request: &Request<()>) -> Result<(), Status> {
    let metadata = request.metadata();
    let bearer = metadata
        .get("authorization")
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let presented = bearer.or_else(|| metadata.get("x-api-key").map(|value| value.as_bytes()));
    if presented.is_some_and(|key| keys.accept(key)) {
        return Ok(());
    }
    let message = if keys.is_empty() {
        "the gateway has no API key configured: set internal.api_keys"
    } else if presented.is_none() {
        "an API key is needed: metadata `authorization: Bearer KEY` or `x-api-key: KEY`"
    } else {
        "the API key is not valid"
    };
    Err(Status::unauthenticated(message))
}

/// Carries out a command that was read, and counts the call.
async fn counted<C, R, F>(
    metrics: &Metrics,
    method: BackendMethod,
    command: Result<C, BadRequest>,
    act: impl FnOnce(C) -> F,
) -> Result<Response<R>, Status>
where
    F: Future<Output = Result<R, Refusal>>,
{
    let answer = match command {
        Ok(command) => act(command).await.map_err(|no| status::from_refusal(&no)),
        Err(bad) => Err(status::from_bad_request(&bad)),
    };
    metrics.backend_call(method, answer.is_ok());
    answer.map(Response::new)
}

impl<A: BackendActions> Grpc<A> {
    /// Carries out a command that was read, and counts the call.
    async fn call<C, R, F>(
        &self,
        method: BackendMethod,
        command: Result<C, BadRequest>,
        act: impl FnOnce(C) -> F,
    ) -> Result<Response<R>, Status>
    where
        F: Future<Output = Result<R, Refusal>>,
    {
        counted(&self.metrics, method, command, act).await
    }
}

#[tonic::async_trait]
impl<A: BackendActions> BackendService for Grpc<A> {
    async fn push_to_room(
        &self,
        request: Request<PushToRoomRequest>,
    ) -> Result<Response<PushToRoomResponse>, Status> {
        let command = command::push_to_room(request.into_inner());
        let act = |push| async { self.actions.push_to_room(push) };
        self.call(BackendMethod::PushToRoom, command, act).await
    }

    async fn push_to_user(
        &self,
        request: Request<PushToUserRequest>,
    ) -> Result<Response<PushToUserResponse>, Status> {
        let command = command::push_to_user(request.into_inner());
        let act = |push| async { self.actions.push_to_user(push) };
        self.call(BackendMethod::PushToUser, command, act).await
    }

    async fn kick_user(
        &self,
        request: Request<KickUserRequest>,
    ) -> Result<Response<KickUserResponse>, Status> {
        let command = command::kick(request.into_inner());
        let act = |kick| async { self.actions.kick(kick) };
        self.call(BackendMethod::KickUser, command, act).await
    }

    async fn get_room(
        &self,
        request: Request<GetRoomRequest>,
    ) -> Result<Response<GetRoomResponse>, Status> {
        let command = command::get_room(request.get_ref());
        let act = |room| async { self.actions.room_info(room) };
        self.call(BackendMethod::GetRoom, command, act).await
    }

    async fn list_lives(
        &self,
        request: Request<ListLivesRequest>,
    ) -> Result<Response<ListLivesResponse>, Status> {
        let command = command::list_lives(request.get_ref());
        let act = |list| async { self.actions.list_lives(list) };
        self.call(BackendMethod::ListLives, command, act).await
    }

    async fn end_live(
        &self,
        request: Request<EndLiveRequest>,
    ) -> Result<Response<EndLiveResponse>, Status> {
        let command = command::end_live(request.get_ref());
        let act = |end| self.actions.end_live(end);
        self.call(BackendMethod::EndLive, command, act).await
    }
}
