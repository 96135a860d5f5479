//! One process of a function: what it has in hand, and how its life goes.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::{
    process::Child,
    sync::{Notify, oneshot, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Failure, InstanceReport, Outcome, pool::Pool};

/// A process has so long until it asks for its first invocation. AWS gives 10 s on a machine that builds nothing
/// meanwhile.
const START_LIMIT: Duration = Duration::from_secs(30);

/// An invocation on its way to an instance.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request_id: String,
    pub(super) trace_id: String,
    pub(super) event: Bytes,
    pub(super) outcome: oneshot::Sender<Outcome>,
}

/// What the runtime API answers to a process that asks for its next invocation.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) request_id: String,
    pub(super) trace_id: String,
    pub(super) event: Bytes,
    /// In milliseconds since 1970.
    pub(super) deadline_ms: u128,
}

#[derive(Debug)]
pub(super) struct Instance {
    id: String,
    /// Set once the process runs.
    pid: OnceLock<u32>,
    function: String,
    timeout: Duration,
    born: Instant,
    pool: Weak<Pool>,
    state: Mutex<State>,
    /// When the process is killed, if it has not answered by then.
    deadline: watch::Sender<Option<Instant>>,
    ready: watch::Sender<bool>,
    gone: watch::Sender<bool>,
    retired: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    invocations: u64,
}

/// Where an instance is in its life.
#[derive(Debug)]
enum Phase {
    /// It has not asked for an invocation yet.
    Starting,
    Idle,
    Busy {
        request_id: String,
        /// `None` once the answer, or its beginning, was handed on.
        outcome: Option<oneshot::Sender<Outcome>>,
    },
    /// It has answered, and not asked for more yet.
    Settling,
}

/// How much an instance is counted as by its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    Starting,
    Settling,
    Other,
}

impl Instance {
    /// An instance whose process is about to be started.
    pub(super) fn new(pool: &Arc<Pool>) -> Arc<Self> {
        Arc::new(Self {
            id: Uuid::new_v4().simple().to_string(),
            pid: OnceLock::new(),
            function: pool.options().name.clone(),
            timeout: pool.options().timeout,
            born: Instant::now(),
            pool: Arc::downgrade(pool),
            state: Mutex::new(State {
                phase: Phase::Starting,
                invocations: 0,
            }),
            deadline: watch::Sender::new(Some(Instant::now() + START_LIMIT)),
            ready: watch::Sender::new(false),
            gone: watch::Sender::new(false),
            retired: Notify::new(),
        })
    }

    /// Its process runs.
    pub(super) fn runs_as(&self, pid: u32) {
        // Nobody else sets it.
        let _ = self.pid.set(pid);
    }

    /// Its process could not be started.
    pub(super) fn never_ran(&self) {
        self.gone.send_replace(true);
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn function(&self) -> &str {
        &self.function
    }

    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.upgrade()
    }

    /// Turns true when the process has asked for its first invocation.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Whether the last process that ended at start wrote something else.
    pub(super) fn is_news(&self, lines: &[String]) -> bool {
        let is_stopping = self.pool().is_none_or(|pool| pool.is_stopping());
        !is_stopping && self.pool().is_some_and(|pool| pool.is_news(lines))
    }

    pub(super) fn report(&self) -> InstanceReport {
        InstanceReport {
            function: self.function.clone(),
            pid: self.pid.get().copied().unwrap_or_default(),
            busy: matches!(self.state().phase, Phase::Busy { .. }),
        }
    }

    pub(super) fn availability(&self) -> Availability {
        match self.state().phase {
            Phase::Starting => Availability::Starting,
            Phase::Settling => Availability::Settling,
            Phase::Idle | Phase::Busy { .. } => Availability::Other,
        }
    }

    /// The process asks for an invocation. One that it had in hand is over without an answer.
    pub(super) fn becomes_idle(&self) {
        let before = {
            let mut state = self.state();
            std::mem::replace(&mut state.phase, Phase::Idle)
        };
        self.deadline.send_replace(None);
        self.ready.send_replace(true);
        if let Phase::Busy {
            outcome: Some(outcome),
            request_id,
        } = before
        {
            let failure = Failure::exited(&request_id, None);
            // Whoever waited may have gone.
            let _ = outcome.send(Outcome::Failure(failure));
        }
    }

