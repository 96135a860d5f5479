//! Access tokens: good ones, and every kind of bad one that a test needs.

use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::keys;
use super::project::{Project, TestUser};

/// How long a test user's token is good: a week, so that a line pasted from the terminal still works tomorrow.
pub const VALID_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a token says. [`TokenClaims::of`] is a good one; a test changes one thing.
#[derive(Clone, Debug)]
pub struct TokenClaims {
    /// Whose token it is; a string, so that it can be something else than a uuid.
    pub sub: Option<String>,
    /// The role in the database.
    pub role: String,
    /// The user's address; null in the token where there is none.
    pub email: Option<String>,
    /// `aud`: a string or a list of strings.
    pub audience: Value,
    /// `iss`, where it shall not be the project's own.
    pub issuer: Option<String>,
    /// An anonymous sign-in: still a user.
    pub is_anonymous: bool,
    /// The session that the token belongs to.
    pub session_id: Uuid,
    /// What a user can write about themself.
    pub user_metadata: Value,
    /// `iat`.
    pub issued_at: Timestamp,
    /// From `iat` to `exp`; negative for a token that has expired.
    pub valid_for: SignedDuration,
    /// Claims that are left out of the token.
    pub without: Vec<String>,
    /// Who signs it, and how.
    pub signed_with: SignedWith,
}

/// The key of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedWith {
    /// The project's ES256 key.
    Es256,
    /// The project's RS256 key. It joins the key set when it first signs something, so that who has fetched the set
    /// before does not know it.
    Rs256,
    /// The shared secret of an older project.
    Hs256,
    /// Some other project's ES256 key, under a `kid` that is in no key set.
    ForeignKey,
    /// Some other project's ES256 key, under the `kid` of this project's key.
    ForgedKid,
    /// The public ES256 key taken for an HS256 secret: the classic confusion of algorithms.
    PublicKeyAsSecret,
    /// Nothing: `alg` is `none`.
    Nothing,
}

impl TokenClaims {
    /// A good token of a test user.
    pub fn of(user: &TestUser) -> TokenClaims {
        TokenClaims {
            sub: Some(user.id.to_string()),
            role: "authenticated".to_owned(),
            email: Some(user.email.clone()),
            audience: json!("authenticated"),
            issuer: None,
            is_anonymous: false,
            session_id: user.session_id,
            user_metadata: json!({}),
            issued_at: Timestamp::now(),
            valid_for: VALID_FOR,
            without: Vec::new(),
            signed_with: SignedWith::Es256,
        }
    }

    /// A token whose hour is over.
    pub fn expired(user: &TestUser) -> TokenClaims {
        TokenClaims {
            issued_at: Timestamp::now() - SignedDuration::from_hours(2),
            valid_for: SignedDuration::from_hours(1),
            ..TokenClaims::of(user)
        }
    }

    fn to_json(&self, project: &Project) -> Value {
        let mut claims = Map::new();
        claims.insert(
            "iss".to_owned(),
            self.issuer
                .clone()
                .unwrap_or_else(|| project.issuer())
                .into(),
        );
        claims.insert("aud".to_owned(), self.audience.clone());
        claims.insert("sub".to_owned(), self.sub.clone().into());
        claims.insert("role".to_owned(), self.role.as_str().into());
        claims.insert("email".to_owned(), self.email.clone().into());
        claims.insert("phone".to_owned(), "".into());
        claims.insert("session_id".to_owned(), self.session_id.to_string().into());
        claims.insert("is_anonymous".to_owned(), self.is_anonymous.into());
        claims.insert("aal".to_owned(), "aal1".into());
        claims.insert(
            "app_metadata".to_owned(),
            json!({"provider": "email", "providers": ["email"]}),
        );
        claims.insert("user_metadata".to_owned(), self.user_metadata.clone());
        claims.insert("iat".to_owned(), self.issued_at.as_second().into());
        claims.insert(
            "exp".to_owned(),
            (self.issued_at + self.valid_for).as_second().into(),
        );
        if self.sub.is_none() {
            claims.remove("sub");
        }
        for name in &self.without {
            claims.remove(name);
        }
        claims.into()
    }
}

/// Signs the claims as they ask for.
pub(super) fn sign(project: &Project, claims: &TokenClaims) -> anyhow::Result<String> {
    let body = claims.to_json(project);
    let own = project.es256();
    match claims.signed_with {
        SignedWith::Es256 => own.sign(&own.kid, &body),
        SignedWith::Rs256 => {
            let key = project.rs256()?;
            key.sign(&key.kid, &body)
        }
        SignedWith::ForeignKey => project.foreign().sign(&project.foreign().kid, &body),
        SignedWith::ForgedKid => project.foreign().sign(&own.kid, &body),
        SignedWith::Hs256 => Ok(sign_with_secret(project, &body)),
        SignedWith::PublicKeyAsSecret => {
            let header = json!({"alg": "HS256", "typ": "JWT", "kid": own.kid});
            let secret = own.public_jwk()["x"].as_str().unwrap_or_default();
            Ok(hs256(&header, &body, secret.as_bytes()))
        }
        SignedWith::Nothing => {
            let header = json!({"alg": "none", "typ": "JWT"});
            Ok(keys::signed(&keys::unsigned(&header, &body), &[]))
        }
    }
}

/// A legacy API key: the same text at every start, as it stands in people's settings.
pub(super) fn api_key(project: &Project, role: &str) -> String {
    /// 2026-01-01, and ten years later as the real ones have it.
    const ISSUED_AT: i64 = 1_767_225_600;
    const EXPIRES_AT: i64 = ISSUED_AT + 10 * 365 * 24 * 3600;

    sign_with_secret(
        project,
        &json!({"iss": "supabase", "ref": "local", "role": role, "iat": ISSUED_AT, "exp": EXPIRES_AT}),
    )
}

/// Signs with the project's shared secret.
pub(super) fn sign_with_secret(project: &Project, claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    hs256(&header, claims, project.jwt_secret().as_bytes())
}

fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
    let message = keys::unsigned(header, claims);
    mac.update(message.as_bytes());
    keys::signed(&message, &mac.finalize().into_bytes())
}

/// The claims of a token that this project has signed and that is still good, else why it is refused, in the words of
/// the storage server.
pub(super) fn verify(project: &Project, token: &str) -> Result<Value, &'static str> {
    shared::jwt::install_provider();
    let header = jsonwebtoken::decode_header(token).map_err(|_| "Invalid Compact JWS")?;
    let secret = DecodingKey::from_secret(project.jwt_secret().as_bytes());
    let key = match header.alg {
        Algorithm::HS256 => &secret,
        Algorithm::ES256 => &project.es256().decoding,
        Algorithm::RS256 => match project.rs256_if_made() {
            Ok(Some(key)) => &key.decoding,
            _ => return Err("signature verification failed"),
        },
        _ => return Err("signature verification failed"),
    };
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    validation.leeway = 0;
    jsonwebtoken::decode::<Value>(token, key, &validation)
        .map(|token| token.claims)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
                "\"exp\" claim timestamp check failed"
            }
            _ => "signature verification failed",
        })
}
