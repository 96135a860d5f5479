//! Postgres: connecting, and running one typed statement at a time.

mod connect;
pub mod database;
pub mod error;
pub mod row;
pub mod runs;
pub mod session;
pub mod tls;
pub mod url;

pub use database::{Database, DatabaseOptions, Params};
pub use error::{DatabaseError, DatabaseSetupError};
