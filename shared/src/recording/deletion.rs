//! Deleting a record of the history.

use tokio_postgres::types::Type;

use crate::{
    domain::id::{ImageId, UserId},
    postgres::{Database, row::StoredDataError, runs::ReadError},
};

/// What became of a request to delete a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone {
        /// The path in the bucket of its object, noted for deletion; none where none is known.
        path: Option<String>,
    },
    /// It has no owner, so nobody may delete it.
    Ownerless,
    /// This owner has no such record.
    NotFound,
}

/// Deletes an owner's record and notes its object for deletion, in one statement.
///
/// # Errors
/// [`ReadError`]; where the answer was lost, a repeat tells whether the record is still there.
pub async fn delete_image(
    database: &Database,
    owner: UserId,
    id: ImageId,
) -> Result<Deleted, ReadError> {
    let rows = database
        .write(
            include_str!("delete_image.sql"),
            &[(&id.0, Type::UUID), (&owner.0, Type::UUID)],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Deleted::NotFound);
    };
    let read = |column| StoredDataError::in_image(column, id);
    if row.try_get("deleted").map_err(read("id"))? {
        let path = row.try_get("path").map_err(read("storage_path"))?;
        return Ok(Deleted::Gone { path });
    }
    let ownerless: bool = row.try_get("ownerless").map_err(read("user_id"))?;
    Ok(if ownerless {
        Deleted::Ownerless
    } else {
        Deleted::NotFound
    })
}
