//! Who a caller is, by the token that Supabase gave out.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::jwks::{JwksError, KeySet};
use crate::jwt;

/// What clocks may differ by.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);
/// Longer than any token: API Gateway's limit for all headers together is 10,240 bytes.
const LONGEST_TOKEN: usize = 16 * 1024;
/// The role of the application's own backend.
const SERVICE_ROLE: &str = "service_role";

/// Where tokens come from.
#[derive(Debug)]
pub struct AuthOptions {
    /// The project, without a slash at the end: `https://<ref>.supabase.co`.
    pub supabase_url: String,
    /// Where its keys are, if not at the usual place.
    pub jwks_url: Option<String>,
    /// The shared secret of an older project. Only with it are HS256 tokens accepted, and only those by it.
    pub jwt_secret: Option<SecretString>,
    /// The project's own secret key: who sends it is the application's backend. Only where service callers are served.
    pub service_key: Option<SecretString>,
}

/// What a bearer string says about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// A key that every page of the project carries: nobody in particular.
    SignedOut,
    /// A user, of whom a token was verified.
    User(VerifiedToken),
    /// The application's own backend: the project's secret key, or a token of the service role.
    Service,
}

/// A token whose signature and claims were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The user.
    pub user_id: Uuid,
    /// Whether the user signed in without any account.
    pub is_anonymous: bool,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// Why nothing is known about a bearer.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The string is not a token of this project that is good now: 401.
    #[error("the access token is not valid: {reason}")]
    Invalid {
        /// What is wrong, in words that a caller may see.
        reason: &'static str,
    },
    /// The project's keys cannot be had, so nothing can be said: 503.
    #[error("the keys that verify access tokens cannot be had")]
    Unavailable(#[source] JwksError),
}

/// Verifies the tokens of one project.
#[derive(Debug)]
pub struct TokenVerifier {
    issuer: String,
    /// The `<ref>` of `<ref>.supabase.co`; unknown behind a domain of one's own.
    project_ref: Option<String>,
    keys: KeySet,
    secret: Option<DecodingKey>,
    /// SHA-256 of the project's secret key: enough to compare with.
    service_key: Option<[u8; 32]>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    is_anonymous: Option<bool>,
    #[serde(default, rename = "ref")]
    project_ref: Option<String>,
}

