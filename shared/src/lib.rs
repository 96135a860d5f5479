//! What two or more of Darkroom's functions use.

pub mod ably;
pub mod domain;
pub mod jwt;
pub mod openai;
pub mod postgres;
pub mod recording;
pub mod supabase;
pub mod telemetry;
pub mod tls;
