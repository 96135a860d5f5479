//! The whole cloud on one machine: API Gateway, Lambda, SQS, and stand-ins for Supabase, OpenAI and Ably.

pub mod ably;
pub mod bench;
pub mod binaries;
pub mod bundle;
pub mod doctor;
pub mod gateway;
pub mod lambda;
pub mod migrate;
pub mod openai;
pub mod postgres;
pub mod prepare;
pub mod script;
pub mod sqs;
pub mod stack;
pub mod supabase;
pub mod template;
