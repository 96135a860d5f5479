//! The one way in which an image is made, recorded or not.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Clients, Maker, call,
    callers::{Claimed, MadeImage, Recorded},
    loading::{self, Loaded},
    publisher, upload,
};
use crate::{
    domain::{
        attempt::Attempt,
        event,
        failure::FailureClass,
        id::RunId,
        run::{Mode, Run, RunOptions, RunStatus},
        step::{self, Ending, Step},
    },
    openai::{answer::ImageAnswer, client::OpenAiClient},
    recording::{
        RecordingError,
        attempts::{begin_attempt, end_attempt, note_references},
        ending,
        lease::{self, Lease},
    },
    telemetry,
};

/// The wait before a lease is renewed again when the database was out of reach.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// How far it came.
pub(super) enum Ended {
    /// There is an image.
    Made(Box<MadeImage>),
    /// There is none, and no attempt is left.
    Failed(Ending),
    /// There was no time for the next attempt.
    GivenBack {
        /// The wait that is left before that attempt.
        wait: Duration,
    },
}

/// Makes an image that nobody records and no event tells of. The file is kept nowhere: an object without a record would be an orphan.
pub(super) async fn unrecorded(
    maker: Maker<'_>,
    mode: Mode,
    prompt: &str,
    options: RunOptions,
) -> Result<Ended, RecordingError> {
    let making = Making {
        maker,
        run: nobodys_run(&maker, mode, prompt, options),
        record: None,
        loaded: None,
    };
    making.bring_to_end(None).await
}

/// Brings a run that is held as far as it goes, or to the given end, and keeps it meanwhile.
pub(super) async fn recorded(
    maker: Maker<'_>,
    claimed: Claimed,
    end: Option<&Ending>,
) -> Result<Ended, RecordingError> {
    let Claimed {
        run,
        lease,
        started,
    } = claimed;
    let channel = event::channel(run.owner, run.id);
    let earlier = match &started {
        Some(_) => publisher::Earlier::None,
        None => publisher::Earlier::Unpublished,
    };
    let (events, publishing) = publisher::publisher(maker.clients, run.id, channel, earlier);
    if let Some(started) = started {
        events.tell(started);
    }
    let held = lease.clone();
    let making = Making {
        maker,
        run,
        record: Some(Record { lease, events }),
        loaded: None,
    };
    let ending = async {
        tokio::select! {
            ended = making.bring_to_end(end) => ended,
            never = keep(maker.clients, &held, maker.settings.lease) => match never {},
        }
    };
    // The publisher ends when `making`, and with it the sender of events, is gone.
    let (ended, ()) = tokio::join!(ending, publishing);
    ended
}

/// Renews a lease for as long as it is polled. When the lease is lost all the same, work goes on: what it would record is refused by
/// the lease's guard, but an image that is on its way still gets to storage, where whoever holds the run looks for it.
async fn keep(clients: &Clients, held: &Lease, length: Duration) -> std::convert::Infallible {
    let mut pause = length / 3;
    loop {
        tokio::time::sleep(pause).await;
        pause = length / 3;
        match lease::renew(&clients.database, held, length).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(run_id = %held.run_id, "a run's lease is lost");
                std::future::pending::<()>().await;
            }
            Err(error) => {
                tracing::warn!(run_id = %held.run_id, error = %telemetry::chain(&error), "a lease could not be renewed");
                // The database comes back to runs whose leases have run out: whoever asks first holds them.
                pause = pause.min(RENEW_AGAIN);
            }
        }
    }
}

/// A run that is in no table.
fn nobodys_run(maker: &Maker<'_>, mode: Mode, prompt: &str, options: RunOptions) -> Run {
    let now = Timestamp::now();
    let models = &maker.settings.schedule.models;
    Run {
        id: RunId(Uuid::new_v4()),
        owner: None,
        mode,
        asset_kind: "generic".to_owned(),
        user_prompt: prompt.to_owned(),
        resolved_prompt: prompt.to_owned(),
        style_preset: options.style.clone(),
        provider: "openai".to_owned(),
        model: models.first().cloned().unwrap_or_default(),
        options,
        retry_count: 0,
        status: RunStatus::Running,
        error_code: None,
        error_message: None,
        error_meta: None,
        image_url: None,
        response_metadata: None,
        attempts: Vec::new(),
        started_at: Some(now),
        completed_at: None,
        created_at: now,
        sequence: 0,
        image_id: None,
        image_deleted_at: None,
        dataset_id: None,
        cost_usd: None,
        price_version: None,
        cancel_requested_at: None,
        deadline_at: None,
        retry_unknown: false,
        parent_image_id: None,
        trace_parent: None,
    }
}

