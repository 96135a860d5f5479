//! `generated_images` as a tree: what an image was made from, and what was made from it.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::{
    Database,
    images::{IMAGE_COLUMNS, ImageRecord, image_from_row},
    row::StoredDataError,
    runs::ReadError,
};
use crate::domain::{caller::Scope, id::ImageId};

/// Steps that are followed up and down.
const DEEPEST: i32 = 64;
/// Records of one answer.
const MOST: i64 = 500;

/// The family of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lineage {
    /// The image that it was made from, the one that that was made from, and so on.
    pub ancestors: Vec<ImageRecord>,
    /// What was made from it, then what was made from those. Each has its `parent_image_id`.
    pub descendants: Vec<ImageRecord>,
}

/// The family of an image, as far as the caller may see it: upwards, records that an id alone opens too; downwards, only the caller's
/// own, since the tree must not tell ids that nobody gave.
///
/// # Errors
/// [`ReadError`].
pub async fn lineage(database: &Database, scope: Scope, id: ImageId) -> Result<Lineage, ReadError> {
    let sql = format!(
        "/* lineage: $1 image, $2 owner, $3 whether every owner's, $4 steps at most, $5 records at most */
        with recursive up as (
          select image.parent_image_id as id, -1 as depth from generated_images image where image.id = $1
          union all
          select image.parent_image_id, up.depth - 1
          from up join generated_images image on image.id = up.id
          where up.depth > -$4 and ($3 or image.user_id is null or image.user_id = $2)
        ),
        down as (
          select $1 as id, 0 as depth
          union all
          select image.id, down.depth + 1
          from down join generated_images image on image.parent_image_id = down.id
          where down.depth < $4 and ($3 or image.user_id is not distinct from $2)
        ),
        family as (select id, depth from up union all select id, depth from down where depth > 0)
        select {IMAGE_COLUMNS}, family.depth
        from family join generated_images image using (id)
        where $3 or image.user_id is null or image.user_id = $2
        order by abs(family.depth), image.created_at, image.id
        limit $5"
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
                (&DEEPEST, Type::INT4),
                (&MOST, Type::INT8),
            ],
        )
        .await?;
    let mut lineage = Lineage::default();
    for row in &rows {
        let depth: i32 = row
            .try_get("depth")
            .map_err(StoredDataError::in_image("parent_image_id", id))?;
        let image = image_from_row(row)?;
        if depth < 0 {
            lineage.ancestors.push(image);
        } else {
            lineage.descendants.push(image);
        }
    }
    Ok(lineage)
}
