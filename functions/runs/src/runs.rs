//! Answering runs, one or many.

use http::{StatusCode, header};
use lambda_http::{Request, RequestExt};
use serde_json::{Value, json};
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        caller::{AnonymousHistory, Caller, Scope},
        id::RunId,
        page::{Cursor, ListKey},
        run::RunStatus,
    },
    http::{Facts, Problem, Reply, auth, query::Query, request::path_id},
    postgres::{
        Database,
        runs::{RunFilter, find_run, list_runs},
    },
    submission::answer::{run_record, scope_of},
    supabase::auth::TokenVerifier,
};

const PARAMETERS: [&str; 4] = ["limit", "offset", "status", "cursor"];

/// What the function holds between requests.
pub(crate) struct Runs {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
    anonymous: AnonymousHistory,
}

impl Runs {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "runs", 1);
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

    pub(crate) async fn answer(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        if request.path_parameters().first("run_id").is_some() {
            return self.one(&request, &facts, &caller).await;
        }
        self.many(&request, &facts, &caller).await
    }

    async fn one(
        &self,
        request: &Request,
        facts: &Facts,
        caller: &Caller,
    ) -> Result<Reply, Problem> {
        let id: RunId = path_id(request, "run_id")?;
        Query::parse(request, &[]).finish()?;
        let run = find_run(&self.database, scope_of(caller), id).await?;
        let run = run.ok_or_else(|| {
            Problem::not_found("run_id", format!("There is no run {id} that you may see."))
        })?;
        let reply = Reply::json_value(StatusCode::OK, &run_record(&self.http, facts, &run))
            .with_etag(facts.if_none_match.as_deref());
        Ok(if run.status.is_end() {
            reply
        } else {
            reply.with_header(header::RETRY_AFTER, 2.into())
        })
    }

    async fn many(
        &self,
        request: &Request,
        facts: &Facts,
        caller: &Caller,
    ) -> Result<Reply, Problem> {
        let scope = Scope::of_history(caller, self.anonymous)
            .ok_or_else(|| Problem::unauthorized("authorization: sign in to see runs."))?;
        let mut query = Query::parse(request, &PARAMETERS);
        let limit = query.number("limit", 50, 1..=200);
        let offset = query.number("offset", 0, 0..=i64::MAX);
        let words = RunStatus::ALL.map(RunStatus::as_str);
        let status = query.word("status", &words, RunStatus::parse);
        let owner = scope.owner().map(|owner| owner.to_string());
        let key = ListKey::of(&[
            "runs",
            scope.as_str(),
            owner.as_deref().unwrap_or_default(),
            status.map_or("", RunStatus::as_str),
        ]);
        let cursor = query.cursor(key);
        query.finish()?;
        let after = cursor.map(|cursor| (cursor.created_at, RunId(cursor.id)));
        let mut runs = list_runs(
            &self.database,
            &RunFilter {
                scope,
                status,
                limit: limit + 1,
                offset,
                after,
            },
        )
        .await?;
        let more = i64::try_from(runs.len()).is_ok_and(|found| found > limit);
        if more {
            runs.pop();
        }
        let next_cursor = runs.last().filter(|_| more).map(|last| {
            Cursor {
                created_at: last.created_at,
                id: last.id.0,
                ranked: None,
            }
            .to_text(key)
        });
        let records: Vec<Value> = runs
            .iter()
            .map(|run| run_record(&self.http, facts, run))
            .collect();
        let page = json!({"runs": records, "count": runs.len(), "offset": offset, "limit": limit, "next_cursor": next_cursor});
        let reply =
            Reply::json_value(StatusCode::OK, &page).with_etag(facts.if_none_match.as_deref());
        let Some(cursor) = next_cursor else {
            return Ok(reply);
        };
        let status = status
            .map(|status| format!("&status={}", status.as_str()))
            .unwrap_or_default();
        let next = facts.url(
            self.http.public_url.as_deref(),
            &format!("/ai/runs?limit={limit}{status}&cursor={cursor}"),
        );
        Ok(reply.with_text_header(header::LINK, &format!("<{next}>; rel=\"next\"")))
    }
}
