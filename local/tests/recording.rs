//! The statements of `shared::recording` on a real Postgres: the same stories as the state machine that they are meant to be, and what
//! happens when many do the same at once.

#[cfg(test)]
mod recording {
    mod races;
    mod setup;
    mod stories;
}
