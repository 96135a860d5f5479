//! Images for callers in Rust: with a context the run is recorded and its events are published, without one neither happens. The
//! worker is one such caller.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Maker,
    making::{self, Ended},
    work::{self, Taken, Worked},
};
use crate::{
    domain::{
        attempt::Attempt,
        caller::Caller,
        event::Event,
        id::{ImageId, RunId, UserId},
        run::{Mode, Run, RunOptions},
        source::ImageSource,
        step::Ending,
    },
    openai::answer::ImageAnswer,
    recording::{
        RecordingError,
        accept::{self, Accepted, NewRun},
        lease::Lease,
    },
};

/// What turns on recording and events.
#[derive(Debug)]
pub struct RunContext {
    /// Whose run it is; none for nobody's.
    pub owner_id: Option<UserId>,
    /// A category, for analytics: `avatar`.
    pub asset_kind: String,
    /// What the run is recorded as.
    pub mode: Mode,
    /// What the customer typed.
    pub user_prompt: String,
    /// The prompt after style and dataset. The record has the prompt that is sent, which this should be.
    pub resolved_prompt: String,
    /// The style, named or free.
    pub style_preset: Option<String>,
    /// Anything else to keep in the run's `options`.
    pub options: Map<String, Value>,
    /// Waits before the attempts in milliseconds, one an attempt, in place of the settings' schedule.
    pub retry_delays: Option<Vec<u64>>,
    /// A run that was accepted earlier and is held by the caller, as a worker does. None: a new run.
    pub claimed: Option<Claimed>,
}

impl Default for RunContext {
    fn default() -> Self {
        Self {
            owner_id: None,
            asset_kind: "generic".to_owned(),
            mode: Mode::Generate,
            user_prompt: String::new(),
            resolved_prompt: String::new(),
            style_preset: None,
            options: Map::new(),
            retry_delays: None,
            claimed: None,
        }
    }
}

impl RunContext {
    /// The context of a run that is there: its row says all of it.
    pub(super) fn of_claimed(claimed: Claimed) -> Self {
        let run = &claimed.run;
        Self {
            owner_id: run.owner,
            asset_kind: run.asset_kind.clone(),
            mode: run.mode,
            user_prompt: run.user_prompt.clone(),
            resolved_prompt: run.resolved_prompt.clone(),
            style_preset: run.style_preset.clone(),
            options: run.options.other.clone(),
            retry_delays: run.options.retry_delays_ms.clone(),
            claimed: Some(claimed),
        }
    }
}

/// A run with its lease.
#[derive(Debug)]
pub struct Claimed {
    pub(super) run: Run,
    pub(super) lease: Lease,
    pub(super) started: Option<Event>,
}

/// An image that was made.
#[derive(Debug)]
pub struct MadeImage {
    /// The file and what came with it; none where a worker before this one made it, and it lies in storage only.
    pub answer: Option<ImageAnswer>,
    /// Every call of the vendor that it took.
    pub attempts: Vec<Attempt>,
    /// Where it is recorded; none without a context.
    pub recorded: Option<Recorded>,
}

/// Where an image is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its run.
    pub run_id: RunId,
    /// Its record.
    pub image_id: Option<ImageId>,
    /// Its public URL.
    pub image_url: Option<String>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The run ended without one.
    #[error("{}: {}", .0.code, .0.message)]
    Failed(Ending),
    /// There was no time for the next attempt. A recorded run goes on with the next worker.
    #[error("there is no time for the next attempt")]
    GivenBack {
        /// The wait that is left before that attempt.
        wait: Duration,
    },
    /// Somebody else works on the run.
    #[error("somebody else works on the run")]
    Held,
    /// The run had ended before.
    #[error("the run is over")]
    Over,
    /// The run is gone, with its owner perhaps.
    #[error("the run is gone")]
    Gone,
    /// The run's state cannot be written; a recorded run goes on with the next worker.
    #[error("the run cannot be recorded")]
    Recording(#[from] RecordingError),
}

