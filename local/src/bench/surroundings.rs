//! What functions talk to: a real Postgres, and a stand-in for everything else.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Context;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

use super::{round_trips::CountingProxy, settings};
use crate::{
    ably::Ably,
    openai,
    postgres::{self, Postgres, PostgresOptions, for_tests::prepare_database},
    sqs::{self, QueueSettings, Sqs},
    supabase::{Supabase, TokenClaims},
};

/// The queue between generate and worker.
pub const QUEUE: &str = "runs";

/// Everything that a function needs to work. It ends when this is dropped, and its files go.
#[derive(Debug)]
pub struct Surroundings {
    /// The database with every migration applied, and the test users in it.
    pub database_url: Url,
    /// Storage and tokens.
    pub supabase: Supabase,
    /// The images' vendor.
    pub openai: openai::Running,
    /// The queues.
    pub sqs: Sqs,
    ably: Ably,
    sqs_url: String,
    sqs_server: JoinHandle<std::io::Result<()>>,
    _postgres: Postgres,
    _directory: TempDir,
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        self.sqs_server.abort();
    }
}

impl Surroundings {
    /// Starts all of it on ports of its own.
    ///
    /// # Errors
    /// There is no Postgres to be had, or no port.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let postgres = Postgres::start(PostgresOptions {
            data_dir: directory.path().join("postgres"),
            durable: true,
            port: None,
        })
        .await?;
        let database_url = prepare_database(&postgres, "bench").await?;
        let supabase_files: PathBuf = directory.path().join("supabase");
        let supabase = Supabase::start(listener().await?, supabase_files).await?;
        let client = postgres::connect(&database_url).await?;
        for user in [supabase.user(), supabase.other_user()] {
            client
                .execute(
                    "insert into auth.users (id, email) values ($1, $2)",
                    &[&user.id, &user.email],
                )
                .await?;
        }

        let sqs = Sqs::new(None)?;
        sqs.create_queue(QueueSettings {
            visibility_timeout: Duration::from_secs(5_400),
            ..QueueSettings::new(QUEUE)
        })?;
        let sqs_listener = listener().await?;
        let sqs_url = format!("http://{}", sqs_listener.local_addr()?);
        Ok(Self {
            database_url: Url::parse(&database_url).context("reading the database's URL")?,
            openai: openai::start(listener().await?)?,
            ably: Ably::start(listener().await?, None).await?,
            sqs_server: tokio::spawn(sqs::serve(sqs_listener, sqs.clone())),
            supabase,
            sqs,
            sqs_url,
            _postgres: postgres,
            _directory: directory,
        })
    }

    /// A proxy of one function's own in front of the database.
    ///
    /// # Errors
    /// No port is free.
    pub async fn proxy(&self) -> anyhow::Result<CountingProxy> {
        let host = self
            .database_url
            .host_str()
            .context("the database has no host")?;
        let port = self.database_url.port().unwrap_or(5_432);
        Ok(CountingProxy::start(format!("{host}:{port}")).await?)
    }

    /// The settings of a function that reaches the database through `proxy`.
    ///
    /// # Errors
    /// The database's URL cannot take the proxy's address.
    pub fn settings(&self, proxy: &CountingProxy) -> anyhow::Result<BTreeMap<String, String>> {
        let address = proxy.address();
        let mut database_url = self.database_url.clone();
        database_url.set_host(Some(&address.ip().to_string()))?;
        let _ = database_url.set_port(Some(address.port()));
        let mut settings = settings::unreachable();
        for (name, value) in [
            ("ABLY_API_KEY", self.ably.key()),
            ("ABLY_BASE_URL", self.ably.url()),
            ("AWS_ENDPOINT_URL_SQS", self.sqs_url.clone()),
            ("DATABASE_URL", database_url.to_string()),
            ("GENERATION_QUEUE_URL", sqs::queue_url(&self.sqs_url, QUEUE)),
            ("OPENAI_BASE_URL", format!("{}/v1", self.openai.url())),
            ("SUPABASE_SECRET_KEY", self.supabase.secret_key().to_owned()),
            ("SUPABASE_URL", self.supabase.url().to_owned()),
            // More than a benchmark makes.
            ("USER_DAILY_IMAGES", "1000000".to_owned()),
        ] {
            settings.insert(name.to_owned(), value);
        }
        Ok(settings)
    }

    /// The first test user's access token.
    ///
    /// # Errors
    /// The project's key cannot sign.
    pub fn token(&self) -> anyhow::Result<String> {
        self.supabase.token(&TokenClaims::of(self.supabase.user()))
    }

    /// The other test user's.
    ///
    /// # Errors
    /// The project's key cannot sign.
    pub fn other_token(&self) -> anyhow::Result<String> {
        let other = TokenClaims::of(self.supabase.other_user());
        self.supabase.token(&other)
    }
}

async fn listener() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}
