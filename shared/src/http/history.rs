//! Reading which part of the history a request is about: the parameters that lists, exports and searches have in common.

use std::str::FromStr;

use super::{fields::unknown_name, period, problem::FieldError, query::Query};
use crate::domain::{
    history::{HistoryFilter, Order},
    image::{AspectRatio, ImageFormat, Resolution},
    run::{ASSET_KIND_FORM, Mode, is_asset_kind},
    search::{SEARCH_LIMIT, SearchText},
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
    "q",
    "order",
];

/// The words of `order`; the last two are other words for the first two.
const ORDERS: [&str; 5] = ["newest", "oldest", "relevance", "desc", "asc"];

/// Reads the filters, as strictly as generate reads what they are about, and the order. Mistakes are noted in `query`.
pub fn read(query: &mut Query) -> (HistoryFilter, Order) {
    let filter = filter(query);
    let order = order(query).unwrap_or_else(|| Order::default_of(&filter));
    if order == Order::Relevance && query.text("q").is_none() {
        let message = "is relevance, which needs a search (q).";
        query.error(FieldError::new("order", message, ORDERS.to_vec()));
    }
    (filter, order)
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
        search: search(query),
    }
}

fn order(query: &mut Query) -> Option<Order> {
    let read = |word: &str| match word {
        "newest" | "desc" => Some(Order::Newest),
        "oldest" | "asc" => Some(Order::Oldest),
        "relevance" => Some(Order::Relevance),
        _ => None,
    };
    query.word("order", &ORDERS, read)
}

/// Reads which of the fields of a record are wanted: names between commas, or all of them where there is none. Mistakes are noted in
/// `query`.
pub fn fields(query: &mut Query, known: &'static [&'static str]) -> Option<Vec<&'static str>> {
    let text = query.text("fields")?.to_owned();
    let mut fields = Vec::new();
    for name in text.split(',') {
        match known.iter().find(|known| **known == name) {
            Some(field) => fields.push(*field),
            None => {
                let mistake = unknown_name(name, known, "field of a record");
                let message = format!("{:?} {}", mistake.field, mistake.message);
                query.error(FieldError::new("fields", message, mistake.allowed));
            }
        }
    }
    Some(fields)
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

fn search(query: &mut Query) -> Option<SearchText> {
    query.words("q", 1..=SEARCH_LIMIT).map(SearchText::new)
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
            ("q", " \"red bicycle\" -blue ", "\"red bicycle\" -blue"),
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
            ("order", "relevance"),
            ("q", " "),
            ("q", "a\0"),
            ("q", &"red ".repeat(126)),
        ];
        for (name, value) in table {
            assert_eq!(read(&[(name, value)]).unwrap_err(), [name], "{value:?}");
        }
        let backwards = [("from", "2026-02-03"), ("to", "2026-02-01")];
        assert_eq!(read(&backwards).unwrap_err(), ["from"]);
        assert!(read(&[("from", "2026-02-02"), ("to", "2026-02-02")]).is_ok());
    }

    #[test]
    fn fields_are_known_ones_and_a_mistake_names_the_nearest() {
        let read = |text| {
            let mut query = Query::of_pairs(&[("fields", text)], &["fields"]);
            let fields = fields(&mut query, &["id", "prompt", "image_url"]);
            query.finish().map(|()| fields).map_err(|problem| {
                let errors = problem.errors().iter();
                errors
                    .map(|error| format!("{} {}", error.field, error.message))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(read("id,image_url"), Ok(Some(vec!["id", "image_url"])));
        assert_eq!(read(""), Ok(None));
        let near = "fields \"promt\" is not a known field of a record; did you mean prompt?";
        assert_eq!(read("promt"), Err(vec![near.to_owned()]));
        let spaced = "fields \" prompt\" is not a known field of a record; did you mean prompt?";
        assert_eq!(read("id, prompt"), Err(vec![spaced.to_owned()]));
        assert_eq!(read("id,,url,\0").unwrap_err().len(), 3);
    }

    #[test]
    fn orders_have_words_and_a_default() {
        let searched = |word| read(&[("q", "red"), ("order", word)]).unwrap().1;
        let orders = ORDERS.map(searched);
        let expected = [
            Order::Newest,
            Order::Oldest,
            Order::Relevance,
            Order::Newest,
            Order::Oldest,
        ];
        assert_eq!(orders, expected);
        assert_eq!(searched(""), Order::Relevance);
        assert_eq!(read(&[("order", "asc")]).unwrap().1, Order::Oldest);
    }
}
