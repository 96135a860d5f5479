//! `OpenAI`'s images API: one call, one outcome. Nothing is repeated here; what an outcome allows is said by
//! `domain::failure`.

pub mod answer;
mod base64_pieces;
pub mod client;
pub mod decode;
pub mod error;
pub mod request;

#[cfg(test)]
mod tests;
