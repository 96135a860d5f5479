//! Ably: tokens that let a caller listen, and publishing what happens.

pub mod key;
pub mod publish;
pub mod token;
