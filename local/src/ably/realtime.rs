//! Realtime connections: the websocket that Ably's own clients hold open.

mod connection;
mod protocol;

use axum::{
    extract::{
        Query, State as Extracted, WebSocketUpgrade,
        ws::{Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use self::{connection::Connection, protocol::Action};
use super::{
    Shared,
    error::ErrorInfo,
    grant::{Credentials, authorise},
};

/// What a client says of itself when it connects, beside the credential.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ConnectQuery {
    format: Option<String>,
    client_id: Option<String>,
    /// Frames instead of websocket pings: browsers cannot see pings.
    heartbeats: Option<bool>,
    /// Whether the client wants its own messages back; yes unless told.
    echo: Option<bool>,
}

/// `GET /`: from here on the protocol is one JSON object per text frame.
pub(super) async fn upgrade(
    Extracted(state): Extracted<Shared>,
    Query(query): Query<ConnectQuery>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return ErrorInfo::new(
            40400,
            404,
            "Realtime connections begin here: open a websocket",
        )
        .into_response();
    };
    if query.format.as_deref() == Some("msgpack") {
        let message = "The stand-in speaks JSON: connect with useBinaryProtocol: false";
        tracing::warn!("{message}");
        return ErrorInfo::bad_request(message).into_response();
    }
    let grant = authorise(&state.key, Timestamp::now(), &headers, &credentials).and_then(|grant| {
        let other_client = grant.client_id.is_some()
            && query.client_id.is_some()
            && grant.client_id != query.client_id;
        if other_client {
            return Err(ErrorInfo::new(
                40102,
                401,
                "Incompatible credentials: the token is another client's",
            ));
        }
        Ok(grant)
    });
    match grant {
        Ok(grant) => upgrade.on_upgrade(move |socket| Connection::run(state, grant, query, socket)),
        Err(error) => upgrade.on_upgrade(|socket| refuse(socket, error)),
    }
}

/// A client reads why it was refused only from a frame.
async fn refuse(mut socket: WebSocket, error: ErrorInfo) {
    let frame = json!({"action": Action::Error.number(), "error": error});
    if socket.send(Message::text(frame.to_string())).await.is_ok() {
        // The client has the reason; whether the goodbye reaches it does not matter.
        let _ = socket.send(Message::Close(None)).await;
    }
}

/// Completes at `time`; never when there is none.
pub(super) async fn until(time: Option<Timestamp>) {
    let Some(time) = time else {
        return std::future::pending().await;
    };
    let left = time.duration_since(Timestamp::now());
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
}
