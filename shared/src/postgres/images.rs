//! `generated_images`: reading records.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use super::{Database, row::StoredDataError, runs::ReadError};
use crate::domain::{
    caller::Scope,
    cost::CostUsd,
    id::{DatasetId, ImageId, RunId, UserId},
    source::ImageSource,
};

/// A row of `generated_images` as the API shows it: the fourteen fields of the first version of the history, then what was added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageRecord {
    /// Its id.
    pub id: ImageId,
    /// Its owner; none for an anonymous caller.
    pub user_id: Option<UserId>,
    /// What the user typed.
    pub prompt: String,
    /// What was sent.
    pub full_prompt: Option<String>,
    /// Its public URL.
    pub image_url: String,
    /// The dataset it draws on.
    pub dataset_id: Option<DatasetId>,
    /// The style asked for.
    pub style: Option<String>,
    /// The shape asked for.
    pub aspect_ratio: Option<String>,
    /// The quality asked for.
    pub quality: Option<String>,
    /// File format.
    pub format: Option<String>,
    /// Size class.
    pub resolution: Option<String>,
    /// Reference images that went with the request.
    pub reference_images_count: i32,
    /// Visual elements of the dataset that went into the prompt.
    pub unique_visual_elements: Option<Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// The model that made it.
    pub model: Option<String>,
    /// Width in pixels.
    pub width: Option<i32>,
    /// Height in pixels.
    pub height: Option<i32>,
    /// Size in bytes.
    pub bytes: Option<i64>,
    /// What the call that made it cost; none where the price is not known.
    pub cost_usd: Option<CostUsd>,
    /// The image it was made from.
    pub parent_image_id: Option<ImageId>,
}

/// Which records to list.
#[derive(Clone, Debug)]
pub struct ImageFilter {
    /// Whose.
    pub scope: Scope,
    /// Only those that draw on this dataset.
    pub dataset_id: Option<DatasetId>,
    /// How many at most.
    pub limit: i64,
    /// How many to pass over.
    pub offset: i64,
    /// Only records after this one in the order of the list.
    pub after: Option<(Timestamp, ImageId)>,
}

/// Records, newest first.
///
/// # Errors
/// [`ReadError`].
pub async fn list_images(
    database: &Database,
    filter: &ImageFilter,
) -> Result<Vec<ImageRecord>, ReadError> {
    let whose = match filter.scope {
        Scope::Owner(_) => "user_id = $1",
        Scope::Ownerless => "user_id is null and $1::uuid is null",
        Scope::Everything => "$1::uuid is null",
    };
    let sql = format!(
        "/* list_images: $1 owner, $2 dataset, $3 limit, $4 offset, $5 and $6 the record to go on after */
        select *, cost_usd::text as cost from generated_images
        where {whose} and ($2::uuid is null or dataset_id = $2) and ($5::timestamptz is null or (created_at, id) < ($5, $6))
        order by created_at desc, id desc limit $3 offset $4"
    );
    let owner = filter.scope.owner().map(|owner| owner.0);
    let dataset = filter.dataset_id.map(|id| id.0);
    let (after_time, after_id) = (
        filter.after.map(|after| after.0),
        filter.after.map(|after| after.1.0),
    );
    let rows = database
        .read(
            &sql,
            &[
                (&owner, Type::UUID),
                (&dataset, Type::UUID),
                (&filter.limit, Type::INT8),
                (&filter.offset, Type::INT8),
                (&after_time, Type::TIMESTAMPTZ),
                (&after_id, Type::UUID),
            ],
        )
        .await?;
    Ok(rows.iter().map(image_from_row).collect::<Result<_, _>>()?)
}

/// One record that the caller may see: its owner's, or one without an owner for anybody who has its id.
///
/// # Errors
/// [`ReadError`].
pub async fn find_image(
    database: &Database,
    scope: Scope,
    id: ImageId,
) -> Result<Option<ImageRecord>, ReadError> {
    let sql = "/* find_image: $1 id, $2 owner, $3 whether every owner's */
        select *, cost_usd::text as cost from generated_images
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
    Ok(rows.first().map(image_from_row).transpose()?)
}

