//! The tables that a reader sees.

use std::fmt::{self, Display, Formatter};

use super::{
    export::Export,
    figures::{megabytes, milliseconds, table},
    requests::Requests,
    start_up::StartUp,
    whole_path::WholePath,
    worker_memory::WorkerMemory,
};

/// All figures.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One row a function.
    pub functions: Vec<FunctionReport>,
    /// One row a kind of request.
    pub requests: Vec<Requests>,
    /// One row a batch size.
    pub worker_memory: Vec<WorkerMemory>,
    /// One row a length of history.
    pub exports: Vec<Export>,
    /// From the request to the answer.
    pub whole_path: Option<WholePath>,
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
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", functions(&self.functions))?;
        if !self.requests.is_empty() {
            write!(formatter, "\n{}", requests(&self.requests))?;
        }
        if !self.worker_memory.is_empty() {
            write!(formatter, "\n{}", worker_memory(&self.worker_memory))?;
        }
        if !self.exports.is_empty() {
            write!(formatter, "\n{}", exports(&self.exports))?;
        }
        if let Some(path) = &self.whole_path {
            write!(formatter, "\n{}", whole_path(path))?;
        }
        Ok(())
    }
}

fn functions(functions: &[FunctionReport]) -> String {
    let head = [
        "function",
        "binary MB",
        "start to first poll ms",
        "p99",
        "memory MB",
    ];
    let row = |function: &FunctionReport| {
        vec![
            function.name.clone(),
            format!("{:.2}", megabytes(function.bytes)),
            format!("{:.2}", function.start_up.first_poll.median_ms),
            format!("{:.2}", function.start_up.first_poll.p99_ms),
            memory(function.start_up.memory),
        ]
    };
    table(&head, &functions.iter().map(row).collect::<Vec<_>>())
}

fn requests(requests: &[Requests]) -> String {
    let head = [
        "request",
        "first ms",
        "later begins ms",
        "whole ms",
        "p99",
        "round trips, first",
        "later",
        "peak memory MB",
    ];
    let row = |requests: &Requests| {
        vec![
            requests.name.clone(),
            format!("{:.1}", milliseconds(requests.first)),
            format!("{:.2}", requests.later_begun.median_ms),
            format!("{:.2}", requests.later.median_ms),
            format!("{:.2}", requests.later.p99_ms),
            requests.first_round_trips.to_string(),
            format!("{:.2}", requests.later_round_trips),
            memory(requests.peak_memory),
        ]
    };
    let mut text = table(&head, &requests.iter().map(row).collect::<Vec<_>>());
    text += STREAMED_ANSWERS;
    text
}

/// Why the two times of a streamed answer differ by 40 ms: seen in a trace of its system calls.
const STREAMED_ANSWERS: &str = "\
generate and events stream their answers. lambda_runtime writes these in three pieces without TCP_NODELAY, so that the
last ones wait some 40 ms for the delayed acknowledgement of the first.
";

fn worker_memory(batches: &[WorkerMemory]) -> String {
    let head = [
        "worker's memory",
        "images MB",
        "growth MB",
        "growth / images",
    ];
    let row = |batch: &WorkerMemory| {
        vec![
            format!("{} in hand", batch.in_hand),
            format!("{:.1}", megabytes(batch.image_bytes)),
            format!("{:.1}", megabytes(batch.growth)),
            format!("{:.2}", batch.factor()),
        ]
    };
    table(&head, &batches.iter().map(row).collect::<Vec<_>>())
}

fn exports(exports: &[Export]) -> String {
    let head = ["export", "file MB", "records a second", "peak memory MB"];
    let row = |export: &Export| {
        vec![
            format!("{} records", export.records),
            format!("{:.1}", megabytes(export.file_bytes)),
            format!("{:.0}", export.records_a_second()),
            memory(export.peak_memory),
        ]
    };
    table(&head, &exports.iter().map(row).collect::<Vec<_>>())
}

fn whole_path(path: &WholePath) -> String {
    let head = ["whole path, one image", "median", "p99"];
    let times = |name: &str, times: &super::figures::Times| {
        vec![
            name.to_owned(),
            format!("{:.0} ms", times.median_ms),
            format!("{:.0} ms", times.p99_ms),
        ]
    };
    let single = |name: &str, value: String| vec![name.to_owned(), value];
    let processor = path.processor_time.map_or("-".to_owned(), |time| {
        format!("{:.1} ms", milliseconds(time))
    });
    table(
        &head,
        &[
            times("request to answer", &path.total),
            times("of that, added to the vendor's time", &path.added),
            times("answer after the worker's end", &path.answered_after),
            single("processor time, generate and worker", processor),
            single(
                "round trips of generate, waiting",
                format!("{:.1}", path.generate_round_trips),
            ),
            single(
                "round trips of the worker",
                format!("{:.1}", path.worker_round_trips),
            ),
        ],
    )
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| format!("{:.1}", megabytes(bytes)))
}
