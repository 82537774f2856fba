//! Where the time went, by clocks that may be wrong. Numbers in, a span out; what they are called is `way`'s.
//!
//! Our own clock is right by definition, and everything is told in milliseconds of it since the accepted attempt began.
//! On it stand the ends of our own phases, the copy's sighting, and, from the looks before, when it cannot have been in
//! the mailbox yet. Between these the message passed hosts whose clocks we do not know: each gives a stamp, in whole seconds as a
//! rule, which puts its true time into a box ([`Reading::span`]).
//!
//! **The rule.** An *assumption* is a set of hosts whose clocks are taken for wrong; their stamps are put aside. It can hold if all
//! other boxes fit one after the other, in the order of the hops, into the time between our submission and our sighting. Under an
//! assumption the places that still have a time cut the way into units; a unit that surely took less than another one cannot
//! be the slowest. The answer is the hull of all units that can be the slowest under any assumption in question:
//!
//! 1. Where all clocks fit, that no clock is wrong; and, one host at a time, that its clock is wrong by [`UNNOTICED`] or more
//!    and fits all the same. Over a shorter way than that there is no such thing: so for ten minutes a slow hop is named as the
//!    clocks have it, and for longer ways the span is as wide as is needed to be true with any one clock wrong.
//! 2. Where they do not fit, that one clock is wrong, each in turn, or ours by as much as the gateway's stamp tells; if that
//!    explains nothing, that two are. What two hosts contradict each other about is thus told only as far as both agree.
//!
//! The first hop is special: it should be the gateway, which stamps during our own session. A stamp that fits there is beyond doubt;
//! one that does not is put aside in any case, as a gateway may also remove its own line. To put a stamp aside never makes an
//! answer false, only wider.
//!
//! What this cannot see: a clock that is wrong by seconds or minutes and yet fits between its neighbours looks like a right one. It
//! moves the borders between two hops by so much, and hides a slow hop only if it is wrong by about as much as that hop took.

/// How far the clock of a host that is kept right may be off.
const RIGHT: f64 = 250.0;
/// The same, where the clocks do not fit together otherwise.
const ROUGHLY_RIGHT: f64 = 1000.0;
/// What a clock that says whole seconds leaves open.
pub(super) const GRAIN: f64 = 1000.0;
/// By how much at least a clock is off that may be wrong unnoticed.
pub(super) const UNNOTICED: f64 = 600_000.0;
/// How long before it can be seen a mailbox may say that a message was delivered.
const INDEXING: f64 = 2000.0;

/// The host that stands for the mailbox.
const MAILBOX: usize = usize::MAX;

/// What is known of the times of one copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// When each of our own phases ended, the last one with the reply to the message.
    pub(super) phases: Vec<f64>,
    /// Until when our session with the gateway lasted.
    pub(super) session: f64,
    /// The stamps of the hops, the oldest first.
    pub(super) hops: Vec<Stamped>,
    /// The mailbox's own stamp.
    pub(super) delivered: Option<Reading>,
    /// When a look at the mailbox did not show the copy yet.
    pub(super) looked: f64,
    /// When it was seen.
    pub(super) seen: f64,
}

/// One hop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stamped {
    /// Which host: hops of one number have one clock.
    pub(super) host: usize,
    /// What its clock said.
    pub(super) at: Option<Reading>,
}

/// What a clock said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) at: f64,
    /// What that leaves open, as a clock that says whole seconds does.
    pub(super) grain: f64,
}

impl Reading {
    /// Where in true time it may belong, if the clock is right.
    fn span(self, slack: f64) -> (f64, f64) {
        (self.at - slack, self.at + self.grain + slack)
    }

    fn middle(self) -> f64 {
        self.at + self.grain / 2.0
    }
}

/// A place on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// The begin of this one of our phases; the number of all of them: the gateway has the message.
    Own(usize),
    /// A hop.
    Hop(usize),
    /// The mailbox.
    Mailbox,
    /// Our sighting.
    Seen,
}

/// What is found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) slowest: Result<Span, Doubt>,
    /// By how much the clock of each hop is ahead of ours, where that is sure.
    pub(super) skews: Vec<Option<f64>>,
    /// By how much ours is ahead of all others, if it is ours.
    pub(super) own_skew: Option<f64>,
}

