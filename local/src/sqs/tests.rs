//! The queues over loopback HTTP, asked by the real SDK.

mod in_process;
mod loopback;
mod messages;
mod queues;
mod refusals;
