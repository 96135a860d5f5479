//! What is saved of an image's making: enough to make it again.

use serde_json::{Map, Value};
use tokio_postgres::types::{Json, Type};

use super::{
    Database,
    row::{StoredDataError, UnknownWord},
    runs::ReadError,
};
use crate::domain::{caller::Scope, id::ImageId, run::Mode, source::ImageSource};

/// How an image was made.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Made anew, or of others.
    pub mode: Mode,
    /// What was asked for, under the names that a request has for it, the prompt as `prompt`; null for what is not known.
    pub settings: Map<String, Value>,
    /// The images that it was made of.
    pub sources: Vec<ImageSource>,
    /// The mask.
    pub mask: Option<ImageSource>,
}

/// How an image was made that the caller may see. The run says it; of a record without one, its own columns do, and of what an edit
/// was made of its parent is all that is known. The model counts only where the caller had named it.
///
/// # Errors
/// [`ReadError`].
pub async fn find_saved(
    database: &Database,
    scope: Scope,
    id: ImageId,
) -> Result<Option<Saved>, ReadError> {
    let sql = "/* find_saved: $1 image, $2 owner, $3 whether every owner's */
        select coalesce(run.mode, image.mode, 'generate') as mode,
          jsonb_build_object(
            'prompt', coalesce(run.user_prompt, image.prompt),
            'style', coalesce(run.style_preset, nullif(image.style, '')),
            'dataset_id', image.dataset_id,
            'aspect_ratio', coalesce(run.options ->> 'aspect_ratio', nullif(image.aspect_ratio, '')),
            'quality', coalesce(run.options ->> 'quality', nullif(image.quality, '')),
            'format', coalesce(run.options ->> 'format', nullif(image.format, '')),
            'resolution', coalesce(run.options ->> 'resolution', nullif(image.resolution, '')),
            'background', run.options ->> 'background',
            'model', case when run.options -> 'model_named' = 'true' then run.model end,
            'asset_kind', coalesce(run.asset_kind, nullif(image.asset_kind, '')),
            'metadata', run.options -> 'metadata') as settings,
          case
            when run.id is not null then run.options -> 'sources'
            when parent.id is not null then jsonb_build_array(jsonb_build_object(
              'image_id', parent.id, 'image_url', coalesce(parent.image_url, ''), 'storage_path', parent.storage_path))
          end as sources,
          nullif(run.options -> 'mask', 'null') as mask
        from generated_images image
        left join ai_image_runs run
          on run.id = image.run_id and run.owner_user_id is not distinct from image.user_id
        left join generated_images parent
          on parent.id = image.parent_image_id and ($3 or parent.user_id is null or parent.user_id = $2)
        where image.id = $1 and ($3 or image.user_id is null or image.user_id = $2)";
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
    let read = |column| StoredDataError::in_image(column, id);
    let mode: String = row.try_get("mode").map_err(read("mode"))?;
    let settings: Json<Map<String, Value>> = row.try_get("settings").map_err(read("settings"))?;
    let sources: Option<Json<Vec<ImageSource>>> =
        row.try_get("sources").map_err(read("sources"))?;
    let mask: Option<Json<ImageSource>> = row.try_get("mask").map_err(read("mask"))?;
    let mode = Mode::parse(&mode)
        .ok_or_else(|| StoredDataError::in_image("mode", id)(UnknownWord(mode)))?;
    // An image that was made anew is made anew, whatever it was derived from.
    let sources = sources.filter(|_| mode == Mode::Edit);
    Ok(Some(Saved {
        mode,
        settings: settings.0,
        sources: sources.map(|sources| sources.0).unwrap_or_default(),
        mask: mask.filter(|_| mode == Mode::Edit).map(|mask| mask.0),
    }))
}
