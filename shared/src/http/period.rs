//! Reading which time a request is about: `from` and `to`.

use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::{problem::FieldError, query::Query};
use crate::domain::page::is_storable;

/// What a time may look like.
const TIME_FORM: &str = "a date such as 2026-02-02 or a time such as 2026-02-02T10:30:00Z";

/// A time from its beginning to its end, which does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub to: Timestamp,
}

/// Reads `from` and `to`: times, or whole days (UTC) of which the last belongs to the period. Mistakes are noted in `query`.
pub fn bounds(query: &mut Query) -> (Option<Timestamp>, Option<Timestamp>) {
    let from = moment(query, "from", beginning);
    let to = moment(query, "to", end);
    if let (Some(from), Some(to)) = (from, to) {
        in_order(query, Period { from, to });
    }
    (from, to)
}

/// Reads [`bounds`] of which either may be left out: without `to` the period ends with today, without `from` it is so many days long.
/// None where a mistake was noted.
pub fn period(query: &mut Query, days: i64, now: Timestamp) -> Option<Period> {
    let given = |query: &Query, name| query.text(name).is_some();
    let bounds = bounds(query);
    let (from, to) = match (bounds, given(query, "from"), given(query, "to")) {
        ((Some(from), Some(to)), _, _) => return (from <= to).then_some(Period { from, to }),
        ((None, _), true, _) | ((_, None), _, true) => return None,
        (bounds, _, _) => bounds,
    };
    let to = to.or_else(|| end(now.to_zoned(TimeZone::UTC).date()))?;
    let length = SignedDuration::from_hours(24 * days);
    let from = from.or_else(|| to.checked_sub(length).ok())?;
    in_order(query, Period { from, to })
}

fn in_order(query: &mut Query, period: Period) -> Option<Period> {
    if period.from > period.to {
        let message = "is later than to.";
        query.error(FieldError::new("from", message, "a time before to"));
        return None;
    }
    Some(period)
}

/// A time, or a whole day (UTC) of which `edge` is meant.
fn moment(query: &mut Query, name: &str, edge: fn(Date) -> Option<Timestamp>) -> Option<Timestamp> {
    let text = query.text(name)?;
    let is_date = text.len() == "2026-02-02".len();
    let time = if is_date {
        text.parse().ok().and_then(edge)
    } else {
        // A plus that was not percent-encoded arrives as a space, and no time has one.
        text.replace(' ', "+").parse().ok()
    };
    let time = time.filter(|time| is_storable(*time));
    if time.is_none() {
        let message = format!("is not {TIME_FORM}.");
        query.error(FieldError::new(name, message, TIME_FORM));
    }
    time
}

fn beginning(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The end of a day is the beginning of the next, which no longer belongs to it.
fn end(day: Date) -> Option<Timestamp> {
    beginning(day.checked_add(1.day()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The period that these parameters name, at noon of 2026-11-21; else the parameter that is wrong.
    fn read(from: Option<&str>, to: Option<&str>) -> Result<(String, String), String> {
        let parameters: Vec<(&str, &str)> = [("from", from), ("to", to)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let mut query = Query::of_pairs(&parameters, &["from", "to"]);
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let read = period(&mut query, 30, now);
        match (query.finish(), read) {
            (Ok(()), Some(period)) => Ok((period.from.to_string(), period.to.to_string())),
            (Err(problem), None) => Err(problem.errors()[0].field.clone()),
            (finished, read) => panic!("{finished:?} {read:?}"),
        }
    }

    #[test]
    fn a_period_is_times_or_whole_days() {
        let table = [
            (None, None, "2026-10-23T00:00:00Z", "2026-11-22T00:00:00Z"),
            (
                Some("2026-11-01"),
                None,
                "2026-11-01T00:00:00Z",
                "2026-11-22T00:00:00Z",
            ),
            (
                None,
                Some("2026-03-02"),
                "2026-02-01T00:00:00Z",
                "2026-03-03T00:00:00Z",
            ),
            (
                Some("2026-02-02"),
                Some("2026-02-02"),
                "2026-02-02T00:00:00Z",
                "2026-02-03T00:00:00Z",
            ),
            (
                Some("2026-02-02T10:30:00+02:00"),
                Some("2026-02-02T10:30:00 02:00"),
                "2026-02-02T08:30:00Z",
                "2026-02-02T08:30:00Z",
            ),
        ];
        for (from, to, begins, ends) in table {
            let period = (begins.to_owned(), ends.to_owned());
            assert_eq!(read(from, to), Ok(period), "{from:?} {to:?}");
        }
    }

    #[test]
    fn what_is_no_period_names_its_parameter() {
        let table = [
            (Some("yesterday"), None, "from"),
            (Some("2026-02-30"), None, "from"),
            (Some("2026-02-02T10:30:00"), None, "from"),
            (Some("-009000-01-01T00:00:00Z"), None, "from"),
            (None, Some("2026-13-01"), "to"),
            (None, Some("9999-12-31"), "to"),
            (Some("2026-02-03"), Some("2026-02-01"), "from"),
            (Some("2027-01-01"), None, "from"),
            (Some("2026-02-03"), Some("soon"), "to"),
        ];
        for (from, to, field) in table {
            assert_eq!(read(from, to), Err(field.to_owned()), "{from:?} {to:?}");
        }
    }
}
