//! Lets the script befall the calls of Storage, and logs them.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;

use super::error::StorageError;
use super::server::Server;
use crate::script::{BodyFault, Call, CallId, Entry, Script, deliver};

/// The page of a proxy in between.
const HTML: &str = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n";

/// The log's line of the call in hand, for handlers that know more of it.
#[derive(Clone)]
pub(super) struct Logged {
    script: Script,
    id: CallId,
}

impl Logged {
    /// Notes what the body said.
    pub(super) fn fields(&self, fields: serde_json::Value) {
        self.script.update(self.id, |call| call.fields = fields);
    }
}

/// The middleware around all of Storage.
pub(super) async fn befall(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    mut request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let entry = if is_public_read(&method, uri.path()) {
        server.script.next_by_match(&method, uri.path())
    } else {
        server.script.next(&method, uri.path())
    };
    let mut call = Call::new(&method, &uri, request.headers());
    call.scripted = entry.clone();
    let id = server.script.record(call);
    entry.wait().await;

    let response = match answer_instead(&entry) {
        Some(response) => {
            read_to_end(request.into_body()).await;
            response
        }
        None => {
            request.extensions_mut().insert(Logged {
                script: server.script.clone(),
                id,
            });
            next.run(request).await
        }
    };
    server.script.update(id, |call| {
        call.status = Some(entry.status.unwrap_or(response.status().as_u16()));
    });
    if entry == Entry::default() {
        return response;
    }
    spoil(&entry, response).await
}

fn is_public_read(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && path.starts_with("/storage/v1/object/public/")
}

/// The answer of an entry that keeps the call from doing anything.
fn answer_instead(entry: &Entry) -> Option<Response> {
    if entry.body == Some(BodyFault::Html) {
        let headers = [(header::CONTENT_TYPE, "text/html")];
        return Some((StatusCode::BAD_GATEWAY, headers, HTML).into_response());
    }
    StorageError::scripted(entry).map(IntoResponse::into_response)
}

/// Takes in what the client still sends, so that it sees the answer and not a closed connection.
async fn read_to_end(body: Body) {
    let mut parts = body.into_data_stream();
    while let Some(Ok(_)) = parts.next().await {}
}

/// The answer as the entry has it: another status, slow, cut off.
async fn spoil(entry: &Entry, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let mut bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    match entry.body {
        Some(BodyFault::Truncated) => bytes.truncate(bytes.len() / 2),
        Some(BodyFault::EmptyData) => bytes = Bytes::new(),
        Some(BodyFault::NotAnImage) => bytes = Bytes::from_static(b"this is no image"),
        Some(BodyFault::Html) | None => {}
    }
    let status = entry
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(parts.status);
    deliver(entry, status, without_length(parts.headers), bytes.into())
}

fn without_length(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(header::CONTENT_LENGTH);
    headers
}
