//! A function that stays: its process, its runtime API and its own way to the database.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::{
    binaries::Binary,
    figures::Times,
    process::FunctionProcess,
    round_trips::CountingProxy,
    runtime_api::{Invocation, RuntimeApi},
    surroundings::Surroundings,
};

/// One running instance.
#[derive(Debug)]
pub struct WarmFunction {
    name: String,
    /// The process.
    pub process: FunctionProcess,
    api: RuntimeApi,
    proxy: CountingProxy,
}

/// What requests to one instance cost.
#[derive(Clone, Debug)]
pub struct Requests {
    /// What was asked.
    pub name: String,
    /// The first request of the process: it connects, and fetches what it needs once.
    pub first: Duration,
    /// The later ones, one after the other, until the answer begins.
    pub later_begun: Times,
    /// The later ones, until the answer is whole.
    pub later: Times,
    /// Round trips to the database of the first request, connecting among them.
    pub first_round_trips: u64,
    /// Round trips of a later one, on average.
    pub later_round_trips: f64,
    /// The most memory that the process had in the end.
    pub peak_memory: Option<u64>,
}

impl WarmFunction {
    /// Starts an instance; its first invocation may find it starting.
    ///
    /// # Errors
    /// No port is free, or the process cannot be started.
    pub async fn start(binary: &Binary, surroundings: &Surroundings) -> anyhow::Result<Self> {
        let proxy = surroundings.proxy().await?;
        let api = RuntimeApi::start().await?;
        let settings = surroundings.settings(&proxy)?;
        Ok(Self {
            name: binary.name.clone(),
            process: FunctionProcess::start(binary, api.address(), &settings)?,
            api,
            proxy,
        })
    }

    /// Invokes it.
    ///
    /// # Errors
    /// It fails, or ends: the message then quotes what it wrote last.
    pub async fn invoke(&mut self, event: &Value) -> anyhow::Result<Invocation> {
        let result = tokio::select! {
            result = self.api.invoke(event) => result,
            error = self.process.ended() => Err(error),
        };
        result.with_context(|| format!("{} wrote: {}", self.name, self.process.last_words()))
    }

    /// Round trips to the database so far.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.proxy.round_trips()
    }

    /// Invokes it with each event in turn; the first is the process' first if nothing came before.
    ///
    /// # Errors
    /// An invocation fails, or `check` does not like its answer.
    pub async fn measure(
        &mut self,
        name: &str,
        events: impl Iterator<Item = Value>,
        check: impl Fn(&Invocation) -> anyhow::Result<()>,
    ) -> anyhow::Result<Requests> {
        let (mut begun, mut series) = (Vec::new(), Vec::new());
        let mut first = None;
        let before = self.round_trips();
        for event in events {
            let invocation = self.invoke(&event).await?;
            check(&invocation).with_context(|| name.to_owned())?;
            match first {
                None => first = Some((invocation.elapsed, self.round_trips())),
                Some(_) => {
                    begun.push(invocation.begun_after);
                    series.push(invocation.elapsed);
                }
            }
        }
        let (first, after_first) = first.context("no request was asked for")?;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let later_round_trips =
            (self.round_trips() - after_first) as f64 / series.len().max(1) as f64;
        Ok(Requests {
            name: name.to_owned(),
            first,
            later_begun: Times::of(begun).context("only one request was asked for")?,
            later: Times::of(series).context("only one request was asked for")?,
            first_round_trips: after_first - before,
            later_round_trips,
            peak_memory: self.process.peak_memory(),
        })
    }
}
