//! Reading which part of the history a request is about: the parameters that lists, exports and searches have in common.

use std::str::FromStr;

use super::{period, problem::FieldError, query::Query};
use crate::domain::{
    history::{HistoryFilter, Order},
    image::{AspectRatio, ImageFormat, Resolution},
    run::{ASSET_KIND_FORM, Mode, is_asset_kind},
    style::STYLE_LIMIT,
};

/// The parameters that [`read`] reads.
pub const PARAMETERS: &[&str] = &[
    "dataset_id",
    "style",
    "model",
    "format",
    "aspect_ratio",
    "resolution",
    "asset_kind",
    "favorite",
    "mode",
    "from",
    "to",
    "order",
];

/// The words of `order`; the last two are other words for the first two.
const ORDERS: [&str; 4] = ["newest", "oldest", "desc", "asc"];

/// Reads the filters, as strictly as generate reads what they are about, and the order. Mistakes are noted in `query`.
pub fn read(query: &mut Query) -> (HistoryFilter, Order) {
    (filter(query), order(query))
}

fn filter(query: &mut Query) -> HistoryFilter {
    let (from, to) = period::bounds(query);
    HistoryFilter {
        dataset_id: query.parsed("dataset_id", "a UUID"),
        style: query.words("style", 1..=STYLE_LIMIT),
        model: query.parsed("model", "the name of a model"),
        format: query.word("format", ImageFormat::WORDS, parse),
        aspect_ratio: query.word("aspect_ratio", AspectRatio::WORDS, parse),
        resolution: query.word("resolution", Resolution::WORDS, parse),
        asset_kind: asset_kind(query),
        favorite: query.word("favorite", &["true", "false"], parse),
        mode: query.word("mode", &Mode::WORDS, Mode::parse),
        from,
        to,
    }
}

fn order(query: &mut Query) -> Order {
    let read = |word: &str| match word {
        "newest" | "desc" => Some(Order::Newest),
        "oldest" | "asc" => Some(Order::Oldest),
        _ => None,
    };
    query.word("order", &ORDERS, read).unwrap_or_default()
}

/// Parameters as a URL has them.
pub fn query_string(parameters: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish()
}

fn parse<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

fn asset_kind(query: &mut Query) -> Option<String> {
    let kind = query.text("asset_kind")?.to_owned();
    if !is_asset_kind(&kind) {
        let message = format!("must be {ASSET_KIND_FORM}.");
        query.error(FieldError::new("asset_kind", message, ASSET_KIND_FORM));
        return None;
    }
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<(HistoryFilter, Order), Vec<String>> {
        let mut query = Query::of_pairs(parameters, PARAMETERS);
        let read = super::read(&mut query);
        match query.finish() {
            Ok(()) => Ok(read),
            Err(problem) => Err(problem
                .errors()
                .iter()
                .map(|error| error.field.clone())
                .collect()),
        }
    }

    #[test]
    fn filters_are_read_and_written_back() {
        let table: &[(&str, &str, &str)] = &[
            (
                "dataset_id",
                "5F0C6F0E-8F1D-4C39-A5E4-52D94A9DFB1E",
                "5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e",
            ),
            ("style", " oil & tempera ", "oil & tempera"),
            ("model", "gpt-image-1", "gpt-image-1"),
            ("format", "jpeg", "jpg"),
            ("aspect_ratio", "16:9", "16:9"),
            ("resolution", "4K", "4K"),
            ("asset_kind", "hero-2", "hero-2"),
            ("favorite", "true", "true"),
            ("mode", "edit", "edit"),
            ("from", "2026-02-02", "2026-02-02T00:00:00Z"),
            ("to", "2026-02-02", "2026-02-03T00:00:00Z"),
            ("from", "2026-02-02T10:30:00+02:00", "2026-02-02T08:30:00Z"),
            ("to", "2026-02-02T10:30:00 02:00", "2026-02-02T08:30:00Z"),
        ];
        for (name, given, kept) in table {
            let (filter, _) = read(&[(name, given)]).unwrap();
            assert_eq!(
                filter.parameters(),
                [(*name, (*kept).to_owned())],
                "{given}"
            );
            let again = read(&[(name, kept)]).map(|(filter, _)| filter);
            assert_eq!(again.unwrap().parameters(), filter.parameters(), "{given}");
        }
        // A parameter without a value is one that was left out, as forms send it.
        let empty: Vec<_> = PARAMETERS.iter().map(|name| (*name, "")).collect();
        let nothing = (HistoryFilter::default(), Order::Newest);
        assert_eq!(read(&empty), Ok(nothing));
    }

    #[test]
    fn each_mistake_names_its_parameter() {
        let long = "a".repeat(201);
        let table = [
            ("dataset_id", "7"),
            ("style", "  "),
            ("style", "a\0"),
            ("style", long.as_str()),
            ("model", "gpt image"),
            ("format", "gif"),
            ("aspect_ratio", "2:1"),
            ("resolution", "8K"),
            ("asset_kind", "Hero"),
            ("asset_kind", &long),
            ("favorite", "yes"),
            ("mode", "draw"),
            ("from", "yesterday"),
            ("from", "2026-02-30"),
            ("from", "2026-02-02T10:30:00"),
            ("from", "-009000-01-01T00:00:00Z"),
            ("to", "9999-12-31"),
            ("to", "99999-12-31"),
            ("to", "2026-13-01T00:00:00Z"),
            ("order", "best"),
        ];
        for (name, value) in table {
            assert_eq!(read(&[(name, value)]).unwrap_err(), [name], "{value:?}");
        }
        let backwards = [("from", "2026-02-03"), ("to", "2026-02-01")];
        assert_eq!(read(&backwards).unwrap_err(), ["from"]);
        assert!(read(&[("from", "2026-02-02"), ("to", "2026-02-02")]).is_ok());
    }

    #[test]
    fn orders_have_two_words() {
        let orders = ORDERS.map(|word| read(&[("order", word)]).unwrap().1);
        let expected = [Order::Newest, Order::Oldest, Order::Newest, Order::Oldest];
        assert_eq!(orders, expected);
    }
}