    /// Takes an invocation in hand; its time runs from now.
    pub(super) fn takes(&self, job: Job) -> Delivery {
        let limit = SystemTime::now() + self.timeout;
        let deadline_ms = limit.duration_since(UNIX_EPOCH).unwrap_or_default();
        {
            let mut state = self.state();
            state.invocations += 1;
            state.phase = Phase::Busy {
                request_id: job.request_id.clone(),
                outcome: Some(job.outcome),
            };
        }
        self.deadline
            .send_replace(Some(Instant::now() + self.timeout));
        Delivery {
            request_id: job.request_id,
            trace_id: job.trace_id,
            event: job.event,
            deadline_ms: deadline_ms.as_millis(),
        }
    }

    /// Hands the answer, or its beginning, to whoever waits. False when this is not the invocation in hand.
    pub(super) fn answers(&self, request_id: &str, answer: Outcome) -> bool {
        let outcome = match &mut self.state().phase {
            Phase::Busy {
                request_id: current,
                outcome,
            } if current == request_id => outcome.take(),
            _ => None,
        };
        let Some(outcome) = outcome else { return false };
        // Whoever waited may have gone; the invocation counts all the same.
        let _ = outcome.send(answer);
        true
    }

    /// The answer is complete.
    pub(super) fn settles(&self, request_id: &str) {
        {
            let mut state = self.state();
            let is_current = matches!(&state.phase, Phase::Busy { request_id: current, .. } if current == request_id);
            if !is_current {
                return;
            }
            state.phase = Phase::Settling;
        }
        self.deadline.send_replace(None);
    }

    /// Ends an idle process.
    pub(super) fn retire(&self) {
        self.retired.notify_one();
    }

    /// Completes when the process has ended.
    pub(super) async fn gone(&self) {
        let mut gone = self.gone.subscribe();
        // The sender lives as long as this instance.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a poisoned lock holds a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the process' end, which it brings about when its time is over or everything is to stop.
pub(super) async fn supervise(
    instance: Arc<Instance>,
    mut child: Child,
    mut stopping: watch::Receiver<bool>,
) {
    let mut deadline = instance.deadline.subscribe();
    let mut wanted = false;
    let status = loop {
        let limit = *deadline.borrow_and_update();
        tokio::select! {
            status = child.wait() => break status.ok(),
            _ = deadline.changed() => {}
            () = reached(limit) => {
                time_is_over(&instance);
                break killed(&mut child).await;
            }
            () = instance.retired.notified() => {
                wanted = true;
                break killed(&mut child).await;
            }
            () = told(&mut stopping) => {
                wanted = true;
                break killed(&mut child).await;
            }
        }
    };

    let (last_phase, invocations) = {
        let mut state = instance.state();
        let phase = std::mem::replace(&mut state.phase, Phase::Idle);
        (phase, state.invocations)
    };
    let never_ready = matches!(last_phase, Phase::Starting);
    if let Phase::Busy {
        outcome: Some(outcome),
        request_id,
    } = last_phase
    {
        let failure = match wanted {
            true => Failure::stopped(&request_id),
            false => Failure::exited(&request_id, status),
        };
        // Whoever waited may have gone.
        let _ = outcome.send(Outcome::Failure(failure));
    }
    if let Some(pool) = instance.pool() {
        let lived = invocations > 0 || instance.born.elapsed() > Duration::from_secs(1);
        pool.lost(&instance, never_ready, lived && !wanted, status);
    }
    instance.gone.send_replace(true);
}

fn time_is_over(instance: &Instance) {
    let request_id = match &instance.state().phase {
        Phase::Busy { request_id, .. } => request_id.clone(),
        _ => return,
    };
    let failure = Failure::timed_out(&request_id, instance.timeout);
    instance.answers(&request_id, Outcome::Failure(failure));
}

async fn killed(child: &mut Child) -> Option<std::process::ExitStatus> {
    // A process that has just ended by itself cannot be killed, and need not be.
    let _ = child.start_kill();
    child.wait().await.ok()
}

async fn reached(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

/// Completes when everything is to end, or nobody is left to say so.
pub(super) async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
