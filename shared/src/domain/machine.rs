//! A run as a state machine: what may happen to it, from whom, and what is told about it.
//!
//! The statements in `recording/*.sql` (and `renew` and `give_back` in `recording/lease.rs`) are this machine in SQL, where the row is
//! the state and its lock makes each transition one step. Functions run the statements, never this code: it says in one place what they
//! must do. Its properties are tested in `machine/tests.rs`, and `local/tests/recording.rs` takes both through the same stories.
//!
//! Not part of the machine is when an attempt is worth making (schedule, deadline, age): a worker that holds the run decides that, in
//! [`super::step`].

use std::time::Duration;

use jiff::Timestamp;

use super::{attempt::AttemptStatus, id::LeaseToken, run::RunStatus};

/// A run, as far as its transitions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    state: State,
    sequence: i32,
    attempts: Vec<AttemptStatus>,
    cancel_requested: bool,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepted; no worker has taken it up.
    Pending,
    /// Taken up.
    Running {
        /// Who may write to it; none where it was given back.
        lease: Option<Lease>,
    },
    /// Over, for good.
    Ended(End),
}

/// The right to write to a run. It ends when somebody else takes the run, which nobody may before `expires_at`: its holder may go on
/// until then, however late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The proof.
    pub token: LeaseToken,
    /// When another worker may take the run, by the database's clock. No other clock has a say.
    pub expires_at: Timestamp,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its image.
    Succeeded,
    /// Without.
    Failed,
    /// Without, because the caller asked for that.
    Canceled,
}

/// What is told about a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A worker has taken the run up for the first time.
    Started,
    /// An attempt began or ended.
    Attempt(AttemptStatus),
    /// The run is over.
    Completed(End),
}

/// What a worker says with each write: its token, and the number of the latest event that it knows of. The number makes a statement
/// that is repeated, because its answer was lost, change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lease's token.
    pub token: LeaseToken,
    /// The latest event's number.
    pub sequence: i32,
}

/// Why a transition does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The run is over.
    #[error("the run is over")]
    Over,
    /// Another worker's lease has not run out.
    #[error("another worker holds the run")]
    Held,
    /// Whoever writes does not hold the run (any more), or does not know its latest event.
    #[error("the run's lease is lost")]
    LeaseLost,
    /// The caller has asked to cancel the run, so no attempt begins.
    #[error("the run is to be canceled")]
    CancelRequested,
}

/// The run after a transition, and the event that was written with it, whose number is the run's new `sequence`.
pub type Transition = Result<(Machine, Option<EventKind>), Refused>;

impl Machine {
    /// A run that was just accepted (`accept.sql`).
    #[must_use]
    pub fn accepted() -> Self {
        Self {
            state: State::Pending,
            sequence: 0,
            attempts: Vec::new(),
            cancel_requested: false,
        }
    }

    /// A worker takes the run, pending or given back or with a lease that has run out (`claim.sql`). One that did not hear the answer
    /// to its claim takes it again.
    ///
    /// # Errors
    /// [`Refused::Over`], [`Refused::Held`].
    pub fn claim(&self, token: LeaseToken, now: Timestamp, length: Duration) -> Transition {
        let first = match &self.state {
            State::Ended(_) => return Err(Refused::Over),
            State::Running { lease: Some(lease) }
                if lease.expires_at > now && lease.token != token =>
            {
                return Err(Refused::Held);
            }
            State::Running { .. } => false,
            State::Pending => true,
        };
        let taken = self.leased(token, now, length);
        if first {
            Ok(taken.telling(EventKind::Started))
        } else {
            Ok((taken, None))
        }
    }

    /// The holder keeps the run for longer (`renew`); also when the lease has run out and nobody has taken the run.
    ///
    /// # Errors
    /// [`Refused::LeaseLost`].
    pub fn renew(&self, token: LeaseToken, now: Timestamp, length: Duration) -> Transition {
        self.held_with(token)?;
        Ok((self.leased(token, now, length), None))
    }