/// A part of the way, and the bounds of the time it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from: Point,
    pub(super) to: Point,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Why nothing can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// These hops contradict each other or us.
    Contradiction(Vec<usize>),
    /// It took so long that a wrong clock need not show.
    Unnoticed,
    /// Its parts are too short for clocks that say whole seconds, or the hops say no times.
    Grain,
}

/// Whose clocks are taken for wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nobody,
    /// This host's, by anything.
    Host(usize),
    /// This host's, by [`UNNOTICED`] at least, and ahead or behind.
    Far(usize, Side),
    Both(usize, usize),
    Ours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ahead,
    Behind,
}

/// A place and the bounds of its true time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spot {
    point: Point,
    lo: f64,
    hi: f64,
    /// Whether its stamp is put aside.
    aside: bool,
}

impl Course {
    /// Where the most time went.
    pub(super) fn slowest(&self) -> Found {
        let mut hosts: Vec<_> = self
            .hops
            .iter()
            .filter(|hop| hop.at.is_some())
            .map(|hop| hop.host)
            .collect();
        hosts.extend(self.arrival().map(|_| MAILBOX));
        hosts.sort_unstable();
        hosts.dedup();
        let fits = |slack, wrong: &[Wrong]| -> Vec<(Wrong, Vec<Spot>)> {
            let fit = wrong
                .iter()
                .filter_map(|wrong| Some((*wrong, self.fit(slack, *wrong)?)));
            fit.collect()
        };
        let gateway = self.gateway_fits();
        for slack in [RIGHT, ROUGHLY_RIGHT] {
            let mut found = fits(slack, &[Wrong::Nobody]);
            if found.is_empty() {
                continue;
            }
            let far = hosts.iter().filter(|host| !self.is_checked(**host));
            let mut doubts: Vec<_> = far
                .flat_map(|host| {
                    [
                        Wrong::Far(*host, Side::Ahead),
                        Wrong::Far(*host, Side::Behind),
                    ]
                })
                .collect();
            if gateway == Some(false) {
                doubts.push(Wrong::Ours);
            }
            found.extend(fits(slack, &doubts));
            return self.told(&found, false);
        }
        let mut single: Vec<_> = hosts.iter().map(|host| Wrong::Host(*host)).collect();
        if gateway == Some(false) {
            single.push(Wrong::Ours);
        }
        let double: Vec<_> = hosts
            .iter()
            .enumerate()
            .flat_map(|(at, one)| {
                let others = hosts.iter().skip(at + 1);
                others.map(|other| Wrong::Both(*one, *other))
            })
            .collect();
        for wrong in [single, double] {
            for slack in [RIGHT, ROUGHLY_RIGHT] {
                let found = fits(slack, &wrong);
                if !found.is_empty() {
                    return self.told(&found, true);
                }
            }
        }
        Found {
            slowest: Err(Doubt::Contradiction((0..self.hops.len()).collect())),
            skews: vec![None; self.hops.len()],
            own_skew: None,
        }
    }

    /// Whether the first stamp lies within our session; `None` without one.
    pub(super) fn gateway_fits(&self) -> Option<bool> {
        let (from, to) = self.hops.first()?.at?.span(ROUGHLY_RIGHT);
        Some(to >= 0.0 && from <= self.session)
    }

    /// The mailbox's own stamp, unless our looks disprove it: a copy cannot have lain in a folder that a later look showed
    /// without it. What the stamp tells instead, such as when the delivery began, is not known.
    fn arrival(&self) -> Option<Reading> {
        self.delivered
            .filter(|said| said.at + said.grain >= self.looked - INDEXING)
    }

    /// Whether a host's clock was held against ours, and is right.
    fn is_checked(&self, host: usize) -> bool {
        if host == MAILBOX {
            return true;
        }
        self.gateway_fits() == Some(true) && self.hops.first().is_some_and(|hop| hop.host == host)
    }

