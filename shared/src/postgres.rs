//! Postgres: connecting, and running one typed statement at a time.

pub mod analytics;
mod connect;
pub mod database;
pub mod dataset_images;
pub mod datasets;
pub mod error;
pub mod events;
pub mod favorites;
pub mod history;
pub mod images;
pub mod lineage;
pub mod row;
pub mod runs;
pub mod saved;
pub mod session;
pub mod storage_deletions;
pub mod tls;
pub mod url;

pub use database::{Database, DatabaseOptions, Params};
pub use error::{DatabaseError, DatabaseSetupError};
