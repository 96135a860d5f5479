//! The database: TLS, the pooler, migrations.

use std::path::Path;

use shared::{config::groups, telemetry::chain};

use super::{Case, Finding, Findings, right, wrong};
use crate::migrate::{self, file};

const SUBJECT: &str = "database";

pub(super) async fn examine(case: &Case<'_>, migrations: &Path) -> Findings {
    let database = match case.read(SUBJECT, |reader| groups::database(reader, "doctor", 1)) {
        Ok(database) => database,
        Err(findings) => return findings,
    };
    // As the functions ask: typed, which also works through a pooler in transaction mode.
    let statement = "select current_setting('server_version') as version";
    let rows = match tokio::time::timeout(super::PATIENCE, database.read(statement, &[])).await {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => return vec![wrong(SUBJECT, chain(&error))],
        Err(_) => return vec![wrong(SUBJECT, "does not answer")],
    };
    let version: String = rows
        .first()
        .and_then(|row| row.try_get("version").ok())
        .unwrap_or_default();
    let url = case.get("DATABASE_URL").unwrap_or_default();
    vec![
        right(SUBJECT, format!("PostgreSQL {version} answers")),
        pooler(url),
        history(case, url, migrations).await,
    ]
}

/// Lambda opens more connections than Postgres takes: Supabase's transaction pooler is what they should meet.
fn pooler(url: &str) -> Finding {
    let host = url.rsplit('@').next().unwrap_or_default();
    let host = host.split(['/', '?']).next().unwrap_or_default();
    if host.contains(".pooler.supabase.com") && !host.ends_with(":6543") {
        return wrong(
            "pooler",
            "DATABASE_URL names the session pooler; functions need the transaction pooler, port 6543",
        );
    }
    if host.starts_with("db.") && host.contains(".supabase.co") && !host.ends_with(":6543") {
        return wrong(
            "pooler",
            "DATABASE_URL names the database itself; functions need the transaction pooler, …pooler.supabase.com:6543",
        );
    }
    right("pooler", format!("connections go to {host}"))
}

async fn history(case: &Case<'_>, url: &str, migrations: &Path) -> Finding {
    let subject = "migrations";
    let files = match file::read_directory(migrations) {
        Ok(files) => files,
        Err(error) => return wrong(subject, error.to_string()),
    };
    let total = files.len();
    let pending = async {
        let client = migrate::open(url, case.get("DATABASE_CA_CERT")).await?;
        migrate::pending(&client, files).await
    };
    match pending.await {
        Ok(pending) if pending.is_empty() => right(subject, format!("all {total} are applied")),
        Ok(pending) => {
            let names: Vec<String> = pending.iter().map(file::MigrationFile::file_name).collect();
            wrong(
                subject,
                format!(
                    "{} of {total} are not applied ({}); run cargo migrate",
                    pending.len(),
                    names.join(", ")
                ),
            )
        }
        Err(error) => wrong(subject, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_supabases_poolers_apart() {
        let is_right = |url| pooler(url).outcome.is_ok();
        assert!(is_right(
            "postgres://postgres.ref:p%40ss@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
        ));
        assert!(!is_right(
            "postgres://postgres.ref:pw@aws-0-eu-central-1.pooler.supabase.com:5432/postgres?sslmode=require"
        ));
        assert!(!is_right(
            "postgres://postgres:pw@db.ref.supabase.co:5432/postgres"
        ));
        assert!(is_right("postgres://me@127.0.0.1:5432/darkroom"));
    }
}
