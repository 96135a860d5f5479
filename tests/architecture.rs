//! The rules by which the code is laid out, held against the sources as text. ARCHITECTURE.md says why there are such rules; each
//! rule is also shown a small piece of code that breaks it, so that a rule that has gone blind is noticed.

#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/files.rs"]
mod files;
#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/limits.rs"]
mod limits;
#[path = "architecture/manifests.rs"]
mod manifests;
#[path = "architecture/openapi.rs"]
mod openapi;
#[path = "architecture/purity.rs"]
mod purity;
#[path = "architecture/routes.rs"]
mod routes;
#[path = "architecture/sources.rs"]
mod sources;
#[path = "architecture/tokens.rs"]
mod tokens;
