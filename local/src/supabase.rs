//! Stands in for a Supabase project: Storage with its odd statuses, and Auth with real keys and two test users.
//!
//! Faults are scripted at `{storage_url}/_control` (see [`crate::script`]). They befall the calls of buckets and objects;
//! an image's public URL is left alone unless an entry names it by `match`. An entry without a status lets the call do
//! its work and spoils the answer alone: `{"drop": "before_headers"}` stores the object and loses the answer, while
//! `{"status": 500, "drop": "before_headers"}` stores nothing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::script::{self, Script};

mod access;
mod auth;
mod bucket;
mod cors;
mod disk;
mod download;
mod error;
mod faults;
mod incoming;
mod keys;
mod list;
mod object;
pub mod project;
mod rows;
mod server;
mod signed;
pub mod token;
mod upload;

pub use project::{Project, TEST_PASSWORD, TestUser};
pub use token::{SignedWith, TokenClaims};

/// The bucket that is there from the start, so that the first image has a place.
pub const BUCKET: &str = "generated-images";

/// A project that is being served. It ends when this is dropped; the data stays.
#[derive(Debug)]
pub struct Supabase {
    project: Arc<Project>,
    script: Script,
    data_dir: PathBuf,
    task: JoinHandle<()>,
}

impl Supabase {
    /// Serves the project of a data directory, which is made when it is not there. Tokens name the listener's address
    /// as their issuer: those of an earlier start are good as long as the port is the same.
    pub async fn start(
        listener: TcpListener,
        data_dir: impl Into<PathBuf>,
    ) -> anyhow::Result<Supabase> {
        let data_dir = data_dir.into();
        let url = format!("http://{}", listener.local_addr()?);
        let (project, disk) = tokio::task::spawn_blocking({
            let data_dir = data_dir.clone();
            move || open(&data_dir, &url)
        })
        .await??;
        let project = Arc::new(project);
        let script = Script::default();
        let router = server::router(server::Server {
            project: Arc::clone(&project),
            disk: Arc::new(disk),
            script: script.clone(),
        });
        Ok(Supabase {
            project,
            script,
            data_dir,
            task: tokio::spawn(script::serve(listener, router)),
        })
    }

    /// `SUPABASE_URL`, without a slash at its end.
    pub fn url(&self) -> &str {
        self.project.url()
    }

    /// The base of Storage: `{SUPABASE_URL}/storage/v1`.
    pub fn storage_url(&self) -> String {
        format!("{}/storage/v1", self.url())
    }

    /// `SUPABASE_SECRET_KEY`.
    pub fn secret_key(&self) -> &str {
        self.project.secret_key()
    }

    /// The legacy public key.
    pub fn anon_key(&self) -> String {
        self.project.anon_key()
    }

    /// The new public key.
    pub fn publishable_key(&self) -> &str {
        self.project.publishable_key()
    }

    /// The first test user; the database must have them in `auth.users`.
    pub fn user(&self) -> &TestUser {
        self.project.user()
    }

    /// The second test user; the database must have them in `auth.users`.
    pub fn other_user(&self) -> &TestUser {
        self.project.other_user()
    }

    /// Signs a token.
    pub fn token(&self, claims: &TokenClaims) -> anyhow::Result<String> {
        self.project.token(claims)
    }

    /// Keys and users.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// What Storage shall do next, and what it was asked.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Where an object's bytes lie on disk, whether they are there or not.
    pub fn object_file(&self, bucket: &str, key: &str) -> PathBuf {
        self.data_dir.join("storage").join(bucket).join(key)
    }
}

impl Drop for Supabase {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn open(data_dir: &std::path::Path, url: &str) -> anyhow::Result<(Project, disk::Disk)> {
    let project = Project::open(data_dir, url)?;
    let disk = disk::Disk::open(data_dir)
        .with_context(|| format!("cannot keep files in {}", data_dir.display()))?;
    match disk.create_bucket(&rows::BucketRow::new(BUCKET, true)) {
        Ok(()) | Err(error::StorageError::BucketAlreadyExists) => Ok((project, disk)),
        Err(error) => anyhow::bail!("cannot create the bucket {BUCKET}: {error:?}"),
    }
}

#[cfg(test)]
mod tests;
