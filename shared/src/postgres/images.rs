//! `generated_images`: reading records.

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
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
    /// Its public URL; none only in a record of another application.
    pub image_url: Option<String>,
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
    /// Whether it was made from a prompt or from images.
    pub mode: Option<String>,
    /// The caller's category.
    pub asset_kind: Option<String>,
    /// Whether its owner marked it.
    pub favorite: bool,
}

/// Declares which fields a record has, in their order, for answers that show some of them only.
macro_rules! record_fields {
    ($($field:ident)+) => {
        /// The fields of [`ImageRecord`], in their order.
        pub const RECORD_FIELDS: &[&str] = &[$(stringify!($field),)+];

        impl Serialize for SomeFields<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.fields.len()))?;
                $(
                    if self.fields.contains(&stringify!($field)) {
                        map.serialize_entry(stringify!($field), &self.record.$field)?;
                    }
                )+
                map.end()
            }
        }
    };
}

/// A record of which only some fields are shown, in the record's own order.
#[derive(Clone, Copy, Debug)]
pub struct SomeFields<'a> {
    /// The record.
    pub record: &'a ImageRecord,
    /// Of [`RECORD_FIELDS`].
    pub fields: &'a [&'static str],
}

record_fields! {
    id user_id prompt full_prompt image_url dataset_id style aspect_ratio quality format resolution reference_images_count
    unique_visual_elements created_at run_id model width height bytes cost_usd parent_image_id mode asset_kind favorite
}

/// The columns of [`ImageRecord`]. Not all there are: what makes records searchable is long, and nobody's to read.
pub(crate) const IMAGE_COLUMNS: &str = "id, user_id, prompt, full_prompt, image_url, dataset_id, style, aspect_ratio, quality, format, \
    resolution, reference_images_count, unique_visual_elements, created_at, run_id, model, width, height, bytes, cost_usd::text as cost, \
    parent_image_id, mode, asset_kind, favorite";

/// One record that the caller may see: its owner's, or one without an owner for anybody who has its id.
///
/// # Errors
/// [`ReadError`].
pub async fn find_image(
    database: &Database,
    scope: Scope,
    id: ImageId,
) -> Result<Option<ImageRecord>, ReadError> {
    let sql = format!(
        "/* find_image: $1 id, $2 owner, $3 whether every owner's */
        select {IMAGE_COLUMNS} from generated_images
        where id = $1 and ($3 or user_id is null or user_id = $2)"
    );
    let owner = scope.owner().map(|owner| owner.0);
    let everything = scope == Scope::Everything;
    let rows = database
        .read(
            &sql,
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
    let sql = format!(
        "/* image_of_run: $1 run */ select {IMAGE_COLUMNS} from generated_images where run_id = $1"
    );
    let rows = database.read(&sql, &[(&run_id.0, Type::UUID)]).await?;
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

/// A row of [`IMAGE_COLUMNS`].
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
        mode: column!("mode"),
        asset_kind: column!("asset_kind"),
        favorite: column!("favorite"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_together_are_the_record() {
        let record = ImageRecord {
            id: ImageId(Uuid::from_u128(1)),
            user_id: None,
            prompt: "a red bicycle".to_owned(),
            full_prompt: None,
            image_url: None,
            dataset_id: None,
            style: None,
            aspect_ratio: None,
            quality: None,
            format: None,
            resolution: None,
            reference_images_count: 0,
            unique_visual_elements: None,
            created_at: Timestamp::UNIX_EPOCH,
            run_id: None,
            model: None,
            width: None,
            height: None,
            bytes: None,
            cost_usd: None,
            parent_image_id: None,
            mode: None,
            asset_kind: None,
            favorite: true,
        };
        let some = |fields| {
            let record = &record;
            serde_json::to_string(&SomeFields { record, fields }).unwrap()
        };
        assert_eq!(some(RECORD_FIELDS), serde_json::to_string(&record).unwrap());
        let two = r#"{"prompt":"a red bicycle","favorite":true}"#;
        assert_eq!(some(&["favorite", "prompt"]), two);
    }
}
