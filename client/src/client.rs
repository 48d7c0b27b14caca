//! One logged-in user that stays connected.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::{
    CallReply, CallRequest, CreateRoomReply, CreateRoomRequest, EnterRoomRequest, ListRoomsReply,
    ListRoomsRequest, Profile, Reply, SendReply, SendRequest, client_frame, reply, send_request,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dial::{Dialer, Target};
use crate::error::{ConnectError, RequestError};
use crate::online::Command;
use crate::queue::{self, Events};
use crate::room::{Outgoing, RoomHandle};
use crate::supervisor::{Connector, First, Shared, Supervisor};
use crate::tls::TlsError;

/// Commands that wait for the client's task.
const COMMAND_QUEUE: usize = 64;

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An attempt to connect and log in is under way.
    Connecting,
    /// Logged in.
    Online,
    /// Waiting before the next attempt.
    Waiting,
    /// Closed for good: by the app, or because the gateway's answer was final.
    Stopped,
}

/// A handle of one logged-in user. Clones share the connection; when the last
/// is dropped the client logs out.
///
/// Logging out leaves all rooms at once: a live that the user hosts ends. A
/// process that is to come back to its live is killed, or loses its connection,
/// but does not log out.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    tasks: TaskTracker,
}

impl Client {
    /// Connects and logs in; from then on stays connected by itself.
    ///
    /// # Errors
    /// When the first attempt fails.
    pub async fn connect(config: Config) -> Result<(Self, Events), ConnectError> {
        let connector = dialing(&config)?;
        Self::connect_over(connector, config).await
    }

    /// As [`connect`](Self::connect), over transports that `connector` opens.
    ///
    /// # Errors
    /// When the first attempt fails.
    pub async fn connect_over(
        connector: Connector,
        config: Config,
    ) -> Result<(Self, Events), ConnectError> {
        let (first, outcome) = oneshot::channel();
        let started = Self::spawn(connector, config, Some(first));
        outcome.await.unwrap_or(Err(ConnectError::Closed))?;
        Ok(started)
    }

    /// Returns at once and connects in the background, trying again as advised
    /// until it succeeds. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When TLS cannot be set up from the configuration.
    pub fn start(config: Config) -> Result<(Self, Events), TlsError> {
        let connector = dialing(&config)?;
        Ok(Self::start_over(connector, config))
    }

    /// As [`start`](Self::start), over transports that `connector` opens.
    pub fn start_over(connector: Connector, config: Config) -> (Self, Events) {
        Self::spawn(connector, config, None)
    }

    fn spawn(connector: Connector, config: Config, first: Option<First>) -> (Self, Events) {
        let limits = &config.limits;
        let (sender, events) = queue::queue(limits.events, limits.events_reserve);
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let shared = Arc::new(Shared::new(limits.clone()));
        let supervisor = Supervisor {
            shared: Arc::clone(&shared),
            connector,
            config,
            commands: receiver,
            events: sender,
        };
        let tasks = TaskTracker::new();
        tasks.spawn(supervisor.run(first));
        tasks.close();
        let client = Self {
            shared,
            commands,
            tasks,
        };
        (client, events)
    }

    /// Where the client stands.
    pub fn state(&self) -> State {
        *self.shared.state.borrow()
    }

    /// Follows where the client stands.
    pub fn states(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// The round trip of the latest heartbeat, if one was answered yet.
    pub fn rtt(&self) -> Option<Duration> {
        self.shared.rtt()
    }

    /// Enters a room and stays in it over reconnects, until the handle leaves.
    ///
    /// # Errors
    /// `NO_ROOM` when there is none, and whatever else the gateway answers.
    pub async fn enter(&self, room_id: impl Into<String>) -> Result<RoomHandle, RequestError> {
        self.enter_as(room_id, None).await
    }

    /// As [`enter`](Self::enter), with a profile for this room.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub async fn enter_as(
        &self,
        room_id: impl Into<String>,
        profile: Option<Profile>,
    ) -> Result<RoomHandle, RequestError> {
        let room_id = room_id.into();
        let request = EnterRoomRequest {
            room_id: room_id.clone(),
            profile,
        };
        let reply = self.ask(|answer| Command::Enter(request, answer)).await?;
        Ok(RoomHandle::new(self.clone(), room_id, Some(reply)))
    }

    /// A handle of a room without entering it.
    pub fn room(&self, room_id: impl Into<String>) -> RoomHandle {
        RoomHandle::new(self.clone(), room_id.into(), None)
    }

