//! The key that the stand-in's clients share with it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// `appId.keyId:secret`. The name is public, the secret signs tokens and authorises publishing.
#[derive(Clone)]
pub struct ApiKey {
    name: String,
    secret: String,
}

impl ApiKey {
    /// Splits a key at its colon; `None` when it does not have Ably's form.
    #[must_use]
    pub fn parse(whole: &str) -> Option<Self> {
        let (name, secret) = whole.split_once(':')?;
        let (app, id) = name.split_once('.')?;
        if app.is_empty() || id.is_empty() || secret.is_empty() {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// `appId.keyId`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn whole(&self) -> String {
        format!("{}:{}", self.name, self.secret)
    }

    /// The part of the name before the dot: every key of an app shares it.
    pub(super) fn app(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// HMAC-SHA-256 with the secret, which signs both tokens and token requests.
    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.mac(text).finalize().into_bytes().to_vec()
    }

    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        self.mac(text).verify_slice(signature).is_ok()
    }

    /// The value of an `Authorization: Basic` header that holds a whole key, if it is this one.
    pub(super) fn matches_basic(&self, credentials: &str) -> bool {
        STANDARD
            .decode(credentials)
            .is_ok_and(|whole| whole == self.whole().as_bytes())
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("a key of any length");
        mac.update(text);
        mac
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
