//! The instances of one function, and the invocations that wait for one.

use std::{
    collections::VecDeque,
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    Failure, FunctionOptions, Outcome, Registry,
    instance::{Availability, Delivery, Instance, Job, supervise, told},
    logs::Logs,
    process,
};

/// More invocations at once than this wait. Every instance is a process with connections of its own.
const MAXIMUM_INSTANCES: usize = 200;

/// An instance that has answered asks for more at once; so long is waited before another is started instead.
const SETTLING_TIME: Duration = Duration::from_millis(30);

/// An instance that had nothing to do for so long is ended, but for the last. AWS takes minutes.
const IDLE_TIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Pool {
    options: FunctionOptions,
    runtime_api: String,
    logs: Arc<Logs>,
    registry: Arc<Registry>,
    state: Mutex<State>,
    last_start_failure: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct State {
    instances: Vec<Arc<Instance>>,
    idle: Vec<Idle>,
    waiting: VecDeque<Job>,
}

#[derive(Debug)]
struct Idle {
    instance: Arc<Instance>,
    since: Instant,
    hand_over: oneshot::Sender<Delivery>,
}

impl Pool {
    pub(super) fn new(
        options: FunctionOptions,
        runtime_api: &str,
        logs: Arc<Logs>,
        registry: Arc<Registry>,
    ) -> Arc<Self> {
        Arc::new(Self {
            options,
            runtime_api: runtime_api.to_owned(),
            logs,
            registry,
            state: Mutex::default(),
            last_start_failure: Mutex::default(),
        })
    }

    pub(super) fn options(&self) -> &FunctionOptions {
        &self.options
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.registry.is_stopping()
    }

    pub(super) fn is_news(&self, lines: &[String]) -> bool {
        let mut last = self
            .last_start_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_news = *last != lines;
        *last = lines.to_vec();
        is_news
    }

    /// Starts one instance before anybody asks.
    pub(super) fn warm(self: &Arc<Self>) {
        let mut state = self.state();
        self.start_one(&mut state);
    }

    pub(super) async fn invoke(self: &Arc<Self>, event: Bytes) -> Outcome {
        let (outcome, answered) = oneshot::channel();
        let request_id = Uuid::new_v4().to_string();
        self.assign(Job {
            request_id: request_id.clone(),
            trace_id: new_trace_id(),
            event,
            outcome,
        });
        let lost = |_| Outcome::Failure(Failure::stopped(&request_id));
        answered.await.unwrap_or_else(lost)
    }

    /// The process behind `instance` asks for work: what waits longest, or whatever comes.
    pub(super) fn next(&self, instance: &Arc<Instance>) -> oneshot::Receiver<Delivery> {
        let (hand_over, delivered) = oneshot::channel();
        let mut state = self.state();
        instance.becomes_idle();
        match state.waiting.pop_front() {
            Some(job) => {
                // The receiver is at hand.
                let _ = hand_over.send(instance.takes(job));
            }
            None => state.idle.push(Idle {
                instance: Arc::clone(instance),
                since: Instant::now(),
                hand_over,
            }),
        }
        delivered
    }

    fn assign(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        // The one used last is the warmest; one whose process has hung up is no longer idle.
        while let Some(idle) = state.idle.pop() {
            if !idle.hand_over.is_closed() {
                let delivery = idle.instance.takes(job);
                // If it hangs up right now, its end answers the invocation.
                let _ = idle.hand_over.send(delivery);
                return;
            }
        }
        state.waiting.push_back(job);
        self.grow(&mut state);
    }

    /// Starts as many instances as there are invocations that wait for none.
    fn grow(self: &Arc<Self>, state: &mut State) {
        let count = |wanted: Availability| {
            let counted = state.instances.iter();
            counted
                .filter(|instance| instance.availability() == wanted)
                .count()
        };
        let settling = count(Availability::Settling);
        let missing = state
            .waiting
            .len()
            .saturating_sub(count(Availability::Starting));
        for _ in settling..missing {
            self.start_one(state);
        }
        if settling > 0 && missing > 0 {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(SETTLING_TIME).await;
                let mut state = pool.state();
                let starting = state
                    .instances
                    .iter()
                    .filter(|instance| instance.availability() == Availability::Starting)
                    .count();
                for _ in starting..state.waiting.len() {
                    pool.start_one(&mut state);
                }
            });
        }
    }

    fn start_one(self: &Arc<Self>, state: &mut State) {
        if state.instances.len() >= MAXIMUM_INSTANCES || self.registry.is_stopping() {
            return;
        }
        let instance = Instance::new(self);
        let runtime_api = format!("{}/_runtime/{}", self.runtime_api, instance.id());
        // Known before it runs, for it asks for work at once; it is answered when this state is let go.
        self.registry.insert(Arc::clone(&instance));
        let spawned = process::spawn(&self.options, &runtime_api);
        let mut child = match spawned {
            Ok(child) => child,
            Err(reason) => {
                self.registry.remove(instance.id());
                instance.never_ran();
                let lines = [reason];
                if self.is_news(&lines) {
                    self.logs.line(&self.options.name, &lines[0]);
                }
                fail_first(state, |id| Failure::not_startable(id, &lines[0]));
                return;
            }
        };
        // It has a number until it was waited for.
        instance.runs_as(child.id().unwrap_or_default());
        state.instances.push(Arc::clone(&instance));
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let logs = Arc::clone(&self.logs);
            tokio::spawn(process::pass_output(
                stdout,
                stderr,
                Arc::clone(&instance),
                logs,
            ));
        }
        let stopping = self.registry.stopping.subscribe();
        tokio::spawn(supervise(instance, child, stopping));
    }

    /// A process has ended. One that never got ready fails an invocation, since the next would end as well; in place
    /// of one that had been at work another is started.
    pub(super) fn lost(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        never_ready: bool,
        replace: bool,
        status: Option<ExitStatus>,
    ) {
        self.registry.remove(instance.id());
        let mut state = self.state();
        state
            .instances
            .retain(|other| !Arc::ptr_eq(other, instance));
        state
            .idle
            .retain(|idle| !Arc::ptr_eq(&idle.instance, instance));
        if self.registry.is_stopping() {
            for job in state.waiting.drain(..) {
                let failure = Failure::stopped(&job.request_id);
                let _ = job.outcome.send(Outcome::Failure(failure));
            }
            return;
        }
        if never_ready {
            fail_first(&mut state, |id| Failure::exited(id, status));
        }
        self.grow(&mut state);
        let is_starting = |other: &Arc<Instance>| other.availability() == Availability::Starting;
        if replace && !never_ready && !state.instances.iter().any(is_starting) {
            self.start_one(&mut state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a poisoned lock holds a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends instances that nobody has needed for a while.
pub(super) async fn retire_idle(pool: Arc<Pool>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(IDLE_TIME / 6) => {}
            () = told(&mut stopping) => return,
        }
        let mut state = pool.state();
        // The first was idle longest, since the last is taken first.
        while state.instances.len() > 1
            && let Some(first) = state.idle.first()
            && first.since.elapsed() > IDLE_TIME
        {
            let idle = state.idle.remove(0);
            state
                .instances
                .retain(|other| !Arc::ptr_eq(other, &idle.instance));
            idle.instance.retire();
        }
    }
}

fn fail_first(state: &mut State, failure: impl FnOnce(&str) -> Failure) {
    if let Some(job) = state.waiting.pop_front() {
        let failure = failure(&job.request_id);
        // Whoever waited may have gone.
        let _ = job.outcome.send(Outcome::Failure(failure));
    }
}

/// As X-Ray writes it: version, seconds in hexadecimal, 96 random bits.
fn new_trace_id() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    let random = Uuid::new_v4().simple().to_string();
    let (random, parent) = (&random[..24], &random[16..]);
    format!("Root=1-{seconds:08x}-{random};Parent={parent};Sampled=0")
}
