//! `generated_images` as a list: narrowed, in order, page by page.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database,
    images::{IMAGE_COLUMNS, ImageRecord, image_from_row},
    runs::ReadError,
};
use crate::domain::{
    caller::Scope,
    history::{HistoryFilter, Listing, Order},
    page::Cursor,
};

/// A record and its place in the list, after which the next page begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The record.
    pub record: ImageRecord,
    /// Where it stands.
    pub place: Cursor,
}

/// A page of the history: at most `limit` records, in order, after the place where the last page ended.
///
/// # Errors
/// [`ReadError`].
pub async fn list_history(
    database: &Database,
    listing: &Listing,
) -> Result<Vec<Listed>, ReadError> {
    let statement = Statement::of(listing);
    let rows = database.read(&statement.sql, &statement.params()).await?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        let record = image_from_row(row)?;
        let place = Cursor {
            created_at: record.created_at,
            id: record.id.0,
        };
        page.push(Listed { record, place });
    }
    Ok(page)
}

/// A statement that holds no more conditions than were asked for, so that the planner takes the index that fits them. Its text is made
/// of our own words alone; what callers gave goes beside it.
#[derive(Debug)]
pub struct Statement {
    /// The text.
    pub sql: String,
    values: Vec<(Value, Type)>,
}

type Value = Box<dyn ToSql + Sync + Send>;

impl Statement {
    /// The statement that reads a page.
    pub fn of(listing: &Listing) -> Self {
        let mut statement = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        let mut conditions = vec![statement.whose(listing.scope)];
        statement.narrow(&listing.filter, &mut conditions);
        let (after, by) = match listing.order {
            Order::Newest => ("<", "created_at desc, id desc"),
            Order::Oldest => (">", "created_at, id"),
        };
        if let Some(cursor) = listing.after {
            let time = statement.value(cursor.created_at, Type::TIMESTAMPTZ);
            let id = statement.value(cursor.id, Type::UUID);
            conditions.push(format!("(created_at, id) {after} ({time}, {id})"));
        }
        // `user_id is null` is no equality to the planner: it must be told that the order within these rows is the index's.
        let owner = match (listing.scope, listing.order) {
            (Scope::Ownerless, Order::Newest) => "user_id, ",
            (Scope::Ownerless, Order::Oldest) => "user_id desc, ",
            (Scope::Owner(_) | Scope::Everything, _) => "",
        };
        let limit = statement.value(listing.limit, Type::INT8);
        let offset = statement.value(listing.offset, Type::INT8);
        let conditions = conditions.join(" and ");
        statement.sql = format!(
            "/* list_history */ select {IMAGE_COLUMNS} from generated_images
            where {conditions} order by {owner}{by} limit {limit} offset {offset}"
        );
        statement
    }

    /// The values that go beside the text.
    pub fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values
            .iter()
            .map(|(value, of_type)| (&**value as &(dyn ToSql + Sync), of_type.clone()))
            .collect()
    }

    /// Adds a value; answers how the text names it.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static, of_type: Type) -> String {
        self.values.push((Box::new(value), of_type));
        format!("${}", self.values.len())
    }

    fn whose(&mut self, scope: Scope) -> String {
        match scope {
            Scope::Owner(owner) => format!("user_id = {}", self.value(owner.0, Type::UUID)),
            Scope::Ownerless => "user_id is null".to_owned(),
            Scope::Everything => "true".to_owned(),
        }
    }

    fn narrow(&mut self, filter: &HistoryFilter, conditions: &mut Vec<String>) {
        if let Some(id) = filter.dataset_id {
            conditions.push(format!("dataset_id = {}", self.value(id.0, Type::UUID)));
        }
        let words = [
            // As its index has it.
            ("left(style, 200)", filter.style.clone()),
            ("model", filter.model.clone().map(String::from)),
            ("format", filter.format.map(|word| word.to_string())),
            (
                "aspect_ratio",
                filter.aspect_ratio.map(|word| word.to_string()),
            ),
            ("resolution", filter.resolution.map(|word| word.to_string())),
            ("asset_kind", filter.asset_kind.clone()),
            ("mode", filter.mode.map(|mode| mode.as_str().to_owned())),
        ];
        for (column, word) in words {
            if let Some(word) = word {
                conditions.push(format!("{column} = {}", self.value(word, Type::TEXT)));
            }
        }
        if let Some(favorite) = filter.favorite {
            conditions.push(format!("favorite = {}", self.value(favorite, Type::BOOL)));
        }
        let mut moment = |comparison: &str, time: Option<Timestamp>| {
            if let Some(time) = time {
                let time = self.value(time, Type::TIMESTAMPTZ);
                conditions.push(format!("created_at {comparison} {time}"));
            }
        };
        moment(">=", filter.from);
        moment("<", filter.to);
    }
}
