//! Applies migrations, as the Supabase CLI would and with its history table, so that either can go
//! on where the other stopped. Unlike the CLI it takes a lock: several may run at once.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, pin_mut};
use shared::postgres::DatabaseSetupError;
use shared::postgres::session::{self, SessionError};
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use self::file::MigrationFile;

pub mod file;
mod statements;

/// Serialises all runners on a database. Any number does, if it is always the same.
const LOCK: i64 = 7_236_837_165_120_902;

/// The Supabase CLI's own table, of which older versions lack the last two columns.
const HISTORY: &str = "
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
    alter table supabase_migrations.schema_migrations add column if not exists statements text[];
    alter table supabase_migrations.schema_migrations add column if not exists name text;";

/// Why migrations were not applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A file or directory cannot be used as it is.
    #[error("{path}: {problem}")]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The URL or the CA cannot be used.
    #[error(transparent)]
    Settings(DatabaseSetupError),
    /// The database cannot be reached, does not let us in, or went away.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// A migration failed. Nothing of its file was applied; the files before it were.
    #[error("{place}: {message}; nothing of this file was applied")]
    Failed {
        /// File, line and column, as far as they are known.
        place: String,
        /// What the database said.
        message: String,
    },
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, and its history row written where its name has a version.
    Applied,
    /// Its version is in the history already, perhaps since a moment ago.
    AlreadyApplied,
}

/// Applies what has not been applied of the migrations in `directory`, in the order of their
/// versions, and gives the names of those files.
///
/// # Errors
/// The first that fails ends it; see [`MigrateError`].
pub async fn apply(url: &str, directory: &Path) -> Result<Vec<String>, MigrateError> {
    apply_with_ca(url, None, directory).await
}

/// As [`apply`], to a database with a CA of its own: the path of its PEM file, or its text.
///
/// # Errors
/// As [`apply`].
pub async fn apply_with_ca(
    url: &str,
    ca_cert: Option<&str>,
    directory: &Path,
) -> Result<Vec<String>, MigrateError> {
    let files = file::read_directory(directory)?;
    let mut client = open(url, ca_cert).await?;
    let mut applied = Vec::new();
    for file in pending(&client, files).await? {
        if apply_file(&mut client, &file).await? == Outcome::Applied {
            applied.push(file.file_name());
        }
    }
    Ok(applied)
}

/// Connects to the database to migrate. `ca_cert` is the path of the PEM file of its CA, or its text.
///
/// # Errors
/// [`MigrateError::Settings`] and [`MigrateError::Unreachable`], which name no password.
pub async fn open(url: &str, ca_cert: Option<&str>) -> Result<Client, MigrateError> {
    session::connect(&url.into(), ca_cert, "darkroom-migrate")
        .await
        .map_err(|error| match error {
            SessionError::Setup(problem) => MigrateError::Settings(problem),
            SessionError::Connect(error) => lost(&error),
        })
}

/// Those of `files` that the history does not have. Changes nothing.
///
/// # Errors
/// [`MigrateError::Unreachable`] when the history cannot be read.
pub async fn pending(
    client: &Client,
    files: Vec<MigrationFile>,
) -> Result<Vec<MigrationFile>, MigrateError> {
    if !has_history(client).await.map_err(|error| lost(&error))? {
        return Ok(files);
    }
    let rows = client
        .query_typed(
            "select version from supabase_migrations.schema_migrations",
            &[],
        )
        .await
        .map_err(|error| lost(&error))?;
    let versions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(files
        .into_iter()
        .filter(|file| {
            file.version
                .as_ref()
                .is_none_or(|version| !versions.contains(version))
        })
        .collect())
}

/// Applies one file in one transaction, with its row of the history, after looking again whether
/// another runner has done so.
///
/// # Errors
/// [`MigrateError::Failed`] when the database refuses the file.
pub async fn apply_file(
    client: &mut Client,
    file: &MigrationFile,
) -> Result<Outcome, MigrateError> {
    let statements = statements::split(&file.sql);
    let prepared = statements::without_transaction_control(&file.sql, &statements).map_err(
        |(line, problem)| MigrateError::Failed {
            place: format!("{}:{line}", file.path.display()),
            message: problem,
        },
    )?;

    // A long migration is not to be cut short by the limit that Supabase sets for its roles.
    let begin =
        format!("begin; set local statement_timeout = 0; select pg_advisory_xact_lock({LOCK});");
    client
        .batch_execute(&begin)
        .await
        .map_err(|error| lost(&error))?;
    let result = apply_locked(client, file, &prepared, &statements).await;
    // `reset all`: a file's `set search_path` is not meant for the next one.
    let end = if result.is_ok() {
        "commit; reset all;"
    } else {
        "rollback; reset all;"
    };
    let ended = client.batch_execute(end).await;
    let outcome = result?;
    // Deferred constraints speak at the end.
    ended.map_err(|error| failed(file, &statements, usize::MAX, &error))?;
    Ok(outcome)
}

