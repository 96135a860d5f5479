//! What is deleted goes from the tables at once, and from the bucket now or, where storage is down, by the sweep.

use std::time::Duration;

use thiserror::Error;

use crate::{
    postgres::{
        Database, DatabaseError,
        runs::ReadError,
        storage_deletions::{find_unowned, forget_deletions},
    },
    supabase::storage::{StorageClient, StorageError},
    telemetry,
};

/// A caller waits so long for storage. What takes longer is left to the sweep.
const PATIENCE: Duration = Duration::from_secs(3);
/// Objects of one call.
const AT_ONCE: usize = 100;

/// Why objects are still in the bucket. Their deletions stay noted.
#[derive(Debug, Error)]
pub enum DeletingError {
    /// It could not be asked who owns them.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be noted that they are gone.
    #[error("a deletion could not be noted as done")]
    Database(#[from] DatabaseError),
    /// Storage does not delete them.
    #[error("objects could not be deleted from storage")]
    Storage(#[from] StorageError),
}

/// How far a deletion got.
#[derive(Debug, Default)]
pub struct Progress {
    /// Notes that are done with.
    pub done: usize,
    /// Why there are others.
    pub failed: Option<DeletingError>,
}

/// Deletes objects whose deletion was noted, as far as it goes in a moment. What is left is the sweep's.
pub async fn delete_now(database: &Database, storage: &StorageClient, paths: &[String]) {
    let deleting = delete_objects(database, storage, paths);
    match tokio::time::timeout(PATIENCE, deleting).await {
        Ok(Progress { failed: None, .. }) => {}
        Ok(Progress {
            failed: Some(error),
            ..
        }) => {
            tracing::warn!(error = %telemetry::chain(&error), "deleted images are still in storage; the sweep will delete them")
        }
        Err(_) => {
            tracing::warn!("storage takes its time over a deletion; the sweep will see to it")
        }
    }
}

/// Deletes objects whose deletion was noted, but for those that a record or an unfinished run owns, and forgets the notes. A path that
/// storage refuses keeps no other from being deleted; where storage is down, the rest is left.
pub async fn delete_objects(
    database: &Database,
    storage: &StorageClient,
    paths: &[String],
) -> Progress {
    let mut progress = Progress::default();
    for noted in paths.chunks(AT_ONCE) {
        if let Err(error) = delete_some(database, storage, noted, &mut progress).await {
            progress.failed = Some(error);
            break;
        }
    }
    progress
}

async fn delete_some(
    database: &Database,
    storage: &StorageClient,
    noted: &[String],
    progress: &mut Progress,
) -> Result<(), DeletingError> {
    let unowned = find_unowned(database, noted).await?;
    let mut refused = Vec::new();
    match delete_paths(storage, &unowned).await {
        Err(error) if !error.may_pass() => {
            for path in &unowned {
                match delete_paths(storage, std::slice::from_ref(path)).await {
                    Err(error) if !error.may_pass() => {
                        tracing::error!(path, error = %telemetry::chain(&error), "storage refuses to delete an object");
                        refused.push(path);
                        progress.failed = Some(error.into());
                    }
                    outcome => outcome?,
                }
            }
        }
        outcome => outcome?,
    }
    let done: Vec<String> = noted
        .iter()
        .filter(|path| !refused.contains(path))
        .cloned()
        .collect();
    forget_deletions(database, &done).await?;
    progress.done += done.len();
    Ok(())
}

async fn delete_paths(storage: &StorageClient, paths: &[String]) -> Result<(), StorageError> {
    if paths.is_empty() {
        return Ok(());
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    storage.delete(&paths).await.map(|_| ())
}