    /// The vendor is about to be asked (`begin_attempt.sql`). After a request to cancel, it no longer is.
    ///
    /// # Errors
    /// [`Refused::LeaseLost`], [`Refused::CancelRequested`].
    pub fn begin_attempt(&self, holder: Holder) -> Transition {
        self.held_by(holder)?;
        if self.cancel_requested {
            return Err(Refused::CancelRequested);
        }
        let mut next = self.clone();
        next.attempts.push(AttemptStatus::Started);
        Ok(next.telling(EventKind::Attempt(AttemptStatus::Started)))
    }

    /// The vendor has answered, or its answer is lost (`end_attempt.sql`): the latest attempt, which there must be, has this outcome.
    /// Recorded after a request to cancel too: it may be billed.
    ///
    /// # Errors
    /// [`Refused::LeaseLost`].
    pub fn end_attempt(&self, holder: Holder, outcome: AttemptStatus) -> Transition {
        self.held_by(holder)?;
        let mut next = self.clone();
        if let Some(latest) = next.attempts.last_mut() {
            *latest = outcome;
        }
        Ok(next.telling(EventKind::Attempt(outcome)))
    }

    /// The run ends (`succeed.sql`, `fail.sql`). An image that came after a request to cancel is kept: it is paid for.
    ///
    /// # Errors
    /// [`Refused::LeaseLost`].
    pub fn end(&self, holder: Holder, how: End) -> Transition {
        self.held_by(holder)?;
        Ok(self.ended(how))
    }

    /// The holder leaves the run to the next worker (`give_back`).
    ///
    /// # Errors
    /// [`Refused::LeaseLost`].
    pub fn give_back(&self, token: LeaseToken) -> Transition {
        self.held_with(token)?;
        let state = State::Running { lease: None };
        Ok((
            Self {
                state,
                ..self.clone()
            },
            None,
        ))
    }

    /// The caller no longer wants the image (`cancel.sql`): a run that no worker has taken up ends at once, any other begins no
    /// further attempt.
    ///
    /// # Errors
    /// [`Refused::Over`].
    pub fn cancel(&self) -> Transition {
        let noted = Self {
            cancel_requested: true,
            ..self.clone()
        };
        match self.state {
            State::Pending => Ok(noted.ended(End::Canceled)),
            State::Running { .. } => Ok((noted, None)),
            State::Ended(_) => Err(Refused::Over),
        }
    }

    /// Where the run stands.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The same in the row's words.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match self.state {
            State::Pending => RunStatus::Pending,
            State::Running { .. } => RunStatus::Running,
            State::Ended(End::Succeeded) => RunStatus::Succeeded,
            State::Ended(End::Failed) => RunStatus::Failed,
            State::Ended(End::Canceled) => RunStatus::Canceled,
        }
    }

    /// Number of the latest event.
    #[must_use]
    pub fn sequence(&self) -> i32 {
        self.sequence
    }

    /// The attempts so far.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptStatus] {
        &self.attempts
    }

    /// Whether the caller has asked to cancel it.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.cancel_requested
    }

    fn held_with(&self, token: LeaseToken) -> Result<(), Refused> {
        match &self.state {
            State::Running { lease: Some(lease) } if lease.token == token => Ok(()),
            _ => Err(Refused::LeaseLost),
        }
    }

    fn held_by(&self, holder: Holder) -> Result<(), Refused> {
        self.held_with(holder.token)?;
        if holder.sequence == self.sequence {
            Ok(())
        } else {
            Err(Refused::LeaseLost)
        }
    }

    fn leased(&self, token: LeaseToken, now: Timestamp, length: Duration) -> Self {
        let expires_at = now.checked_add(length).unwrap_or(Timestamp::MAX);
        let lease = Some(Lease { token, expires_at });
        Self {
            state: State::Running { lease },
            ..self.clone()
        }
    }

    fn ended(&self, how: End) -> (Self, Option<EventKind>) {
        let state = State::Ended(how);
        let ended = Self {
            state,
            ..self.clone()
        };
        ended.telling(EventKind::Completed(how))
    }

    fn telling(self, event: EventKind) -> (Self, Option<EventKind>) {
        let sequence = self.sequence + 1;
        (Self { sequence, ..self }, Some(event))
    }
}

#[cfg(test)]
mod tests;