/// Where transitions are written down and told.
struct Record {
    lease: Lease,
    events: publisher::Events,
}

struct Making<'a> {
    maker: Maker<'a>,
    run: Run,
    record: Option<Record>,
    loaded: Option<Loaded>,
}

impl Making<'_> {
    fn now(&self) -> Timestamp {
        self.record
            .as_ref()
            .map_or_else(Timestamp::now, |record| record.lease.now())
    }

    async fn bring_to_end(mut self, end: Option<&Ending>) -> Result<Ended, RecordingError> {
        let Maker {
            clients,
            settings,
            deadline,
        } = self.maker;
        loop {
            match step::next_step(&self.run, &settings.schedule, self.now()) {
                Step::LookForImage => {
                    if let Some(ended) = self.recover().await? {
                        return Ok(ended);
                    }
                }
                Step::Attempt {
                    number,
                    model,
                    delay_ms,
                    wait,
                } => {
                    if let Some(end) = end {
                        return self.fail(end.clone()).await;
                    }
                    let openai = match &clients.openai {
                        Some(openai) if deadline.allows(wait + settings.call_timeout) => openai,
                        _ => return self.give_back(wait).await,
                    };
                    if self.loaded.is_none() {
                        match loading::load(&self.maker, &self.run).await {
                            Ok(loaded) => self.take(loaded).await?,
                            Err(ending) => return self.fail(ending).await,
                        }
                        // That took time, and may have used up the run's.
                        continue;
                    }
                    tokio::time::sleep(wait).await;
                    let attempt = Attempt::started(number, &model, delay_ms, self.now());
                    if let Some(ended) = self.attempt(openai, attempt).await? {
                        return Ok(ended);
                    }
                }
                Step::End(ending) => return self.fail(ending).await,
            }
        }
    }

    /// Records the image that an earlier worker stored, or closes the attempt whose answer was lost with that worker.
    async fn recover(&mut self) -> Result<Option<Ended>, RecordingError> {
        let Some(last) = self.run.attempts.last().cloned() else {
            return Ok(None);
        };
        let Maker {
            clients,
            settings,
            deadline,
        } = self.maker;
        let now = self.now();
        if let Some(stored) = upload::find(clients, settings, deadline, &self.run).await? {
            tracing::info!(run_id = %self.run.id, attempt = last.attempt, "an earlier worker's image is in storage and gets recorded");
            let ended = stored.attempt(last, now);
            if let Some(attempts) = self.run.attempts.last_mut() {
                *attempts = ended;
            }
            return self.succeed(None, Some(stored.image)).await.map(Some);
        }
        tracing::warn!(run_id = %self.run.id, attempt = last.attempt, "an earlier worker stopped during a call; its answer is lost");
        let closed = step::close_lost_attempt(last, now);
        self.end(closed).await?;
        Ok(None)
    }

    /// Keeps what was loaded. References that could not be are struck off the run.
    async fn take(&mut self, loaded: Loaded) -> Result<(), RecordingError> {
        if !loaded.left_out.is_empty() {
            loading::leave_out(&mut self.run, &loaded.left_out);
            if let Some(record) = &self.record {
                let database = &self.maker.clients.database;
                note_references(database, &record.lease, &self.run).await?;
            }
        }
        self.loaded = Some(loaded);
        Ok(())
    }

    async fn attempt(
        &mut self,
        openai: &OpenAiClient,
        attempt: Attempt,
    ) -> Result<Option<Ended>, RecordingError> {
        if !self.begin(attempt.clone()).await? {
            return Ok(None);
        }
        let nothing = Loaded::default();
        let loaded = self.loaded.as_ref().unwrap_or(&nothing);
        let answer = match call::call(openai, self.maker.settings, &self.run, loaded).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::warn!(
                    run_id = %self.run.id, attempt = attempt.attempt, model = attempt.model, code = failure.code,
                    class = failure.class.as_str(), status = failure.http_status, vendor_request_id = failure.request_id,
                    "an attempt failed"
                );
                let failed = attempt.failed(&failure, self.now());
                self.end(failed).await?;
                return Ok(None);
            }
        };
        // What was sent is not needed any more, and the answer is as large.
        self.loaded = None;
        let made = call::made(&self.run, attempt, &answer, self.now());
        self.store(made, answer).await.map(Some)
    }

    /// Writes down that the vendor is about to be asked. `false`: it may not be, since the run is to be canceled.
    async fn begin(&mut self, attempt: Attempt) -> Result<bool, RecordingError> {
        let database = &self.maker.clients.database;
        let Some(record) = &mut self.record else {
            self.run.model = attempt.model.clone();
            self.run.attempts.push(attempt);
            return Ok(true);
        };
        match begin_attempt(database, &mut record.lease, &mut self.run, attempt).await {
            Ok(event) => {
                record.events.tell(event);
                Ok(true)
            }
            // The statement begins no attempt of a run that is to be canceled.
            Err(RecordingError::LeaseLost) => {
                let asked = lease::cancel_requested(database, &record.lease).await?;
                if asked.is_none() {
                    return Err(RecordingError::LeaseLost);
                }
                self.run.cancel_requested_at = asked;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes down how the latest attempt ended.
    async fn end(&mut self, ended: Attempt) -> Result<(), RecordingError> {
        let Some(record) = &mut self.record else {
            self.run.attempts.pop();
            self.run.attempts.push(ended);
            return Ok(());
        };
        let database = &self.maker.clients.database;
        let event = end_attempt(database, &mut record.lease, &mut self.run, ended).await?;
        record.events.tell(event);
        Ok(())
    }

    /// Puts the image into storage and ends the run with it.
    async fn store(&mut self, made: Attempt, answer: ImageAnswer) -> Result<Ended, RecordingError> {
        if self.record.is_none() {
            self.end(made).await?;
            return self.succeed(Some(answer), None).await;
        }
        let Maker {
            clients,
            settings,
            deadline,
        } = self.maker;
        let notes = upload::metadata(&self.run, &made, &answer);
        let (path, url) = upload::place(clients, &self.run);
        let upload = upload::upload(clients, settings, deadline, &path, &answer, &notes);
        // Neither needs the other: the attempt is paid for whatever storage says, and the bytes belong into storage whatever the
        // database says.
        let (uploaded, recorded) = tokio::join!(upload, self.end(made));
        recorded?;
        if let Err(error) = uploaded {
            tracing::error!(run_id = %self.run.id, error = %telemetry::chain(&error), "a paid image could not be stored");
            let ending = Ending {
                canceled: false,
                code: "storage_failed".to_owned(),
                message:
                    "The image was made and could not be stored; it was charged and not made again."
                        .to_owned(),
                class: FailureClass::Unknown,
            };
            return self.fail(ending).await;
        }
        let stored = upload::stored_image(&notes, path, url);
        self.succeed(Some(answer), Some(stored)).await
    }

    async fn succeed(
        &mut self,
        answer: Option<ImageAnswer>,
        stored: Option<ending::StoredImage>,
    ) -> Result<Ended, RecordingError> {
        let mut recorded = None;
        if let (Some(record), Some(stored)) = (&mut self.record, stored) {
            let database = &self.maker.clients.database;
            let event =
                ending::succeed(database, &mut record.lease, &mut self.run, &stored).await?;
            record.events.tell(event);
            telemetry::run_ended(&self.run, "succeeded", None);
            recorded = Some(Recorded {
                run_id: self.run.id,
                image_id: self.run.image_id,
                image_url: self.run.image_url.clone(),
            });
        }
        Ok(Ended::Made(Box::new(MadeImage {
            answer,
            attempts: std::mem::take(&mut self.run.attempts),
            recorded,
        })))
    }

    async fn fail(&mut self, ending: Ending) -> Result<Ended, RecordingError> {
        if let Some(record) = &mut self.record {
            let database = &self.maker.clients.database;
            let event = ending::fail(database, &mut record.lease, &self.run, &ending).await?;
            record.events.tell(event);
            let status = if ending.canceled {
                "canceled"
            } else {
                "failed"
            };
            telemetry::run_ended(&self.run, status, Some(&ending.code));
        }
        Ok(Ended::Failed(ending))
    }

    async fn give_back(&self, wait: Duration) -> Result<Ended, RecordingError> {
        if let Some(record) = &self.record {
            lease::give_back(&self.maker.clients.database, &record.lease).await?;
        }
        Ok(Ended::GivenBack { wait })
    }
}