async fn apply_locked(
    client: &Client,
    file: &MigrationFile,
    prepared: &str,
    statements: &[statements::Statement<'_>],
) -> Result<Outcome, MigrateError> {
    let Some(version) = &file.version else {
        run(client, file, prepared, statements).await?;
        return Ok(Outcome::Applied);
    };

    if !has_history(client).await.map_err(|error| lost(&error))? {
        client
            .batch_execute(HISTORY)
            .await
            .map_err(|error| failed(file, statements, usize::MAX, &error))?;
    }
    let rows = client
        .query_typed(
            "select from supabase_migrations.schema_migrations where version = $1",
            &[(version, Type::TEXT)],
        )
        .await
        .map_err(|error| lost(&error))?;
    if !rows.is_empty() {
        return Ok(Outcome::AlreadyApplied);
    }

    run(client, file, prepared, statements).await?;

    let texts: Vec<&str> = statements.iter().map(|statement| statement.text).collect();
    client
        .execute_typed(
            "insert into supabase_migrations.schema_migrations (version, statements, name) values ($1, $2, $3)",
            &[(version, Type::TEXT), (&texts, Type::TEXT_ARRAY), (&file.name, Type::TEXT)],
        )
        .await
        .map_err(|error| failed(file, statements, usize::MAX, &error))?;
    Ok(Outcome::Applied)
}

/// Sends the whole file at once: one round trip, and the statements that end tell how far it came.
async fn run(
    client: &Client,
    file: &MigrationFile,
    prepared: &str,
    statements: &[statements::Statement<'_>],
) -> Result<(), MigrateError> {
    let mut ended = 0;
    let result = async {
        let messages = client.simple_query_raw(prepared).await?;
        pin_mut!(messages);
        while let Some(message) = messages.next().await {
            if let SimpleQueryMessage::CommandComplete(_) = message? {
                ended += 1;
            }
        }
        Ok::<(), tokio_postgres::Error>(())
    }
    .await;
    result.map_err(|error| failed(file, statements, ended, &error))
}

/// Whether the table is there in full; a part of it is made whole where it is needed.
async fn has_history(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "select count(*) = 3 from pg_catalog.pg_attribute \
             where attrelid = to_regclass('supabase_migrations.schema_migrations') \
             and attname in ('version', 'statements', 'name') and not attisdropped",
            &[],
        )
        .await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

fn lost(error: &tokio_postgres::Error) -> MigrateError {
    MigrateError::Unreachable(said(error))
}

/// The error of the statement number `ended` of the file, or of none in particular.
fn failed(
    file: &MigrationFile,
    statements: &[statements::Statement<'_>],
    ended: usize,
    error: &tokio_postgres::Error,
) -> MigrateError {
    let Some(from_database) = error.as_db_error() else {
        return lost(error);
    };
    if *from_database.code() == SqlState::ADMIN_SHUTDOWN {
        return lost(error);
    }
    let path = file.path.display();
    let place = match from_database.position() {
        Some(ErrorPosition::Original(position)) => {
            let (line, column) = statements::line_and_column(&file.sql, *position as usize);
            format!("{path}:{line}:{column}")
        }
        _ => statements
            .iter()
            .filter(|statement| !statement.is_transaction_control())
            .nth(ended)
            .map_or_else(
                || path.to_string(),
                |statement| format!("{path}:{}", statement.line),
            ),
    };
    MigrateError::Failed {
        place,
        message: said(error),
    }
}

fn said(error: &tokio_postgres::Error) -> String {
    let Some(from_database) = error.as_db_error() else {
        let source = std::error::Error::source(error).map(|source| format!(": {source}"));
        return format!("{error}{}", source.unwrap_or_default());
    };
    let mut text = format!(
        "{} ({})",
        from_database.message(),
        from_database.code().code()
    );
    let more = [
        from_database.detail(),
        from_database.hint(),
        from_database.where_(),
    ];
    for sentence in more.into_iter().flatten() {
        text.push_str(". ");
        text.push_str(sentence);
    }
    text
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
