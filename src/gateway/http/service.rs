//! Reads requests of the RoomService door and writes its answers.
//!
//! Source of paths, fields and codes: the vendor's RoomService servers.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Map, Value, json};

use super::answer::{Outcome, Problem, done};
use super::lobby::{Applicant, Lobby};
use super::pushers::{HttpRoom, Kind};
use crate::actions::content::{MAX_AVATAR_URL, MAX_NICK, MAX_ROOM_INFO};
use crate::actions::pushers::Pusher;
use crate::id::{AppId, RoomId, UserId, UserKey};

/// Most rooms in one page.
const MAX_PAGE: u64 = 100;
/// Most bytes of a pusher's URL.
const MAX_URL: usize = 512;
/// Most bytes of what an audience member shows.
const MAX_USER_INFO: usize = 512;
/// Most bytes of a field's name.
const MAX_FIELD: usize = 32;

/// The door's paths.
pub(super) fn router(lobby: Arc<Lobby>) -> Router {
    Router::new()
        .route("/weapp/{kind}/{command}", any(answer))
        .fallback(nowhere)
        .with_state(lobby)
}

async fn nowhere() -> Response {
    (StatusCode::NOT_FOUND, "no such path").into_response()
}

async fn answer(
    State(lobby): State<Arc<Lobby>>,
    Path((kind, command)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    let query = query(request.uri().query().unwrap_or_default());
    let is_post = request.method() == Method::POST;
    // Whatever the answer: a body that is not read ends the connection.
    let most = lobby.config().body_bytes;
    let Ok(body) = to_bytes(request.into_body(), most).await else {
        return Problem::NoBody(StatusCode::PAYLOAD_TOO_LARGE).into_response();
    };
    if kind == "utils" {
        return login_info(&lobby, &command, &query).unwrap_or_else(Problem::into_response);
    }
    let Some(kind) = Kind::parse(&kind) else {
        return nowhere().await;
    };
    if !is_post {
        return (StatusCode::METHOD_NOT_ALLOWED, "POST only").into_response();
    }
    let answered = carry_out(&lobby, kind, &command, &query, &body).await;
    answered.map_or_else(Problem::into_response, done)
}

type Query = HashMap<String, String>;
type Answer = Result<Map<String, Value>, Problem>;

fn query(text: &str) -> Query {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn given<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    let value = query.get(name).map(String::as_str);
    value.filter(|value| !value.is_empty())
}

async fn carry_out(lobby: &Lobby, kind: Kind, command: &str, query: &Query, body: &[u8]) -> Answer {
    if command == "login" {
        return login(lobby, query);
    }
    let (user, token) = (given(query, "userID"), given(query, "token"));
    let (Some(user), Some(token)) = (user, token) else {
        return Err(Problem::missing("userID or token"));
    };
    let user = lobby.authenticate(user, token)?;
    let body = Fields::read(body, command == "logout")?;
    let call = Call {
        lobby,
        kind,
        user,
        body,
    };
    call.carry_out(command).await
}

fn login(lobby: &Lobby, query: &Query) -> Answer {
    let missing = || Problem::new(Outcome::Login, "sdkAppID, userID and userSig are needed");
    let app = given(query, "sdkAppID").and_then(|app| app.parse().ok());
    let user = given(query, "userID").and_then(|user| UserId::new(user).ok());
    let sig = given(query, "userSig").ok_or_else(missing)?;
    let key = UserKey {
        app: AppId(app.ok_or_else(missing)?),
        user: user.ok_or_else(missing)?,
    };
    let token = lobby.login(&key, sig)?;
    Ok(object(
        json!({ "userID": key.user.as_str(), "token": token }),
    ))
}

fn login_info(lobby: &Lobby, command: &str, query: &Query) -> Result<Response, Problem> {
    if command != "get_login_info" || !lobby.config().login_info {
        return Ok((StatusCode::NOT_FOUND, "no such path").into_response());
    }
    let user = match given(query, "userID") {
        Some(user) => UserId::new(user).map_err(|_| Problem::missing("userID"))?,
        None => lobby.somebody(),
    };
    let (app, sig) = lobby.signature(&user)?;
    Ok(done(object(json!({
        "sdkAppID": app.0,
        "accType": "0",
        "userID": user.as_str(),
        "userSig": sig,
    }))))
}

/// The fields of a request's body.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8], may_be_empty: bool) -> Result<Self, Problem> {
        if body.is_empty() && may_be_empty {
            return Ok(Self(Map::new()));
        }
        if body.is_empty() {
            return Err(Problem::NoBody(StatusCode::BAD_REQUEST));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::NoBody(StatusCode::BAD_REQUEST)),
            Err(_) => Err(Problem::NoJson),
        }
    }

    fn text(&self, name: &str, most: usize) -> Result<String, Problem> {
        match self.0.get(name) {
            Some(Value::String(text)) if text.len() <= most => Ok(text.clone()),
            _ => Err(Problem::missing(name)),
        }
    }

    /// Empty when it is not there.
    fn text_or_empty(&self, name: &str, most: usize) -> Result<String, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(_) => self.text(name, most),
        }
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| Problem::missing(name)),
        }
    }

    fn room(&self) -> Result<RoomId, Problem> {
        let text = self.text("roomID", 64)?;
        RoomId::new(&text).map_err(|_| Problem::missing("roomID"))
    }
}

