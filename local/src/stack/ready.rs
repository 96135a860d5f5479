//! What a reader of the ready file learns.

use std::{io::Write, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The API, without a slash at its end.
    pub api_url: String,
    /// Lambda's Invoke API, and `/_instances`.
    pub lambda_url: String,
    /// Postgres.
    pub database_url: String,
    /// `SUPABASE_URL`.
    pub supabase_url: String,
    /// The base of Storage, with `_control` and `_calls` where it is the stand-in.
    pub storage_url: String,
    /// OpenAI without `/v1`, with `_control` and `_calls` where it is the stand-in.
    pub openai_url: String,
    /// Ably's REST and realtime.
    pub ably_url: String,
    /// The queue of runs.
    pub queue_url: String,
    /// A test user; empty where Supabase is live.
    pub user: ReadyUser,
    /// Another one.
    pub other_user: ReadyUser,
}

/// A test user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyUser {
    /// `auth.users.id`.
    pub id: String,
    /// An access token.
    pub token: String,
}

impl Ready {
    /// Writes the file at once: a reader finds it whole or not at all. Only its owner can read it, for the tokens.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_whole(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// Writes a file at once, for its owner alone.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}
