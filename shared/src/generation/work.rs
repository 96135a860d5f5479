//! A worker's way with one run.

use std::time::Duration;

use super::{Clients, Deadline, WorkSettings, call, publisher, upload};
use crate::{
    domain::{
        attempt::Attempt,
        event::{self, Event},
        failure::FailureClass,
        id::RunId,
        run::Run,
        step::{self, Ending, Step},
    },
    openai::client::OpenAiClient,
    recording::{
        RecordingError,
        attempts::{begin_attempt, end_attempt},
        ending,
        lease::{self, Claim, Lease},
    },
    telemetry,
};

/// The wait before a lease is renewed again when the database was out of reach.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// What became of a run that a worker was told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It has ended, now or before: the message is done with.
    Over,
    /// There is no such run (any more): the message is done with.
    Gone,
    /// Another worker holds it: the message must come again, in case that one dies.
    Held,
    /// There was no time for its next attempt: a new message must be sent.
    GivenBack {
        /// The wait that is left before that attempt.
        wait: Duration,
    },
}

/// Ends a run that cannot be worked on: with the image that lies in storage, if an earlier worker got so far, else in this way. None
/// where it had ended before.
///
/// # Errors
/// [`RecordingError`] when the run's state cannot be written.
pub async fn conclude(
    clients: &Clients,
    settings: &WorkSettings,
    run_id: RunId,
    ending: &Ending,
) -> Result<Option<Worked>, RecordingError> {
    hold(clients, settings, run_id, Deadline::NONE, Some(ending)).await
}

/// Works on a run until it has ended or must be given back.
///
/// # Errors
/// [`RecordingError`] when the run's state cannot be written: the message must come again, and whoever takes the run then finds in
/// its row and in storage what was done.
pub async fn work(
    clients: &Clients,
    settings: &WorkSettings,
    run_id: RunId,
    deadline: Deadline,
) -> Result<Worked, RecordingError> {
    Ok(hold(clients, settings, run_id, deadline, None)
        .await?
        .unwrap_or(Worked::Over))
}

/// Claims a run, keeps it, and brings it as far as it goes, or to the given end. None where it had ended before.
async fn hold(
    clients: &Clients,
    settings: &WorkSettings,
    run_id: RunId,
    deadline: Deadline,
    end: Option<&Ending>,
) -> Result<Option<Worked>, RecordingError> {
    let (run, lease, started) = match lease::claim(
        &clients.database,
        run_id,
        settings.lease,
        settings.database_patience,
    )
    .await?
    {
        Claim::Taken {
            run,
            lease,
            started,
        } => (*run, lease, started),
        Claim::Held => return Ok(Some(Worked::Held)),
        Claim::Over(_) => return Ok(None),
        Claim::Gone => return Ok(Some(Worked::Gone)),
    };
    let channel = event::channel(run.owner, run.id);
    let earlier = match &started {
        Some(_) => publisher::Earlier::None,
        None => publisher::Earlier::Unpublished,
    };
    let (events, publishing) = publisher::publisher(clients, run.id, channel, earlier);
    if let Some(started) = started {
        events.tell(started);
    }
    let held = lease.clone();
    let progress = Progress {
        clients,
        settings,
        deadline,
        run,
        lease,
        events,
    };
    let ending = async {
        tokio::select! {
            worked = progress.bring_to_end(end) => worked,
            never = keep(clients, &held, settings.lease) => match never {},
        }
    };
    // The publisher ends when `progress`, and with it the sender of events, is gone.
    let (worked, ()) = tokio::join!(ending, publishing);
    worked.map(Some)
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

struct Progress<'a> {
    clients: &'a Clients,
    settings: &'a WorkSettings,
    deadline: Deadline,
    run: Run,
    lease: Lease,
    events: publisher::Events,
}

