//! A pool of very few connections, each used for one typed statement at a time.
//!
//! Statements are never prepared by name: a transaction pooler would hand them to a session that does not know them.
//! A typed statement is one round trip, the first time too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::connect::{Connector, Failures};
use super::error::{DatabaseError, DatabaseSetupError, Failure, classify};
use super::tls::ExtraRoots;
use super::url;

/// A statement's parameters, each with its type.
pub type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Opening a connection: TCP, TLS and authentication together. A `connect_timeout` in the URL takes its place.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without an answer, a connection may be dead without knowing (a frozen instance hears nothing), so a
/// write asks first. Well below the idle limits of poolers and NAT gateways, minutes all of them.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(30);
/// How long that question may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the database is and how much of it is used.
#[derive(Debug)]
pub struct DatabaseOptions {
    /// `postgresql://user:password@host:port/database`, with the parameters that [`url::parse`] knows.
    pub url: SecretString,
    /// The CA of the database: the path of a PEM file, or its text.
    pub ca_cert: Option<String>,
    /// Connections at most; a `connection_limit` in the URL can only lower it.
    pub max_connections: usize,
    /// What the database shows as the client's name: `darkroom-<function>`.
    pub application_name: String,
    /// The time for one statement, waiting for a connection included.
    pub statement_timeout: Duration,
}

