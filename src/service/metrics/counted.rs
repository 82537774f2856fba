//! What was counted of a probe already, when a further copy of it comes.

use crate::probe::record::Record;

/// What a record tells of copies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) came: bool,
    pub(super) late: bool,
    pub(super) duplicates: usize,
}

impl Counted {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            came: record.round_trip_ms.is_some(),
            late: record.late,
            duplicates: record.duplicates,
        }
    }

    /// What it told before its newest copy came: nothing, if that is the only one.
    pub(super) fn but_for_one(record: &Record) -> Self {
        match record.duplicates.checked_sub(1) {
            Some(duplicates) => Self {
                duplicates,
                ..Self::of(record)
            },
            None => Self::default(),
        }
    }
}

/// Whether the newest copy changed what a probe came to. Where nobody knows what that was, the record tells: it was changed
/// when that copy was seen, or by an earlier one.
pub(super) fn is_changed(before: Option<&Record>, record: &Record) -> bool {
    let came_to = |record: &Record| (record.outcome, record.verdict, record.code);
    match before {
        Some(before) => came_to(before) != came_to(record),
        None => record
            .revised_at
            .is_some_and(|at| record.copies.iter().all(|copy| copy.seen_at <= at)),
    }
}
