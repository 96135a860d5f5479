//! Medians and percentiles, and how figures are written.

use std::time::Duration;

use serde::Serialize;

/// What a series of measurements says, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// How many were measured.
    pub count: usize,
    /// Half of them took at most this long.
    pub median_ms: f64,
    /// All but one in a hundred took at most this long; the longest where there are fewer.
    pub p99_ms: f64,
}

impl Times {
    /// `None` where nothing was measured.
    #[must_use]
    pub fn of(mut series: Vec<Duration>) -> Option<Self> {
        series.sort_unstable();
        Some(Self {
            count: series.len(),
            median_ms: milliseconds(percentile(&series, 50)?),
            p99_ms: milliseconds(percentile(&series, 99)?),
        })
    }
}

/// The smallest value that `percent` of a sorted series do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// A duration in milliseconds, with its fraction.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Bytes in megabytes of 1,000,000, as binaries and images are counted here.
#[must_use]
pub fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / 1e6
}

/// Rows in columns as wide as their widest cell; the first column to the left, the others to the right.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(head[column].chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate();
        let padded = cells.map(|(column, (cell, width))| {
            if column == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_measured_values() {
        let series = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        for (count, median, p99) in [
            (1, 1.0, 1.0),
            (2, 1.0, 2.0),
            (5, 3.0, 5.0),
            (200, 100.0, 198.0),
        ] {
            let times = Times::of(series(count)).unwrap();
            assert_eq!((times.median_ms, times.p99_ms), (median, p99), "{count}");
        }
        assert_eq!(Times::of(Vec::new()), None);
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["list".to_owned(), "5.5".to_owned()],
            vec!["generate".to_owned(), "10.0".to_owned()],
        ];
        assert_eq!(
            table(&["function", "MB"], &rows),
            "function    MB\nlist       5.5\ngenerate  10.0\n"
        );
    }
}
