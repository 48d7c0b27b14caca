//! What a user does in a room.

mod mic;

use std::time::Duration;

use livegate_proto::client::{
    Attribute, Custom, DestroyRoomRequest, Elements, EndLiveReply, EndLiveRequest, EnterRoomReply,
    Gift, HistoryReply, HistoryRequest, Like, MembersReply, MembersRequest, Priority,
    RoomInfoRequest, RoomSummary, SendReply, SendRequest, SetAttributesRequest, StartLiveReply,
    StartLiveRequest, Text, client_frame, reply, send_request,
};
use livegate_proto::elements::MsgElement;

use crate::client::Client;
use crate::error::RequestError;
use crate::online::Command;

/// Something to say, with an id that makes a repeated send one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    content: send_request::Content,
    priority: Priority,
    message_id: String,
}

impl Outgoing {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(send_request::Content::Text(Text { text: text.into() }))
    }

    /// The app's own; `kind` tells its messages apart (at most 64 bytes).
    pub fn custom(kind: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self::of(send_request::Content::Custom(Custom {
            r#type: kind.into(),
            data: data.into().into(),
        }))
    }

    /// A gift.
    pub fn gift(gift_id: impl Into<String>, count: u32) -> Self {
        Self::of(send_request::Content::Gift(Gift {
            gift_id: gift_id.into(),
            count,
            ..Gift::default()
        }))
    }

    /// Any gift, with the app's data and a combo id.
    pub fn gift_of(gift: Gift) -> Self {
        Self::of(send_request::Content::Gift(gift))
    }

    /// A message of several parts, as the v4 API's MsgBody has them.
    pub fn elements<'a>(parts: impl IntoIterator<Item = &'a MsgElement>) -> Self {
        Self::of(send_request::Content::Elements(Elements {
            elements: parts.into_iter().map(MsgElement::wire).collect(),
            ..Elements::default()
        }))
    }

    fn of(content: send_request::Content) -> Self {
        Self {
            content,
            priority: Priority::Unspecified,
            message_id: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Under pressure high goes first, low and lowest are refused first.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Puts the app's own id in place of the random one; at most 64 bytes.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = id.into();
        self
    }

    pub(crate) fn request(self, target: send_request::Target) -> SendRequest {
        SendRequest {
            target: Some(target),
            client_message_id: self.message_id,
            priority: self.priority.into(),
            content: Some(self.content),
        }
    }
}

/// A handle of one room. Dropping it does not leave the room.
#[derive(Debug, Clone)]
pub struct RoomHandle {
    client: Client,
    room_id: String,
    entered: Option<Box<EnterRoomReply>>,
}

impl RoomHandle {
    pub(crate) fn new(client: Client, room_id: String, entered: Option<EnterRoomReply>) -> Self {
        Self {
            client,
            room_id,
            entered: entered.map(Box::new),
        }
    }

    /// The room's id.
    pub fn id(&self) -> &str {
        &self.room_id
    }

    /// The room as it was when this handle entered it; `None` for a handle that
    /// did not. Later states arrive as events.
    pub fn entered(&self) -> Option<&EnterRoomReply> {
        self.entered.as_deref()
    }

    /// Leaves the room.
    ///
    /// # Errors
    /// Whatever the gateway answers; the client does not come back to the room
    /// in any case.
    pub async fn leave(self) -> Result<(), RequestError> {
        let Self {
            client, room_id, ..
        } = self;
        client.ask(|answer| Command::Leave(room_id, answer)).await?;
        Ok(())
    }

