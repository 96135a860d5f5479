//! Waiting for a run to end.

use std::time::{Duration, Instant};

use crate::{
    domain::id::RunId,
    postgres::{Database, runs},
    telemetry,
};

/// The first look comes early, for vendors that are quick or refuse at once.
const FIRST_LOOK: Duration = Duration::from_millis(120);
/// Between two questions: the database is asked at most three times a second.
const INTERVAL: Duration = Duration::from_millis(340);
/// Each question looks a second time after this, so that a run's end is noticed within 220 ms although it is asked for every 340.
const LOOK_AGAIN: Duration = Duration::from_millis(120);

/// Waits until a run is over, at most so long; says whether it is. A database that cannot be asked for a while ends no wait.
pub async fn until_over(database: &Database, run_id: RunId, longest: Duration) -> bool {
    if longest.is_zero() {
        return false;
    }
    let end = Instant::now() + longest;
    let mut next = Instant::now() + FIRST_LOOK;
    while next < end {
        tokio::time::sleep_until(next.into()).await;
        let asked = Instant::now();
        match runs::is_over(database, run_id, LOOK_AGAIN).await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%run_id, error = %telemetry::chain(&error), "a waiting request cannot ask the database")
            }
        }
        next = asked + INTERVAL;
    }
    tokio::time::sleep_until(end.into()).await;
    matches!(
        runs::is_over(database, run_id, Duration::ZERO).await,
        Ok(true)
    )
}
