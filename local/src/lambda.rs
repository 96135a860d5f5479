//! Lambda on one machine: runs the function binaries as they are deployed, over Lambda's own runtime API.
//!
//! One listener serves the runtime API to the processes, each under a path of its own, and the Invoke API to callers.
//! An instance has one invocation at a time in hand; there are as many instances as there are invocations at once.

mod failure;
#[cfg(test)]
pub(crate) mod for_tests;
mod instance;
mod invoke_api;
mod logs;
mod outcome;
mod pool;
mod process;
pub mod queue_trigger;
mod runtime_api;
pub mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use serde::Serialize;
use tokio::{net::TcpListener, sync::watch};

pub use self::{
    failure::Failure,
    logs::LogOptions,
    outcome::{Outcome, ResponseStream, StreamBroken},
};
use self::{instance::Instance, logs::Logs, pool::Pool};
use crate::script;

/// The account in the ARNs of functions.
pub const ACCOUNT: &str = "000000000000";
/// The region in ARNs, and `AWS_REGION` of every function.
pub const REGION: &str = "us-east-1";

/// How functions are run.
#[derive(Debug)]
pub struct LambdaOptions {
    /// The functions.
    pub functions: Vec<FunctionOptions>,
    /// Where their output goes.
    pub logs: LogOptions,
    /// Starts an instance of each function at once, so that the first request finds it warm.
    pub warm: bool,
}

/// One function.
#[derive(Clone, Debug)]
pub struct FunctionOptions {
    /// The name that callers use.
    pub name: String,
    /// The executable; `None` when there is none to run, and every invocation fails.
    pub binary: Option<PathBuf>,
    /// An invocation that takes longer is killed.
    pub timeout: Duration,
    /// What the function is told about its memory; no limit here.
    pub memory_mb: u32,
    /// Its settings. Nothing of this process' own environment reaches it.
    pub environment: BTreeMap<String, String>,
}

/// A running process, as `GET /_instances` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// The function's name.
    pub function: String,
    /// The number of the process.
    pub pid: u32,
    /// It has an invocation in hand.
    pub busy: bool,
}

/// There is no such function.
#[derive(Debug, thiserror::Error)]
#[error("Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{0}")]
pub struct NoSuchFunction(pub String);

/// A handle to all functions; clones share them. [`stop`](Lambda::stop) ends their processes, and so does the end of
/// the runtime that started them.
#[derive(Clone, Debug)]
pub struct Lambda {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    url: String,
    pools: BTreeMap<String, Arc<Pool>>,
    registry: Arc<Registry>,
}

/// Every living instance by the id in its path.
#[derive(Debug)]
struct Registry {
    instances: Mutex<HashMap<String, Arc<Instance>>>,
    stopping: watch::Sender<bool>,
}

impl Lambda {
    /// Serves the runtime API and the Invoke API on `listener`.
    ///
    /// # Errors
    /// The listener has no address, or a log file cannot be opened.
    pub async fn start(listener: TcpListener, options: LambdaOptions) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("a listener has an address")?;
        let url = format!("http://{address}");
        let logs = Arc::new(Logs::open(options.logs)?);
        let registry = Arc::new(Registry {
            instances: Mutex::default(),
            stopping: watch::Sender::new(false),
        });
        let pools: BTreeMap<_, _> = options
            .functions
            .into_iter()
            .map(|function| {
                let name = function.name.clone();
                let registry = Arc::clone(&registry);
                (name, Pool::new(function, &url, Arc::clone(&logs), registry))
            })
            .collect();
        let lambda = Self {
            inner: Arc::new(Inner {
                url,
                pools,
                registry,
            }),
        };

        let router = runtime_api::router(Arc::clone(&lambda.inner.registry))
            .merge(invoke_api::router(lambda.clone()));
        let mut stopping = lambda.stopping();
        tokio::spawn(async move {
            tokio::select! {
                () = script::serve(listener, router) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
        for pool in lambda.inner.pools.values() {
            tokio::spawn(pool::retire_idle(Arc::clone(pool), lambda.stopping()));
            if options.warm {
                pool.warm();
            }
        }
        Ok(lambda)
    }

    /// Where the Invoke API is served.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.url.clone()
    }

    /// Invokes a function. The invocation goes on when the answer is no longer waited for.
    ///
    /// # Errors
    /// There is no such function.
    pub async fn invoke(&self, function: &str, event: Bytes) -> Result<Outcome, NoSuchFunction> {
        let pool = self.inner.pools.get(function);
        let pool = pool.ok_or_else(|| NoSuchFunction(function.to_owned()))?;
        Ok(pool.invoke(event).await)
    }

    /// Whether there is a function of that name.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        self.inner.pools.contains_key(function)
    }

    /// The running processes.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceReport> {
        let mut reports: Vec<_> = self
            .inner
            .registry
            .all()
            .iter()
            .map(|instance| instance.report())
            // Without a number the process is only about to start.
            .filter(|report| report.pid != 0)
            .collect();
        reports.sort_by(|a, b| (&a.function, a.pid).cmp(&(&b.function, b.pid)));
        reports
    }

    /// Waits until every process that was started has asked for work, or ended, but no longer than this.
    pub async fn wait_until_warm(&self, limit: Duration) {
        let all_ready = async {
            for instance in self.inner.registry.all() {
                let mut ready = instance.ready();
                tokio::select! {
                    // The sender lives as long as the instance.
                    _ = ready.wait_for(|ready| *ready) => {}
                    () = instance.gone() => {}
                }
            }
        };
        // Whoever asks next waits for what is not ready.
        let _ = tokio::time::timeout(limit, all_ready).await;
    }

    /// Ends every process, and waits until they are gone.
    pub async fn stop(&self) {
        self.begin_stop();
        for instance in self.inner.registry.all() {
            instance.gone().await;
        }
    }

    /// Tells every process to end, without waiting.
    pub fn begin_stop(&self) {
        self.inner.registry.stopping.send_replace(true);
    }

    /// Turns true when everything is to end.
    fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.registry.stopping.subscribe()
    }
}

impl Registry {
    fn find(&self, id: &str) -> Option<Arc<Instance>> {
        self.lock().get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Instance>> {
        self.lock().values().cloned().collect()
    }

    fn insert(&self, instance: Arc<Instance>) {
        self.lock().insert(instance.id().to_owned(), instance);
    }

    fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Instance>>> {
        // The map is whole between any two statements, so a poisoned lock holds a good one.
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