    /// Says a text.
    ///
    /// # Errors
    /// `MUTED`, `MESSAGE_RATE`, `NOT_IN_ROOM` and whatever else the gateway
    /// answers.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<SendReply, RequestError> {
        self.send(Outgoing::text(text)).await
    }

    /// Sends the app's own.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn send_custom(
        &self,
        kind: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Result<SendReply, RequestError> {
        self.send(Outgoing::custom(kind, data)).await
    }

    /// Sends a gift.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn send_gift(
        &self,
        gift_id: impl Into<String>,
        count: u32,
    ) -> Result<SendReply, RequestError> {
        self.send(Outgoing::gift(gift_id, count)).await
    }

    /// Says something; when the connection is lost before the answer it is sent
    /// again on the next one, and the room sees it once.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn send(&self, message: Outgoing) -> Result<SendReply, RequestError> {
        self.client.publish(message.request(self.target())).await
    }

    /// Changes attributes: `set` takes the place of those with the same keys.
    /// Returns the version of the new state.
    ///
    /// # Errors
    /// Only the owner, the host and admins may; see the gateway's limits.
    pub async fn set_attributes<K: Into<String>, V: Into<Vec<u8>>>(
        &self,
        set: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, RequestError> {
        let attribute = |(key, value): (K, V)| Attribute {
            key: key.into(),
            value: value.into().into(),
        };
        let set = SetAttributesRequest {
            room_id: self.room_id.clone(),
            attributes: set.into_iter().map(attribute).collect(),
            ..SetAttributesRequest::default()
        };
        let body = client_frame::Body::SetAttributes(set);
        match self.client.request(body).await?.body {
            Some(reply::Body::SetAttributes(set)) => Ok(set.version),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Likes, `count` times (1 to 1,000).
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text). Not sent again after a loss.
    pub async fn like(&self, count: u32) -> Result<(), RequestError> {
        let request = SendRequest {
            target: Some(self.target()),
            content: Some(send_request::Content::Like(Like { count })),
            ..SendRequest::default()
        };
        self.client.publish(request).await?;
        Ok(())
    }

    /// Starts a live of this user in the room. A repeat with the same
    /// `start_id` (1 to 64 bytes) answers with the same live. `grace` is how
    /// long the room waits for a lost host, the room's setting if absent.
    ///
    /// # Errors
    /// `LIVE_EXISTS` when another user has a live here, and whatever else the
    /// gateway answers.
    pub async fn start_live(
        &self,
        start_id: impl Into<String>,
        grace: Option<Duration>,
    ) -> Result<StartLiveReply, RequestError> {
        let millis = |grace: Duration| u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        let body = client_frame::Body::StartLive(StartLiveRequest {
            room_id: self.room_id.clone(),
            start_id: start_id.into(),
            grace_ms: grace.map(millis),
        });
        match self.client.request_again(body).await?.body {
            Some(reply::Body::StartLive(started)) => Ok(started),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Ends the live; an empty id means whichever the room has.
    ///
    /// # Errors
    /// `NO_LIVE`, `LIVE_ENDED` and whatever else the gateway answers.
    pub async fn end_live(&self, live_id: impl Into<String>) -> Result<EndLiveReply, RequestError> {
        let body = client_frame::Body::EndLive(EndLiveRequest {
            room_id: self.room_id.clone(),
            live_id: live_id.into(),
        });
        match self.client.request(body).await?.body {
            Some(reply::Body::EndLive(ended)) => Ok(ended),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// The room as it is now; asked without being in it, too.
    ///
    /// # Errors
    /// `NO_ROOM` and whatever else the gateway answers.
    pub async fn info(&self) -> Result<RoomSummary, RequestError> {
        let body = client_frame::Body::RoomInfo(RoomInfoRequest {
            room_id: self.room_id.clone(),
        });
        match self.client.request_again(body).await?.body {
            Some(reply::Body::RoomInfo(info)) => Ok(info.room.unwrap_or_default()),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// One page of the room's members; an empty cursor begins.
    ///
    /// # Errors
    /// Whatever the gateway answers.
    pub async fn members(
        &self,
        limit: u32,
        cursor: impl Into<String>,
    ) -> Result<MembersReply, RequestError> {
        let body = client_frame::Body::Members(MembersRequest {
            room_id: self.room_id.clone(),
            limit,
            cursor: cursor.into(),
        });
        match self.client.request_again(body).await?.body {
            Some(reply::Body::Members(members)) => Ok(members),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// What the room's log still holds after `after_seq`, oldest first.
    ///
    /// # Errors
    /// Whatever the gateway answers.
    pub async fn history(&self, after_seq: u64, limit: u32) -> Result<HistoryReply, RequestError> {
        let body = client_frame::Body::History(HistoryRequest {
            room_id: self.room_id.clone(),
            after_seq,
            limit,
        });
        match self.client.request_again(body).await?.body {
            Some(reply::Body::History(history)) => Ok(history),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Destroys the room.
    ///
    /// # Errors
    /// `NO_PERMISSION` unless the user owns it, and whatever else the gateway
    /// answers.
    pub async fn destroy(self) -> Result<(), RequestError> {
        let body = client_frame::Body::DestroyRoom(DestroyRoomRequest {
            room_id: self.room_id,
        });
        self.client.request(body).await?;
        Ok(())
    }

    fn target(&self) -> send_request::Target {
        send_request::Target::RoomId(self.room_id.clone())
    }
}
