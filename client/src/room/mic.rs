//! What a user does about the mic of a room.
//!
//! Invitations arrive as [`RoomEventKind::Invitation`](crate::RoomEventKind)
//! and end as `InvitationEnded`; who takes and leaves the mic as `Publisher`.
//! The mic does not outlive a connection: after a reconnect an app that wants
//! it calls [`RoomHandle::start_publishing`] again.

use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{
    AnswerRequest, AskRequest, CancelRequest, GrantPublisherRequest, InvitationReply,
    InviteRequest, RemovePublisherRequest, StartPublishingRequest, StopPublishingRequest, reply,
};

use super::RoomHandle;
use crate::error::RequestError;

impl RoomHandle {
    /// Invites a member to the mic; a repeat while it is open is the same
    /// invitation.
    ///
    /// # Errors
    /// `NO_PERMISSION` for all but the host, the owner and admins, `NO_USER`,
    /// `TOO_MANY_INVITATIONS` and whatever else the gateway answers.
    pub async fn invite(
        &self,
        user_id: impl Into<String>,
    ) -> Result<InvitationReply, RequestError> {
        let body = Body::Invite(InviteRequest {
            room_id: self.room_id.clone(),
            user_id: user_id.into(),
        });
        match self.client.request_again(body).await?.body {
            Some(reply::Body::Invite(invited)) => Ok(invited),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Asks the host for the mic; a repeat while it is open is the same
    /// invitation.
    ///
    /// # Errors
    /// `NO_USER` when nobody is there to be asked, and whatever else the
    /// gateway answers.
    pub async fn ask_for_mic(&self) -> Result<InvitationReply, RequestError> {
        let body = Body::Ask(AskRequest {
            room_id: self.room_id.clone(),
        });
        match self.client.request_again(body).await?.body {
            Some(reply::Body::Ask(asked)) => Ok(asked),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Answers an invitation that was made to this user.
    ///
    /// # Errors
    /// `ALREADY_HANDLED` when it is over, and whatever else the gateway
    /// answers.
    pub async fn answer(
        &self,
        invitation_id: impl Into<String>,
        accept: bool,
    ) -> Result<(), RequestError> {
        self.mic(Body::Answer(AnswerRequest {
            room_id: self.room_id.clone(),
            invitation_id: invitation_id.into(),
            accept,
        }))
        .await
    }

    /// Takes back an invitation that this user made.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub async fn cancel_invitation(
        &self,
        invitation_id: impl Into<String>,
    ) -> Result<(), RequestError> {
        self.mic(Body::Cancel(CancelRequest {
            room_id: self.room_id.clone(),
            invitation_id: invitation_id.into(),
        }))
        .await
    }

    /// Gives a member the publisher's role without asking.
    ///
    /// # Errors
    /// `NO_PERMISSION` for all but the owner and admins, and whatever else the
    /// gateway answers.
    pub async fn grant_publisher(&self, user_id: impl Into<String>) -> Result<(), RequestError> {
        self.mic(Body::GrantPublisher(GrantPublisherRequest {
            room_id: self.room_id.clone(),
            user_id: user_id.into(),
        }))
        .await
    }

    /// Takes the publisher's role, and with it the mic.
    ///
    /// # Errors
    /// `NO_PERMISSION` for all but the host, the owner and admins, and
    /// whatever else the gateway answers.
    pub async fn remove_publisher(&self, user_id: impl Into<String>) -> Result<(), RequestError> {
        self.mic(Body::RemovePublisher(RemovePublisherRequest {
            room_id: self.room_id.clone(),
            user_id: user_id.into(),
        }))
        .await
    }

    /// Takes the mic; the room is told.
    ///
    /// # Errors
    /// `NO_PERMISSION` without the publisher's role, and whatever else the
    /// gateway answers.
    pub async fn start_publishing(&self) -> Result<(), RequestError> {
        let room_id = self.room_id.clone();
        self.mic(Body::StartPublishing(StartPublishingRequest { room_id }))
            .await
    }

    /// Leaves the mic and keeps the role.
    ///
    /// # Errors
    /// Whatever the gateway answers.
    pub async fn stop_publishing(&self) -> Result<(), RequestError> {
        let room_id = self.room_id.clone();
        self.mic(Body::StopPublishing(StopPublishingRequest { room_id }))
            .await
    }

    async fn mic(&self, body: Body) -> Result<(), RequestError> {
        self.client.request(body).await?;
        Ok(())
    }
}
