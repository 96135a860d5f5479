//! Answering for datasets.

use http::{Method, StatusCode, header};
use lambda_http::{Request, RequestExt};
use serde_json::json;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    deleting::delete_now,
    domain::{
        id::{DatasetId, UserId},
        page::{Cursor, ListKey},
    },
    http::{Facts, Problem, Reply, auth, query::Query, request},
    postgres::{
        Database,
        datasets::{
            Part, change_dataset, delete_dataset, find_dataset, insert_dataset, list_datasets,
        },
    },
    supabase::{auth::TokenVerifier, storage::StorageClient},
};

use crate::input;

const PARAMETERS: [&str; 3] = ["limit", "offset", "cursor"];

/// What the function holds between requests.
pub(crate) struct Datasets {
    database: Database,
    verifier: TokenVerifier,
    storage: StorageClient,
    pub(crate) http: HttpSettings,
}

impl Datasets {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "datasets", 1);
        let verifier = groups::token_verifier(reader);
        let storage = groups::storage(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            storage,
            http,
        })
    }

    pub(crate) async fn answer(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let owner = caller
            .owner()
            .ok_or_else(|| Problem::unauthorized("authorization: sign in to have datasets."))?;
        let one = request.path_parameters().first("dataset_id").is_some();
        match (request.method(), one) {
            (&Method::POST, false) => self.add(&request, &facts, owner).await,
            (&Method::GET, false) => self.list(&request, &facts, owner).await,
            (&Method::GET, true) => self.show(&request, &facts, owner).await,
            (&Method::PATCH, true) => self.change(&request, owner).await,
            (&Method::DELETE, true) => self.delete(&request, owner).await,
            (method, _) => Err(Problem::method_not_allowed(method)),
        }
    }

    async fn add(&self, request: &Request, facts: &Facts, owner: UserId) -> Result<Reply, Problem> {
        Query::parse(request, &[]).finish()?;
        let fields = input::new(request::body(request)?)?;
        let dataset = insert_dataset(&self.database, owner, &fields)
            .await?
            .ok_or_else(Problem::internal)?;
        let place = facts.url(
            self.http.public_url.as_deref(),
            &format!("/ai/datasets/{}", dataset.id),
        );
        Ok(Reply::json(StatusCode::CREATED, &dataset)?.with_text_header(header::LOCATION, &place))
    }

    async fn list(
        &self,
        request: &Request,
        facts: &Facts,
        owner: UserId,
    ) -> Result<Reply, Problem> {
        let mut query = Query::parse(request, &PARAMETERS);
        let limit = query.number("limit", 50, 1..=200);
        let offset = query.number("offset", 0, 0..=i64::MAX);
        let key = ListKey::of(&["datasets", &owner.to_string()]);
        let cursor = query.cursor(key);
        query.finish()?;
        let part = Part {
            limit: limit + 1,
            offset,
            after: cursor.map(|cursor| (cursor.created_at, DatasetId(cursor.id))),
        };
        let mut datasets = list_datasets(&self.database, owner, part).await?;
        let more = i64::try_from(datasets.len()).is_ok_and(|found| found > limit);
        if more {
            datasets.pop();
        }
        let next_cursor = datasets.last().filter(|_| more).map(|last| {
            Cursor {
                created_at: last.created_at,
                id: last.id.0,
                ranked: None,
            }
            .to_text(key)
        });
        let page = json!({
            "datasets": datasets, "count": datasets.len(), "offset": offset, "limit": limit, "next_cursor": next_cursor,
        });
        let reply =
            Reply::json_value(StatusCode::OK, &page).with_etag(facts.if_none_match.as_deref());
        let Some(cursor) = next_cursor else {
            return Ok(reply);
        };
        let next = facts.url(
            self.http.public_url.as_deref(),
            &format!("/ai/datasets?limit={limit}&cursor={cursor}"),
        );
        Ok(reply.with_text_header(header::LINK, &format!("<{next}>; rel=\"next\"")))
    }

    async fn show(
        &self,
        request: &Request,
        facts: &Facts,
        owner: UserId,
    ) -> Result<Reply, Problem> {
        let id = dataset_id(request)?;
        let dataset = find_dataset(&self.database, owner, id).await?;
        let dataset = dataset.ok_or_else(|| not_found(id))?;
        Ok(Reply::json(StatusCode::OK, &dataset)?.with_etag(facts.if_none_match.as_deref()))
    }

    async fn change(&self, request: &Request, owner: UserId) -> Result<Reply, Problem> {
        let id = dataset_id(request)?;
        let fields = input::changes(request::body(request)?)?;
        let dataset = change_dataset(&self.database, owner, id, &fields).await?;
        let dataset = dataset.ok_or_else(|| not_found(id))?;
        Ok(Reply::json(StatusCode::OK, &dataset)?)
    }

    async fn delete(&self, request: &Request, owner: UserId) -> Result<Reply, Problem> {
        let id = dataset_id(request)?;
        let paths = delete_dataset(&self.database, owner, id).await?;
        let paths = paths.ok_or_else(|| not_found(id))?;
        delete_now(&self.database, &self.storage, &paths).await;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }
}

fn dataset_id(request: &Request) -> Result<DatasetId, Problem> {
    let id = request::path_id(request, "dataset_id")?;
    Query::parse(request, &[]).finish()?;
    Ok(id)
}

fn not_found(id: DatasetId) -> Problem {
    Problem::not_found("dataset_id", format!("You have no dataset {id}."))
}
