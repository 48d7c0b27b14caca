//! A business backend that sells gifts.
//!
//! The app asks for a gift over its connection to livegate, livegate posts the
//! call here and says who asks. The shop bills the user, and only then pushes
//! the gift into the room, in the user's name: everybody sees it at once, the
//! sender too, and nobody sees one that was not paid.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use livegate::callback::call::{METHOD, SDK_APP_ID, SIGNED, USER_ID};
use livegate::callback::{SIGNATURE, TIMESTAMP};
use livegate_proto::backend::backend_service_client::BackendServiceClient;
use livegate_proto::backend::{PushToRoomRequest, push_to_room_request};
use livegate_proto::client::{Gift, Priority, User};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

/// How far a call's clock may be from ours, seconds.
const SKEW: u64 = 300;
/// What everybody begins with.
const WALLET: u64 = 100;
/// What one rose costs; there is nothing else.
const PRICE: u64 = 10;

/// What the app asks for, as the call's body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Chosen by the app: a repeat with the same one is the same order.
    pub(crate) order: String,
    /// Where the gift is given.
    pub(crate) room_id: String,
    /// How many roses.
    pub(crate) count: u32,
    /// Roses with the same one in a row are a combo.
    #[serde(default)]
    pub(crate) combo_id: String,
}

/// The shop. Clones share the wallets.
#[derive(Clone)]
pub(crate) struct Shop {
    key: Arc<hmac::Key>,
    gateway: BackendServiceClient<Channel>,
    api_key: AsciiMetadataValue,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    /// What is left, by user.
    wallets: HashMap<String, u64>,
    /// What was left after each order, by user and order.
    paid: HashMap<(String, String), u64>,
}

impl Shop {
    /// A shop that trusts calls signed with `secret` and pushes by way of
    /// `gateway`, livegate's internal port.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub(crate) fn new(secret: &str, gateway: &str, api_key: &str) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(gateway.to_owned())?.connect_lazy();
        Ok(Self {
            key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
            gateway: BackendServiceClient::new(channel),
            api_key: api_key.parse()?,
            books: Arc::default(),
        })
    }

    /// Takes livegate's calls at `/shop`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/shop", axum::routing::post(take_call))
            .with_state(self)
    }

    /// Whether livegate itself says this, and lately.
    fn trusts(&self, headers: &HeaderMap, body: &[u8]) -> Option<()> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let identity: Option<Vec<_>> = SIGNED.into_iter().map(text).collect();
        let timestamp = text(TIMESTAMP)?;
        let said: u64 = timestamp.parse().ok()?;
        if said.abs_diff(livegate::clock::unix_now().seconds()) > SKEW {
            return None;
        }
        let mut signed = format!("{}.{timestamp}.", identity?.join("\n")).into_bytes();
        signed.extend_from_slice(body);
        // While secrets rotate there is a signature under each.
        text(SIGNATURE)?
            .split(',')
            .filter_map(|signature| bytes_of(signature.strip_prefix("v1=")?))
            .any(|tag| hmac::verify(&self.key, &signed, &tag).is_ok())
            .then_some(())
    }

    /// Bills an order once; what is left, or nothing when it is not enough.
    /// Also whether this is a repeat.
    fn bill(&self, user: &str, order: &Order) -> Option<(u64, bool)> {
        let mut books = self.books();
        let paid = (user.to_owned(), order.order.clone());
        if let Some(left) = books.paid.get(&paid) {
            return Some((*left, true));
        }
        let wallet = books.wallets.entry(user.to_owned()).or_insert(WALLET);
        *wallet = wallet.checked_sub(PRICE.checked_mul(order.count.into())?)?;
        let left = *wallet;
        books.paid.insert(paid, left);
        Some((left, false))
    }

    /// Shows the gift to everybody in the room. Its order makes a repeat the
    /// same gift.
    async fn show(&self, app: u32, user: &str, order: &Order) -> Result<(), tonic::Status> {
        let gift = Gift {
            gift_id: "rose".into(),
            count: order.count,
            combo_id: order.combo_id.clone(),
            ..Gift::default()
        };
        let mut push = tonic::Request::new(PushToRoomRequest {
            sdk_app_id: app,
            room_id: order.room_id.clone(),
            from: Some(User {
                user_id: user.to_owned(),
                profile: None,
            }),
            priority: Priority::High.into(),
            content: Some(push_to_room_request::Content::Gift(gift)),
            idempotency_key: order.order.clone(),
        });
        push.metadata_mut()
            .insert("x-api-key", self.api_key.clone());
        self.gateway.clone().push_to_room(push).await?;
        Ok(())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take_call(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    if shop.trusts(&headers, &body).is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(METHOD_GIVE), Some(app), Some(user)) =
        (text(METHOD), text(SDK_APP_ID), text(USER_ID))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (Ok(app), Some(user), Ok(order)) = (
        app.parse(),
        decoded(user),
        serde_json::from_slice::<Order>(&body),
    ) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some((left, repeat)) = shop.bill(&user, &order) else {
        let short = json!({ "error": "not enough money" });
        return answer(StatusCode::PAYMENT_REQUIRED, &short);
    };
    // Paid and not shown would be worse than shown late: a real shop writes
    // down what is to be shown and goes on trying. Here the app asks again.
    match shop.show(app, &user, &order).await {
        Ok(()) => answer(StatusCode::OK, &json!({ "left": left, "repeat": repeat })),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, body.to_string()).into_response()
}

/// The one thing that can be called.
const METHOD_GIVE: &str = "give";

/// What a percent-encoded header says.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
