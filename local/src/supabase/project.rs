//! A project's keys and users, kept on disk so that tokens stay good over a restart.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::keys::{SigningKey, StoredKey};
use super::token::{self, TokenClaims};

/// The password of both test users at `/auth/v1/token`.
pub const TEST_PASSWORD: &str = "darkroom";

/// Where in the data directory keys and users are kept.
const FILE: &str = "project.json";

/// Where the second key is kept, once there is one.
const RS256_FILE: &str = "signing-key-rs256.json";

/// One project: its address, keys and users. A test that runs the stand-in in another process opens the same data
/// directory and mints its own tokens.
#[derive(Debug)]
pub struct Project {
    url: String,
    stored: Stored,
    es256: SigningKey,
    rs256_file: PathBuf,
    rs256: OnceLock<SigningKey>,
    foreign: SigningKey,
}

/// Somebody who exists in `auth.users` and can sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestUser {
    /// `auth.users.id`, and `sub` of the token.
    pub id: Uuid,
    /// The address to sign in with.
    pub email: String,
    /// `session_id` of the tokens.
    pub session_id: Uuid,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    jwt_secret: String,
    secret_key: String,
    publishable_key: String,
    es256: StoredKey,
    user: TestUser,
    other_user: TestUser,
}

impl Project {
    /// Reads the project of a data directory, or makes one there. `url` is where it is served, without a slash at its
    /// end; tokens name it as their issuer.
    pub fn open(data_dir: &Path, url: &str) -> anyhow::Result<Project> {
        fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create {}", data_dir.display()))?;
        let stored = read_or_create(&data_dir.join(FILE), create)?;
        Ok(Project {
            url: url.trim_end_matches('/').to_owned(),
            es256: SigningKey::load(&stored.es256)?,
            rs256_file: data_dir.join(RS256_FILE),
            rs256: OnceLock::new(),
            foreign: SigningKey::load(&StoredKey::new_es256()?)?,
            stored,
        })
    }

    /// `SUPABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `iss` of every token: `{SUPABASE_URL}/auth/v1`.
    pub fn issuer(&self) -> String {
        format!("{}/auth/v1", self.url)
    }

    /// The new kind of service key.
    pub fn secret_key(&self) -> &str {
        &self.stored.secret_key
    }

    /// The new kind of public key.
    pub fn publishable_key(&self) -> &str {
        &self.stored.publishable_key
    }

    /// The legacy service key: an HS256 token of the role `service_role`.
    pub fn service_role_key(&self) -> String {
        token::api_key(self, "service_role")
    }

    /// The legacy public key: an HS256 token of the role `anon`, without `sub`.
    pub fn anon_key(&self) -> String {
        token::api_key(self, "anon")
    }

    /// `SUPABASE_JWT_SECRET` of an older project: signs the legacy keys and HS256 tokens.
    pub fn jwt_secret(&self) -> &str {
        &self.stored.jwt_secret
    }

    /// The first test user.
    pub fn user(&self) -> &TestUser {
        &self.stored.user
    }

    /// The second test user.
    pub fn other_user(&self) -> &TestUser {
        &self.stored.other_user
    }

    /// Signs a token.
    pub fn token(&self, claims: &TokenClaims) -> anyhow::Result<String> {
        token::sign(self, claims)
    }

    /// The body of `/auth/v1/.well-known/jwks.json`.
    pub fn jwks(&self) -> anyhow::Result<Value> {
        let mut keys = vec![self.es256.public_jwk().clone()];
        if let Some(key) = self.rs256_if_made()? {
            keys.push(key.public_jwk().clone());
        }
        Ok(serde_json::json!({"keys": keys}))
    }

    pub(super) fn es256(&self) -> &SigningKey {
        &self.es256
    }

    /// The second key of the key set. It is made when it is first asked for: finding its primes takes a second, which
    /// nobody should wait for who starts the stand-in.
    pub(super) fn rs256(&self) -> anyhow::Result<&SigningKey> {
        if let Some(key) = self.rs256.get() {
            return Ok(key);
        }
        let key = SigningKey::load(&read_or_create(&self.rs256_file, StoredKey::new_rs256)?)?;
        Ok(self.rs256.get_or_init(|| key))
    }

    /// The second key if it was asked for before, by this process or another.
    pub(super) fn rs256_if_made(&self) -> anyhow::Result<Option<&SigningKey>> {
        if self.rs256.get().is_none() && !self.rs256_file.exists() {
            return Ok(None);
        }
        self.rs256().map(Some)
    }

    /// A key of some other project, new at every start and in nobody's key set.
    pub(super) fn foreign(&self) -> &SigningKey {
        &self.foreign
    }

    pub(super) fn users(&self) -> [&TestUser; 2] {
        [&self.stored.user, &self.stored.other_user]
    }
}

impl TestUser {
    fn new(email: &str) -> TestUser {
        TestUser {
            id: Uuid::new_v4(),
            email: email.to_owned(),
            session_id: Uuid::new_v4(),
        }
    }
}

fn create() -> anyhow::Result<Stored> {
    Ok(Stored {
        jwt_secret: random_text()?,
        secret_key: format!("sb_secret_local_{}", random_text()?),
        publishable_key: format!("sb_publishable_local_{}", random_text()?),
        es256: StoredKey::new_es256()?,
        user: TestUser::new("ada@darkroom.test"),
        other_user: TestUser::new("grace@darkroom.test"),
    })
}

/// What a file says, or something new that is then kept there. Of two that make it at once, both use the first.
fn read_or_create<T: Serialize + DeserializeOwned>(
    file: &Path,
    create: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if !file.exists() {
        // A temporary file is readable by its owner alone, and a rename leaves no half-written keys behind.
        let directory = file.parent().unwrap_or(Path::new("."));
        let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
        temporary.write_all(&serde_json::to_vec_pretty(&create()?)?)?;
        match temporary.persist_noclobber(file) {
            Err(failed) if failed.error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed).with_context(|| format!("cannot write {}", file.display()));
            }
            _ => {}
        }
    }
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is damaged; delete it", file.display()))
}

fn random_text() -> anyhow::Result<String> {
    use rand::TryRngCore as _;

    let mut bytes = [0; 20];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
