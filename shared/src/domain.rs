//! What Darkroom is about, as plain data and decisions: no I/O, no clock, no environment.

pub mod attempt;
pub mod caller;
pub mod cost;
pub mod event;
pub mod failure;
pub mod fault;
pub mod figures;
pub mod history;
pub mod id;
pub mod image;
pub mod job;
pub mod machine;
pub mod model;
pub mod page;
pub mod prompt;
pub mod run;
pub mod search;
pub mod size;
pub mod sniff;
pub mod source;
pub mod step;
pub mod style;
