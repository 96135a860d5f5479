//! What two or more of Darkroom's functions use.

pub mod domain;
pub mod postgres;
pub mod recording;
pub mod telemetry;
pub mod tls;
