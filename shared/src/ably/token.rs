//! A token that lets a caller listen: a JWT signed here, so giving one out calls nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::key::AblyKey;
use crate::jwt;

/// What a token allows: operations by channel, kept in the order that Ably calls canonical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capability(BTreeMap<String, BTreeSet<String>>);

impl Capability {
    /// Listening to one channel, what was said before included.
    #[must_use]
    pub fn subscribe(channel: impl Into<String>) -> Self {
        Self::default().allow(channel, "subscribe")
    }

    /// The same with one operation more.
    #[must_use]
    pub fn allow(mut self, channel: impl Into<String>, operation: impl Into<String>) -> Self {
        self.0
            .entry(channel.into())
            .or_default()
            .insert(operation.into());
        self
    }

    /// Keys sorted, operations sorted, no white space.
    #[must_use]
    pub fn canonical(&self) -> String {
        // Text keys and values always serialise.
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// A token and what it says.
#[derive(Debug, Clone)]
pub struct Token {
    /// The JWT.
    pub token: SecretString,
    /// Milliseconds since 1970, whole seconds.
    pub issued_ms: i64,
    /// Milliseconds since 1970, whole seconds.
    pub expires_ms: i64,
    /// Canonical.
    pub capability: String,
    /// Who listens; `None` for somebody who is not signed in.
    pub client_id: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    #[serde(rename = "x-ably-capability")]
    capability: &'a str,
    #[serde(rename = "x-ably-clientId", skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
}

/// Signs a token that is good from `now` for `ttl`, to the second.
///
/// # Errors
/// Only where the process has a provider for tokens that cannot sign with HS256.
pub fn sign(
    key: &AblyKey,
    capability: &Capability,
    client_id: Option<&str>,
    now: Timestamp,
    ttl: Duration,
) -> Result<Token, jsonwebtoken::errors::Error> {
    jwt::install_provider();
    let issued = now.as_second();
    let expires = issued.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    let capability = capability.canonical();
    let header = Header {
        kid: Some(key.name().to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let claims = Claims {
        iat: issued,
        exp: expires,
        capability: &capability,
        client_id,
    };
    let secret = EncodingKey::from_secret(key.secret().expose_secret().as_bytes());
    let token = jsonwebtoken::encode(&header, &claims, &secret)?;
    Ok(Token {
        token: token.into(),
        issued_ms: issued.saturating_mul(1000),
        expires_ms: expires.saturating_mul(1000),
        capability,
        client_id: client_id.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    const USER: &str = "7f1c2b1e-0c57-4f0b-9a55-0d0f6e1f2a3b";

    fn signed(client_id: Option<&str>) -> Token {
        let key: AblyKey = "appid1.keyid1:s3cr3t-Value_0123456789".parse().unwrap();
        let now = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let capability = Capability::subscribe(format!("ai:image:{USER}"));
        sign(&key, &capability, client_id, now, Duration::from_secs(3600)).unwrap()
    }

    fn part(token: &Token, index: usize) -> Value {
        let part = token.token.expose_secret().split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_what_ably_reads() {
        let token = signed(Some(USER));
        assert_eq!(
            part(&token, 0),
            json!({"typ": "JWT", "alg": "HS256", "kid": "appid1.keyid1"})
        );
        assert_eq!(
            part(&token, 1),
            json!({
                "iat": 1_700_000_000, "exp": 1_700_003_600, "x-ably-clientId": USER,
                "x-ably-capability": format!("{{\"ai:image:{USER}\":[\"subscribe\"]}}"),
            })
        );
        assert_eq!(token.issued_ms, 1_700_000_000_000);
        assert_eq!(token.expires_ms, 1_700_003_600_000);
        assert!(part(&signed(None), 1).get("x-ably-clientId").is_none());
    }

    /// Made by hand: header and claims encoded with `base64 | tr -d '=' | tr '/+' '_-'`, signed with
    /// `openssl dgst -sha256 -hmac 's3cr3t-Value_0123456789' -binary`.
    #[test]
    fn a_token_is_signed_as_others_sign_it() {
        assert_eq!(signed(Some(USER)).token.expose_secret(), VECTOR);
    }

    const VECTOR: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImFwcGlkMS5rZXlpZDEifQ.eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMCwieC1hYmx5LWNhcGFiaWxpdHkiOiJ7XCJhaTppbWFnZTo3ZjFjMmIxZS0wYzU3LTRmMGItOWE1NS0wZDBmNmUxZjJhM2JcIjpbXCJzdWJzY3JpYmVcIl19IiwieC1hYmx5LWNsaWVudElkIjoiN2YxYzJiMWUtMGM1Ny00ZjBiLTlhNTUtMGQwZjZlMWYyYTNiIn0.Xczw0smQ95B_f5Kd9yTeDJR5ODlfg0JBypoTx3Gogn8";

    #[test]
    fn capabilities_are_canonical() {
        let capability = Capability::subscribe("ai:image:user-42")
            .allow("ai:image:user-42", "history")
            .allow("ai:alerts:user-42", "subscribe");
        assert_eq!(
            capability.canonical(),
            r#"{"ai:alerts:user-42":["subscribe"],"ai:image:user-42":["history","subscribe"]}"#
        );
    }
}
