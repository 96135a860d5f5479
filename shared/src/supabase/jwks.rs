//! The public keys of a Supabase project, fetched when a token needs one and kept for a while.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::tls::{HttpClientOptions, LazyHttpClient};

/// How long keys are used without asking again: what Supabase says a key may take to be known everywhere.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(10);
/// At least this long between two requests, so that made-up `kid`s do not turn into load on the project.
const COOL_DOWN: SignedDuration = SignedDuration::from_secs(30);
/// The same while there are no keys at all: callers wait for them.
const COOL_DOWN_WITHOUT_KEYS: SignedDuration = SignedDuration::from_secs(1);
/// For one request of the key set.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Far above what a project's keys take.
const LARGEST_KEY_SET: usize = 64 * 1024;

/// Why there is no key for a token.
#[derive(Debug, Error)]
pub enum JwksError {
    /// The project has no key of this `kid`; asking again soon would not help.
    #[error("no key of this id")]
    UnknownKey,
    /// The key set could not be had.
    #[error("the key set cannot be fetched")]
    Unreachable(#[source] FetchError),
    /// The last request failed a moment ago.
    #[error("the key set could not be fetched a moment ago")]
    CoolingDown,
}

/// Why the key set could not be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No answer.
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    /// An answer with this status.
    #[error("answered with status {0}")]
    Status(u16),
    /// Too large to be a key set.
    #[error("the answer is too large")]
    TooLarge,
    /// Not a key set.
    #[error("the answer is not a key set")]
    Json(#[from] serde_json::Error),
}

/// A key and the one algorithm that it may be used with.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    /// Taken from the key, never from a token.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

/// The key set of one project.
#[derive(Debug)]
pub struct KeySet {
    url: String,
    http: LazyHttpClient,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<Vec<(String, VerifyingKey)>>,
    fetched_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

impl KeySet {
    /// Notes where the keys are; fetches nothing.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self {
            url,
            http: LazyHttpClient::new(HttpClientOptions::with_timeout(FETCH_TIMEOUT)),
            state: Mutex::new(State::default()),
        }
    }

    /// The key with this id: from the cache, or fetched.
    ///
    /// # Errors
    /// [`JwksError`]; keys that have grown old are used on while new ones cannot be had.
    pub async fn key(&self, kid: &str, now: Timestamp) -> Result<VerifyingKey, JwksError> {
        // Held while fetching: others that need a key wait for the same answer.
        let mut state = self.state.lock().await;
        let cached = state.find(kid);
        if let Some(key) = &cached
            && within(state.fetched_at, KEPT_FOR, now)
        {
            return Ok(key.clone());
        }
        let cool_down = match state.keys {
            Some(_) => COOL_DOWN,
            None => COOL_DOWN_WITHOUT_KEYS,
        };
        if within(state.asked_at, cool_down, now) {
            let missing = match state.keys {
                Some(_) => JwksError::UnknownKey,
                None => JwksError::CoolingDown,
            };
            return cached.ok_or(missing);
        }
        state.asked_at = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                state.keys = Some(keys);
                state.fetched_at = Some(now);
                state.find(kid).ok_or(JwksError::UnknownKey)
            }
            Err(error) => match cached {
                Some(key) => {
                    tracing::warn!(error = %error, "the key set cannot be renewed, the old keys are used on");
                    Ok(key)
                }
                None => Err(JwksError::Unreachable(error)),
            },
        }
    }

    async fn fetch(&self) -> Result<Vec<(String, VerifyingKey)>, FetchError> {
        let mut response = self.http.get()?.get(&self.url).send().await?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status(status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST_KEY_SET {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(read_keys(&body)?)
    }
}

impl State {
    fn find(&self, kid: &str) -> Option<VerifyingKey> {
        let keys = self.keys.as_ref()?;
        let (_, key) = keys.iter().find(|(id, _)| id == kid)?;
        Some(key.clone())
    }
}

/// Whether less than `limit` has passed. A clock that was set back counts as much time, not as none.
fn within(since: Option<Timestamp>, limit: SignedDuration, now: Timestamp) -> bool {
    since.is_some_and(|since| {
        let passed = now.duration_since(since);
        passed >= SignedDuration::ZERO && passed < limit
    })
}

/// The keys that may sign tokens; others in the set are passed over.
fn read_keys(body: &[u8]) -> Result<Vec<(String, VerifyingKey)>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(body)?;
    Ok(set.keys.into_iter().filter_map(read_key).collect())
}

fn read_key(key: serde_json::Value) -> Option<(String, VerifyingKey)> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let (algorithm, declared) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|alg| alg != declared) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((jwk.common.key_id?, VerifyingKey { algorithm, key }))
}
