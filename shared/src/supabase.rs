//! Supabase: who the caller is, and where images are kept.

pub mod auth;
pub mod jwks;
pub mod storage;
