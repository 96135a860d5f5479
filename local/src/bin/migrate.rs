//! `cargo migrate`: applies migrations to a database.
//!
//! Exit codes: 0 done, or nothing to do; 1 a migration failed (its file and line are named, and
//! nothing of it was applied); 2 wrong usage, or a file that cannot be read; 3 the database cannot
//! be reached.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use local::migrate::file::{self, MigrationFile};
use local::migrate::{self, MigrateError, Outcome};

/// Applies migrations to a Postgres database, one transaction a file, and records them in the
/// Supabase CLI's own history table. Several may run at once.
///
/// Exit codes: 0 done or nothing to do, 1 a migration failed, 2 wrong usage, 3 the database cannot
/// be reached.
#[derive(Debug, Parser)]
#[command(name = "migrate")]
struct Arguments {
    /// The database's connection URL; else SUPABASE_DB_URL or DATABASE_URL from the environment.
    #[arg(long, env = "SUPABASE_DB_URL", hide_env_values = true)]
    url: Option<String>,
    /// The database's CA: the path of a PEM file, or its text.
    #[arg(long, env = "DATABASE_CA_CERT", hide_env_values = true)]
    ca_cert: Option<String>,
    /// Apply only this file; may be given several times. A name without a version is not recorded.
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The directory of the migrations.
    #[arg(long, default_value = "migrations", conflicts_with = "files")]
    dir: PathBuf,
    /// List what would be applied and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When standard error is closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(match error {
                MigrateError::Failed { .. } => 1,
                MigrateError::Unusable { .. } | MigrateError::Settings(_) => 2,
                MigrateError::Unreachable(_) => 3,
            })
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), MigrateError> {
    let files = read(arguments)?;
    let url = url(arguments)?;
    let mut client = migrate::open(&url, arguments.ca_cert.as_deref()).await?;
    let total = files.len();
    let pending = migrate::pending(&client, files).await?;
    let up_to_date = total - pending.len();

    let mut applied = 0;
    for file in &pending {
        if arguments.dry_run {
            say(&format!("would apply {}", file.file_name()));
            continue;
        }
        match migrate::apply_file(&mut client, file).await? {
            Outcome::Applied => {
                applied += 1;
                say(&format!("applied {}", file.file_name()));
            }
            Outcome::AlreadyApplied => {
                say(&format!(
                    "{} was applied by another runner",
                    file.file_name()
                ));
            }
        }
    }
    say(&if arguments.dry_run {
        format!("{} to apply, {up_to_date} already applied", pending.len())
    } else {
        format!("{applied} applied, {} already applied", total - applied)
    });
    Ok(())
}

fn read(arguments: &Arguments) -> Result<Vec<MigrationFile>, MigrateError> {
    if arguments.files.is_empty() {
        return file::read_directory(&arguments.dir);
    }
    arguments
        .files
        .iter()
        .map(|path| file::read(path))
        .collect()
}

/// An empty variable counts as none, as it does for the functions.
fn url(arguments: &Arguments) -> Result<String, MigrateError> {
    arguments
        .url
        .clone()
        .filter(|url| !url.is_empty())
        .or_else(|| std::env::var("DATABASE_URL").ok())
        .filter(|url| !url.is_empty())
        .ok_or_else(|| MigrateError::Unusable {
            path: "--url".into(),
            problem: "is missing, and neither SUPABASE_DB_URL nor DATABASE_URL is set".to_owned(),
        })
}

fn say(line: &str) {
    // A closed pipe is no reason to leave migrations half applied.
    let _ = writeln!(std::io::stdout(), "{line}");
}
