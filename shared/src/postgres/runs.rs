//! `ai_image_runs`: reading rows. Writing them is [`crate::recording`]'s alone.

use jiff::Timestamp;
use tokio_postgres::{
    Row,
    types::{Json, Type},
};
use uuid::Uuid;

use super::{
    Database, DatabaseError,
    row::{StoredDataError, UnknownWord},
};
use crate::domain::{
    attempt::Attempt,
    caller::Scope,
    cost::CostUsd,
    id::{DatasetId, ImageId, RunId, UserId},
    run::{Mode, Run, RunOptions, RunStatus},
};

/// Why runs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A row cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredDataError),
}

/// One run that the caller may see: its owner's, or one without an owner for anybody who has its id.
///
/// # Errors
/// [`ReadError`].
pub async fn find_run(
    database: &Database,
    scope: Scope,
    id: RunId,
) -> Result<Option<Run>, ReadError> {
    let sql = "/* find_run: $1 id, $2 owner, $3 whether every owner's */
        select *, cost_usd::text as cost from ai_image_runs
        where id = $1 and ($3 or owner_user_id is null or owner_user_id = $2)";
    let owner = scope.owner().map(|owner| owner.0);
    let everything = scope == Scope::Everything;
    let rows = database
        .read(
            sql,
            &[
                (&id.0, Type::UUID),
                (&owner, Type::UUID),
                (&everything, Type::BOOL),
            ],
        )
        .await?;
    Ok(rows.first().map(run_from_row).transpose()?)
}

/// Which runs to list.
#[derive(Clone, Debug)]
pub struct RunFilter {
    /// Whose.
    pub scope: Scope,
    /// Only with this status.
    pub status: Option<RunStatus>,
    /// How many at most.
    pub limit: i64,
    /// How many to pass over.
    pub offset: i64,
    /// Only runs after this one in the order of the list.
    pub after: Option<(Timestamp, RunId)>,
}

/// Runs, newest first.
///
/// # Errors
/// [`ReadError`].
pub async fn list_runs(database: &Database, filter: &RunFilter) -> Result<Vec<Run>, ReadError> {
    let whose = match filter.scope {
        Scope::Owner(_) => "owner_user_id = $1",
        Scope::Ownerless => "owner_user_id is null and $1::uuid is null",
        Scope::Everything => "$1::uuid is null",
    };
    let sql = format!(
        "/* list_runs: $1 owner, $2 status, $3 limit, $4 offset, $5 and $6 the run to go on after */
        select *, cost_usd::text as cost from ai_image_runs
        where {whose} and ($2::text is null or status = $2) and ($5::timestamptz is null or (created_at, id) < ($5, $6))
        order by created_at desc, id desc limit $3 offset $4"
    );
    let owner = filter.scope.owner().map(|owner| owner.0);
    let status = filter.status.map(RunStatus::as_str);
    let (after_time, after_id) = (
        filter.after.map(|after| after.0),
        filter.after.map(|after| after.1.0),
    );
    let rows = database
        .read(
            &sql,
            &[
                (&owner, Type::UUID),
                (&status, Type::TEXT),
                (&filter.limit, Type::INT8),
                (&filter.offset, Type::INT8),
                (&after_time, Type::TIMESTAMPTZ),
                (&after_id, Type::UUID),
            ],
        )
        .await?;
    Ok(rows.iter().map(run_from_row).collect::<Result<_, _>>()?)
}

/// Whether a run is over, looked at twice: once now and, when it is not, once more after `look_again`. Two looks in one statement let
/// a waiting caller ask three times a second and still notice the end within 300 ms.
///
/// # Errors
/// [`DatabaseError`].
pub async fn is_over(
    database: &Database,
    id: RunId,
    look_again: std::time::Duration,
) -> Result<bool, DatabaseError> {
    let sql = "/* is_over: $1 run, $2 seconds between the looks */
        select status from await_run_end($1, $2) as status";
    let rows = database
        .read(
            sql,
            &[
                (&id.0, Type::UUID),
                (&look_again.as_secs_f64(), Type::FLOAT8),
            ],
        )
        .await?;
    // A run that is gone (with its owner) is over, too.
    let Some(row) = rows.first() else {
        return Ok(true);
    };
    let word: Option<String> = row.try_get("status").ok().flatten();
    Ok(word
        .as_deref()
        .and_then(RunStatus::parse)
        .is_none_or(RunStatus::is_end))
}

/// A row of `ai_image_runs`, with `cost_usd::text` beside it as `cost`.
pub(crate) fn run_from_row(row: &Row) -> Result<Run, StoredDataError> {
    let id = RunId(row.try_get("id").map_err(StoredDataError::at(
        "ai_image_runs",
        "id",
        "unknown".to_owned(),
    ))?);
    macro_rules! column {
        ($name:literal) => {
            row.try_get($name)
                .map_err(StoredDataError::in_run($name, id))?
        };
    }
    let word =
        |column, word: &str| StoredDataError::in_run(column, id)(UnknownWord(word.to_owned()));
    let status: String = column!("status");
    let mode: String = column!("mode");
    let user_prompt: String = column!("user_prompt");
    let resolved_prompt: Option<String> = column!("resolved_prompt");
    let options: Json<RunOptions> = column!("options");
    let attempts: Json<Vec<Attempt>> = column!("attempts");
    let cost: Option<String> = column!("cost");
    Ok(Run {
        id,
        owner: row
            .try_get::<_, Option<Uuid>>("owner_user_id")
            .map_err(StoredDataError::in_run("owner_user_id", id))?
            .map(UserId),
        mode: Mode::parse(&mode).ok_or_else(|| word("mode", &mode))?,
        asset_kind: column!("asset_kind"),
        // Older callers of the table may have left the composed prompt away.
        resolved_prompt: resolved_prompt.unwrap_or_else(|| user_prompt.clone()),
        user_prompt,
        style_preset: column!("style_preset"),
        provider: column!("provider"),
        model: row
            .try_get::<_, Option<String>>("model")
            .map_err(StoredDataError::in_run("model", id))?
            .unwrap_or_default(),
        options: options.0,
        retry_count: column!("retry_count"),
        status: RunStatus::parse(&status).ok_or_else(|| word("status", &status))?,
        error_code: column!("error_code"),
        error_message: column!("error_message"),
        error_meta: column!("error_meta"),
        image_url: column!("image_url"),
        response_metadata: column!("response_metadata"),
        attempts: attempts.0,
        started_at: column!("started_at"),
        completed_at: column!("completed_at"),
        created_at: column!("created_at"),
        sequence: column!("sequence"),
        image_id: row
            .try_get::<_, Option<Uuid>>("image_id")
            .map_err(StoredDataError::in_run("image_id", id))?
            .map(ImageId),
        image_deleted_at: column!("image_deleted_at"),
        dataset_id: row
            .try_get::<_, Option<Uuid>>("dataset_id")
            .map_err(StoredDataError::in_run("dataset_id", id))?
            .map(DatasetId),
        cost_usd: cost
            .map(|text| text.parse::<CostUsd>())
            .transpose()
            .map_err(StoredDataError::in_run("cost_usd", id))?,
        price_version: column!("price_version"),
        cancel_requested_at: column!("cancel_requested_at"),
        deadline_at: column!("deadline_at"),
        retry_unknown: column!("retry_unknown"),
        parent_image_id: row
            .try_get::<_, Option<Uuid>>("parent_image_id")
            .map_err(StoredDataError::in_run("parent_image_id", id))?
            .map(ImageId),
        trace_parent: column!("trace_parent"),
    })
}
