//! The text of the statement that reads a page of the history.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};

use crate::{
    domain::{
        caller::Scope,
        history::{HistoryFilter, Listing, MOST_COMPARED, MOST_RANKED, Order},
        page::Cursor,
        search::SearchText,
    },
    postgres::images::IMAGE_COLUMNS,
};

/// From which likeness on, of 1, a prompt resembles a word: one letter wrong, missing or too much, or two that changed places, in a word
/// of about six.
const LIKENESS: &str = "rank >= 0.45";

/// How a search finds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// By their words; also where nothing is searched for.
    ByWords,
    /// By likeness, where no record has the words.
    ByLikeness,
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

/// How the time of a record is written, which decides which indexes can give the order.
#[derive(Clone, Copy)]
enum Time {
    /// As in the indexes on the owner and the time alone.
    AsItIs,
    /// As in the indexes of the filters: a page with a filter is read from one of them, however common the planner takes it to be.
    InUtc,
}

impl Time {
    const fn column(self) -> &'static str {
        match self {
            Self::AsItIs => "created_at",
            Self::InUtc => "(created_at at time zone 'utc')",
        }
    }
}

/// A search in SQL.
struct Search {
    /// What a record must meet to be looked at.
    condition: String,
    /// How many records are looked at, the newest.
    most: i64,
    /// How well a record fits.
    rank: String,
    /// What the rank is made of, and its name in `rank`.
    ranked_by: &'static str,
    /// What a record must meet once it has a rank.
    ranked_condition: &'static str,
}

impl Statement {
    /// The statement that reads a page.
    pub fn of(listing: &Listing, found: Found) -> Self {
        let mut statement = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        let mut conditions = vec![statement.whose(listing.scope)];
        statement.narrow(&listing.filter, &mut conditions);
        let time = if conditions.len() > 1 {
            Time::InUtc
        } else {
            Time::AsItIs
        };
        statement.limit_time(&listing.filter, time, &mut conditions);
        let search = listing.filter.search.as_ref().map(|text| match found {
            Found::ByWords => statement.by_words(text),
            Found::ByLikeness => statement.by_likeness(text),
        });
        let by_rank = listing.order == Order::Relevance || found == Found::ByLikeness;
        conditions.extend(search.as_ref().map(|search| search.condition.clone()));
        statement.sql = match search {
            Some(search) if by_rank => statement.ranked(listing, time, conditions, &search),
            _ => statement.unranked(listing, time, conditions),
        };
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
    }

    fn limit_time(&mut self, filter: &HistoryFilter, time: Time, conditions: &mut Vec<String>) {
        for (comparison, limit) in [(">=", filter.from), ("<", filter.to)] {
            if let Some(limit) = limit {
                let limit = self.time(limit, time);
                conditions.push(format!("{} {comparison} {limit}", time.column()));
            }
        }
    }

    /// A time, to be compared with [`Time::column`].
    fn time(&mut self, value: Timestamp, time: Time) -> String {
        let value = self.value(value, Type::TIMESTAMPTZ);
        match time {
            Time::AsItIs => value,
            Time::InUtc => format!("({value} at time zone 'utc')"),
        }
    }

    /// Records that have the words.
    fn by_words(&mut self, text: &SearchText) -> Search {
        let given = self.value(text.as_str().to_owned(), Type::TEXT);
        let exact = format!("websearch_to_tsquery('english', {given})");
        let (wanted, rank) = if text.ends_in_a_word() {
            // The last word may go on, but records that have it as it stands come first.
            let wanted =
                format!(r"regexp_replace({exact}::text, '''(( \))*)$', ''':*\1')::tsquery");
            let rank = format!("(ts_rank(search, {exact}) + ts_rank(search, {wanted}) / 10)::real");
            (wanted, rank)
        } else {
            (exact.clone(), format!("ts_rank(search, {exact})"))
        };
        Search {
            // Where no word is left that matters, nothing need be read.
            condition: format!("numnode({wanted}) > 0 and search @@ {wanted}"),
            most: MOST_RANKED,
            rank,
            ranked_by: "search",
            ranked_condition: "true",
        }
    }