/// Makes an image from a prompt, sent as it is. Of `options`, the picture's own settings and the references are used.
///
/// # Errors
/// [`MakeError`]
pub async fn generate_image_from_prompt(
    maker: &Maker<'_>,
    prompt: &str,
    options: &RunOptions,
    context: Option<RunContext>,
) -> Result<MadeImage, MakeError> {
    make(maker, Mode::Generate, prompt, options.clone(), context).await
}

/// Makes an image of others, by an instruction. `images` are places, not bytes: a recorded run must be able to go on with another
/// worker. Of `options`, the picture's own settings, the mask and the references are used.
///
/// # Errors
/// [`MakeError`]
pub async fn edit_image_with_instruction(
    maker: &Maker<'_>,
    images: &[ImageSource],
    instruction: &str,
    options: &RunOptions,
    context: Option<RunContext>,
) -> Result<MadeImage, MakeError> {
    let options = RunOptions {
        sources: images.to_vec(),
        ..options.clone()
    };
    make(maker, Mode::Edit, instruction, options, context).await
}

async fn make(
    maker: &Maker<'_>,
    mode: Mode,
    prompt: &str,
    options: RunOptions,
    context: Option<RunContext>,
) -> Result<MadeImage, MakeError> {
    let ended = match context {
        None => making::unrecorded(*maker, mode, prompt, options).await,
        Some(mut context) => {
            let claimed = match context.claimed.take() {
                Some(claimed) => {
                    let run = Run {
                        resolved_prompt: prompt.to_owned(),
                        options,
                        ..claimed.run
                    };
                    Claimed { run, ..claimed }
                }
                None => begin(maker, prompt, options, context).await?,
            };
            making::recorded(*maker, claimed, None).await
        }
    };
    match ended? {
        Ended::Made(made) => Ok(*made),
        Ended::Failed(ending) => Err(MakeError::Failed(ending)),
        Ended::GivenBack { wait } => Err(MakeError::GivenBack { wait }),
    }
}

/// Records a new run and claims it at once. No message tells of it: where this process dies, the sweep sends one when the lease has
/// run out.
async fn begin(
    maker: &Maker<'_>,
    prompt: &str,
    mut options: RunOptions,
    context: RunContext,
) -> Result<Claimed, MakeError> {
    options.other.extend(context.options);
    if context.retry_delays.is_some() {
        options.retry_delays_ms = context.retry_delays;
    }
    let models = &maker.settings.schedule.models;
    let parent_image_id = options.sources.iter().find_map(|source| source.image_id);
    let new = NewRun {
        id: RunId(Uuid::new_v4()),
        caller: context.owner_id.map_or(Caller::Service, Caller::User),
        mode: context.mode,
        asset_kind: context.asset_kind,
        user_prompt: context.user_prompt,
        resolved_prompt: prompt.to_owned(),
        style_preset: context.style_preset,
        model: models.first().cloned().unwrap_or_default(),
        options,
        dataset_id: None,
        parent_image_id,
        idempotency: None,
        cancel_after: None,
        retry_unknown: false,
        daily_limit: None,
        trace_parent: None,
    };
    match accept::accept(&maker.clients.database, &new).await? {
        Accepted::New { .. } => {}
        // Without a key and without a limit there is nothing else to say.
        Accepted::Again(_) | Accepted::KeyReused(_) | Accepted::QuotaExceeded(_) => {
            return Err(MakeError::Held);
        }
    }
    match work::claim(maker, new.id).await? {
        Taken::Ours(claimed) => Ok(*claimed),
        Taken::Not(Worked::Over) => Err(MakeError::Over),
        Taken::Not(Worked::Gone) => Err(MakeError::Gone),
        Taken::Not(Worked::Held | Worked::GivenBack { .. }) => Err(MakeError::Held),
    }
}
