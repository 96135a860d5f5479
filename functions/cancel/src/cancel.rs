//! Canceling.

use http::StatusCode;
use lambda_http::Request;
use shared::{
    ably::publish::{AblyClient, Message},
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        event::{self, Event},
        id::RunId,
        run::Run,
    },
    http::{Facts, Problem, Reply, auth, query::Query, request::path_id},
    postgres::{Database, runs::find_run},
    recording::{
        cancel::{Canceled, cancel},
        publication::mark_published,
    },
    submission::answer::{run_record, scope_of},
    supabase::auth::TokenVerifier,
    telemetry,
};

/// What the function holds between requests.
pub(crate) struct Cancellation {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
    realtime: Option<AblyClient>,
}

impl Cancellation {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "cancel", 1);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        let realtime = groups::ably(reader).map(AblyClient::new);
        Some(Self {
            database: database?,
            verifier,
            http,
            realtime,
        })
    }

    /// 200 with the run where it is over now (or was canceled before), 202 where its worker was asked, 409 where it had ended otherwise.
    pub(crate) async fn cancel(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let id: RunId = path_id(&request, "run_id")?;
        Query::parse(&request, &[]).finish()?;
        let scope = scope_of(&caller);
        let canceled = cancel(&self.database, scope, id).await?;
        let not_found =
            || Problem::not_found("run_id", format!("There is no run {id} that you may see."));
        if canceled == Canceled::NotFound {
            return Err(not_found());
        }
        let run = find_run(&self.database, scope, id)
            .await?
            .ok_or_else(not_found)?;
        let status = match canceled {
            Canceled::AtOnce(event) => {
                self.tell(&run, event).await;
                StatusCode::OK
            }
            Canceled::Asked => StatusCode::ACCEPTED,
            Canceled::Over | Canceled::NotFound
                if run.error_code.as_deref() == Some("canceled") =>
            {
                StatusCode::OK
            }
            Canceled::Over | Canceled::NotFound => {
                let detail = format!("The run has ended: {}.", run.status.as_str());
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    "run-over",
                    "The run is over",
                    detail,
                )
                .with_run(id)
                .retryable(false));
            }
        };
        Ok(Reply::json_value(
            status,
            &run_record(&self.http, &facts, &run),
        ))
    }

    /// Publishes the end of the run. What cannot be published is left to the sweep.
    async fn tell(&self, run: &Run, event: Event) {
        if let Some(realtime) = &self.realtime {
            let message = Message {
                id: event.message_id(),
                name: event.name.clone(),
                data: event.data.to_string(),
            };
            if let Err(error) = realtime
                .publish(&event::channel(run.owner, run.id), &[message])
                .await
            {
                tracing::warn!(run_id = %run.id, error = %telemetry::chain(&error), "an event could not be published; the sweep will publish it");
                return;
            }
        }
        if let Err(error) = mark_published(&self.database, run.id, &[event.sequence]).await {
            tracing::warn!(run_id = %run.id, error = %telemetry::chain(&error), "a published event could not be noted");
        }
    }
}
