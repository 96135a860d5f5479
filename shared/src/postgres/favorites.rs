//! `generated_images`: the mark that an owner puts on a record.

use tokio_postgres::types::Type;

use super::{
    Database,
    images::{IMAGE_COLUMNS, ImageRecord, image_from_row},
    row::StoredDataError,
    runs::ReadError,
};
use crate::domain::id::{ImageId, UserId};

/// What became of a request to mark a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Marked {
    /// It is as it was asked for, by this request or before.
    Now(Box<ImageRecord>),
    /// It has no owner who could mark it.
    Ownerless,
    /// This owner has no such record.
    NotFound,
}

/// Marks an owner's record as a favourite, or takes the mark away.
///
/// # Errors
/// [`ReadError`]; repeating the request is harmless.
pub async fn mark_favorite(
    database: &Database,
    owner: UserId,
    id: ImageId,
    favorite: bool,
) -> Result<Marked, ReadError> {
    let sql = format!(
        "/* mark_favorite: $1 image, $2 owner, $3 whether it is a favourite */
        with marked as (
          update generated_images set favorite = $3 where id = $1 and user_id = $2 returning *)
        select {IMAGE_COLUMNS}, marked.id is not null as marked,
          exists (select from generated_images nobodys where nobodys.id = $1 and nobodys.user_id is null) as ownerless
        from (select) one left join marked on true"
    );
    let rows = database
        .read(
            &sql,
            &[
                (&id.0, Type::UUID),
                (&owner.0, Type::UUID),
                (&favorite, Type::BOOL),
            ],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Marked::NotFound);
    };
    let flag = |column| {
        row.try_get::<_, bool>(column)
            .map_err(StoredDataError::in_image(column, id))
    };
    Ok(if flag("marked")? {
        Marked::Now(Box::new(image_from_row(row)?))
    } else if flag("ownerless")? {
        Marked::Ownerless
    } else {
        Marked::NotFound
    })
}
