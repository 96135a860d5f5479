//! An Ably API key: `appId.keyId:secret`.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A key, taken apart.
#[derive(Debug, Clone)]
pub struct AblyKey {
    name: String,
    secret: SecretString,
}

/// The text is no key. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an Ably key looks like appId.keyId:secret")]
pub struct AblyKeyError;

impl AblyKey {
    /// `appId.keyId`, which is no secret.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What signs tokens.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// The whole key, for Basic authentication.
    pub(super) fn whole(&self) -> SecretString {
        format!("{}:{}", self.name, self.secret.expose_secret()).into()
    }
}

impl FromStr for AblyKey {
    type Err = AblyKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, secret) = text.trim().split_once(':').ok_or(AblyKeyError)?;
        let (app, key) = name.split_once('.').ok_or(AblyKeyError)?;
        if app.is_empty() || key.is_empty() || secret.is_empty() {
            return Err(AblyKeyError);
        }
        Ok(Self {
            name: name.to_owned(),
            secret: secret.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_apart_and_never_shown() {
        let key: AblyKey = "app.key:sesame:open".parse().unwrap();
        assert_eq!(key.name(), "app.key");
        assert_eq!(key.secret().expose_secret(), "sesame:open");
        assert_eq!(key.whole().expose_secret(), "app.key:sesame:open");
        assert!(!format!("{key:?}").contains("sesame"));
        for text in ["", "app.key", "app:secret", ".key:s", "app.:s", "app.key:"] {
            assert!(text.parse::<AblyKey>().is_err(), "{text}");
        }
    }
}
