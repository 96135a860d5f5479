//! What a program says of itself: which machine it is for, and which glibc it needs.

use std::fmt;

/// What Lambda runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Machine {
    /// Graviton.
    Arm64,
    /// Intel and AMD.
    #[value(name = "x86_64")]
    X86_64,
}

impl Machine {
    /// This machine's own.
    #[must_use]
    pub fn here() -> Self {
        match cfg!(target_arch = "aarch64") {
            true => Self::Arm64,
            false => Self::X86_64,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        })
    }
}

/// What was found in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// `None` for a machine that Lambda does not have.
    pub(super) machine: Option<Machine>,
    /// Of the newest symbol version `GLIBC_2.x` that is asked for; 0 without any.
    pub(super) glibc_minor: u32,
}

/// `None` where the bytes are no program of Linux.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    let machine = match bytes.get(18..20)? {
        [0x3e, 0] => Some(Machine::X86_64),
        [0xb7, 0] => Some(Machine::Arm64),
        _ => None,
    };
    Some(Program {
        machine,
        glibc_minor: newest_glibc(bytes),
    })
}

/// Names of symbol versions are plain texts in the program, each ended by a zero byte.
fn newest_glibc(bytes: &[u8]) -> u32 {
    const NAME: &[u8] = b"GLIBC_2.";
    let versions = bytes
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, window)| *window == NAME);
    let minor = |at: usize| {
        let rest = bytes.get(at + NAME.len()..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(rest.get(..end)?).ok()?;
        // `GLIBC_2.2.5` is 2.2 with a patch level.
        text.split('.').next()?.parse().ok()
    };
    versions
        .filter_map(|(at, _)| minor(at))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_machine_and_glibc() {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(18, 0);
        bytes.extend([0xb7, 0]);
        bytes.extend(b"GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.4\0GLIBC_2.x\0");
        let expected = Program {
            machine: Some(Machine::Arm64),
            glibc_minor: 34,
        };
        assert_eq!(read(&bytes), Some(expected));
        assert_eq!(read(b"#!/bin/sh"), None);
    }

    #[test]
    fn reads_this_very_program() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let program = read(&bytes).unwrap();
        assert_eq!(program.machine, Some(Machine::here()));
        assert!(program.glibc_minor >= 2);
    }
}