impl Progress<'_> {
    async fn bring_to_end(mut self, end: Option<&Ending>) -> Result<Worked, RecordingError> {
        loop {
            match step::next_step(&self.run, &self.settings.schedule, self.lease.now()) {
                Step::LookForImage => {
                    if let Some(worked) = self.recover().await? {
                        return Ok(worked);
                    }
                }
                Step::Attempt {
                    number,
                    model,
                    delay_ms,
                    wait,
                } => {
                    if let Some(end) = end {
                        return self.fail(end).await;
                    }
                    let openai = match &self.clients.openai {
                        Some(openai) if self.deadline.allows(wait + self.settings.call_timeout) => {
                            openai
                        }
                        _ => {
                            lease::give_back(&self.clients.database, &self.lease).await?;
                            return Ok(Worked::GivenBack { wait });
                        }
                    };
                    tokio::time::sleep(wait).await;
                    let attempt = Attempt::started(number, &model, delay_ms, self.lease.now());
                    if let Some(worked) = self.attempt(openai, attempt).await? {
                        return Ok(worked);
                    }
                }
                Step::End(ending) => return self.fail(&ending).await,
            }
        }
    }

    /// Records the image that an earlier worker stored, or closes the attempt whose answer was lost with that worker.
    async fn recover(&mut self) -> Result<Option<Worked>, RecordingError> {
        let Some(last) = self.run.attempts.last().cloned() else {
            return Ok(None);
        };
        let now = self.lease.now();
        if let Some(stored) =
            upload::find(self.clients, self.settings, self.deadline, &self.run).await?
        {
            tracing::info!(run_id = %self.run.id, attempt = last.attempt, "an earlier worker's image is in storage and gets recorded");
            let ended = stored.attempt(last, now);
            if let Some(attempts) = self.run.attempts.last_mut() {
                *attempts = ended;
            }
            return self.succeed(stored.image).await.map(Some);
        }
        tracing::warn!(run_id = %self.run.id, attempt = last.attempt, "an earlier worker stopped during a call; its answer is lost");
        let closed = step::close_lost_attempt(last, now);
        self.end(closed).await?;
        Ok(None)
    }

    async fn attempt(
        &mut self,
        openai: &OpenAiClient,
        attempt: Attempt,
    ) -> Result<Option<Worked>, RecordingError> {
        let begun = begin_attempt(
            &self.clients.database,
            &mut self.lease,
            &mut self.run,
            attempt.clone(),
        )
        .await;
        match begun {
            Ok(event) => self.events.tell(event),
            // The statement begins no attempt of a run that is to be canceled.
            Err(RecordingError::LeaseLost) => {
                let asked = lease::cancel_requested(&self.clients.database, &self.lease).await?;
                if asked.is_none() {
                    return Err(RecordingError::LeaseLost);
                }
                self.run.cancel_requested_at = asked;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let answer = match call::call(openai, self.settings, &self.run).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::warn!(
                    run_id = %self.run.id, attempt = attempt.attempt, model = attempt.model, code = failure.code,
                    class = failure.class.as_str(), status = failure.http_status, vendor_request_id = failure.request_id,
                    "an attempt failed"
                );
                let failed = attempt.failed(&failure, self.lease.now());
                self.end(failed).await?;
                return Ok(None);
            }
        };
        let made = call::made(&self.run, attempt, &answer, self.lease.now());
        let metadata = upload::metadata(&self.run, &made, &answer);
        let (path, url) = upload::place(self.clients, &self.run);
        let upload = upload::upload(
            self.clients,
            self.settings,
            self.deadline,
            &path,
            &answer,
            &metadata,
        );
        let record = end_attempt(
            &self.clients.database,
            &mut self.lease,
            &mut self.run,
            made.clone(),
        );
        // Neither needs the other: the attempt is paid for whatever storage says, and the bytes belong into storage whatever the
        // database says.
        let (uploaded, recorded) = tokio::join!(upload, record);
        self.events.tell(recorded?);
        match uploaded {
            Ok(()) => self
                .succeed(upload::image(&self.run, &made, &answer, path, url))
                .await
                .map(Some),
            Err(error) => {
                tracing::error!(run_id = %self.run.id, error = %telemetry::chain(&error), "a paid image could not be stored");
                let ending = Ending {
                    canceled: false,
                    code: "storage_failed".to_owned(),
                    message: "The image was made and could not be stored; it was charged and not made again.".to_owned(),
                    class: FailureClass::Unknown,
                };
                self.fail(&ending).await.map(Some)
            }
        }
    }

    async fn end(&mut self, ended: Attempt) -> Result<(), RecordingError> {
        let event: Event = end_attempt(
            &self.clients.database,
            &mut self.lease,
            &mut self.run,
            ended,
        )
        .await?;
        self.events.tell(event);
        Ok(())
    }

    async fn succeed(&mut self, image: ending::StoredImage) -> Result<Worked, RecordingError> {
        let event = ending::succeed(
            &self.clients.database,
            &mut self.lease,
            &mut self.run,
            &image,
        )
        .await?;
        self.events.tell(event);
        telemetry::run_ended(&self.run, "succeeded", None);
        Ok(Worked::Over)
    }

    async fn fail(&mut self, ending: &Ending) -> Result<Worked, RecordingError> {
        let event =
            ending::fail(&self.clients.database, &mut self.lease, &self.run, ending).await?;
        self.events.tell(event);
        telemetry::run_ended(
            &self.run,
            if ending.canceled {
                "canceled"
            } else {
                "failed"
            },
            Some(&ending.code),
        );
        Ok(Worked::Over)
    }
}
