//! The other way to a token: a request signed by the key's owner, which Ably exchanges for one.

use axum::{
    Json,
    extract::{Path, Query, State as Extracted},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    capability::Capability,
    error::ErrorInfo,
    grant::{Credentials, authorise, issue_token},
    key::ApiKey,
};

/// A token lives this long unless the request says otherwise, in milliseconds.
const DEFAULT_TTL_MS: i64 = 60 * 60 * 1000;

/// Ably takes a request whose time is at most this far from its own.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(15);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenRequest {
    key_name: String,
    ttl: Option<i64>,
    capability: Option<String>,
    client_id: Option<String>,
    timestamp: Option<i64>,
    nonce: Option<String>,
    mac: Option<String>,
}

/// `POST /keys/{keyName}/requestToken`, signed, or with the key itself as the credential.
pub(super) async fn request_token(
    Extracted(state): Extracted<Shared>,
    Path(key_name): Path<String>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, ErrorInfo> {
    let now = Timestamp::now();
    let request: TokenRequest = serde_json::from_value(body)
        .map_err(|error| ErrorInfo::new(40001, 400, format!("Invalid request body: {error}")))?;
    if key_name != state.key.name() || request.key_name != key_name {
        return Err(ErrorInfo::new(
            40101,
            401,
            "Invalid credentials: no such key",
        ));
    }
    if request.mac.is_some() {
        check_signature(&state.key, now, &request)?;
    } else {
        authorise(&state.key, now, &headers, &credentials)?
            .capability
            .require("*", "*")?;
    }
    let ttl = SignedDuration::from_millis(request.ttl.unwrap_or(DEFAULT_TTL_MS));
    let expires = now
        .checked_add(ttl)
        .map_err(|_| ErrorInfo::new(40003, 400, "ttl is out of range"))?;
    let capability = match request.capability.as_deref() {
        None | Some("") => Capability::everything(),
        Some(text) => Capability::parse(text)?,
    };
    let capability = capability.canonical();
    let client_id = request
        .client_id
        .as_deref()
        .filter(|client_id| !client_id.is_empty());
    Ok(Json(json!({
        "token": issue_token(&state.key, now, expires, &capability, client_id),
        "keyName": key_name,
        "issued": now.as_millisecond(),
        "expires": expires.as_millisecond(),
        "capability": capability,
        "clientId": client_id,
    })))
}

fn check_signature(key: &ApiKey, now: Timestamp, request: &TokenRequest) -> Result<(), ErrorInfo> {
    let refused = |message: &str| {
        Err(ErrorInfo::new(
            40101,
            401,
            format!("Invalid credentials: {message}"),
        ))
    };
    let mac = STANDARD
        .decode(request.mac.as_deref().unwrap_or_default())
        .unwrap_or_default();
    if !key.verify(signed_text(request).as_bytes(), &mac) {
        return refused("the mac does not match");
    }
    let timestamp = request
        .timestamp
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(timestamp) = timestamp else {
        return refused("no timestamp");
    };
    if now.duration_since(timestamp).abs() > CLOCKS_APART {
        return Err(ErrorInfo::new(40104, 401, "Timestamp not current"));
    }
    Ok(())
}

/// The fields in their order, each ended by a line feed; one that is absent is an empty line.
fn signed_text(request: &TokenRequest) -> String {
    let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    let fields = [
        request.key_name.clone(),
        number(request.ttl),
        request.capability.clone().unwrap_or_default(),
        request.client_id.clone().unwrap_or_default(),
        number(request.timestamp),
        request.nonce.clone().unwrap_or_default(),
    ];
    fields.iter().map(|field| format!("{field}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_the_official_client_are_accepted() {
        let key = ApiKey::parse("appid1.keyid1:s3cr3t-Value_0123456789").unwrap();
        let user = "7f1c2b1e-0c57-4f0b-9a55-0d0f6e1f2a3b";
        let with_client = json!({
            "keyName": "appid1.keyid1",
            "capability": format!(r#"{{"ai:image:{user}":["subscribe"]}}"#),
            "clientId": user,
            "timestamp": 1_700_000_000_000_i64,
            "nonce": "0123456789abcdef",
            "mac": "R+0nUCTc9Sw+HhfMXUZga6h2fqhVW3crO01KRsatHh8=",
        });
        let minimal = json!({
            "keyName": "appid1.keyid1",
            "timestamp": 1_763_636_400_123_i64,
            "nonce": "aaaaaaaaaaaaaaaa",
            "mac": "m3tk7g2BPYGkYWKpk0Lpb6/OITjKK1C83wHQgywfYS8=",
        });
        for request in [with_client, minimal] {
            let mut request: TokenRequest = serde_json::from_value(request).unwrap();
            let then = Timestamp::from_millisecond(request.timestamp.unwrap()).unwrap();
            assert_eq!(check_signature(&key, then, &request), Ok(()));
            let too_late = then + SignedDuration::from_mins(16);
            assert_eq!(
                check_signature(&key, too_late, &request).unwrap_err().code,
                40104
            );
            request.nonce = Some("another".to_owned());
            assert_eq!(
                check_signature(&key, then, &request).unwrap_err().code,
                40101
            );
        }
    }
}
