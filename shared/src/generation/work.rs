//! A worker's way with one run that was accepted earlier: claim it, and have its image made.

use std::time::Duration;

use super::{
    Clients, Deadline, Maker, WorkSettings,
    callers::{
        Claimed, MakeError, RunContext, edit_image_with_instruction, generate_image_from_prompt,
    },
    making::{self, Ended},
};
use crate::{
    domain::{
        id::RunId,
        run::{Mode, Run},
        step::Ending,
    },
    recording::{
        RecordingError,
        lease::{self, Claim},
    },
};

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
    let maker = Maker {
        clients,
        settings,
        deadline,
    };
    let claimed = match claim(&maker, run_id).await? {
        Taken::Ours(claimed) => *claimed,
        Taken::Not(worked) => return Ok(worked),
    };
    let Run {
        resolved_prompt,
        options,
        mode,
        ..
    } = claimed.run.clone();
    let context = Some(RunContext::of_claimed(claimed));
    let made = match mode {
        Mode::Generate => {
            generate_image_from_prompt(&maker, &resolved_prompt, &options, context).await
        }
        Mode::Edit => {
            let images = &options.sources;
            edit_image_with_instruction(&maker, images, &resolved_prompt, &options, context).await
        }
    };
    match made {
        Ok(_) | Err(MakeError::Failed(_) | MakeError::Over) => Ok(Worked::Over),
        Err(MakeError::GivenBack { wait }) => Ok(Worked::GivenBack { wait }),
        Err(MakeError::Held) => Ok(Worked::Held),
        Err(MakeError::Gone) => Ok(Worked::Gone),
        Err(MakeError::Recording(error)) => Err(error),
    }
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
    let maker = Maker {
        clients,
        settings,
        deadline: Deadline::NONE,
    };
    let claimed = match claim(&maker, run_id).await? {
        Taken::Ours(claimed) => *claimed,
        Taken::Not(Worked::Over) => return Ok(None),
        Taken::Not(worked) => return Ok(Some(worked)),
    };
    Ok(Some(
        match making::recorded(maker, claimed, Some(ending)).await? {
            Ended::Made(_) | Ended::Failed(_) => Worked::Over,
            Ended::GivenBack { wait } => Worked::GivenBack { wait },
        },
    ))
}

/// What became of a claim.
pub(super) enum Taken {
    /// The run is ours.
    Ours(Box<Claimed>),
    /// It is not, for this reason.
    Not(Worked),
}

/// Claims a run.
pub(super) async fn claim(maker: &Maker<'_>, run_id: RunId) -> Result<Taken, RecordingError> {
    let settings = maker.settings;
    let claim = lease::claim(
        &maker.clients.database,
        run_id,
        settings.lease,
        settings.database_patience,
    );
    Ok(match claim.await? {
        Claim::Taken {
            run,
            lease,
            started,
        } => Taken::Ours(Box::new(Claimed {
            run: *run,
            lease,
            started,
        })),
        Claim::Held => Taken::Not(Worked::Held),
        Claim::Over(_) => Taken::Not(Worked::Over),
        Claim::Gone => Taken::Not(Worked::Gone),
    })
}
