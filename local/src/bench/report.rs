//! The tables that a reader sees.

use std::fmt::{self, Display};

use super::{
    figures::{megabytes, table},
    start_up::StartUp,
};

/// All figures.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One row a function.
    pub functions: Vec<FunctionReport>,
}

/// What was measured of one function.
#[derive(Clone, Debug)]
pub struct FunctionReport {
    /// The function's name.
    pub name: String,
    /// The size of its executable.
    pub bytes: u64,
    /// Its start-up.
    pub start_up: StartUp,
}

impl Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self
            .functions
            .iter()
            .map(|function| {
                vec![
                    function.name.clone(),
                    format!("{:.2}", megabytes(function.bytes)),
                    format!("{:.2}", function.start_up.first_poll.median_ms),
                    format!("{:.2}", function.start_up.first_poll.p99_ms),
                    memory(function.start_up.memory),
                ]
            })
            .collect();
        let head = ["function", "binary MB", "first poll ms", "p99", "memory MB"];
        formatter.write_str(&table(&head, &rows))
    }
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| format!("{:.1}", megabytes(bytes)))
}
