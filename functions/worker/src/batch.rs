//! A batch of messages: all worked on at once, each reported by itself.

use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Context, Error, LambdaEvent};
use shared::{
    config::{Reader, groups, making::making},
    domain::job::Job,
    generation::{
        Clients, Deadline, WorkSettings,
        work::{Worked, work},
    },
    queue::{Queue, TRACE_PARENT},
    telemetry::{self, RunLog},
};
use tracing::Instrument;

/// What the worker holds between batches.
pub(crate) struct Worker {
    clients: Clients,
    settings: WorkSettings,
    queue: Queue,
    pub(crate) log: RunLog,
}

impl Worker {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let queue = groups::queue(reader);
        let log = groups::run_log(reader, "worker");
        let (clients, settings) = making(reader, "worker")?;
        Some(Self {
            clients,
            settings,
            queue,
            log,
        })
    }

    /// Works on all messages of a batch at once. A message whose run cannot be brought forward is reported, and comes again.
    pub(crate) async fn batch(
        &self,
        event: LambdaEvent<SqsEvent>,
    ) -> Result<SqsBatchResponse, Error> {
        let deadline = deadline(&event.context);
        let work = event.payload.records.into_iter().map(|message| {
            let trace_parent = trace_parent(&message);
            let span = tracing::info_span!(
                "message",
                message_id = message.message_id,
                traceparent = trace_parent
            );
            self.message(message, trace_parent, deadline)
                .instrument(span)
        });
        let failed = futures_util::future::join_all(work).await;
        let mut response = SqsBatchResponse::default();
        for id in failed.into_iter().flatten() {
            response.add_failure(id);
        }
        Ok(response)
    }

    /// Works on one message; its id where it must come again.
    async fn message(
        &self,
        message: SqsMessage,
        trace_parent: Option<String>,
        deadline: Deadline,
    ) -> Option<String> {
        let id = message.message_id.unwrap_or_default();
        let body = message.body.unwrap_or_default();
        let job = match Job::parse(&body) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(message_id = id, error = %telemetry::chain(&error), "a message cannot be read; it goes to the dead letters");
                return Some(id);
            }
        };
        match work(&self.clients, &self.settings, job.run_id, deadline).await {
            Ok(Worked::Over) => None,
            Ok(Worked::Gone) => {
                tracing::warn!(message_id = id, run_id = %job.run_id, "a message names a run that does not exist");
                None
            }
            Ok(Worked::Held) => {
                tracing::info!(message_id = id, run_id = %job.run_id, "another worker holds the run; the message comes again");
                Some(id)
            }
            Ok(Worked::GivenBack { wait }) => {
                self.send_on(id, job, trace_parent.as_deref(), wait).await
            }
            Err(error) => {
                tracing::error!(message_id = id, run_id = %job.run_id, error = %telemetry::chain(&error), "a run's progress could not be recorded; the message comes again");
                Some(id)
            }
        }
    }

    /// A run for which there was no time left gets a message of its own: this one would come again only when its visibility ends.
    async fn send_on(
        &self,
        id: String,
        job: Job,
        trace_parent: Option<&str>,
        wait: Duration,
    ) -> Option<String> {
        match self.queue.send_later(&job.body(), trace_parent, wait).await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(message_id = id, run_id = %job.run_id, error = %telemetry::chain(&error), "a run given back could not be sent on");
                Some(id)
            }
        }
    }
}

/// The trace of the request that made the run.
fn trace_parent(message: &SqsMessage) -> Option<String> {
    let attribute = message.message_attributes.get(TRACE_PARENT)?;
    attribute.string_value.clone()
}

/// When Lambda ends this invocation. `cargo lambda` says 1970, which is no deadline.
fn deadline(context: &Context) -> Deadline {
    let left = context.deadline().duration_since(SystemTime::now());
    match left {
        Ok(left) => Deadline::after(left),
        Err(_) => Deadline::NONE,
    }
}
