//! Making an image: from a claimed run to its end. The order of things is what keeps an image from being lost or paid for twice:
//! first the attempt is written down, then the vendor is asked, then the bytes go to storage, then the run ends.

mod call;
pub mod callers;
mod loading;
mod making;
mod publisher;
mod upload;
pub mod work;

use std::time::{Duration, Instant};

pub use callers::{edit_image_with_instruction, generate_image_from_prompt};
pub use upload::stored_image;

use crate::{
    ably::publish::AblyClient, domain::step::RetrySchedule, fetching::Reach,
    openai::client::OpenAiClient, postgres::Database, supabase::storage::StorageClient,
};

/// The vendors and the database, as a worker holds them between runs.
pub struct Clients {
    /// The database.
    pub database: Database,
    /// Who makes the images; none for those who only bring runs to an end that others began.
    pub openai: Option<OpenAiClient>,
    /// Where they are kept.
    pub storage: StorageClient,
    /// Who tells the page; none where `REALTIME=off`.
    pub realtime: Option<AblyClient>,
    /// How far the URLs of images to edit may lead.
    pub reach: Reach,
}

/// Who makes an image, in which way, and until when.
#[derive(Clone, Copy)]
pub struct Maker<'a> {
    /// The vendors and the database.
    pub clients: &'a Clients,
    /// How runs are worked on. The models that are asked are those of its schedule.
    pub settings: &'a WorkSettings,
    /// When the process must have ended.
    pub deadline: Deadline,
}

/// How runs are worked on.
#[derive(Clone, Debug)]
pub struct WorkSettings {
    /// When attempts are made, with which models, and until when.
    pub schedule: RetrySchedule,
    /// How long a lease lasts unless it is renewed.
    pub lease: Duration,
    /// The longest call of the vendor.
    pub call_timeout: Duration,
    /// How long an upload that fails is repeated: the bytes are paid for and nowhere else.
    pub upload_patience: Duration,
    /// How long a transition is repeated while the database is out of reach.
    pub database_patience: Duration,
}

/// When the process that works must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

/// What is kept back of a worker's time for upload and record.
const RESERVE: Duration = Duration::from_secs(20);

impl Deadline {
    /// No deadline.
    pub const NONE: Self = Self(None);

    /// A deadline so long from now.
    pub fn after(left: Duration) -> Self {
        Self(Instant::now().checked_add(left))
    }

    /// Whether there is time for something that takes so long, and for what comes after it.
    fn allows(self, needed: Duration) -> bool {
        self.0
            .is_none_or(|end| Instant::now() + needed + RESERVE <= end)
    }

    /// The time left, at most so much.
    fn left(self, most: Duration) -> Duration {
        self.0.map_or(most, |end| {
            end.saturating_duration_since(Instant::now()).min(most)
        })
    }
}
