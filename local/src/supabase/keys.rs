//! The asymmetric keys that sign access tokens.

use anyhow::Context as _;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The least that RS256 may be used with.
const RSA_BITS: usize = 2048;

/// A private key as it lies on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredKey {
    kid: Uuid,
    algorithm: Algorithm,
    pem: String,
}

/// A key in use: signs, and checks what it has signed.
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
    jwk: Value,
}

impl StoredKey {
    pub(super) fn new_es256() -> anyhow::Result<StoredKey> {
        let key = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        Ok(StoredKey {
            kid: Uuid::new_v4(),
            algorithm: Algorithm::ES256,
            pem: key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
        })
    }

    pub(super) fn new_rs256() -> anyhow::Result<StoredKey> {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS)?;
        Ok(StoredKey {
            kid: Uuid::new_v4(),
            algorithm: Algorithm::RS256,
            pem: key.to_pkcs1_pem(LineEnding::LF)?.to_string(),
        })
    }
}

impl SigningKey {
    pub(super) fn load(stored: &StoredKey) -> anyhow::Result<SigningKey> {
        let (encoding, algorithm) = match stored.algorithm {
            Algorithm::ES256 => (
                EncodingKey::from_ec_pem(stored.pem.as_bytes()),
                KeyAlgorithm::ES256,
            ),
            Algorithm::RS256 => (
                EncodingKey::from_rsa_pem(stored.pem.as_bytes()),
                KeyAlgorithm::RS256,
            ),
            other => anyhow::bail!("no access token is signed with {other:?}"),
        };
        let encoding = encoding.context("a signing key on disk is damaged")?;
        let mut jwk = Jwk::from_encoding_key(&encoding, stored.algorithm)?;
        jwk.common.key_id = Some(stored.kid.to_string());
        jwk.common.key_algorithm = Some(algorithm);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(SigningKey {
            kid: stored.kid.to_string(),
            algorithm: stored.algorithm,
            decoding: DecodingKey::from_jwk(&jwk)?,
            jwk: serde_json::to_value(jwk)?,
            encoding,
        })
    }

    /// The public half, as the key set has it.
    pub(super) fn public_jwk(&self) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["key_ops"] = serde_json::json!(["verify"]);
        jwk["ext"] = true.into();
        jwk
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
