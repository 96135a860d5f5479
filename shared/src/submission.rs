//! From a request to a run and, where the caller waits, to its result: what generate, edit and regenerate share.

pub mod answer;
pub mod composing;
pub mod headers;
pub mod input;
pub mod wait;

use std::time::Duration;

use lambda_http::Request;
use uuid::Uuid;

use crate::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        caller::Caller,
        id::RunId,
        job::{Job, JobType},
        model::Model,
        run::Mode,
    },
    http::{Facts, Problem, Reply, auth, prefer::Waiting},
    postgres::Database,
    queue::Queue,
    recording::accept::{self, Accepted, NewRun, QuotaState},
    supabase::auth::TokenVerifier,
    telemetry,
};

/// What a function that accepts runs holds between requests.
pub struct Submission {
    /// The database.
    pub database: Database,
    /// Where workers get their messages.
    pub queue: Queue,
    /// Who calls.
    pub verifier: TokenVerifier,
    /// How answers are made.
    pub http: HttpSettings,
    /// The longest that an answer is held.
    pub wait_max: Duration,
    /// The models in the order they are asked.
    pub models: groups::Models,
    /// Whether callers who are not signed in may have images.
    pub anonymous_generation: bool,
    /// How many images of a dataset go with a request.
    pub max_references: usize,
    /// Images a day for a user; none for no limit.
    pub user_daily_images: Option<u32>,
    /// Images a day for an anonymous address; none for no limit.
    pub anonymous_daily_images: Option<u32>,
}

impl Submission {
    /// Reads the settings of a function that accepts runs. None where the database or the queue cannot be set up; the reader then
    /// holds the problem.
    pub fn read(reader: &mut Reader<'_>, function: &str) -> Option<Self> {
        let database = groups::database(reader, function, 2);
        let queue = groups::queue(reader);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        let models = groups::models(reader);
        let max_references = groups::max_references(reader);
        let wait_max = Duration::from_secs(reader.number("WAIT_MAX_S", 280, 0..=840));
        let anonymous_generation = reader.switch("ANONYMOUS_GENERATION", true);
        let mut daily = |name| {
            reader
                .optional_number(name, 0..=1_000_000)
                .and_then(|limit| u32::try_from(limit).ok())
        };
        let (user_daily_images, anonymous_daily_images) =
            (daily("USER_DAILY_IMAGES"), daily("ANONYMOUS_DAILY_IMAGES"));
        Some(Self {
            database: database?,
            queue,
            verifier,
            http,
            wait_max,
            models: models?,
            anonymous_generation,
            max_references,
            user_daily_images,
            anonymous_daily_images,
        })
    }

    /// Tells who calls, and whether they may have images made.
    ///
    /// # Errors
    /// 401, or 503 where tokens cannot be checked.
    pub async fn caller(&self, request: &Request, facts: &Facts) -> Result<Caller, Problem> {
        let caller = auth::caller(request, facts, &self.verifier).await?;
        if matches!(caller, Caller::Anonymous { .. }) && !self.anonymous_generation {
            return Err(Problem::unauthorized(
                "authorization: sign in to make images.",
            ));
        }
        Ok(caller)
    }

    /// The model that is asked where the caller names none.
    pub fn default_model(&self) -> &Model {
        &self.models.0
    }

    /// Images a day that the caller may have.
    fn daily_limit(&self, caller: &Caller) -> Option<u32> {
        match caller {
            Caller::User(_) => self.user_daily_images,
            Caller::Anonymous { .. } => self.anonymous_daily_images,
            Caller::Service => None,
        }
    }

