//! What two or more of Darkroom's functions use.

pub mod ably;
pub mod config;
pub mod deleting;
pub mod domain;
pub mod fetching;
pub mod generation;
pub mod http;
pub mod jwt;
pub mod openai;
pub mod postgres;
pub mod queue;
pub mod recording;
pub mod submission;
pub mod supabase;
pub mod telemetry;
pub mod tls;
