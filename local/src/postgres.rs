//! A Postgres for one machine: the one of `DATABASE_URL`, or a private server of our own.
//!
//! A private server listens on 127.0.0.1 only, keeps its files in a directory of its own, and ends
//! with the process that started it, however that process ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use shared::postgres::session::{self, SessionError};
use tokio_postgres::error::SqlState;

use self::binaries::Binaries;
use self::cluster::Cluster;
use self::process::{ServerProcess, Shutdown};

mod binaries;
mod cluster;
pub mod for_tests;
mod process;

/// What a plain Postgres lacks of Supabase: roles, and the schema `auth`.
const SUPABASE_SCHEMA: &str = include_str!("supabase_schema.sql");

/// Connections that one private server takes. Every instance of a function holds one or two.
const MAX_CONNECTIONS: u16 = 300;

/// How long a server may take until it answers. Recovery after a crash is part of it.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How a private server is to be run.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Directory that is the server's own; made if it is not there.
    pub data_dir: PathBuf,
    /// Whether what was committed survives a power cut. Tests do without and are faster.
    pub durable: bool,
    /// Port to listen on; a free one when there is none.
    pub port: Option<u16>,
}

/// A Postgres server, ours or given.
#[derive(Debug)]
pub struct Postgres {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The server of `DATABASE_URL`: never stopped by us.
    Given {
        url: String,
    },
    /// A server on our data directory that another process of ours runs.
    Shared {
        port: u16,
    },
    Owned(Box<Owned>),
}

#[derive(Debug)]
struct Owned {
    binaries: Binaries,
    cluster: Cluster,
    durable: bool,
    port: u16,
    process: Option<ServerProcess>,
}

impl Postgres {
    /// Takes the server of `database_url` when there is one, else starts a private server.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn find_or_start(
        database_url: Option<&str>,
        options: PostgresOptions,
    ) -> anyhow::Result<Self> {
        match database_url.filter(|url| !url.is_empty()) {
            Some(url) => Ok(Self {
                source: Source::Given {
                    url: url.to_owned(),
                },
            }),
            None => Self::start(options).await,
        }
    }

    /// Starts a private server on `options.data_dir`, or finds the one that already runs there.
    ///
    /// # Errors
    /// One sentence that says what is missing when no Postgres can be found or brought; the end of
    /// the server's log when it does not start.
    pub async fn start(options: PostgresOptions) -> anyhow::Result<Self> {
        let cluster = Cluster::place(&options.data_dir)?;
        Self::start_on(cluster, options.durable, options.port).await
    }

    /// Starts a server whose directory is removed when this process ends. Without a power cut in
    /// mind: for tests.
    async fn start_fleeting(data_dir: PathBuf) -> anyhow::Result<Self> {
        let mut cluster = Cluster::place(&data_dir)?;
        cluster.remove_at_end();
        Self::start_on(cluster, false, None).await
    }

    async fn start_on(cluster: Cluster, durable: bool, port: Option<u16>) -> anyhow::Result<Self> {
        // Held until the server answers: two processes may come at once.
        let _lock = cluster.lock().await?;

        if let Some(port) = cluster.running_port(START_LIMIT).await? {
            return Ok(Self {
                source: Source::Shared { port },
            });
        }

        let binaries = binaries::find_or_bring(&cluster).await?;
        cluster.initialise(&binaries).await?;

        let mut owned = Owned {
            binaries,
            cluster,
            durable,
            port: 0,
            process: None,
        };
        owned.start(port).await?;
        Ok(Self {
            source: Source::Owned(Box::new(owned)),
        })
    }

    /// Whether the server is one that `DATABASE_URL` named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        matches!(self.source, Source::Given { .. })
    }

    /// The connection URL of `database` on this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        match &self.source {
            Source::Given { url } => with_database(url, database),
            Source::Shared { port } => private_url(*port, database),
            Source::Owned(owned) => private_url(owned.port, database),
        }
    }

    /// The database to work with: the one of `DATABASE_URL` as it is, or `name` on the private
    /// server, made if it is not there, with what Postgres lacks of Supabase in it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn ready_database(&self, name: &str) -> anyhow::Result<String> {
        let url = match &self.source {
            Source::Given { url } => url.clone(),
            Source::Shared { .. } | Source::Owned(_) => {
                self.create_database(name).await?;
                self.url(name)
            }
        };
        ensure_supabase_schema(&url).await?;
        Ok(url)
    }

    /// Makes the database `name` unless it is there.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let statement = format!("create database {}", quoted(name));
        match execute(&self.url("postgres"), &statement).await {
            Err(error) if has_code(&error, &SqlState::DUPLICATE_DATABASE) => Ok(()),
            Err(error) if has_code(&error, &SqlState::UNIQUE_VIOLATION) => Ok(()),
            result => result,
        }
    }

    /// Makes the database `name` as a copy of `template`, to which nobody may be connected.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn copy_database(&self, name: &str, template: &str) -> anyhow::Result<()> {
        copy_database(&self.url("postgres"), name, template).await
    }

    /// Removes the database `name` and cuts the connections to it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        drop_database(&self.url("postgres"), name).await
    }

    /// Stops the server if this process started it; what was committed is on disk then.
    ///
    /// # Errors
    /// When the server does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match &mut self.source {
            Source::Given { .. } | Source::Shared { .. } => Ok(()),
            Source::Owned(owned) => owned.stop(Shutdown::Fast).await,
        }
    }

    /// Stops the server as a crash would: connections are cut, nothing is written any more.
    ///
    /// # Errors
    /// When this process did not start the server, or it does not end.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        self.owned()?.stop(Shutdown::Immediate).await
    }

    /// Starts the server again on its port after [`Postgres::stop`] or [`Postgres::crash`].
    ///
    /// # Errors
    /// When this process did not start the server, or it does not start again.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let owned = self.owned()?;
        let port = owned.port;
        owned.start(Some(port)).await
    }

    /// Crashes the server and starts it again on the same port.
    ///
    /// # Errors
    /// As [`Postgres::crash`] and [`Postgres::resume`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.crash().await?;
        self.resume().await
    }

    fn owned(&mut self) -> anyhow::Result<&mut Owned> {
        match &mut self.source {
            Source::Owned(owned) => Ok(owned),
            Source::Given { .. } | Source::Shared { .. } => {
                bail!("this Postgres was started by somebody else")
            }
        }
    }
}