/// The record that a run made.
///
/// # Errors
/// [`ReadError`].
pub async fn image_of_run(
    database: &Database,
    run_id: RunId,
) -> Result<Option<ImageRecord>, ReadError> {
    let sql = "/* image_of_run: $1 run */ select *, cost_usd::text as cost from generated_images where run_id = $1";
    let rows = database.read(sql, &[(&run_id.0, Type::UUID)]).await?;
    Ok(rows.first().map(image_from_row).transpose()?)
}

/// An image that a caller wants to edit.
#[derive(Clone, Debug, PartialEq)]
pub struct EditableImage {
    /// Where it is.
    pub source: ImageSource,
    /// The shape that was asked for when it was made.
    pub aspect_ratio: Option<String>,
}

/// Those of these images that the caller may see, in no order.
///
/// # Errors
/// [`ReadError`].
pub async fn find_editable(
    database: &Database,
    scope: Scope,
    ids: &[ImageId],
) -> Result<Vec<EditableImage>, ReadError> {
    let sql = "/* find_editable: $1 ids, $2 owner, $3 whether every owner's */
        select id, image_url, storage_path, aspect_ratio from generated_images
        where id = any($1) and ($3 or user_id is null or user_id = $2)";
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let owner = scope.owner().map(|owner| owner.0);
    let everything = scope == Scope::Everything;
    let rows = database
        .read(
            sql,
            &[
                (&ids, Type::UUID_ARRAY),
                (&owner, Type::UUID),
                (&everything, Type::BOOL),
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let unknown = StoredDataError::at("generated_images", "id", "unknown".to_owned());
        let id = ImageId(row.try_get("id").map_err(unknown)?);
        let read = |column| StoredDataError::in_image(column, id);
        let image_url: Option<String> = row.try_get("image_url").map_err(read("image_url"))?;
        found.push(EditableImage {
            source: ImageSource {
                image_id: Some(id),
                image_url: image_url.unwrap_or_default(),
                storage_path: row.try_get("storage_path").map_err(read("storage_path"))?,
            },
            aspect_ratio: row.try_get("aspect_ratio").map_err(read("aspect_ratio"))?,
        });
    }
    Ok(found)
}

/// A row of `generated_images`, with `cost_usd::text` beside it as `cost`.
pub(crate) fn image_from_row(row: &Row) -> Result<ImageRecord, StoredDataError> {
    let id = ImageId(row.try_get("id").map_err(StoredDataError::at(
        "generated_images",
        "id",
        "unknown".to_owned(),
    ))?);
    macro_rules! column {
        ($name:literal) => {
            row.try_get($name)
                .map_err(StoredDataError::in_image($name, id))?
        };
    }
    macro_rules! id_column {
        ($name:literal, $id:ident) => {
            row.try_get::<_, Option<Uuid>>($name)
                .map_err(StoredDataError::in_image($name, id))?
                .map($id)
        };
    }
    let cost: Option<String> = column!("cost");
    let reference_images_count: Option<i32> = column!("reference_images_count");
    Ok(ImageRecord {
        id,
        user_id: id_column!("user_id", UserId),
        prompt: column!("prompt"),
        full_prompt: column!("full_prompt"),
        image_url: column!("image_url"),
        dataset_id: id_column!("dataset_id", DatasetId),
        style: column!("style"),
        aspect_ratio: column!("aspect_ratio"),
        quality: column!("quality"),
        format: column!("format"),
        resolution: column!("resolution"),
        reference_images_count: reference_images_count.unwrap_or(0),
        unique_visual_elements: column!("unique_visual_elements"),
        created_at: column!("created_at"),
        run_id: id_column!("run_id", RunId),
        model: column!("model"),
        width: column!("width"),
        height: column!("height"),
        bytes: column!("bytes"),
        cost_usd: cost
            .map(|text| text.parse::<CostUsd>())
            .transpose()
            .map_err(StoredDataError::in_image("cost_usd", id))?,
        parent_image_id: id_column!("parent_image_id", ImageId),
    })
}
