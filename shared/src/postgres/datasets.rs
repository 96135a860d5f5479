//! `datasets`: a brand's context.

use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Database, row::StoredDataError, runs::ReadError};
use crate::domain::{caller::Scope, id::DatasetId, prompt::DatasetContext};

/// What a dataset puts before a prompt: the caller's own dataset, or one without an owner.
///
/// # Errors
/// [`ReadError`].
pub async fn find_context(
    database: &Database,
    scope: Scope,
    id: DatasetId,
) -> Result<Option<DatasetContext>, ReadError> {
    let sql = "/* find_context: $1 dataset, $2 owner, $3 whether every owner's */
        select brand, vibe, style_guidelines, unique_visual_elements from datasets
        where id = $1 and ($3 or user_id is null or user_id = $2)";
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
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let read = |column| StoredDataError::at("datasets", column, id.to_string());
    let elements: Option<Value> = row
        .try_get("unique_visual_elements")
        .map_err(read("unique_visual_elements"))?;
    let elements = elements
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Ok(Some(DatasetContext {
        brand: row.try_get("brand").map_err(read("brand"))?,
        vibe: row.try_get("vibe").map_err(read("vibe"))?,
        style_guidelines: row
            .try_get("style_guidelines")
            .map_err(read("style_guidelines"))?,
        // An application's own table may hold more than strings in the array; only strings are words for a prompt.
        unique_visual_elements: elements
            .filter_map(|element| element.as_str().map(str::to_owned))
            .collect(),
    }))
}
