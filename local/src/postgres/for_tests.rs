//! Databases for tests: one server a test process, one migrated database a test.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Postgres, PostgresOptions, copy_database, drop_database, ensure_supabase_schema};
use crate::migrate;

/// The migrations of this project.
pub const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");

const TEMPLATE: &str = "darkroom_template";
const PLAIN_TEMPLATE: &str = "darkroom_plain_template";

/// The server of this test process. It ends with the process, and its files with it.
static SERVER: OnceCell<Postgres> = OnceCell::const_new();
static TEMPLATES: OnceCell<()> = OnceCell::const_new();

/// A database of a test's own, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    server_url: String,
    name: String,
}

impl TestDatabase {
    /// A database with every migration applied.
    ///
    /// # Errors
    /// When no server can be started, or a migration fails.
    pub async fn migrated() -> anyhow::Result<Self> {
        Self::copy_of(TEMPLATE).await
    }

    /// A database as Supabase hands it out: no migration is applied.
    ///
    /// # Errors
    /// When no server can be started.
    pub async fn unmigrated() -> anyhow::Result<Self> {
        Self::copy_of(PLAIN_TEMPLATE).await
    }

    /// The connection URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn copy_of(template: &str) -> anyhow::Result<Self> {
        let server = SERVER.get_or_try_init(start).await?;
        TEMPLATES.get_or_try_init(|| make_templates(server)).await?;
        let name = format!("test_{}", Uuid::new_v4().simple());
        let server_url = server.url("postgres");
        copy_database(&server_url, &name, template).await?;
        Ok(Self {
            url: server.url(&name),
            server_url,
            name,
        })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server_url, name) = (self.server_url.clone(), self.name.clone());
        // A drop cannot wait for a future, and the test's own runtime may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(drop_database(&server_url, &name))
        });
        // A server that a test has stopped has no database to drop.
        let _ = dropping.join();
    }
}

/// Starts a server of the test's own, for tests that stop it. It holds no template; see
/// [`prepare_database`].
///
/// # Errors
/// As [`Postgres::start`].
pub async fn start_own_server(directory: &Path) -> anyhow::Result<Postgres> {
    Postgres::start(PostgresOptions {
        data_dir: directory.to_owned(),
        durable: false,
        port: None,
    })
    .await
}

/// Makes the database `name` on `server` with every migration applied, and gives its URL.
///
/// # Errors
/// When the server refuses, or a migration fails.
pub async fn prepare_database(server: &Postgres, name: &str) -> anyhow::Result<String> {
    let url = server.ready_database(name).await?;
    migrate::apply(&url, Path::new(MIGRATIONS)).await?;
    Ok(url)
}

async fn start() -> anyhow::Result<Postgres> {
    let data_dir = std::env::temp_dir().join(format!("darkroom-test-{}", Uuid::new_v4().simple()));
    Postgres::start_fleeting(data_dir).await
}

async fn make_templates(server: &Postgres) -> anyhow::Result<()> {
    server.create_database(PLAIN_TEMPLATE).await?;
    ensure_supabase_schema(&server.url(PLAIN_TEMPLATE)).await?;
    server.copy_database(TEMPLATE, PLAIN_TEMPLATE).await?;
    let migrations = PathBuf::from(MIGRATIONS);
    migrate::apply(&server.url(TEMPLATE), &migrations)
        .await
        .context("the migrations could not be applied")?;
    Ok(())
}