    /// Records a run, hands it to the queue, waits for it as the caller prefers, and answers.
    ///
    /// # Errors
    /// Every failure that the caller is told of; from the moment the run is recorded, with its `run_id`.
    pub async fn run(
        &self,
        request: &Request,
        facts: &Facts,
        caller: Caller,
        asked: input::Asked,
    ) -> Result<Reply, Problem> {
        let waiting = Waiting::of(request.headers(), self.wait_max);
        let new = self.new_run(request, facts, caller, asked)?;
        let id = new.id;
        let (run_id, quota) = match accept::accept(&self.database, &new).await? {
            Accepted::New { quota } => {
                self.send(&new, facts).await;
                (id, quota)
            }
            Accepted::Again(earlier) => (earlier, None),
            Accepted::KeyReused(earlier) => return Err(answer::key_reused(earlier)),
            Accepted::QuotaExceeded(quota) => return Err(answer::quota_exceeded(quota)),
        };
        let scope = answer::scope_of(&new.caller);
        let over = wait::until_over(&self.database, run_id, waiting.duration()).await;
        let outcome = if over {
            answer::outcome(&self.database, scope, run_id).await
        } else {
            Ok(None)
        };
        let reply = match outcome {
            Ok(Some(answer::Outcome::Image(run, image))) => answer::image(&run, &image)?,
            Ok(Some(answer::Outcome::Failed(run))) => return Err(answer::failed_run(&run)),
            Ok(None) => answer::accepted(&self.http, facts, &new.caller, run_id),
            // The run is recorded and goes on; only its state cannot be read just now.
            Err(problem) if problem.status().is_server_error() => {
                tracing::warn!(%run_id, "a run's state cannot be read, answering that it was accepted");
                answer::accepted(&self.http, facts, &new.caller, run_id)
            }
            Err(problem) => return Err(problem.with_run(run_id)),
        };
        let finished = reply.status() == http::StatusCode::OK;
        let reply = match waiting.applied(finished) {
            Some(applied) => {
                reply.with_text_header(crate::http::prefer::PREFERENCE_APPLIED, &applied)
            }
            None => reply,
        };
        Ok(with_quota(reply, quota))
    }

    fn new_run(
        &self,
        request: &Request,
        facts: &Facts,
        caller: Caller,
        asked: input::Asked,
    ) -> Result<NewRun, Problem> {
        let headers = headers::RunHeaders::of(request.headers())?;
        let daily_limit = self.daily_limit(&caller);
        Ok(NewRun {
            id: RunId(Uuid::new_v4()),
            mode: asked.mode,
            asset_kind: asked.asset_kind,
            user_prompt: asked.user_prompt,
            resolved_prompt: asked.resolved_prompt,
            style_preset: asked.style_preset,
            model: asked.model.as_str().to_owned(),
            options: asked.options,
            dataset_id: asked.dataset_id,
            parent_image_id: asked.parent_image_id,
            idempotency: headers.idempotency_key.map(|key| accept::Idempotency {
                key,
                request_hash: asked.request_hash,
            }),
            cancel_after: headers.cancel_after,
            retry_unknown: asked.retry_unknown,
            daily_limit,
            trace_parent: facts.trace_parent.clone(),
            caller,
        })
    }

    /// Hands a run to the queue. Where that fails the run is there all the same, and the sweep sends it.
    async fn send(&self, new: &NewRun, facts: &Facts) {
        let job_type = match new.mode {
            Mode::Generate => JobType::Generate,
            Mode::Edit => JobType::Edit,
        };
        let body = Job::new(job_type, new.id).body();
        let Err(error) = self.queue.send(&body, facts.trace_parent.as_deref()).await else {
            return;
        };
        tracing::error!(run_id = %new.id, error = %telemetry::chain(&error), "a run could not be sent to the queue; the sweep will send it");
        if let Err(error) = accept::note_unsent(&self.database, new.id).await {
            tracing::warn!(run_id = %new.id, error = %telemetry::chain(&error), "the sweep cannot be told of an unsent run and will find it later");
        }
    }
}

fn with_quota(reply: Reply, quota: Option<QuotaState>) -> Reply {
    let Some(quota) = quota else { return reply };
    reply
        .with_text_header(headers::RATE_LIMIT, &headers::rate_limit(quota))
        .with_text_header(
            headers::RATE_LIMIT_POLICY,
            &headers::rate_limit_policy(quota),
        )
}
