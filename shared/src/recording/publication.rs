//! Which events have reached the channel.

use tokio_postgres::types::Type;

use crate::{
    domain::id::RunId,
    postgres::{Database, DatabaseError},
};

/// Notes that events were published, so that the sweep does not repeat them.
///
/// # Errors
/// [`DatabaseError`]: the sweep then publishes them again, under the same ids.
pub async fn mark_published(
    database: &Database,
    run_id: RunId,
    sequences: &[i32],
) -> Result<(), DatabaseError> {
    let sql = "/* mark_published: $1 run, $2 sequences */
        update ai_image_run_events set published_at = now()
        where run_id = $1 and sequence = any($2) and published_at is null
        returning sequence";
    database
        .write(
            sql,
            &[(&run_id.0, Type::UUID), (&sequences, Type::INT4_ARRAY)],
        )
        .await?;
    Ok(())
}