    /// Records of whose prompt a part resembles the text. They are compared one by one: an index of likeness would have to be asked for
    /// all that there are, which are many for most words, and none is the newest to it.
    fn by_likeness(&mut self, text: &SearchText) -> Search {
        let given = self.value(text.as_str().to_owned(), Type::TEXT);
        Search {
            // A text without letters, or without pg_trgm any text, does not even resemble itself.
            condition: format!("prompt_resemblance({given}, {given}) > 0"),
            most: MOST_COMPARED,
            rank: format!("prompt_resemblance({given}, prompt)"),
            ranked_by: "left(prompt, 500) as prompt",
            ranked_condition: LIKENESS,
        }
    }

    fn unranked(&mut self, listing: &Listing, time: Time, mut conditions: Vec<String>) -> String {
        let column = time.column();
        let (after, descending) = direction(listing.order);
        if let Some(cursor) = listing.after {
            let place = self.place(cursor, time);
            conditions.push(format!("({column}, id) {after} ({place})"));
        }
        let conditions = conditions.join(" and ");
        let owner = owner_in_order(listing.scope, descending);
        let part = self.part(listing);
        format!(
            "/* list_history */ select {IMAGE_COLUMNS} from generated_images
            where {conditions} order by {owner}{column}{descending}, id{descending} {part}"
        )
    }

    fn ranked(
        &mut self,
        listing: &Listing,
        time: Time,
        mut conditions: Vec<String>,
        search: &Search,
    ) -> String {
        let column = time.column();
        let (after, descending) = direction(listing.order);
        let by = match listing.order {
            Order::Relevance => "rank desc, created_at desc, id desc".to_owned(),
            Order::Newest | Order::Oldest => format!("created_at{descending}, id{descending}"),
        };
        let mut ranked = search.ranked_condition.to_owned();
        if let Some(cursor) = listing.after {
            let earlier = cursor.ranked;
            let newest = earlier.map_or(cursor.created_at, |earlier| earlier.newest);
            let newest = self.time(newest, time);
            conditions.push(format!("{column} <= {newest}"));
            let place = self.place(cursor, Time::AsItIs);
            ranked.push_str(&match listing.order {
                Order::Relevance => {
                    let rank = earlier.map_or(0.0, |earlier| earlier.rank);
                    let rank = self.value(rank, Type::FLOAT4);
                    format!(" and (rank, created_at, id) < ({rank}, {place})")
                }
                Order::Newest | Order::Oldest => {
                    format!(" and (created_at, id) {after} ({place})")
                }
            });
        }
        let conditions = conditions.join(" and ");
        let owner = owner_in_order(listing.scope, " desc");
        let part = self.part(listing);
        let Search {
            most,
            rank,
            ranked_by,
            ..
        } = search;
        format!(
            "/* list_history, ranked */
            with candidates as materialized (
              select id, created_at, {rank} as rank from (
                select id, created_at, {ranked_by} from generated_images
                where {conditions} order by {owner}{column} desc, id desc limit {most}) newest
            ),
            page as (select id, rank from candidates where {ranked} order by {by} {part})
            select {IMAGE_COLUMNS}, rank, (select max(created_at) from candidates) as newest
            from page join generated_images using (id) order by {by}"
        )
    }

    fn place(&mut self, cursor: Cursor, time: Time) -> String {
        let time = self.time(cursor.created_at, time);
        let id = self.value(cursor.id, Type::UUID);
        format!("{time}, {id}")
    }

    fn part(&mut self, listing: &Listing) -> String {
        let limit = self.value(listing.limit, Type::INT8);
        let offset = self.value(listing.offset, Type::INT8);
        format!("limit {limit} offset {offset}")
    }
}

/// How a row compares with the one before it, and how the columns of the order are marked.
const fn direction(order: Order) -> (&'static str, &'static str) {
    match order {
        Order::Oldest => (">", ""),
        Order::Newest | Order::Relevance => ("<", " desc"),
    }
}

/// What the order begins with. `user_id is null` is no equality to the planner: it must be told that the order within these rows is
/// the index's, in which the newest come first.
fn owner_in_order(scope: Scope, descending: &str) -> &'static str {
    match (scope, descending.is_empty()) {
        (Scope::Ownerless, true) => "user_id desc, ",
        (Scope::Ownerless, false) => "user_id, ",
        (Scope::Owner(_) | Scope::Everything, _) => "",
    }
}
