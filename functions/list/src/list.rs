//! Answering the history.

use http::{StatusCode, header};
use lambda_http::Request;
use serde::Serialize;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        caller::{AnonymousHistory, Scope},
        history::{Listing, Order},
        page::Cursor,
    },
    http::{Facts, Problem, Reply, auth, history, query::Query},
    postgres::{
        Database,
        history::list_history,
        images::{ImageRecord, RECORD_FIELDS, SomeFields},
    },
    supabase::auth::TokenVerifier,
};

const PARAMETERS: [&str; 4] = ["limit", "offset", "fields", "cursor"];

/// What the function holds between requests.
pub(crate) struct History {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
    anonymous: AnonymousHistory,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Whole(&'a ImageRecord),
    Partly(SomeFields<'a>),
}

impl<'a> Shown<'a> {
    fn of(record: &'a ImageRecord, fields: Option<&'a [&'static str]>) -> Self {
        match fields {
            None => Self::Whole(record),
            Some(fields) => Self::Partly(SomeFields { record, fields }),
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    images: Vec<Shown<'a>>,
    count: usize,
    offset: i64,
    limit: i64,
    next_cursor: Option<&'a str>,
}

impl History {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "list", 1);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        let anonymous = groups::anonymous_history(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
            anonymous,
        })
    }

    pub(crate) async fn list(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let scope = Scope::of_history(&caller, self.anonymous)
            .ok_or_else(|| Problem::unauthorized("authorization: sign in to see the history."))?;
        let mut query = Query::parse(&request, &[&PARAMETERS, history::PARAMETERS].concat());
        let limit = query.number("limit", 50, 1..=200);
        let offset = query.number("offset", 0, 0..=i64::MAX);
        let (filter, order) = history::read(&mut query);
        let fields = history::fields(&mut query, RECORD_FIELDS);
        let key = Listing::key(scope, &filter, order);
        let after = query.cursor(key);
        query.finish()?;
        // One more than asked for tells whether there is a next page, without a second question.
        let listing = Listing {
            scope,
            filter,
            order,
            after,
            limit: limit + 1,
            offset,
        };
        let mut listed = list_history(&self.database, &listing).await?;
        let more = i64::try_from(listed.len()).is_ok_and(|found| found > limit);
        if more {
            listed.pop();
        }
        let last = listed.last().filter(|_| more).map(|last| last.place);
        let next_cursor = last.map(|place: Cursor| place.to_text(key));
        let page = Page {
            images: listed
                .iter()
                .map(|listed| Shown::of(&listed.record, fields.as_deref()))
                .collect(),
            count: listed.len(),
            offset,
            limit,
            next_cursor: next_cursor.as_deref(),
        };
        let reply = Reply::json(StatusCode::OK, &page)?.with_etag(facts.if_none_match.as_deref());
        let Some(cursor) = next_cursor else {
            return Ok(reply);
        };
        let mut parameters = vec![("limit", limit.to_string())];
        parameters.extend(listing.filter.parameters());
        if listing.order != Order::default_of(&listing.filter) {
            parameters.push(("order", listing.order.as_str().to_owned()));
        }
        parameters.extend(fields.map(|fields| ("fields", fields.join(","))));
        parameters.push(("cursor", cursor));
        let path = format!(
            "/ai/generated-images?{}",
            history::query_string(&parameters)
        );
        let next = facts.url(self.http.public_url.as_deref(), &path);
        Ok(reply.with_text_header(header::LINK, &format!("<{next}>; rel=\"next\"")))
    }
}
