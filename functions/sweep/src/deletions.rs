//! Objects whose records were deleted while storage was down.

use shared::{deleting::delete_objects, postgres::storage_deletions::find_deletions};

use crate::{
    report::{Outcome, Report},
    sweep::{AT_ONCE, Order, Sweep},
};

/// Repeats their deletion, the oldest first.
pub(crate) async fn repeat(sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    let database = &sweep.clients.database;
    let noted = find_deletions(database, AT_ONCE).await?;
    if order.dry_run {
        report.deletions_repeated = noted.len();
        return Ok(());
    }
    let progress = delete_objects(database, &sweep.clients.storage, &noted).await;
    report.deletions_repeated = progress.done;
    match progress.failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
