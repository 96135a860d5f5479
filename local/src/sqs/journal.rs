//! The data file: one JSON entry a line, appended as things happen and rewritten when it is mostly history.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{clock::Millis, message::Message};

/// Something that happened to a queue or a message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(super) enum Entry {
    /// The queue exists, with these attributes.
    Queue {
        queue: String,
        attributes: BTreeMap<String, String>,
        created_at: Millis,
        modified_at: Millis,
    },
    QueueDeleted {
        queue: String,
    },
    /// The message is in the queue, in this state.
    Message {
        queue: String,
        number: u64,
        message: Box<Message>,
    },
    /// The message was received, or its visibility changed.
    Hidden {
        queue: String,
        number: u64,
        visible_at: Millis,
        receive_count: u32,
        first_received_at: Option<Millis>,
        receipt: Option<Uuid>,
    },
    Deleted {
        queue: String,
        number: u64,
    },
    Purged {
        queue: String,
    },
}

/// Where entries go; nowhere without a file.
#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<OpenJournal>,
}

#[derive(Debug)]
struct OpenJournal {
    path: PathBuf,
    file: File,
    lines: usize,
}

/// Below this many lines a file is never rewritten.
const REWRITE_FROM_LINES: usize = 10_000;

impl Journal {
    /// The journal and what it holds.
    ///
    /// # Errors
    /// The file cannot be read, or a line other than the last is not an entry. The last may be torn: the process
    /// ended while it was written, before its sender had an answer.
    pub(super) fn open(path: Option<PathBuf>) -> anyhow::Result<(Self, Vec<Entry>)> {
        let Some(path) = path else {
            return Ok((Self::default(), Vec::new()));
        };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let entries = read(&path)?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let lines = entries.len();
        let file = Some(OpenJournal { path, file, lines });
        Ok((Self { file }, entries))
    }

    /// Writes one entry. The page cache holds it then: it survives this process, though not a power cut.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(journal) = &mut self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        journal.file.write_all(&line)?;
        journal.lines += 1;
        Ok(())
    }

    /// Whether the file is worth rewriting when this many entries would say the same.
    pub(super) fn is_mostly_history(&self, live: usize) -> bool {
        self.file
            .as_ref()
            .is_some_and(|journal| journal.lines > REWRITE_FROM_LINES.max(live * 4))
    }

    /// Replaces the file by these entries, whole or not at all.
    pub(super) fn rewrite(&mut self, entries: impl Iterator<Item = Entry>) -> io::Result<()> {
        let Some(journal) = &mut self.file else {
            return Ok(());
        };
        let next_path = journal.path.with_extension("next");
        let mut next = BufWriter::new(File::create(&next_path)?);
        let mut lines = 0;
        for entry in entries {
            serde_json::to_writer(&mut next, &entry)?;
            next.write_all(b"\n")?;
            lines += 1;
        }
        next.into_inner()?.sync_all()?;
        std::fs::rename(&next_path, &journal.path)?;
        journal.file = OpenOptions::new().append(true).open(&journal.path)?;
        journal.lines = lines;
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut entries = Vec::new();
    let mut torn = None;
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line?;
        if let Some(error) = torn.take() {
            let place = format!("{} line {index}", path.display());
            return Err(anyhow::Error::new(error).context(place));
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => entries.push(entry),
            Err(error) => torn = Some(error),
        }
    }
    Ok(entries)
}