    /// The boxes under an assumption, as narrow as their order makes them; `None` where they do not fit.
    fn fit(&self, slack: f64, wrong: Wrong) -> Option<Vec<Spot>> {
        let accepted = self.phases.last().copied().unwrap_or_default();
        let ours = self.hops.first().and_then(|hop| hop.at);
        // By how much ours would have to be put forward for the gateway's stamp to lie in our session.
        let shift = match (wrong, ours) {
            (Wrong::Ours, Some(said)) => (-said.at - said.grain, self.session - said.at),
            _ => (0.0, 0.0),
        };
        let place = |host: usize, at: Option<Reading>| -> (f64, f64, bool) {
            const ANY: (f64, f64, bool) = (f64::NEG_INFINITY, f64::INFINITY, true);
            let Some(said) = at else { return ANY };
            let (lo, hi) = said.span(slack);
            match wrong {
                Wrong::Host(one) if one == host => ANY,
                Wrong::Both(one, other) if one == host || other == host => ANY,
                Wrong::Far(one, Side::Ahead) if one == host => {
                    (f64::NEG_INFINITY, hi - UNNOTICED, true)
                }
                Wrong::Far(one, Side::Behind) if one == host => {
                    (lo + UNNOTICED, f64::INFINITY, true)
                }
                Wrong::Nobody | Wrong::Host(_) | Wrong::Far(..) | Wrong::Both(..) | Wrong::Ours => {
                    (lo + shift.0, hi + shift.1, false)
                }
            }
        };
        let mut boxes = Vec::with_capacity(self.hops.len() + 2);
        for (number, hop) in self.hops.iter().enumerate() {
            let (mut lo, mut hi, mut aside) = place(hop.host, hop.at);
            if number == 0 && wrong != Wrong::Ours {
                let checked = hop.at.filter(|_| self.gateway_fits() == Some(true));
                (lo, hi, aside) = match checked.map(|said| said.span(ROUGHLY_RIGHT)) {
                    Some((from, to)) => (from, to.min(self.session), false),
                    None => (f64::NEG_INFINITY, f64::INFINITY, true),
                };
            }
            let point = Point::Hop(number);
            boxes.push(Spot {
                point,
                lo,
                hi,
                aside,
            });
        }
        // It came after a look that did not show it.
        let (lo, hi, aside) = place(MAILBOX, self.arrival());
        let (lo, hi) = (lo.max(self.looked), hi.max(self.looked));
        boxes.push(Spot {
            point: Point::Mailbox,
            lo,
            hi,
            aside: aside && self.looked <= accepted,
        });
        let mut from = 0.0_f64;
        for place in &mut boxes {
            from = from.max(place.lo);
            place.lo = from;
        }
        let mut until = self.seen;
        for place in boxes.iter_mut().rev() {
            until = until.min(place.hi);
            place.hi = until;
        }
        boxes
            .iter()
            .all(|place| place.lo <= place.hi)
            .then_some(boxes)
    }

    /// The units of the way under an assumption.
    fn units(&self, boxes: &[Spot]) -> Vec<Span> {
        let mut units = Vec::with_capacity(self.phases.len() + boxes.len() + 1);
        let mut begun = 0.0;
        for (number, ended) in self.phases.iter().enumerate() {
            units.push(Span {
                from: Point::Own(number),
                to: Point::Own(number + 1),
                least: ended - begun,
                most: ended - begun,
            });
            begun = *ended;
        }
        let mut last = (Point::Own(self.phases.len()), begun, begun);
        let seen = (Point::Seen, self.seen, self.seen);
        // What a host did while our session lasted is our own phases'.
        let places = boxes
            .iter()
            .filter(|place| !place.aside && place.hi > begun && place.point != Point::Hop(0))
            .map(|place| (place.point, place.lo.max(begun), place.hi));
        for (point, lo, hi) in places.chain([seen]) {
            units.push(Span {
                from: last.0,
                to: point,
                least: (lo - last.2).max(0.0),
                most: hi - last.1,
            });
            last = (point, lo, hi);
        }
        units
    }

    /// The hull of what can be the slowest under the assumptions that can hold.
    fn told(&self, found: &[(Wrong, Vec<Spot>)], contradicts: bool) -> Found {
        let mut hull: Option<Span> = None;
        for (_, boxes) in found {
            let units = self.units(boxes);
            let sure = units.iter().map(|unit| unit.least).fold(0.0, f64::max);
            for unit in units.iter().filter(|unit| unit.most >= sure) {
                let hull = hull.get_or_insert(*unit);
                hull.from = hull.from.min(unit.from);
                hull.to = hull.to.max(unit.to);
            }
        }
        let (skews, own_skew) = self.skews(found, contradicts);
        let doubt = || {
            if contradicts {
                Doubt::Contradiction(self.suspects(found))
            } else if found.len() > 1 {
                Doubt::Unnoticed
            } else {
                Doubt::Grain
            }
        };
        let slowest = hull.filter(|span| self.says_something(*span, found));
        Found {
            slowest: slowest
                .map(|span| self.measured(span, found))
                .ok_or_else(doubt),
            skews,
            own_skew,
        }
    }

