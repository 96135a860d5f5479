//! Draws the pictures of the OpenAI stand-in: a soft background whose colours come from the prompt, and the prompt on a panel.

pub mod background;
pub mod canvas;
pub mod encode;
pub mod lettering;
pub mod picture;
