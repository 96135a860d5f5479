//! `OpenAI`'s images API: one call, one outcome. Nothing is repeated here; what an outcome allows is said by
//! `domain::failure`.

pub mod answer;
pub mod client;
pub mod decode;
pub mod error;
pub mod request;

#[cfg(test)]
mod tests;
