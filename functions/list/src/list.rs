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
        id::ImageId,
        page::Cursor,
    },
    http::{Facts, Problem, Reply, auth, query::Query},
    postgres::{
        Database,
        images::{ImageFilter, ImageRecord, list_images},
    },
    supabase::auth::TokenVerifier,
};

const PARAMETERS: [&str; 4] = ["limit", "offset", "dataset_id", "cursor"];

/// What the function holds between requests.
pub(crate) struct History {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
    anonymous: AnonymousHistory,
}

#[derive(Serialize)]
struct Page<'a> {
    images: &'a [ImageRecord],
    count: usize,
    offset: i64,
    limit: i64,
    next_cursor: Option<String>,
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
        let mut query = Query::parse(&request, &PARAMETERS);
        let limit = query.number("limit", 50, 1..=200);
        let offset = query.number("offset", 0, 0..=i64::MAX);
        let dataset_id = query.parsed("dataset_id", "a UUID");
        let cursor = query.parsed::<Cursor>("cursor", "a cursor of this list");
        query.finish()?;
        // One more than asked for tells whether there is a next page, without a second question.
        let filter = ImageFilter {
            scope,
            dataset_id,
            limit: limit + 1,
            offset,
            after: cursor.map(|cursor| (cursor.created_at, ImageId(cursor.id))),
        };
        let mut images = list_images(&self.database, &filter).await?;
        let more = i64::try_from(images.len()).is_ok_and(|found| found > limit);
        if more {
            images.pop();
        }
        let next_cursor = images.last().filter(|_| more).map(|last| {
            Cursor {
                created_at: last.created_at,
                id: last.id.0,
            }
            .to_string()
        });
        let page = Page {
            images: &images,
            count: images.len(),
            offset,
            limit,
            next_cursor: next_cursor.clone(),
        };
        let reply = Reply::json(StatusCode::OK, &page)?.with_etag(facts.if_none_match.as_deref());
        let Some(cursor) = next_cursor else {
            return Ok(reply);
        };
        let dataset = dataset_id
            .map(|id| format!("&dataset_id={id}"))
            .unwrap_or_default();
        let next = facts.url(
            self.http.public_url.as_deref(),
            &format!("/ai/generated-images?limit={limit}{dataset}&cursor={cursor}"),
        );
        Ok(reply.with_text_header(header::LINK, &format!("<{next}>; rel=\"next\"")))
    }
}
