//! One line of a route's tests: when it starts next, by its own timing or by that which the route's mood puts in its place.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};

use super::grid::{Grid, Phase, mono_at, spread};
use super::{LineKey, Mood};
use crate::clock::Stamp;
use crate::config::plan::{Cron, Line, Timing, Watch};

/// A line that never ran does so within this time.
const FIRST: Duration = Duration::from_mins(1);
/// Where the server turns us away, the time to the next test doubles up to this.
const SPARING: Duration = Duration::from_hours(1);
/// A calendar's start that lies further in the future is no start that was: the clock was wrong.
const CREDIBLE: SignedDuration = SignedDuration::from_hours(2);

/// When the tests of one line start.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) key: LineKey,
    pub(super) tests: Vec<usize>,
    is_harmless: bool,
    hash: u64,
    own: Own,
    /// What the route's mood puts in its place.
    instead: Option<Instead>,
    /// When a line that never ran does so at the latest.
    first: Option<Instant>,
    /// The start that is waited for.
    pub(super) point: Option<Point>,
    /// Starts that were missed since the last one.
    pub(super) missed: u32,
}

#[derive(Clone, Debug)]
enum Own {
    Every(Grid),
    Cron {
        cron: Cron,
        /// The calendar's newest start.
        fired: Option<Timestamp>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instead {
    /// This grid, where the line's own timing is not sooner.
    Sooner(Grid),
    /// This grid, whatever the line's own timing is.
    Always(Grid),
    /// Those of the calendar's starts that have so much time between them.
    Sparse(Duration),
}

impl Instead {
    /// What tells it from others, wherever its grid was placed.
    fn rule(self) -> (u8, Duration) {
        match self {
            Self::Sooner(grid) => (0, grid.period()),
            Self::Always(grid) => (1, grid.period()),
            Self::Sparse(pause) => (2, pause),
        }
    }
}

/// One nominal start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) due: Stamp,
    /// It is a wall time, where others are monotonic instants.
    by_calendar: bool,
}

impl Lane {
    /// A line whose last start was at `last`; `None`: it never ran.
    pub(super) fn new(key: LineKey, line: &Line, last: Option<Timestamp>, now: Stamp) -> Self {
        let text = format!("{}\n{}", key.route, key.line);
        let hash = |part: usize| {
            let bytes = digest(&SHA256, text.as_bytes());
            let bytes = bytes.as_ref().iter().skip(part * 8).take(8);
            bytes.fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte))
        };
        let (own, first) = match &line.timing {
            Timing::Every(period) => {
                let grid = Grid::placed(*period, hash(0), now);
                let within = FIRST.min(*period);
                let soon = grid.after(now.mono);
                let first = if soon <= now.mono + within {
                    soon
                } else {
                    now.mono + spread(hash(1), within)
                };
                (Own::Every(grid), last.is_none().then_some(first))
            }
            // A calendar says when, and may mean to say when not: it is waited for the first time too.
            Timing::Cron(cron) => (
                Own::Cron {
                    cron: cron.clone(),
                    fired: last,
                },
                None,
            ),
        };
        Self {
            key,
            tests: line.tests.clone(),
            is_harmless: line.is_harmless,
            hash: hash(0),
            own,
            instead: None,
            first,
            point: None,
            missed: 0,
        }
    }

    /// The same line after a reload.
    pub(super) fn renewed(mut self, line: &Line) -> Self {
        self.tests.clone_from(&line.tests);
        self
    }

    pub(super) fn is_by_calendar(&self) -> bool {
        matches!(self.own, Own::Cron { .. })
    }

    /// The starts between the last run and `now`, while nothing ran; `limit` at most are looked at.
    pub(super) fn missed_since(
        &self,
        last: Timestamp,
        now: Timestamp,
        limit: usize,
        is_off: &dyn Fn(Timestamp) -> bool,
    ) -> u32 {
        match &self.own {
            Own::Every(grid) => {
                let missed = Phase::new(grid.period(), self.hash).missed(last, now);
                let unseen = missed.len().saturating_sub(limit);
                let seen = missed.take(limit).filter(|moment| !is_off(*moment)).count();
                u32::try_from(unseen + seen).unwrap_or(u32::MAX)
            }
            Own::Cron { cron, .. } => {
                let times = std::iter::successors(cron.after(last), |time| cron.after(*time));
                let missed = times.take(limit).take_while(|time| *time <= now);
                u32::try_from(missed.filter(|time| !is_off(*time)).count()).unwrap_or(u32::MAX)
            }
        }
    }

    /// Goes by what the route's mood asks for; tells whether that changes anything.
    pub(super) fn follow(&mut self, mood: Mood, watch: &Watch, now: Stamp) -> bool {
        let grid = |period| Grid::placed(period, self.hash, now);
        let down = || {
            let period = watch.every_when_down.filter(|_| self.is_harmless)?;
            let is_sooner = match &self.own {
                Own::Every(own) => period < own.period(),
                Own::Cron { .. } => true,
            };
            is_sooner.then(|| Instead::Sooner(grid(period)))
        };
        let instead = match mood {
            Mood::Well => None,
            Mood::Failing => down(),
            Mood::Lost => watch
                .every_when_lost
                .map(|period| Instead::Always(grid(period)))
                .or_else(down),
            Mood::Unwelcome(times) => Some(match &self.own {
                Own::Every(own) => {
                    let pause = sparing(times, own.period()).max(own.period());
                    let pause = pause.max(watch.every_when_lost.unwrap_or_default());
                    Instead::Always(Grid::starting(pause, now))
                }
                Own::Cron { .. } => Instead::Sparse(sparing(times, FIRST)),
            }),
        };
        let is_changed = self.instead.map(Instead::rule) != instead.map(Instead::rule);
        if is_changed {
            self.instead = instead;
        }
        is_changed
    }

    /// The first start after a moment, by what both clocks said at `origin`.
    pub(super) fn next(&self, after: Stamp, origin: Stamp) -> Option<Point> {
        let next = match self.grid() {
            Some(grid) => Some(Point::on(grid.after(after.mono), origin)),
            None => self.by_calendar(after, origin),
        };
        match self.first {
            Some(first) if next.is_none_or(|next| first < next.due.mono) => {
                Some(Point::on(first, origin))
            }
            Some(_) | None => next,
        }
    }

    /// The even grid that rules; `None`: the calendar does.
    fn grid(&self) -> Option<Grid> {
        match (&self.own, self.instead) {
            (Own::Every(_) | Own::Cron { .. }, Some(Instead::Always(grid)))
            | (Own::Every(_), Some(Instead::Sooner(grid))) => Some(grid),
            (Own::Every(grid), Some(Instead::Sparse(_)) | None) => Some(*grid),
            (Own::Cron { .. }, Some(Instead::Sooner(_) | Instead::Sparse(_)) | None) => None,
        }
    }

    /// The calendar's first start after a moment.
    ///
    /// What was started once is not started again where the clock is set back, so for as long as it was set back nothing
    /// may start. But a start that lies further in the future than people set clocks back was made by a clock that was
    /// wrong.
    fn by_calendar(&self, after: Stamp, origin: Stamp) -> Option<Point> {
        let Own::Cron { cron, fired } = &self.own else {
            return None;
        };
        let fired = fired.filter(|fired| fired.duration_since(after.wall) <= CREDIBLE);
        let last = fired.map_or(after.wall, |fired| fired.max(after.wall));
        let wall = match self.instead {
            // A start that is due just at the end of the pause is taken.
            Some(Instead::Sparse(pause)) => {
                let pause = pause.saturating_sub(FIRST / 2);
                cron.after(last.checked_add(pause).unwrap_or(last))
            }
            Some(Instead::Sooner(_) | Instead::Always(_)) | None => cron.after(last),
        };
        let own = wall.and_then(|wall| {
            let mono = mono_at(origin, wall)?;
            Some(Point {
                due: Stamp { wall, mono },
                by_calendar: true,
            })
        });
        match self.instead {
            // Whether the calendar is sooner changes with the hour: at night it may be silent.
            Some(Instead::Sooner(grid)) => own
                .filter(|own| own.due.since(after) <= grid.period())
                .or_else(|| Some(Point::on(grid.after(after.mono), origin))),
            Some(Instead::Always(_) | Instead::Sparse(_)) | None => own,
        }
    }

    /// The newest start up to `now`, from one that is due on, and how many were missed before it; `None` where more than
    /// `limit` of a calendar's had to be looked at.
    /// Of a calendar the newest start is marked as made, whether or not anything comes of it.
    pub(super) fn newest(
        &mut self,
        due: Point,
        (now, origin): (Stamp, Stamp),
        limit: usize,
        is_off: &dyn Fn(Timestamp) -> bool,
    ) -> (Option<Point>, u32) {
        self.first = None;
        let (mut newest, mut missed) = (due, 0);
        for _ in 0..limit {
            let next = self.next(newest.due, origin);
            let Some(next) = next.filter(|next| next.due.mono <= now.mono) else {
                if let (Own::Cron { fired, .. }, true) = (&mut self.own, newest.by_calendar) {
                    *fired = Some(newest.due.wall);
                }
                return (Some(newest), missed);
            };
            missed += u32::from(!is_off(newest.due.wall));
            newest = next;
        }
        let Some(grid) = self.grid() else {
            return (None, missed);
        };
        let (further, last) = grid.further(newest.due.mono, now.mono);
        let missed = u64::from(missed).saturating_add(further);
        (
            Some(Point::on(last, origin)),
            u32::try_from(missed).unwrap_or(u32::MAX),
        )
    }

    /// The clocks went apart: by `jump`, since `old`; now they are mapped by `now`. Returns how many starts a suspend swallowed.
    ///
    /// A suspend stops the monotonic clock; all that can be seen is that the wall clock went further. A clock that is set
    /// forward, by hand or by NTP, looks the same, and counts the same.
    pub(super) fn adjust(
        &mut self,
        jump: SignedDuration,
        (old, now): (Stamp, Stamp),
        limit: usize,
        is_off: &dyn Fn(Timestamp) -> bool,
    ) -> u32 {
        let Some(point) = self.point else { return 0 };
        let Some(grid) = self.grid() else {
            let is_passed = if point.by_calendar {
                point.due.wall <= now.wall
            } else {
                point.due.mono <= now.mono
            };
            self.point = if is_passed {
                Some(point.mapped(now))
            } else {
                self.next(now, now)
            };
            return 0;
        };
        self.point = Some(point.mapped(now));
        let period = grid.period();
        let Ok(slept) = Duration::try_from(jump) else {
            return 0;
        };
        if slept <= FIRST || slept <= period || self.first.is_some() {
            return 0;
        }
        let count = slept.as_nanos() / period.as_nanos().max(1);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let begin = old.wall_at(point.due.mono);
        let times = std::iter::successors(Some(begin), |time| time.checked_add(period).ok());
        let off = times.take(count.min(limit)).filter(|time| is_off(*time));
        u32::try_from(count - off.count()).unwrap_or(u32::MAX)
    }
}

/// The pause after a server has turned us away so many times: this long after the first, and twice as long after each
/// further one.
fn sparing(times: u32, first: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(times.saturating_sub(1));
    first.max(FIRST).saturating_mul(doubled).min(SPARING)
}

impl Point {
    fn on(mono: Instant, origin: Stamp) -> Self {
        let wall = origin.wall_at(mono);
        Self {
            due: Stamp { wall, mono },
            by_calendar: false,
        }
    }

    fn mapped(self, origin: Stamp) -> Self {
        if self.by_calendar {
            let mono = mono_at(origin, self.due.wall).unwrap_or(self.due.mono);
            let wall = self.due.wall;
            Self {
                due: Stamp { wall, mono },
                ..self
            }
        } else {
            Self::on(self.due.mono, origin)
        }
    }
}
