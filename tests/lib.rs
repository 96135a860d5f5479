//! Nothing here: the tests of this package are in `e2e.rs` and `architecture.rs`.
