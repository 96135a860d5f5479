//! Objects in the bucket that no record owns: of users who were deleted, or of runs that failed after their upload.

use jiff::Timestamp;
use shared::{domain::source::REFERENCES_FOLDER, postgres::storage_deletions::find_orphans};

use crate::{
    report::{Outcome, Report},
    sweep::{Order, Sweep},
};

/// Where Darkroom's objects lie: made images, and reference images that users uploaded.
const FOLDERS: [&str; 2] = ["generated", REFERENCES_FOLDER];
/// Objects of one listing.
const PAGE: u32 = 500;
/// Listings of one round: half a million objects.
const PAGES: u32 = 1_000;
/// Paths that the report names.
const NAMED: usize = 100;

/// Looks through the bucket. With `ORPHANS=delete`, those older than the grace period are deleted.
pub(crate) async fn look(sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    for folder in FOLDERS {
        look_in(folder, sweep, order, report).await?;
    }
    Ok(())
}

async fn look_in(folder: &str, sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    let now = Timestamp::now();
    let mut offset = 0;
    for _ in 0..PAGES {
        let objects = sweep.clients.storage.list(folder, PAGE, offset).await?;
        let listed = u32::try_from(objects.len()).unwrap_or(PAGE);
        let paths: Vec<String> = objects.iter().map(|object| object.path.clone()).collect();
        let orphans = find_orphans(&sweep.clients.database, &paths).await?;
        report.orphans_found += orphans.len();
        let room = NAMED.saturating_sub(report.orphans.len());
        report.orphans.extend(orphans.iter().take(room).cloned());
        let mut deleted = 0;
        if sweep.delete_orphans && !order.dry_run {
            let old: Vec<&str> = objects
                .iter()
                .filter(|object| orphans.contains(&object.path))
                .filter(|object| {
                    object.created_at.is_some_and(|created| {
                        now.duration_since(created).unsigned_abs() >= sweep.orphan_grace
                    })
                })
                .map(|object| object.path.as_str())
                .collect();
            if !old.is_empty() {
                deleted = sweep.clients.storage.delete(&old).await?;
                report.orphans_deleted += deleted;
            }
        }
        if listed < PAGE {
            break;
        }
        // What was deleted is gone from the listing, and the rest has moved up.
        offset += listed - u32::try_from(deleted).unwrap_or(0).min(listed);
    }
    Ok(())
}