impl DatabaseOptions {
    /// What fits a function: one connection for each thing that it does at once.
    #[must_use]
    pub fn new(url: SecretString, application_name: impl Into<String>) -> Self {
        Self {
            url,
            ca_cert: None,
            max_connections: 2,
            application_name: application_name.into(),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// The database. Cheap to clone; connects when first used.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    statement_timeout: Duration,
    /// When the database last answered: milliseconds of the wall clock, which runs on while an instance is frozen.
    last_answer: Arc<AtomicU64>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The pool's own Debug would show the password's length and the user.
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Reads the settings; connects to nothing.
    ///
    /// # Errors
    /// When the URL or the CA cannot be used.
    pub fn new(options: &DatabaseOptions) -> Result<Self, DatabaseSetupError> {
        let mut parsed = url::parse(options.url.expose_secret())?;
        if !parsed.ignored.is_empty() {
            tracing::warn!(parameters = ?parsed.ignored, "DATABASE_URL has parameters that mean nothing here");
        }
        let ca = options.ca_cert.as_deref().or(parsed.ca_file.as_deref());
        let roots = ca.map(ExtraRoots::read).transpose()?.unwrap_or_default();

        let connect_timeout = *parsed
            .config
            .get_connect_timeout()
            .unwrap_or(&CONNECT_TIMEOUT);
        parsed.config.connect_timeout(connect_timeout);
        if parsed.config.get_application_name().is_none() {
            parsed.config.application_name(&options.application_name);
        }

        let connector = Connector {
            tls: parsed.encrypted.then(|| Arc::new(roots)),
            failures: Arc::new(Failures::default()),
        };
        let manager = Manager::from_connect(
            parsed.config,
            connector,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let size = parsed
            .connection_limit
            .unwrap_or(usize::MAX)
            .min(options.max_connections)
            .max(1);
        let pool = Pool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(size)
            .wait_timeout(Some(
                parsed.pool_timeout.unwrap_or(options.statement_timeout),
            ))
            .create_timeout(Some(connect_timeout))
            .build()
            .map_err(DatabaseSetupError::Pool)?;
        Ok(Self {
            pool,
            statement_timeout: options.statement_timeout,
            last_answer: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Runs a statement that may be carried out twice without harm: one that only reads, or is guarded so that a
    /// second run changes nothing. Repeated once, over a new connection, when the old one turns out to be dead.
    ///
    /// # Errors
    /// [`DatabaseError`], never `OutcomeUnknown`.
    pub async fn read(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, DatabaseError> {
        let deadline = Instant::now() + self.statement_timeout;
        let first = self.attempt(deadline, sql, params, Before::Nothing).await;
        let outcome = match first {
            Err(Attempt::Lost(_) | Attempt::SessionEnded(_)) => {
                // The other connections of the pool have probably met the same end.
                self.forget_idle();
                self.attempt(deadline, sql, params, Before::Nothing).await
            }
            first => first,
        };
        outcome.map_err(|attempt| match attempt {
            Attempt::Lost(source) => {
                DatabaseError::unavailable("the connection ended twice", source)
            }
            Attempt::TimeUp => DatabaseError::Unavailable {
                reason: "no answer in time",
                source: None,
            },
            other => other.into(),
        })
    }

    /// Runs a statement that must not be carried out twice. Repeated once only when the first surely had no effect:
    /// the connection was known to be dead before the statement was sent, or the server ended the session instead.
    ///
    /// # Errors
    /// [`DatabaseError`]; `OutcomeUnknown` when the statement was sent and no answer came.
    pub async fn write(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, DatabaseError> {
        let deadline = Instant::now() + self.statement_timeout;
        let outcome = match self
            .attempt(deadline, sql, params, Before::CheckAlive)
            .await
        {
            Err(Attempt::SessionEnded(_)) => {
                self.forget_idle();
                self.attempt(deadline, sql, params, Before::CheckAlive)
                    .await
            }
            first => first,
        };
        outcome.map_err(DatabaseError::from)
    }

    async fn attempt(
        &self,
        deadline: Instant,
        sql: &str,
        params: Params<'_>,
        before: Before,
    ) -> Result<Vec<Row>, Attempt> {
        let connection = match timeout_at(deadline, self.connection(before)).await {
            Ok(connection) => connection.map_err(Attempt::NotSent)?,
            Err(_) => {
                return Err(Attempt::NotSent(DatabaseError::Unavailable {
                    reason: "no connection in time",
                    source: None,
                }));
            }
        };
        match timeout_at(deadline, connection.query_typed(sql, params)).await {
            Ok(Ok(rows)) => {
                self.note_answer();
                Ok(rows)
            }
            Ok(Err(source)) => Err(self.failed(connection, source)),
            Err(_) => {
                // The statement may still be running: its connection is not for anybody else.
                drop(Object::take(connection));
                Err(Attempt::TimeUp)
            }
        }
    }

    fn failed(&self, connection: Object, source: tokio_postgres::Error) -> Attempt {
        match classify(&source) {
            Failure::ConnectionLost => {
                drop(Object::take(connection));
                Attempt::Lost(source)
            }
            Failure::SessionEnded => {
                drop(Object::take(connection));
                Attempt::SessionEnded(source)
            }
            Failure::Busy => Attempt::Answered(DatabaseError::unavailable(
                "it could not carry the statement out",
                source,
            )),
            Failure::Unique => Attempt::Answered(DatabaseError::Conflict {
                constraint: constraint_of(&source),
                source,
            }),
            Failure::ForeignKey => Attempt::Answered(DatabaseError::ForeignKey {
                constraint: constraint_of(&source),
                source,
            }),
            Failure::Refused => Attempt::Answered(DatabaseError::Other(source)),
        }
    }

    /// A connection that is open as far as can be told.
    async fn connection(&self, before: Before) -> Result<Object, DatabaseError> {
        if let Before::CheckAlive = before {
            // Lets the connections' tasks read what has arrived meanwhile: the end of a connection, say.
            tokio::task::yield_now().await;
        }
        let connection = self.pool.get().await.map_err(from_pool)?;
        let doubtful = matches!(before, Before::CheckAlive) && self.is_doubtful();
        if !doubtful {
            return Ok(connection);
        }
        match tokio::time::timeout(PROBE_TIMEOUT, connection.check_connection()).await {
            Ok(Ok(())) => {
                self.note_answer();
                Ok(connection)
            }
            Ok(Err(_)) | Err(_) => {
                drop(Object::take(connection));
                self.forget_idle();
                self.pool.get().await.map_err(from_pool)
            }
        }
    }

    fn forget_idle(&self) {
        drop(self.pool.retain(|_, _| false));
    }

    fn note_answer(&self) {
        self.last_answer.store(wall_clock_ms(), Ordering::Relaxed);
    }

    /// Whether the last answer is so old that the connections may be dead. A first connection is not.
    fn is_doubtful(&self) -> bool {
        let last = self.last_answer.load(Ordering::Relaxed);
        last != 0 && u128::from(wall_clock_ms().abs_diff(last)) > DOUBTFUL_AFTER.as_millis()
    }
}

/// What is done with a connection before it is used.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    CheckAlive,
}

/// How one attempt at a statement ended without rows.
enum Attempt {
    NotSent(DatabaseError),
    Lost(tokio_postgres::Error),
    SessionEnded(tokio_postgres::Error),
    TimeUp,
    Answered(DatabaseError),
}

impl From<Attempt> for DatabaseError {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::NotSent(error) | Attempt::Answered(error) => error,
            Attempt::Lost(source) => Self::OutcomeUnknown {
                source: Some(source),
            },
            Attempt::TimeUp => Self::OutcomeUnknown { source: None },
            Attempt::SessionEnded(source) => {
                Self::unavailable("the server ended the session", source)
            }
        }
    }
}

fn constraint_of(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .and_then(|error| error.constraint())
        .unwrap_or_default()
        .to_owned()
}

fn from_pool(error: PoolError) -> DatabaseError {
    let reason = match &error {
        PoolError::Timeout(_) => "no connection in time",
        _ => "no connection",
    };
    DatabaseError::unavailable(reason, error)
}

fn wall_clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests;
