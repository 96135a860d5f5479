//! Who a client is and what it may do, from a key or from a token signed with it.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{capability::Capability, error::ErrorInfo, key::ApiKey};

/// What a checked key or token allows.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) capability: Capability,
    pub(super) client_id: Option<String>,
    /// `None` for a key, which does not expire.
    pub(super) expires: Option<Timestamp>,
}

/// The query parameters that may hold a credential; SSE and realtime spell the token differently.
#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Credentials {
    pub(super) key: Option<String>,
    #[serde(alias = "accessToken")]
    pub(super) access_token: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    #[serde(rename = "x-ably-capability")]
    capability: Option<String>,
    #[serde(rename = "x-ably-clientId")]
    client_id: Option<String>,
}

impl Grant {
    fn of_key() -> Self {
        Self {
            capability: Capability::everything(),
            client_id: None,
            expires: None,
        }
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Finds the credential in the query or the `Authorization` header, and checks it.
pub(super) fn authorise(
    key: &ApiKey,
    now: Timestamp,
    headers: &HeaderMap,
    query: &Credentials,
) -> Result<Grant, ErrorInfo> {
    if let Some(whole) = &query.key {
        return check_key(key, *whole == key.whole());
    }
    if let Some(token) = &query.access_token {
        return check_token(key, now, token);
    }
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some((scheme, value)) = header.and_then(|header| header.split_once(' ')) else {
        return Err(ErrorInfo::new(
            40101,
            401,
            "No authentication information provided",
        ));
    };
    if scheme.eq_ignore_ascii_case("basic") {
        return check_key(key, key.matches_basic(value.trim()));
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return check_token(key, now, &plain_token(value.trim()));
    }
    Err(ErrorInfo::new(
        40101,
        401,
        "Unsupported authorization scheme",
    ))
}

/// Checks an Ably JWT: signature, then expiry, then what it carries.
pub(super) fn check_token(key: &ApiKey, now: Timestamp, token: &str) -> Result<Grant, ErrorInfo> {
    let malformed = |what: &str| ErrorInfo::new(40144, 401, format!("Invalid JWT format: {what}"));
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return Err(malformed("not three parts"));
    };
    let decode = |part: &str| {
        URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| malformed("not base64url"))
    };
    let parsed: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| malformed("header"))?;
    if parsed.alg != "HS256" {
        return Err(malformed("the algorithm is not HS256"));
    }
    if parsed.kid.as_deref() != Some(key.name()) {
        return Err(ErrorInfo::new(
            40101,
            401,
            "Invalid credentials: no such key",
        ));
    }
    let signed = format!("{header}.{claims}");
    if !key.verify(signed.as_bytes(), &decode(signature)?) {
        return Err(malformed("signature verification failed"));
    }
    let claims: Claims =
        serde_json::from_slice(&decode(claims)?).map_err(|_| malformed("claims"))?;
    let expires = Timestamp::from_second(claims.exp).map_err(|_| malformed("exp"))?;
    let capability = claims
        .capability
        .as_deref()
        .map(Capability::parse)
        .transpose()?;
    let grant = Grant {
        capability: capability.unwrap_or_else(Capability::everything),
        client_id: claims.client_id.filter(|client_id| client_id != "*"),
        expires: Some(expires),
    };
    if grant.has_expired(now) {
        return Err(ErrorInfo::expired());
    }
    Ok(grant)
}

/// Signs a token, for token requests and for tests.
pub(super) fn issue_token(
    key: &ApiKey,
    issued: Timestamp,
    expires: Timestamp,
    capability: &str,
    client_id: Option<&str>,
) -> String {
    let mut claims = json!({
        "iat": issued.as_second(),
        "exp": expires.as_second(),
        "x-ably-capability": capability,
    });
    if let Some(client_id) = client_id {
        claims["x-ably-clientId"] = client_id.into();
    }
    let header = json!({"typ": "JWT", "alg": "HS256", "kid": key.name()});
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn check_key(key: &ApiKey, matches: bool) -> Result<Grant, ErrorInfo> {
    if matches {
        return Ok(Grant::of_key());
    }
    let message = format!("Invalid credentials for the app {}", key.app());
    Err(ErrorInfo::new(40101, 401, message))
}

/// Ably's clients send a bearer token in base64 once more; a JWT as it is has dots, which base64 has not.
fn plain_token(value: &str) -> String {
    if value.contains('.') {
        return value.to_owned();
    }
    let decoded = STANDARD
        .decode(value)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITY: &str = r#"{"ai:image:1":["subscribe"]}"#;

    fn key() -> ApiKey {
        ApiKey::parse("app.key:secret").unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_says_who_and_what() {
        let token = issue_token(&key(), at(1000), at(1060), CAPABILITY, Some("1"));
        let grant = check_token(&key(), at(1059), &token).unwrap();
        assert_eq!(grant.client_id.as_deref(), Some("1"));
        assert!(grant.capability.allows("subscribe", "ai:image:1"));
        assert!(!grant.capability.allows("subscribe", "ai:image:2"));
    }

    #[test]
    fn what_is_wrong_with_a_token_has_its_code() {
        let token = issue_token(&key(), at(1000), at(1060), CAPABILITY, None);
        let other_secret = issue_token(
            &ApiKey::parse("app.key:other").unwrap(),
            at(0),
            at(9999),
            CAPABILITY,
            None,
        );
        let other_key = issue_token(
            &ApiKey::parse("app.b:secret").unwrap(),
            at(0),
            at(9999),
            CAPABILITY,
            None,
        );
        let bad_capability = issue_token(&key(), at(0), at(9999), "[]", None);
        for (token, code) in [
            (token.as_str(), 40142),
            (other_secret.as_str(), 40144),
            (other_key.as_str(), 40101),
            (bad_capability.as_str(), 40000),
            ("a.b", 40144),
            ("", 40144),
        ] {
            assert_eq!(
                check_token(&key(), at(1060), token).unwrap_err().code,
                code,
                "{token}"
            );
        }
    }
}