impl Owned {
    /// Starts the server and waits until it answers. A free port may be gone by the time the server
    /// takes it, so another one is tried; a port that was asked for is the only one tried.
    async fn start(&mut self, port: Option<u16>) -> anyhow::Result<()> {
        for _ in 0..5 {
            let chosen = match port {
                Some(port) => port,
                None => free_port()?,
            };
            self.cluster.start_log()?;
            let process = ServerProcess::spawn(
                &self.binaries,
                &self.cluster,
                &self.arguments(chosen),
                !self.durable,
            )?;
            self.port = chosen;
            self.process = Some(process);
            if self.wait_until_ready(port.is_none()).await? {
                return Ok(());
            }
        }
        bail!("no free port was found for Postgres");
    }

    /// Waits for the server's first answer. `false` when its port was taken and another may be tried.
    async fn wait_until_ready(&mut self, another_port: bool) -> anyhow::Result<bool> {
        let url = private_url(self.port, "postgres");
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.exited()? {
                self.process = None;
                let log = self.cluster.log_tail();
                if another_port && log.contains("could not bind") {
                    return Ok(false);
                }
                bail!("Postgres ended while starting ({status}); the end of its log:\n{log}");
            }
            // The answer must come from our server: another one may hold the port.
            if let Ok(directory) = cluster::data_directory(&url).await
                && self.cluster.is(&directory)
            {
                return Ok(true);
            }
            if Instant::now() > deadline {
                let log = self.cluster.log_tail();
                bail!("Postgres did not answer in time; the end of its log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    fn exited(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        self.process
            .as_mut()
            .map_or(Ok(None), ServerProcess::exited)
    }

    async fn stop(&mut self, how: Shutdown) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop(how).await,
            None => Ok(()),
        }
    }

    fn arguments(&self, port: u16) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            // The path of a socket must be short, a data directory's path need not be.
            "unix_socket_directories=".to_owned(),
            format!("port={port}"),
            format!("max_connections={MAX_CONNECTIONS}"),
            "shared_buffers=64MB".to_owned(),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
            "lc_messages=C".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        if !self.durable {
            // A crash of the server must still lose nothing: the log is written before a commit is
            // answered, it only is not flushed to the disk.
            settings.push("fsync=off".to_owned());
            settings.push("full_page_writes=off".to_owned());
        }
        settings
            .into_iter()
            .flat_map(|setting| ["-c".to_owned(), setting])
            .collect()
    }
}

/// Adds what a plain Postgres lacks of Supabase to the database of `url`. A Supabase project has
/// its own and is left alone.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn ensure_supabase_schema(url: &str) -> anyhow::Result<()> {
    let client = connect(url).await?;
    let row = client
        .query_one(
            "select to_regclass('auth.users') is not null and to_regprocedure('auth.jwt()') is not null \
             and (select count(*) = 3 from pg_roles where rolname in ('anon', 'authenticated', 'service_role'))",
            &[],
        )
        .await?;
    if row.get::<_, bool>(0) {
        return Ok(());
    }
    client
        .batch_execute(&format!("begin;\n{SUPABASE_SCHEMA}\ncommit;"))
        .await
        .context("the roles and the schema `auth` could not be made")
}

/// A connection to `url`, which is read as the functions read it. It ends with the client.
///
/// # Errors
/// When the server cannot be reached or refuses; the URL is not part of the message.
pub async fn connect(url: &str) -> Result<tokio_postgres::Client, SessionError> {
    session::connect(&url.into(), None, "darkroom-local").await
}

async fn execute(url: &str, statement: &str) -> anyhow::Result<()> {
    connect(url).await?.batch_execute(statement).await?;
    Ok(())
}

async fn copy_database(server_url: &str, name: &str, template: &str) -> anyhow::Result<()> {
    let statement = format!(
        "create database {} template {}",
        quoted(name),
        quoted(template)
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match execute(server_url, &statement).await {
            // The last connection to the template may take a moment to be gone.
            Err(error)
                if has_code(&error, &SqlState::OBJECT_IN_USE) && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

async fn drop_database(server_url: &str, name: &str) -> anyhow::Result<()> {
    let statement = format!("drop database if exists {} with (force)", quoted(name));
    execute(server_url, &statement).await
}

fn has_code(error: &anyhow::Error, code: &SqlState) -> bool {
    error
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(tokio_postgres::Error::code)
        == Some(code)
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn private_url(port: u16, database: &str) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/{database}")
}

/// `url` with another database; what cannot be read as a URL stays as it is.
fn with_database(url: &str, database: &str) -> String {
    url::Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |mut parsed| {
            parsed.set_path(database);
            parsed.to_string()
        },
    )
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests;