impl TokenVerifier {
    /// Notes the settings; fetches nothing.
    #[must_use]
    pub fn new(options: AuthOptions) -> Self {
        jwt::install_provider();
        let base = options.supabase_url.trim_end_matches('/');
        let issuer = format!("{base}/auth/v1");
        let jwks_url = options
            .jwks_url
            .unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json"));
        Self {
            project_ref: project_ref(base),
            keys: KeySet::new(jwks_url),
            secret: options
                .jwt_secret
                .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes())),
            service_key: options
                .service_key
                .map(|key| Sha256::digest(key.expose_secret()).into()),
            issuer,
        }
    }

    /// Says who bears this string, which came after `Bearer `.
    ///
    /// # Errors
    /// [`AuthError`]: a string that does not verify is never taken for a signed-out caller.
    pub async fn verify(&self, bearer: &str, now: Timestamp) -> Result<Bearer, AuthError> {
        if bearer.starts_with("sb_publishable_") {
            return Ok(Bearer::SignedOut);
        }
        if self.is_service_key(bearer) {
            return Ok(Bearer::Service);
        }
        if bearer.starts_with("sb_secret_") {
            return invalid("it is a secret key, which is for servers");
        }
        if bearer.len() > LONGEST_TOKEN {
            return invalid("it is too long");
        }
        let Ok(header) = jsonwebtoken::decode_header(bearer) else {
            return invalid("it is not a JSON Web Token");
        };
        if header.crit.is_some() {
            return invalid("its header asks for something that is not known here");
        }
        match header.alg {
            Algorithm::HS256 => self.verify_shared_secret(bearer, now),
            Algorithm::ES256 | Algorithm::RS256 => {
                self.verify_public_key(bearer, header, now).await
            }
            _ => invalid("its algorithm is not accepted"),
        }
    }

    /// Whether this is the project's secret key. Digests are compared, and all of them, so that the time it takes tells nothing of the key.
    fn is_service_key(&self, bearer: &str) -> bool {
        let Some(own) = &self.service_key else {
            return false;
        };
        let given = Sha256::digest(bearer);
        let differing = own.iter().zip(given).fold(0, |bits, (a, b)| bits | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    async fn verify_public_key(
        &self,
        token: &str,
        header: Header,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        let Some(kid) = header.kid else {
            return invalid("it names no key");
        };
        let key = match self.keys.key(&kid, now).await {
            Ok(key) => key,
            Err(JwksError::UnknownKey) => return invalid("its key is not one of this project"),
            Err(error) => return Err(AuthError::Unavailable(error)),
        };
        if header.alg != key.algorithm {
            return invalid("its algorithm is not that of its key");
        }
        self.verify_signed(token, &key.key, key.algorithm, now)
    }

    /// HS256: a user's token of an older project, or one of its legacy keys.
    fn verify_shared_secret(&self, token: &str, now: Timestamp) -> Result<Bearer, AuthError> {
        let unverified = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token);
        if let Ok(claims) = unverified
            && claims.sub.is_none()
            && claims.role.as_deref() == Some("anon")
        {
            return self.verify_anon_key(token, &claims, now);
        }
        match &self.secret {
            Some(secret) => self.verify_signed(token, secret, Algorithm::HS256, now),
            None => invalid("it is signed with a shared secret, which is not accepted here"),
        }
    }

    /// The anon key gives no more than no key does, so a look at it is enough where the secret is not known. One of
    /// another project, or one that has ended, is a mistake that its owner wants to hear of.
    fn verify_anon_key(
        &self,
        token: &str,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        if let Some(secret) = &self.secret {
            let mut validation = Validation::new(Algorithm::HS256);
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            if jsonwebtoken::decode::<Claims>(token, secret, &validation).is_err() {
                return invalid("its signature does not verify");
            }
        }
        if let (Some(own), Some(given)) = (&self.project_ref, &claims.project_ref)
            && own != given
        {
            return invalid("it is the anon key of another project");
        }
        check_time(claims, now)?;
        Ok(Bearer::SignedOut)
    }

    /// A token that a key of the project is said to have signed: a user's, or the service role's, which is nobody's and so has no subject.
    fn verify_signed(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        let unverified = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token);
        match unverified {
            Ok(claims) if claims.sub.is_none() && claims.role.as_deref() == Some(SERVICE_ROLE) => {
                self.verify_service(token, key, algorithm, now)
            }
            _ => self.verify_user(token, key, algorithm, now),
        }
    }

    fn verify_service(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp"]);
        // Legacy keys were issued by "supabase"; they have no audience, and the key that signs them is the project's own.
        validation.set_issuer(&[self.issuer.as_str(), "supabase"]);
        validation.validate_aud = false;
        validation.validate_exp = false;
        let claims = match jsonwebtoken::decode::<Claims>(token, key, &validation) {
            Ok(decoded) => decoded.claims,
            Err(error) => return invalid(reason(error.kind())),
        };
        check_time(&claims, now)?;
        Ok(Bearer::Service)
    }

    fn verify_user(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&["authenticated"]);
        // The clock is an argument here.
        validation.validate_exp = false;
        let claims = match jsonwebtoken::decode::<Claims>(token, key, &validation) {
            Ok(decoded) => decoded.claims,
            Err(error) => return invalid(reason(error.kind())),
        };
        let expires_at = check_time(&claims, now)?;
        if claims.role.as_deref() != Some("authenticated") {
            return invalid("its role is not authenticated");
        }
        let Some(user_id) = claims.sub.as_deref().and_then(|sub| sub.parse().ok()) else {
            return invalid("its subject is not a user's id");
        };
        Ok(Bearer::User(VerifiedToken {
            user_id,
            is_anonymous: claims.is_anonymous.unwrap_or(false),
            expires_at,
        }))
    }
}

fn invalid<T>(reason: &'static str) -> Result<T, AuthError> {
    Err(AuthError::Invalid { reason })
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "its signature does not verify",
        ErrorKind::InvalidIssuer => "it was issued by another project",
        ErrorKind::InvalidAudience => "it is meant for another audience",
        ErrorKind::MissingRequiredClaim(_) => "it lacks a claim",
        _ => "it cannot be read",
    }
}

/// When the token ends, if that is not past.
fn check_time(claims: &Claims, now: Timestamp) -> Result<Timestamp, AuthError> {
    let Some(expires_at) = timestamp(claims.exp) else {
        return invalid("its end is no time");
    };
    if now.duration_since(expires_at) >= LEEWAY {
        return invalid("it has expired");
    }
    if let Some(not_before) = claims.nbf {
        match timestamp(not_before) {
            Some(not_before) if not_before.duration_since(now) <= LEEWAY => {}
            _ => return invalid("it is not valid yet"),
        }
    }
    Ok(expires_at)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast to an integer saturates, and what is out of range is no timestamp"
)]
fn timestamp(seconds: f64) -> Option<Timestamp> {
    if !seconds.is_finite() {
        return None;
    }
    Timestamp::from_second(seconds as i64).ok()
}

fn project_ref(base: &str) -> Option<String> {
    let host = base.split_once("://")?.1;
    host.strip_suffix(".supabase.co").map(str::to_owned)
}

#[cfg(test)]
mod tests;
