//! The list of the history on many records: what the planner makes of the very statements that are sent, and what a search finds.
//! `DARKROOM_PLAN_ROWS` says how many records; a million take ten minutes to make.

#[cfg(test)]
mod history {
    mod plans;
    mod records;
    mod searches;
}
