//! `GovernService`: rooms and users as the backend governs them.

use std::future::Future;
use std::sync::Arc;

use livegate_proto::backend::govern_service_server::GovernService;
use livegate_proto::backend::{self as wire, GivenRole, HistoryMessage, Recall, Until, UserStatus};
use tonic::{Request, Response, Status};

use super::counted;
use crate::actions::Actions;
use crate::actions::content::BadRequest;
use crate::backend::command::govern::{self as command, Users};
use crate::clock::{Clock, Unix};
use crate::id::UserId;
use crate::rooms::Refusal;
use crate::telemetry::{BackendMethod, Metrics};

/// The door.
pub(in crate::backend) struct Govern {
    pub(in crate::backend) actions: Arc<Actions>,
    pub(in crate::backend) clock: Clock,
    pub(in crate::backend) metrics: Arc<Metrics>,
}

impl Govern {
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

    fn mute(&self, mute: &Users) -> Result<wire::MuteUsersResponse, Refusal> {
        let now = self.clock.now();
        for user in &mute.users {
            if let Some(room) = &mute.room {
                self.actions.mute(room, user, mute.span, now)?;
                continue;
            }
            let user = crate::id::UserKey {
                app: mute.app,
                user: user.clone(),
            };
            let span = Some(mute.span);
            self.actions.mute_everywhere(&user, span, span, now)?;
        }
        Ok(wire::MuteUsersResponse {})
    }

    fn ban(&self, ban: &Users) -> Result<wire::BanUsersResponse, Refusal> {
        let now = self.clock.now();
        let mut sessions_kicked = 0;
        for (user, room) in ban.users.iter().zip(ban.room.iter().cycle()) {
            sessions_kicked += self.actions.ban(room, user, ban.span, &ban.reason, now)?;
        }
        Ok(wire::BanUsersResponse { sessions_kicked })
    }
}

fn untils(held: Vec<(UserId, Unix)>) -> Vec<Until> {
    let until = |(user, until): (UserId, Unix)| Until {
        user_id: user.to_string(),
        until_ms: until.millis_i64(),
    };
    held.into_iter().map(until).collect()
}

#[tonic::async_trait]
impl GovernService for Govern {
    async fn create_room(
        &self,
        request: Request<wire::CreateRoomRequest>,
    ) -> Result<Response<wire::CreateRoomResponse>, Status> {
        let command = command::create_room(request.into_inner());
        let act = |create| async {
            let room = self.actions.create_room(create, self.clock.now()).await?;
            let room_id = room.to_string();
            Ok(wire::CreateRoomResponse { room_id })
        };
        self.call(BackendMethod::CreateRoom, command, act).await
    }

