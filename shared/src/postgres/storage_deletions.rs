//! `storage_deletions`: objects of the bucket that are to go, and the question who owns an object.

use tokio_postgres::{Row, types::Type};

use super::{Database, DatabaseError, row::StoredDataError, runs::ReadError};

/// Whether a record, or a run that may still make one, owns what lies at `path`.
const OWNED: &str = "(exists (select from generated_images where storage_path = path)
    or exists (select from dataset_images where storage_path = path)
    or exists (
      select from ai_image_runs
      where id::text = substring(path from '^generated/([0-9a-f-]{36})[.]') and status in ('pending', 'running')))";

/// Deletions that wait, oldest first.
///
/// # Errors
/// [`ReadError`].
pub async fn find_deletions(database: &Database, limit: i64) -> Result<Vec<String>, ReadError> {
    let sql = "/* find_deletions: $1 limit */ select path from storage_deletions order by requested_at, path limit $1";
    let rows = database.read(sql, &[(&limit, Type::INT8)]).await?;
    paths(&rows)
}

/// Of these paths, those that nothing owns, or owns any more.
///
/// # Errors
/// [`ReadError`].
pub async fn find_unowned(database: &Database, among: &[String]) -> Result<Vec<String>, ReadError> {
    let sql = format!(
        "/* find_unowned: $1 paths */ select path from unnest($1) as path where not {OWNED}"
    );
    let rows = database.read(&sql, &[(&among, Type::TEXT_ARRAY)]).await?;
    paths(&rows)
}

/// Of these paths in the bucket, those that nothing owns and whose deletion nobody has asked for.
///
/// # Errors
/// [`ReadError`].
pub async fn find_orphans(database: &Database, among: &[String]) -> Result<Vec<String>, ReadError> {
    let sql = format!(
        "/* find_orphans: $1 paths */ select path from unnest($1) as path
        where not {OWNED} and not exists (select from storage_deletions noted where noted.path = path.path)"
    );
    let rows = database.read(&sql, &[(&among, Type::TEXT_ARRAY)]).await?;
    paths(&rows)
}

/// Notes that these deletions are done with.
///
/// # Errors
/// [`DatabaseError`]: the sweep then deletes once more what is not there.
pub async fn forget_deletions(database: &Database, done: &[String]) -> Result<(), DatabaseError> {
    let sql = "/* forget_deletions: $1 paths */ delete from storage_deletions where path = any($1)";
    database.read(sql, &[(&done, Type::TEXT_ARRAY)]).await?;
    Ok(())
}

fn paths(rows: &[Row]) -> Result<Vec<String>, ReadError> {
    let found = rows.iter().map(|row| row.try_get("path"));
    Ok(found
        .collect::<Result<_, _>>()
        .map_err(StoredDataError::at(
            "storage_deletions",
            "path",
            String::new(),
        ))?)
}