    /// Whether a span is less than everything from the gateway on, or there is nothing within to be told apart; and does not
    /// reach from our session into what came after it.
    fn says_something(&self, span: Span, found: &[(Wrong, Vec<Spot>)]) -> bool {
        let gateway = Point::Own(self.phases.len());
        if span.from < gateway {
            return matches!((span.from, span.to), (Point::Own(one), Point::Own(next)) if next == one + 1);
        }
        let is_all = span.from == gateway && span.to >= Point::Mailbox;
        let is_one = |(_, boxes): &(Wrong, Vec<Spot>)| {
            let units = self.units(boxes);
            units
                .iter()
                .any(|unit| (unit.from, unit.to) == (span.from, span.to))
        };
        !is_all || self.hops.len() <= 1 || (found.len() == 1 && found.iter().all(is_one))
    }

    /// The span with the bounds of its time under all assumptions.
    fn measured(&self, span: Span, found: &[(Wrong, Vec<Spot>)]) -> Span {
        let accepted = self.phases.last().copied().unwrap_or_default();
        let bounds = |point: Point, boxes: &[Spot]| match point {
            Point::Own(0) => (0.0, 0.0),
            Point::Own(number) => {
                let at = self.phases.get(number - 1).copied().unwrap_or(accepted);
                (at, at)
            }
            Point::Seen => (self.seen, self.seen),
            Point::Hop(_) | Point::Mailbox => {
                let place = boxes.iter().find(|place| place.point == point);
                place.map_or((accepted, self.seen), |place| {
                    (place.lo.max(accepted), place.hi.max(accepted))
                })
            }
        };
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for (_, boxes) in found {
            let (from, to) = (bounds(span.from, boxes), bounds(span.to, boxes));
            least = least.min((to.0 - from.1).max(0.0));
            most = most.max(to.1 - from.0);
        }
        Span {
            least,
            most,
            ..span
        }
    }

    /// By how much clocks are off, where only one assumption can hold.
    fn skews(
        &self,
        found: &[(Wrong, Vec<Spot>)],
        contradicts: bool,
    ) -> (Vec<Option<f64>>, Option<f64>) {
        let mut skews = vec![None; self.hops.len()];
        let first = self.hops.first().and_then(|hop| hop.at);
        let is_outside = |said: &Reading| {
            let (from, to) = said.span(ROUGHLY_RIGHT);
            from > self.seen || to < 0.0
        };
        if let (Some(said), Some(skew)) = (first.filter(is_outside), skews.first_mut()) {
            *skew = Some(said.middle() - self.session / 2.0);
        }
        let [(wrong, boxes)] = found else {
            return (skews, None);
        };
        if !contradicts {
            return (skews, None);
        }
        if let (Wrong::Ours, Some(said)) = (wrong, first) {
            let ours = self.session / 2.0 - said.middle();
            return (vec![None; self.hops.len()], Some(ours));
        }
        let is_wrong = |host| match wrong {
            Wrong::Host(one) => host == *one,
            Wrong::Both(one, other) => host == *one || host == *other,
            Wrong::Nobody | Wrong::Far(..) | Wrong::Ours => false,
        };
        for ((skew, hop), place) in skews.iter_mut().zip(&self.hops).zip(boxes) {
            if let Some(said) = hop.at.filter(|_| is_wrong(hop.host) && place.aside) {
                *skew = Some(said.middle() - f64::midpoint(place.lo, place.hi));
            }
        }
        (skews, None)
    }

    /// The hops whose clocks some assumption takes for wrong.
    fn suspects(&self, found: &[(Wrong, Vec<Spot>)]) -> Vec<usize> {
        let accused = |host: usize| {
            found.iter().any(|(wrong, _)| match wrong {
                Wrong::Host(one) | Wrong::Far(one, _) => *one == host,
                Wrong::Both(one, other) => *one == host || *other == host,
                Wrong::Nobody | Wrong::Ours => false,
            })
        };
        let hops = self.hops.iter().enumerate();
        hops.filter(|(_, hop)| hop.at.is_some() && accused(hop.host))
            .map(|(number, _)| number)
            .collect()
    }
}

#[cfg(test)]
mod tests;
