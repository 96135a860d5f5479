//! Every id is its own type, so that an image's id cannot be handed over where a run's is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// A run: one request for an image, from its acceptance to its end.
    RunId
);
id!(
    /// A record of `generated_images`.
    ImageId
);
id!(
    /// A user of Supabase Auth (`auth.users.id`).
    UserId
);
id!(
    /// A dataset: a brand's context and reference images.
    DatasetId
);
id!(
    /// A reference image of a dataset (`dataset_images.id`).
    DatasetImageId
);
id!(
    /// Proof of holding a run's lease: every write of a worker is guarded by it.
    LeaseToken
);
