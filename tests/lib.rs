//! What both kinds of tests share; the tests themselves are in `e2e.rs` and `architecture.rs`.

pub mod openapi;