/// One request of somebody who is logged in.
struct Call<'a> {
    lobby: &'a Lobby,
    kind: Kind,
    user: UserKey,
    body: Fields,
}

impl Call<'_> {
    async fn carry_out(&self, command: &str) -> Answer {
        match command {
            "logout" => {
                self.lobby.logout(&self.user);
                Ok(Map::new())
            }
            "get_push_url" => {
                let url = self.lobby.push_url(&self.user)?;
                Ok(object(json!({ "pushURL": url })))
            }
            "get_room_list" => self.list(),
            "get_pushers" => self.pushers(),
            "create_room" => self.create().await,
            "destroy_room" => {
                self.must_be_own()?;
                let room = self.body.room()?;
                self.lobby.destroy(&self.user, self.kind, &room).await?;
                Ok(Map::new())
            }
            "add_pusher" => self.add_pusher().await,
            "delete_pusher" => {
                self.must_be_own()?;
                let room = self.body.room()?;
                self.lobby
                    .delete_pusher(&self.user, self.kind, &room)
                    .await?;
                Ok(Map::new())
            }
            "pusher_heartbeat" => {
                self.must_be_own()?;
                let room = self.body.room()?;
                self.lobby.heartbeat(&self.user, self.kind, &room)?;
                Ok(Map::new())
            }
            "merge_stream" => Err(Problem::new(
                Outcome::Media,
                "livegate carries no media: merge streams where they are",
            )),
            "get_custom_info" => self.custom_info(),
            "set_custom_field" => self.set_field(),
            "add_audience" | "delete_audience" | "get_audiences" => self.audience(command),
            _ => Err(Problem::new(Outcome::Parameter, "no such command")),
        }
    }

    /// A request speaks for its own user only.
    fn must_be_own(&self) -> Result<(), Problem> {
        let named = self.body.text_or_empty("userID", 64)?;
        if named.is_empty() || named == self.user.user.as_str() {
            return Ok(());
        }
        let message = "userID is not the token's";
        Err(Problem::new(Outcome::Authentication, message))
    }

    async fn create(&self) -> Answer {
        self.must_be_own()?;
        let info = self.body.text_or_empty("roomInfo", MAX_ROOM_INFO)?;
        let room = match self.body.text_or_empty("roomID", 64)?.as_str() {
            "" => None,
            _ => Some(self.body.room()?),
        };
        let room = self.lobby.create(&self.user, self.kind, room, info).await?;
        Ok(object(json!({ "roomID": room.as_str() })))
    }

    async fn add_pusher(&self) -> Answer {
        self.must_be_own()?;
        let info = self.body.text_or_empty("roomInfo", MAX_ROOM_INFO)?;
        let applicant = Applicant {
            name: self.body.text_or_empty("userName", MAX_NICK)?,
            avatar: self.body.text_or_empty("userAvatar", MAX_AVATAR_URL)?,
            url: self.body.text_or_empty("pushURL", MAX_URL)?,
            info: Some(info).filter(|info| !info.is_empty()),
        };
        let room = self.body.room()?;
        self.lobby
            .add_pusher(&self.user, self.kind, &room, applicant)
            .await?;
        Ok(Map::new())
    }

    fn list(&self) -> Answer {
        let count = self.body.number("cnt", 20)?.min(MAX_PAGE);
        let index = self.body.number("index", 0)?;
        let as_usize = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let page = (as_usize(index), as_usize(count));
        let rooms = self.lobby.list(&self.user, self.kind, page, shown);
        Ok(object(json!({ "rooms": rooms })))
    }

    fn pushers(&self) -> Answer {
        let room = self.body.room()?;
        let room = self.lobby.read(&self.user, self.kind, &room, shown)?;
        Ok(object(room))
    }

    fn custom_info(&self) -> Answer {
        let room = self.body.room()?;
        let fields = |_: &RoomId, room: &HttpRoom<Pusher>| json!(room.fields);
        let fields = self.lobby.read(&self.user, self.kind, &room, fields)?;
        Ok(object(json!({ "customInfo": fields })))
    }

    fn set_field(&self) -> Answer {
        let room = self.body.room()?;
        let name = self.body.text("fieldName", MAX_FIELD)?;
        let change: Box<dyn FnOnce(i64) -> i64 + Send> =
            match self.body.text("operation", 16)?.as_str() {
                "inc" => Box::new(|value| value.saturating_add(1)),
                "dec" => Box::new(|value| value.saturating_sub(1)),
                "clear" => Box::new(|_| 0),
                _ => return Err(Problem::missing("operation")),
            };
        let lobby = self.lobby;
        let fields = lobby.change_field(&self.user, self.kind, &room, &name, change)?;
        let fields: Map<String, Value> = fields.into_iter().map(|(k, v)| (k, json!(v))).collect();
        Ok(object(json!({ "customInfo": fields })))
    }

    fn audience(&self, command: &str) -> Answer {
        let room = self.body.room()?;
        match command {
            "add_audience" => {
                self.must_be_own()?;
                let info = self.body.text_or_empty("userInfo", MAX_USER_INFO)?;
                self.lobby
                    .audience(&self.user, self.kind, &room, Some(info))?;
            }
            "delete_audience" => {
                self.must_be_own()?;
                self.lobby.audience(&self.user, self.kind, &room, None)?;
            }
            _ => {}
        }
        let listed = |_: &RoomId, room: &HttpRoom<Pusher>| audience(room);
        let listed = self.lobby.read(&self.user, self.kind, &room, listed)?;
        Ok(object(json!({ "audiences": listed })))
    }
}

/// A room as the vendor's servers show it.
fn shown(id: &RoomId, room: &HttpRoom<Pusher>) -> Value {
    let pushers: Vec<_> = (room.pushers.iter())
        .map(|pushing| {
            json!({
                "userID": pushing.user.as_str(),
                "userName": pushing.name,
                "userAvatar": pushing.avatar,
                "accelerateURL": pushing.url,
            })
        })
        .collect();
    json!({
        "roomID": id.as_str(),
        "roomInfo": room.info,
        "roomCreator": room.creator.as_str(),
        "mixedPlayURL": "",
        "pushers": pushers,
        "audiences": audience(room),
    })
}

fn audience(room: &HttpRoom<Pusher>) -> Vec<Value> {
    let listed = room.audience.iter();
    listed
        .map(|(user, info)| json!({ "userID": user.as_str(), "userInfo": info }))
        .collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
