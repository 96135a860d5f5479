//! `datasets`: a brand's context.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::{
    Row,
    types::{Json, Type},
};
use uuid::Uuid;

use super::{Database, row::StoredDataError, runs::ReadError};
use crate::domain::{
    caller::Scope,
    id::{DatasetId, UserId},
    prompt::DatasetContext,
    source::Reference,
};

/// What a dataset gives to a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What it puts before a prompt.
    pub context: DatasetContext,
    /// Its first images.
    pub references: Vec<Reference>,
}

/// What a dataset gives to a request, with so many of its images at most: the caller's own dataset, or one without an owner.
///
/// # Errors
/// [`ReadError`].
pub async fn find_context(
    database: &Database,
    scope: Scope,
    id: DatasetId,
    references: usize,
) -> Result<Option<Found>, ReadError> {
    let sql = "/* find_context: $1 dataset, $2 owner, $3 whether every owner's, $4 images at most */
        select brand, vibe, style_guidelines, unique_visual_elements,
          (select jsonb_agg(jsonb_build_object(
              'id', image.id::text, 'image_url', coalesce(image.image_url, ''), 'storage_path', image.storage_path)
              order by image.created_at, image.id)
            from (
              select id, image_url, storage_path, created_at from dataset_images
              where dataset_id = $1 and (image_url is not null or storage_path is not null)
              order by created_at, id limit $4) image) as images
        from datasets where id = $1 and ($3 or user_id is null or user_id = $2)";
    let owner = scope.owner().map(|owner| owner.0);
    let everything = scope == Scope::Everything;
    let rows = database
        .read(
            sql,
            &[
                (&id.0, Type::UUID),
                (&owner, Type::UUID),
                (&everything, Type::BOOL),
                (&i64::try_from(references).unwrap_or(0), Type::INT8),
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
    let context = DatasetContext {
        brand: row.try_get("brand").map_err(read("brand"))?,
        vibe: row.try_get("vibe").map_err(read("vibe"))?,
        style_guidelines: row
            .try_get("style_guidelines")
            .map_err(read("style_guidelines"))?,
        // An application's own table may hold more than strings in the array; only strings are words for a prompt.
        unique_visual_elements: elements
            .filter_map(|element| element.as_str().map(str::to_owned))
            .collect(),
    };
    let images: Option<Json<Vec<Reference>>> = row.try_get("images").map_err(read("images"))?;
    Ok(Some(Found {
        context,
        references: images.map(|images| images.0).unwrap_or_default(),
    }))
}

/// A row of `datasets` as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dataset {
    /// Its id.
    pub id: DatasetId,
    /// Its owner; none for one that everybody may use.
    pub user_id: Option<UserId>,
    /// Its name.
    pub name: String,
    /// The brand's name.
    pub brand: Option<String>,
    /// The mood in a few words.
    pub vibe: Option<String>,
    /// Rules for the look.
    pub style_guidelines: Option<String>,
    /// What makes the place or the product recognisable: a list of texts.
    pub unique_visual_elements: Value,
    /// How many reference images it has.
    pub image_count: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The columns of a dataset as it is shown, from a row named `dataset`.
const SHOWN: &str = "dataset.id, dataset.user_id, dataset.name, dataset.brand, dataset.vibe, dataset.style_guidelines,
    dataset.unique_visual_elements, dataset.created_at, dataset.updated_at,
    (select count(*) from dataset_images image where image.dataset_id = dataset.id) as image_count";

/// One dataset of this owner.
///
/// # Errors
/// [`ReadError`].
pub async fn find_dataset(
    database: &Database,
    owner: UserId,
    id: DatasetId,
) -> Result<Option<Dataset>, ReadError> {
    let sql = format!(
        "/* find_dataset: $1 id, $2 owner */ select {SHOWN} from datasets dataset where id = $1 and user_id = $2"
    );
    let rows = database
        .read(&sql, &[(&id.0, Type::UUID), (&owner.0, Type::UUID)])
        .await?;
    Ok(rows.first().map(from_row).transpose()?)
}

/// Which part of an owner's datasets to list.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// How many at most.
    pub limit: i64,
    /// How many to pass over.
    pub offset: i64,
    /// Only those after this one in the order of the list.
    pub after: Option<(Timestamp, DatasetId)>,
}

/// An owner's datasets, newest first.
///
/// # Errors
/// [`ReadError`].
pub async fn list_datasets(
    database: &Database,
    owner: UserId,
    part: Part,
) -> Result<Vec<Dataset>, ReadError> {
    let sql = format!(
        "/* list_datasets: $1 owner, $2 limit, $3 offset, $4 and $5 the dataset to go on after */
        select {SHOWN} from datasets dataset
        where user_id = $1 and ($4::timestamptz is null or (created_at, id) < ($4, $5))
        order by created_at desc, id desc limit $2 offset $3"
    );
    let (after_time, after_id) = (
        part.after.map(|after| after.0),
        part.after.map(|after| after.1.0),
    );
    let rows = database
        .read(
            &sql,
            &[
                (&owner.0, Type::UUID),
                (&part.limit, Type::INT8),
                (&part.offset, Type::INT8),
                (&after_time, Type::TIMESTAMPTZ),
                (&after_id, Type::UUID),
            ],
        )
        .await?;
    Ok(rows.iter().map(from_row).collect::<Result<_, _>>()?)
}

/// Makes a dataset of `fields`, which are named as its columns.
///
/// # Errors
/// [`ReadError`]; a foreign key where the owner is gone.
pub async fn insert_dataset(
    database: &Database,
    owner: UserId,
    fields: &Map<String, Value>,
) -> Result<Option<Dataset>, ReadError> {
    let sql = format!(
        "/* insert_dataset: $1 id, $2 owner, $3 fields */
        with dataset as (
          insert into datasets (id, user_id, name, brand, vibe, style_guidelines, unique_visual_elements)
          values ($1, $2, $3 ->> 'name', $3 ->> 'brand', $3 ->> 'vibe', $3 ->> 'style_guidelines',
            coalesce(nullif($3 -> 'unique_visual_elements', 'null'), '[]'))
          returning *)
        select {SHOWN} from dataset"
    );
    let rows = database
        .write(
            &sql,
            &[
                (&Uuid::new_v4(), Type::UUID),
                (&owner.0, Type::UUID),
                (&Json(fields), Type::JSONB),
            ],
        )
        .await?;
    Ok(rows.first().map(from_row).transpose()?)
}

/// Changes those columns that `fields` names; null empties one. None where this owner has no such dataset.
///
/// # Errors
/// [`ReadError`].
pub async fn change_dataset(
    database: &Database,
    owner: UserId,
    id: DatasetId,
    fields: &Map<String, Value>,
) -> Result<Option<Dataset>, ReadError> {
    let sql = format!(
        "/* change_dataset: $1 id, $2 owner, $3 fields */
        with dataset as (
          update datasets set
            name = case when $3 ? 'name' then $3 ->> 'name' else name end,
            brand = case when $3 ? 'brand' then $3 ->> 'brand' else brand end,
            vibe = case when $3 ? 'vibe' then $3 ->> 'vibe' else vibe end,
            style_guidelines = case when $3 ? 'style_guidelines' then $3 ->> 'style_guidelines' else style_guidelines end,
            unique_visual_elements = case
              when $3 ? 'unique_visual_elements' then coalesce(nullif($3 -> 'unique_visual_elements', 'null'), '[]')
              else unique_visual_elements end,
            updated_at = now()
          where id = $1 and user_id = $2
          returning *)
        select {SHOWN} from dataset"
    );
    let rows = database
        .write(
            &sql,
            &[
                (&id.0, Type::UUID),
                (&owner.0, Type::UUID),
                (&Json(fields), Type::JSONB),
            ],
        )
        .await?;
    Ok(rows.first().map(from_row).transpose()?)
}

/// Deletes a dataset with its images; notes for deletion the objects of those that were uploaded, and gives their paths in the bucket.
/// What was made with it stays. None where this owner has no such dataset.
///
/// # Errors
/// [`ReadError`].
pub async fn delete_dataset(
    database: &Database,
    owner: UserId,
    id: DatasetId,
) -> Result<Option<Vec<String>>, ReadError> {
    let sql = "/* delete_dataset: $1 id, $2 owner */
        with gone as (delete from datasets where id = $1 and user_id = $2 returning id),
        noted as (
          insert into storage_deletions (path)
          select distinct storage_path from dataset_images join gone on dataset_id = gone.id where storage_path <> ''
          on conflict (path) do nothing)
        select coalesce(
          (select array_agg(distinct storage_path) from dataset_images where dataset_id = gone.id and storage_path <> ''),
          '{}'::text[]) as paths
        from gone";
    let rows = database
        .write(sql, &[(&id.0, Type::UUID), (&owner.0, Type::UUID)])
        .await?;
    let read = StoredDataError::at("dataset_images", "storage_path", id.to_string());
    Ok(rows
        .first()
        .map(|row| row.try_get("paths").map_err(read))
        .transpose()?)
}

fn from_row(row: &Row) -> Result<Dataset, StoredDataError> {
    let id = DatasetId(row.try_get("id").map_err(StoredDataError::at(
        "datasets",
        "id",
        "unknown".to_owned(),
    ))?);
    let read = |column| StoredDataError::at("datasets", column, id.to_string());
    macro_rules! column {
        ($name:literal) => {
            row.try_get($name).map_err(read($name))?
        };
    }
    Ok(Dataset {
        id,
        user_id: row
            .try_get::<_, Option<Uuid>>("user_id")
            .map_err(read("user_id"))?
            .map(UserId),
        name: column!("name"),
        brand: column!("brand"),
        vibe: column!("vibe"),
        style_guidelines: column!("style_guidelines"),
        unique_visual_elements: column!("unique_visual_elements"),
        image_count: column!("image_count"),
        created_at: column!("created_at"),
        updated_at: column!("updated_at"),
    })
}
