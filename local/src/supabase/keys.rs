//! The asymmetric keys that sign access tokens.
//!
//! Signatures are made here and not by jsonwebtoken, whose one provider for a process is ring: it knows no way to sign
//! with these.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// The least that RS256 may be used with.
const RSA_BITS: usize = 2048;

/// A private key as it lies on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredKey {
    kid: Uuid,
    algorithm: Algorithm,
    /// PKCS#8.
    pem: String,
}

/// What Supabase signs access tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Algorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

/// A key in use: signs, and checks what it has signed.
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) decoding: DecodingKey,
    private: PrivateKey,
    jwk: Value,
}

enum PrivateKey {
    Es256(p256::ecdsa::SigningKey),
    Rs256(Box<rsa::pkcs1v15::SigningKey<rsa::sha2::Sha256>>),
}

impl StoredKey {
    pub(super) fn new_es256() -> anyhow::Result<StoredKey> {
        let key = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        Ok(StoredKey {
            kid: Uuid::new_v4(),
            algorithm: Algorithm::Es256,
            pem: key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
        })
    }

    pub(super) fn new_rs256() -> anyhow::Result<StoredKey> {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS)?;
        Ok(StoredKey {
            kid: Uuid::new_v4(),
            algorithm: Algorithm::Rs256,
            pem: key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
        })
    }
}

impl SigningKey {
    pub(super) fn load(stored: &StoredKey) -> anyhow::Result<SigningKey> {
        let (private, mut jwk) = match stored.algorithm {
            Algorithm::Es256 => es256(&stored.pem),
            Algorithm::Rs256 => rs256(&stored.pem),
        }
        .context("a signing key on disk is damaged")?;
        jwk["kid"] = stored.kid.to_string().into();
        jwk["use"] = "sig".into();
        jwk["key_ops"] = json!(["verify"]);
        jwk["ext"] = true.into();
        Ok(SigningKey {
            kid: stored.kid.to_string(),
            decoding: DecodingKey::from_jwk(&serde_json::from_value(jwk.clone())?)?,
            private,
            jwk,
        })
    }

    /// The public half, as the key set has it.
    pub(super) fn public_jwk(&self) -> &Value {
        &self.jwk
    }

    /// A token with these claims that says to be signed by the key called `kid`.
    pub(super) fn sign(&self, kid: &str, claims: &Value) -> anyhow::Result<String> {
        let header = json!({"alg": self.jwk["alg"], "typ": "JWT", "kid": kid});
        let message = unsigned(&header, claims);
        let signature = match &self.private {
            PrivateKey::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message.as_bytes())?;
                signature.to_vec()
            }
            PrivateKey::Rs256(key) => key.try_sign(message.as_bytes())?.to_vec(),
        };
        Ok(signed(&message, &signature))
    }
}

/// Header and claims as text: what is signed.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// The whole token.
pub(super) fn signed(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn es256(pem: &str) -> anyhow::Result<(PrivateKey, Value)> {
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem)?;
    let point = key.verifying_key().to_encoded_point(false);
    let encode = |part: Option<&p256::FieldBytes>| part.map(|part| URL_SAFE_NO_PAD.encode(part));
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": encode(point.x()), "y": encode(point.y())});
    Ok((PrivateKey::Es256(key), jwk))
}

fn rs256(pem: &str) -> anyhow::Result<(PrivateKey, Value)> {
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(pem)?;
    let encode = |part: &rsa::BigUint| URL_SAFE_NO_PAD.encode(part.to_bytes_be());
    let jwk = json!({"kty": "RSA", "alg": "RS256", "n": encode(key.n()), "e": encode(key.e())});
    Ok((
        PrivateKey::Rs256(Box::new(rsa::pkcs1v15::SigningKey::new(key))),
        jwk,
    ))
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
