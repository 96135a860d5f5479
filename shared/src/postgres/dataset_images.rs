//! `dataset_images`: reference images of datasets. Every statement is scoped by the dataset's owner.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Row, types::Type};

use super::{Database, row::StoredDataError, runs::ReadError};
use crate::domain::id::{DatasetId, DatasetImageId, UserId};

/// A row of `dataset_images` as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetImage {
    /// Its id.
    pub id: DatasetImageId,
    /// Its dataset.
    pub dataset_id: DatasetId,
    /// Its URL.
    pub image_url: Option<String>,
    /// Its path in the bucket, where it is uploaded to it.
    pub storage_path: Option<String>,
    /// What it was said to be.
    pub content_type: Option<String>,
    /// Its size in bytes, as it was said to be.
    pub bytes: Option<i64>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// An image to add.
#[derive(Clone, Debug)]
pub struct NewDatasetImage {
    /// Its id.
    pub id: DatasetImageId,
    /// Its dataset.
    pub dataset_id: DatasetId,
    /// Its URL.
    pub image_url: String,
    /// Its path in the bucket, where it will be uploaded to it.
    pub storage_path: Option<String>,
    /// What it is said to be.
    pub content_type: Option<String>,
    /// Its size in bytes, as it is said to be.
    pub bytes: Option<i64>,
}

/// Adds an image. None where this owner has no such dataset.
///
/// # Errors
/// [`ReadError`].
pub async fn insert_image(
    database: &Database,
    owner: UserId,
    new: &NewDatasetImage,
) -> Result<Option<DatasetImage>, ReadError> {
    let sql = "/* insert_image: $1 id, $2 dataset, $3 owner, $4 URL, $5 path, $6 content type, $7 bytes */
        insert into dataset_images (id, dataset_id, image_url, storage_path, content_type, bytes)
        select $1, id, $4, $5, $6, $7 from datasets where id = $2 and user_id = $3
        returning *";
    let rows = database
        .write(
            sql,
            &[
                (&new.id.0, Type::UUID),
                (&new.dataset_id.0, Type::UUID),
                (&owner.0, Type::UUID),
                (&new.image_url, Type::TEXT),
                (&new.storage_path, Type::TEXT),
                (&new.content_type, Type::TEXT),
                (&new.bytes, Type::INT8),
            ],
        )
        .await?;
    Ok(rows.first().map(from_row).transpose()?)
}

/// A dataset's images, in the order in which they go with requests. None where this owner has no such dataset.
///
/// # Errors
/// [`ReadError`].
pub async fn list_images(
    database: &Database,
    owner: UserId,
    dataset_id: DatasetId,
    limit: i64,
    offset: i64,
) -> Result<Option<Vec<DatasetImage>>, ReadError> {
    let sql = "/* list_images: $1 dataset, $2 owner, $3 limit, $4 offset */
        select image.* from datasets dataset
        left join lateral (
          select * from dataset_images where dataset_id = dataset.id order by created_at, id limit $3 offset $4) image on true
        where dataset.id = $1 and dataset.user_id = $2
        order by image.created_at, image.id";
    let rows = database
        .read(
            sql,
            &[
                (&dataset_id.0, Type::UUID),
                (&owner.0, Type::UUID),
                (&limit, Type::INT8),
                (&offset, Type::INT8),
            ],
        )
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    // A dataset without images is one row without an image.
    let images = rows
        .iter()
        .filter(|row| !matches!(row.try_get::<_, Option<uuid::Uuid>>("id"), Ok(None)));
    Ok(Some(images.map(from_row).collect::<Result<_, _>>()?))
}

/// Deletes one image of a dataset, or all of them; notes for deletion the objects of those that were uploaded. Gives the number deleted
/// and those objects' paths in the bucket. None where this owner has no such dataset.
///
/// # Errors
/// [`ReadError`].
pub async fn delete_images(
    database: &Database,
    owner: UserId,
    dataset_id: DatasetId,
    only: Option<DatasetImageId>,
) -> Result<Option<(usize, Vec<String>)>, ReadError> {
    let sql = "/* delete_images: $1 dataset, $2 owner, $3 only this image */
        with dataset as (select id from datasets where id = $1 and user_id = $2),
        gone as (
          delete from dataset_images
          where dataset_id in (select id from dataset) and ($3::uuid is null or id = $3)
          returning id, nullif(storage_path, '') as storage_path),
        noted as (
          insert into storage_deletions (path)
          select distinct storage_path from gone where storage_path is not null
          on conflict (path) do nothing)
        select gone.storage_path, gone.id is not null as found from dataset left join gone on true";
    let rows = database
        .write(
            sql,
            &[
                (&dataset_id.0, Type::UUID),
                (&owner.0, Type::UUID),
                (&only.map(|id| id.0), Type::UUID),
            ],
        )
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let read = |column| StoredDataError::at("dataset_images", column, dataset_id.to_string());
    let mut deleted = 0;
    let mut paths = Vec::new();
    for row in &rows {
        let found: bool = row.try_get("found").map_err(read("id"))?;
        deleted += usize::from(found);
        let path: Option<String> = row.try_get("storage_path").map_err(read("storage_path"))?;
        paths.extend(path);
    }
    Ok(Some((deleted, paths)))
}

fn from_row(row: &Row) -> Result<DatasetImage, StoredDataError> {
    let read = |column| StoredDataError::at("dataset_images", column, "unknown".to_owned());
    let id = DatasetImageId(row.try_get("id").map_err(read("id"))?);
    let read = |column| StoredDataError::at("dataset_images", column, id.to_string());
    macro_rules! column {
        ($name:literal) => {
            row.try_get($name).map_err(read($name))?
        };
    }
    Ok(DatasetImage {
        id,
        dataset_id: DatasetId(column!("dataset_id")),
        image_url: column!("image_url"),
        storage_path: column!("storage_path"),
        content_type: column!("content_type"),
        bytes: column!("bytes"),
        created_at: column!("created_at"),
    })
}