    /// Makes a room of this user's; an empty id lets the gateway choose one.
    /// Answers with the id.
    ///
    /// # Errors
    /// `ROOM_ID_IN_USE`, `ROOM_ALREADY_OWNED` and whatever else the gateway
    /// answers.
    pub async fn create_room(
        &self,
        room_id: impl Into<String>,
        room_info: impl Into<Vec<u8>>,
    ) -> Result<String, RequestError> {
        let body = client_frame::Body::CreateRoom(CreateRoomRequest {
            room_id: room_id.into(),
            room_info: room_info.into().into(),
        });
        match self.request(body).await?.body {
            Some(reply::Body::CreateRoom(CreateRoomReply { room_id })) => Ok(room_id),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// One page of the app's rooms, lives first; an empty cursor begins.
    ///
    /// # Errors
    /// Whatever the gateway answers.
    pub async fn list_rooms(
        &self,
        limit: u32,
        cursor: impl Into<String>,
    ) -> Result<ListRoomsReply, RequestError> {
        let body = client_frame::Body::ListRooms(ListRoomsRequest {
            limit,
            cursor: cursor.into(),
        });
        match self.request_again(body).await?.body {
            Some(reply::Body::ListRooms(rooms)) => Ok(rooms),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Says something to one user.
    ///
    /// # Errors
    /// `NO_USER` when the user is not here, and whatever else the gateway
    /// answers.
    pub async fn send_to_user(
        &self,
        user_id: impl Into<String>,
        message: Outgoing,
    ) -> Result<SendReply, RequestError> {
        self.publish(message.request(send_request::Target::UserId(user_id.into())))
            .await
    }

    /// Asks the app's business backend over this connection. Not sent again
    /// after a loss: the backend may have had it. `deadline` is how long the
    /// answer is worth waiting for; `None`: as long as the gateway's route
    /// allows.
    ///
    /// # Errors
    /// `NO_ROUTE`, `TOO_MANY_CALLS`, `BACKEND_TIMEOUT`, `BACKEND_UNAVAILABLE`
    /// and whatever else the gateway answers. What the backend answers, also a
    /// refusal, is an `Ok` with its HTTP status.
    pub async fn call(
        &self,
        service: impl Into<String>,
        method: impl Into<String>,
        body: impl Into<Vec<u8>>,
        deadline: Option<Duration>,
    ) -> Result<CallReply, RequestError> {
        let millis = deadline.map_or(0, |deadline| deadline.as_millis().max(1));
        let call = client_frame::Body::Call(CallRequest {
            service: service.into(),
            method: method.into(),
            body: body.into().into(),
            deadline_ms: u32::try_from(millis).unwrap_or(u32::MAX),
        });
        match self.request(call).await?.body {
            Some(reply::Body::Call(answer)) => Ok(answer),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Asks the [`SigProvider`](crate::SigProvider) for a signature and puts it
    /// in place of the present one; the outcome arrives as an event.
    pub async fn renew(&self) {
        let _ = self.commands.send(Command::Renew).await;
    }

    /// Sends any request and waits for its reply. Not sent again after a loss.
    ///
    /// # Errors
    /// When refused, lost or not answered in time.
    pub async fn request(&self, body: client_frame::Body) -> Result<Reply, RequestError> {
        self.ask(|answer| Command::Request(Box::new(body), answer))
            .await
    }

    /// Logs out, closes the connection and waits until that is done. Ends the
    /// user's live.
    pub async fn close(self) {
        let _ = self.commands.send(Command::Close).await;
        self.tasks.wait().await;
    }

    /// Sends a request that does no harm when carried out twice; when the
    /// connection is lost it is sent again on the next one, within the time
    /// that a request may take.
    pub(crate) async fn request_again(
        &self,
        body: client_frame::Body,
    ) -> Result<Reply, RequestError> {
        let deadline = Instant::now() + self.shared.limits.request_timeout;
        loop {
            let error = match self.request(body.clone()).await {
                Err(error) if error.is_connection_trouble() => error,
                outcome => return outcome,
            };
            let mut states = self.states();
            let settled = |state: &State| matches!(state, State::Online | State::Stopped);
            let Ok(Ok(state)) = timeout_at(deadline, states.wait_for(settled)).await else {
                return Err(error);
            };
            if *state == State::Stopped {
                return Err(error);
            }
        }
    }

    /// Sends a message; again after a loss when its id makes both one.
    pub(crate) async fn publish(&self, request: SendRequest) -> Result<SendReply, RequestError> {
        let once = request.client_message_id.is_empty();
        let body = client_frame::Body::Send(request);
        let reply = if once {
            self.request(body).await?
        } else {
            self.request_again(body).await?
        };
        match reply.body {
            Some(reply::Body::Send(sent)) => Ok(sent),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Hands a command to the client's task and waits for its answer.
    pub(crate) fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> Command,
    ) -> impl Future<Output = Result<T, RequestError>> {
        let (answer, outcome) = oneshot::channel();
        let command = command(answer);
        async move {
            let sent = self.commands.send(command).await;
            sent.map_err(|_| RequestError::NotConnected)?;
            outcome.await.unwrap_or(Err(RequestError::NotConnected))
        }
    }
}

fn dialing(config: &Config) -> Result<Connector, TlsError> {
    let dialer = Dialer::new(config.dial.clone())?;
    let target = Target {
        addr: config.addr.clone(),
        server_name: config.server_name.clone(),
        bind: None,
        receive_buffer: None,
    };
    Ok(Connector::dialing(Arc::new(dialer), target))
}