    async fn destroy_room(
        &self,
        request: Request<wire::DestroyRoomRequest>,
    ) -> Result<Response<wire::DestroyRoomResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id);
        let act = |room| async move {
            self.actions.destroy_room(&room, self.clock.now()).await?;
            Ok(wire::DestroyRoomResponse {})
        };
        self.call(BackendMethod::DestroyRoom, command, act).await
    }

    async fn modify_room(
        &self,
        request: Request<wire::ModifyRoomRequest>,
    ) -> Result<Response<wire::ModifyRoomResponse>, Status> {
        let command = command::modify_room(request.into_inner());
        let act = |(room, change, owner): command::Modify| async move {
            let now = self.clock.now();
            self.actions.modify_room(&room, change, None, now)?;
            if let Some(owner) = owner {
                self.actions.change_owner(&room, owner, now)?;
            }
            Ok(wire::ModifyRoomResponse {})
        };
        self.call(BackendMethod::ModifyRoom, command, act).await
    }

    async fn list_rooms(
        &self,
        request: Request<wire::ListRoomsRequest>,
    ) -> Result<Response<wire::ListRoomsResponse>, Status> {
        let request = request.get_ref();
        let limit = command::page(request.limit, 20, 100);
        let act = |limit| async move {
            let app = crate::id::AppId(request.sdk_app_id);
            let now = self.clock.now();
            let page = self.actions.list_rooms(app, limit, &request.cursor, now)?;
            Ok(wire::ListRoomsResponse {
                rooms: page.rooms,
                next_cursor: page.next_cursor,
            })
        };
        self.call(BackendMethod::ListRooms, limit, act).await
    }

    async fn list_members(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Result<Response<wire::ListMembersResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id)
            .and_then(|room| Ok((room, command::page(request.limit, 50, 200)?)));
        let act = |(room, limit)| async move {
            let page = self.actions.room_members(&room, limit, &request.cursor)?;
            Ok(wire::ListMembersResponse {
                members: page.members,
                next_cursor: page.next_cursor,
                online: page.online,
            })
        };
        self.call(BackendMethod::ListMembers, command, act).await
    }

    async fn set_attributes(
        &self,
        request: Request<wire::SetAttributesRequest>,
    ) -> Result<Response<wire::SetAttributesResponse>, Status> {
        let command = command::set_attributes(request.into_inner());
        let act = |(room, change)| async move {
            let now = self.clock.now();
            let version = self.actions.set_attributes(&room, change, now)?;
            Ok(wire::SetAttributesResponse { version })
        };
        self.call(BackendMethod::SetAttributes, command, act).await
    }

    async fn get_attributes(
        &self,
        request: Request<wire::GetAttributesRequest>,
    ) -> Result<Response<wire::GetAttributesResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id);
        let act = |room| async move {
            let attributes = Some(self.actions.attributes(&room)?);
            Ok(wire::GetAttributesResponse { attributes })
        };
        self.call(BackendMethod::GetAttributes, command, act).await
    }

    async fn mute_users(
        &self,
        request: Request<wire::MuteUsersRequest>,
    ) -> Result<Response<wire::MuteUsersResponse>, Status> {
        let command = command::mute_users(request.into_inner());
        let act = |mute| async move { self.mute(&mute) };
        self.call(BackendMethod::MuteUsers, command, act).await
    }

    async fn list_mutes(
        &self,
        request: Request<wire::ListMutesRequest>,
    ) -> Result<Response<wire::ListMutesResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id);
        let act = |room| async move {
            let mutes = untils(self.actions.mutes(&room, self.clock.now())?);
            Ok(wire::ListMutesResponse { mutes })
        };
        self.call(BackendMethod::ListMutes, command, act).await
    }

    async fn ban_users(
        &self,
        request: Request<wire::BanUsersRequest>,
    ) -> Result<Response<wire::BanUsersResponse>, Status> {
        let command = command::ban_users(request.into_inner());
        let act = |ban| async move { self.ban(&ban) };
        self.call(BackendMethod::BanUsers, command, act).await
    }

    async fn list_bans(
        &self,
        request: Request<wire::ListBansRequest>,
    ) -> Result<Response<wire::ListBansResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id);
        let act = |room| async move {
            let bans = untils(self.actions.bans(&room, self.clock.now())?);
            Ok(wire::ListBansResponse { bans })
        };
        self.call(BackendMethod::ListBans, command, act).await
    }

    async fn set_role(
        &self,
        request: Request<wire::SetRoleRequest>,
    ) -> Result<Response<wire::SetRoleResponse>, Status> {
        let command = command::set_role(request.get_ref());
        let act = |(room, user, role)| async move {
            let now = self.clock.now();
            self.actions.set_role(&room, &user, role, now)?;
            Ok(wire::SetRoleResponse {})
        };
        self.call(BackendMethod::SetRole, command, act).await
    }

    async fn remove_publisher(
        &self,
        request: Request<wire::RemovePublisherRequest>,
    ) -> Result<Response<wire::RemovePublisherResponse>, Status> {
        let command = command::remove_publisher(request.get_ref());
        let act = |(room, user)| async move {
            let now = self.clock.now();
            self.actions.remove_publisher(&room, &user, now)?;
            Ok(wire::RemovePublisherResponse {})
        };
        self.call(BackendMethod::RemovePublisher, command, act)
            .await
    }

    async fn list_roles(
        &self,
        request: Request<wire::ListRolesRequest>,
    ) -> Result<Response<wire::ListRolesResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id);
        let act = |room| async move {
            let (owner, roles) = self.actions.roles(&room)?;
            let given = |(user, role): (UserId, livegate_proto::client::Role)| GivenRole {
                user_id: user.to_string(),
                role: role.into(),
            };
            Ok(wire::ListRolesResponse {
                owner_id: owner.map(|owner| owner.to_string()).unwrap_or_default(),
                roles: roles.into_iter().map(given).collect(),
            })
        };
        self.call(BackendMethod::ListRoles, command, act).await
    }

    async fn notify_room(
        &self,
        request: Request<wire::NotifyRoomRequest>,
    ) -> Result<Response<wire::NotifyRoomResponse>, Status> {
        let command = command::notify_room(request.into_inner());
        let act = |(room, content)| async move {
            self.actions.notify(&room, content, self.clock.now())?;
            Ok(wire::NotifyRoomResponse {})
        };
        self.call(BackendMethod::NotifyRoom, command, act).await
    }

    async fn recall_messages(
        &self,
        request: Request<wire::RecallMessagesRequest>,
    ) -> Result<Response<wire::RecallMessagesResponse>, Status> {
        let request = request.get_ref();
        let command = command::recall(request);
        let act = |room| async move {
            let (seqs, now) = (&request.seqs, self.clock.now());
            let recalls = self.actions.recall(&room, seqs, &request.reason, now)?;
            let recall =
                |(seq, code): (u64, livegate_proto::code::Code)| Recall { seq, code: code.0 };
            let recalls = recalls.into_iter().map(recall).collect();
            Ok(wire::RecallMessagesResponse { recalls })
        };
        self.call(BackendMethod::RecallMessages, command, act).await
    }

    async fn get_history(
        &self,
        request: Request<wire::GetHistoryRequest>,
    ) -> Result<Response<wire::GetHistoryResponse>, Status> {
        let request = request.get_ref();
        let command = command::room(request.sdk_app_id, &request.room_id)
            .and_then(|room| Ok((room, command::page(request.limit, 20, 100)?)));
        let act = |(room, limit): (_, u32)| async move {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let before = request.before_seq;
            let (messages, finished) = self.actions.newest_messages(&room, before, limit)?;
            let message = |(push, recalled)| HistoryMessage {
                push: Some(push),
                recalled,
            };
            Ok(wire::GetHistoryResponse {
                messages: messages.into_iter().map(message).collect(),
                finished,
            })
        };
        self.call(BackendMethod::GetHistory, command, act).await
    }

    async fn broadcast(
        &self,
        request: Request<wire::BroadcastRequest>,
    ) -> Result<Response<wire::BroadcastResponse>, Status> {
        let command = command::broadcast(request.into_inner());
        let act = |(app, from, content)| async move {
            let said = self.actions.broadcast(app, from, content, &self.clock);
            let rooms = said.await?;
            Ok(wire::BroadcastResponse { rooms })
        };
        self.call(BackendMethod::Broadcast, command, act).await
    }

    async fn revoke_user(
        &self,
        request: Request<wire::RevokeUserRequest>,
    ) -> Result<Response<wire::RevokeUserResponse>, Status> {
        let request = request.get_ref();
        let command = command::one_user(request.sdk_app_id, &request.user_id);
        let act = |user| async move {
            let sessions_closed = self.actions.revoke(&user, self.clock.now())?;
            Ok(wire::RevokeUserResponse { sessions_closed })
        };
        self.call(BackendMethod::RevokeUser, command, act).await
    }

    async fn set_profile(
        &self,
        request: Request<wire::SetProfileRequest>,
    ) -> Result<Response<wire::SetProfileResponse>, Status> {
        let command = command::set_profile(request.into_inner());
        let act = |(user, nick, url): command::FixProfile| async move {
            self.actions.fix_profile(&user, nick, url)?;
            Ok(wire::SetProfileResponse {})
        };
        self.call(BackendMethod::SetProfile, command, act).await
    }

    async fn get_users(
        &self,
        request: Request<wire::GetUsersRequest>,
    ) -> Result<Response<wire::GetUsersResponse>, Status> {
        let command = command::get_users(request.get_ref());
        let act = |users: Vec<crate::id::UserKey>| async move {
            let status = |user: &crate::id::UserKey| {
                let platforms = self.actions.online().platforms(user);
                UserStatus {
                    user_id: user.user.to_string(),
                    sessions: u32::try_from(platforms.len()).unwrap_or(u32::MAX),
                    platforms: platforms.into_vec(),
                }
            };
            let users = users.iter().map(status).collect();
            Ok(wire::GetUsersResponse { users })
        };
        self.call(BackendMethod::GetUsers, command, act).await
    }
}
