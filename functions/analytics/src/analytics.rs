//! Answering what runs came to.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use lambda_http::Request;
use serde_json::{Value, json};
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        caller::{Caller, Scope},
        figures::GroupBy,
    },
    http::{Facts, FieldError, Problem, Reply, auth, period::period, query::Query},
    postgres::{
        Database,
        analytics::{Analytics, Question, Used, analyze},
    },
    supabase::auth::TokenVerifier,
};

const PARAMETERS: [&str; 4] = ["from", "to", "group", "user_id"];
/// The period where the request names none: today and the days before it.
const DAYS: i64 = 30;
/// An answer is at most 6 MB, and a chart has fewer bars.
const MOST_GROUPS: i64 = 1000;
/// How many elements and styles are told.
const MOST_USED: i64 = 10;
/// Less than the gateway waits: all runs of a large application take seconds.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(25);

/// What the function holds between requests.
pub(crate) struct Reports {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
}

impl Reports {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database_with(reader, "analytics", |options| {
            options.max_connections = 1;
            options.statement_timeout = STATEMENT_TIMEOUT;
        });
        let verifier = groups::token_verifier_for_service(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
        })
    }

    pub(crate) async fn answer(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller_or_service(&request, &facts, &self.verifier).await?;
        let mut query = Query::parse(&request, &PARAMETERS);
        let scope = scope(&caller, &mut query)?;
        let group = group(&caller, &mut query);
        let period = period(&mut query, DAYS, Timestamp::now());
        query.finish()?;
        let period = period.ok_or_else(Problem::internal)?;
        let question = Question {
            scope,
            from: period.from,
            to: period.to,
            group,
            most_groups: MOST_GROUPS,
            most_used: MOST_USED,
        };
        let analytics = analyze(&self.database, &question).await?;
        Ok(
            Reply::json_value(StatusCode::OK, &in_json(&question, &analytics)?)
                .with_etag(facts.if_none_match.as_deref()),
        )
    }
}

/// Whose runs: a user's own; for the application's backend everybody's, or those of the user it names.
fn scope(caller: &Caller, query: &mut Query) -> Result<Scope, Problem> {
    let asked_about = auth::user_asked_about(caller, query);
    match caller {
        Caller::Anonymous { .. } => Err(Problem::unauthorized(
            "authorization: sign in to see what your images came to.",
        )),
        Caller::Service => Ok(asked_about.map_or(Scope::Everything, Scope::Owner)),
        Caller::User(id) => Ok(Scope::Owner(*id)),
    }
}

fn group(caller: &Caller, query: &mut Query) -> GroupBy {
    let of_users = *caller == Caller::Service;
    let allowed = |group: &GroupBy| of_users || *group != GroupBy::User;
    if !of_users && query.text("group") == Some(GroupBy::User.as_str()) {
        let message = "user is for the service role only; a user sees their own runs.";
        query.error(FieldError::new("group", message, words(allowed)));
        return GroupBy::Day;
    }
    let read = |word: &str| GroupBy::parse(word).filter(allowed);
    query
        .word("group", &words(allowed), read)
        .unwrap_or(GroupBy::Day)
}

fn words(allowed: impl Fn(&GroupBy) -> bool) -> Vec<&'static str> {
    GroupBy::ALL
        .into_iter()
        .filter(allowed)
        .map(GroupBy::as_str)
        .collect()
}

fn in_json(question: &Question, analytics: &Analytics) -> Result<Value, Problem> {
    let used = |name: &str, used: &[Used]| -> Vec<Value> {
        used.iter()
            .map(|used| json!({name: used.word, "usage_count": used.count}))
            .collect()
    };
    Ok(json!({
        "from": question.from,
        "to": question.to,
        "group": question.group.as_str(),
        "totals": serde_json::to_value(&analytics.totals)?,
        "groups": serde_json::to_value(&analytics.groups)?,
        "groups_left_out": analytics.groups_left_out,
        "top_visual_elements": used("element", &analytics.top_visual_elements),
        "top_styles": used("style", &analytics.top_styles),
    }))
}
