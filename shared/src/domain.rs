//! What Darkroom is about, as plain data and decisions: no I/O, no clock, no environment.

pub mod cost;
pub mod failure;
pub mod image;
pub mod model;
pub mod prompt;
pub mod size;
pub mod sniff;
pub mod style;
