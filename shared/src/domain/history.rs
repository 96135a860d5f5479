//! What a list of the history may be narrowed to, and in which order it comes.

use jiff::Timestamp;

use super::{
    caller::Scope,
    id::DatasetId,
    image::{AspectRatio, ImageFormat, Resolution},
    model::Model,
    page::{Cursor, ListKey},
    run::Mode,
    search::SearchText,
};

/// Conditions that a record of the history must meet, all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryFilter {
    /// Draws on this dataset.
    pub dataset_id: Option<DatasetId>,
    /// Was asked for in this style.
    pub style: Option<String>,
    /// Was made by this model.
    pub model: Option<Model>,
    /// Is a file of this format.
    pub format: Option<ImageFormat>,
    /// Was asked for in this shape.
    pub aspect_ratio: Option<AspectRatio>,
    /// Was asked for in this size class.
    pub resolution: Option<Resolution>,
    /// Is of the caller's category.
    pub asset_kind: Option<String>,
    /// Is marked as a favourite, or is not.
    pub favorite: Option<bool>,
    /// Was made from a prompt, or from images.
    pub mode: Option<Mode>,
    /// Was made at this time or later.
    pub from: Option<Timestamp>,
    /// Was made before this time.
    pub to: Option<Timestamp>,
    /// Has these words in its prompts, or words that resemble them where no record has them.
    pub search: Option<SearchText>,
}

impl HistoryFilter {
    /// The conditions as the parameters of a URL, always in the same order.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let word = |word: &str| word.to_owned();
        let all = [
            ("dataset_id", self.dataset_id.map(|id| id.to_string())),
            ("style", self.style.clone()),
            (
                "model",
                self.model.as_ref().map(|model| word(model.as_str())),
            ),
            ("format", self.format.map(|format| word(format.as_str()))),
            (
                "aspect_ratio",
                self.aspect_ratio.map(|ratio| word(ratio.as_str())),
            ),
            (
                "resolution",
                self.resolution.map(|size| word(size.as_str())),
            ),
            ("asset_kind", self.asset_kind.clone()),
            (
                "favorite",
                self.favorite.map(|favorite| favorite.to_string()),
            ),
            ("mode", self.mode.map(|mode| word(mode.as_str()))),
            ("from", self.from.map(|time| time.to_string())),
            ("to", self.to.map(|time| time.to_string())),
            ("q", self.search.as_ref().map(|text| text.to_string())),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What was made last comes first.
    Newest,
    /// What was made first comes first.
    Oldest,
    /// What fits a search best comes first, of the newest [`MOST_RANKED`] records that it finds.
    Relevance,
}

/// How many of the records that have its words a search ranks, the newest: to know the best of all, it would have to read all.
pub const MOST_RANKED: i64 = 1_000;
/// How many records are compared with what is wanted where none has the words, the newest.
pub const MOST_COMPARED: i64 = 5_000;

impl Order {
    /// The order of a list whose caller names none.
    pub fn default_of(filter: &HistoryFilter) -> Self {
        if filter.search.is_some() {
            Self::Relevance
        } else {
            Self::Newest
        }
    }

    /// The word that stands for it in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Relevance => "relevance",
        }
    }
}

/// A page of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Whose records.
    pub scope: Scope,
    /// Which of them.
    pub filter: HistoryFilter,
    /// In which order.
    pub order: Order,
    /// Only those after this place in the order.
    pub after: Option<Cursor>,
    /// How many at most.
    pub limit: i64,
    /// How many to pass over. Each is read all the same; `after` costs nothing.
    pub offset: i64,
}

impl Listing {
    /// What tells the cursors of this list from those of any other: whose records, which, in which order.
    pub fn key(scope: Scope, filter: &HistoryFilter, order: Order) -> ListKey {
        let owner = scope.owner().map(|owner| owner.to_string());
        let mut parts = vec![
            "images",
            scope.as_str(),
            owner.as_deref().unwrap_or_default(),
        ];
        let parameters = filter.parameters();
        for (name, value) in &parameters {
            parts.extend([*name, value.as_str()]);
        }
        parts.extend(["order", order.as_str()]);
        ListKey::of(&parts)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::id::UserId;

    #[test]
    fn lists_that_differ_have_keys_that_differ() {
        let user = |number| Scope::Owner(UserId(Uuid::from_u128(number)));
        let styled = |style: &str| HistoryFilter {
            style: Some(style.to_owned()),
            ..HistoryFilter::default()
        };
        let model = HistoryFilter {
            model: Some("watercolor".parse().unwrap()),
            ..HistoryFilter::default()
        };
        let none = HistoryFilter::default();
        let search = HistoryFilter {
            search: Some(SearchText::new("watercolor".to_owned())),
            ..HistoryFilter::default()
        };
        let lists = [
            (Scope::Ownerless, &none, Order::Newest),
            (Scope::Everything, &none, Order::Newest),
            (Scope::Everything, &none, Order::Oldest),
            (user(1), &none, Order::Newest),
            (user(2), &none, Order::Newest),
            (user(1), &styled("watercolor"), Order::Newest),
            (user(1), &styled("oil"), Order::Newest),
            (user(1), &model, Order::Newest),
            (user(1), &search, Order::Newest),
            (user(1), &search, Order::Relevance),
        ];
        let keys = lists.map(|(scope, filter, order)| Listing::key(scope, filter, order));
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{:?}", lists[index]);
            let (scope, filter, order) = lists[index];
            assert_eq!(*key, Listing::key(scope, filter, order));
        }
    }
}
