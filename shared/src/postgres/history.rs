//! `generated_images` as a list: narrowed, searched, in order, page by page.

use tokio_postgres::Row;

use super::{
    Database,
    images::{ImageRecord, image_from_row},
    row::StoredDataError,
    runs::ReadError,
};
use crate::domain::{
    history::{Listing, Order},
    page::{Cursor, Ranked},
};

pub mod statement;

pub use statement::{Found, Statement};

/// A record and its place in the list, after which the next page begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The record.
    pub record: ImageRecord,
    /// Where it stands.
    pub place: Cursor,
}

/// A page of the history: at most `limit` records, in order, after the place where the last page ended. Where a search finds nothing
/// by its words, the records that resemble them most are listed, if any do; that is a second question to the database.
///
/// # Errors
/// [`ReadError`].
pub async fn list_history(
    database: &Database,
    listing: &Listing,
) -> Result<Vec<Listed>, ReadError> {
    let resembling = |cursor: Cursor| cursor.ranked.is_some_and(|ranked| ranked.resembling);
    if listing.after.is_some_and(resembling) {
        return page(database, listing, Found::ByLikeness).await;
    }
    let listed = page(database, listing, Found::ByWords).await?;
    let search = listing.filter.search.as_ref();
    let misspelt = search.is_some_and(|search| search.may_be_misspelt());
    if !(listed.is_empty() && misspelt && listing.after.is_none()) {
        return Ok(listed);
    }
    // An empty page far down the list does not say that nothing was found.
    let first = Listing {
        limit: 1,
        offset: 0,
        ..listing.clone()
    };
    if listing.offset > 0 && !page(database, &first, Found::ByWords).await?.is_empty() {
        return Ok(listed);
    }
    page(database, listing, Found::ByLikeness).await
}

async fn page(
    database: &Database,
    listing: &Listing,
    found: Found,
) -> Result<Vec<Listed>, ReadError> {
    let statement = Statement::of(listing, found);
    let rows = database.read(&statement.sql, &statement.params()).await?;
    let listed = rows.iter().map(|row| listed(row, listing.order, found));
    Ok(listed.collect::<Result<_, _>>()?)
}

fn listed(row: &Row, order: Order, found: Found) -> Result<Listed, StoredDataError> {
    let record = image_from_row(row)?;
    let resembling = found == Found::ByLikeness;
    let ranked = if resembling || order == Order::Relevance {
        let unread = |column| StoredDataError::in_image(column, record.id);
        Some(Ranked {
            resembling,
            rank: row.try_get("rank").map_err(unread("search"))?,
            newest: row.try_get("newest").map_err(unread("created_at"))?,
        })
    } else {
        None
    };
    let place = Cursor {
        created_at: record.created_at,
        id: record.id.0,
        ranked,
    };
    Ok(Listed { record, place })
}
