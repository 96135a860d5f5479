//! The settings of whoever makes images: the worker, and other callers in Rust.

use std::time::Duration;

use super::{Reader, groups};
use crate::{
    ably::publish::AblyClient,
    generation::{Clients, WorkSettings},
    openai::client::OpenAiClient,
};

/// How long a transition is repeated while the database is out of reach: a restart or a failover takes less.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);

/// Reads them. `function` names the connections in the database's own views.
pub fn making(reader: &mut Reader<'_>, function: &str) -> Option<(Clients, WorkSettings)> {
    let database = groups::database(reader, function, 2);
    let openai = groups::openai(reader);
    let storage = groups::storage(reader);
    let ably = groups::ably(reader);
    let runs = groups::runs(reader);
    let reach = groups::reach(reader);
    let upload_patience = Duration::from_secs(reader.number("UPLOAD_PATIENCE_S", 300, 1..=840));
    let settings = WorkSettings {
        schedule: runs.schedule,
        lease: runs.lease,
        call_timeout: openai.timeout,
        upload_patience,
        database_patience: DATABASE_PATIENCE,
    };
    let clients = Clients {
        database: database?,
        openai: Some(OpenAiClient::new(openai)),
        storage,
        realtime: ably.map(AblyClient::new),
        reach,
    };
    Some((clients, settings))
}
