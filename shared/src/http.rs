//! What every HTTP function shares: reading requests, naming what is wrong with them, answering in JSON or problem+json.

pub mod auth;
pub mod cors;
pub mod fields;
pub mod history;
pub mod mapping;
pub mod period;
pub mod prefer;
pub mod problem;
pub mod query;
pub mod reply;
pub mod request;
pub mod serve;

pub use problem::{FieldError, Problem};
pub use reply::Reply;
pub use request::Facts;
