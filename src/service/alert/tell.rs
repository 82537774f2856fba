//! The notices: whom, and with which facts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use uuid::{Builder, Uuid};

use super::dependency::Link;
use super::standing::{Seen, Told};
use super::title::{self, clean};
use super::{Board, Effect, Turn};
use crate::probe::incident::Incident;
use crate::probe::notice::{Event, Notice, Severity};
use crate::probe::state::{State, TestKey};

impl Board {
    /// Tells that a test fails. The `max_alerts`-th notice of one incident says that it is the last, and the test is Lost.
    pub(super) fn tell_failure(&mut self, key: &TestKey, event: Event, turn: &mut Turn) {
        let now = turn.now;
        let Some(watch) = self.watches.get(&key.route) else {
            return;
        };
        let most = watch.policy.max_alerts;
        let dependents = self.dependents(&key.route);
        let standing = self.touch(key, turn);
        let (Some(incident), Some(seen)) = (&mut standing.incident, &standing.failure) else {
            return;
        };
        incident.notices = incident.notices.saturating_add(1);
        let (event, is_last) = match event {
            Event::Failed | Event::StillFailing if incident.notices >= most => (Event::Lost, true),
            Event::Leak => (event, incident.notices >= most),
            // After Flapping nothing is told until it is steady: that is no reason to give it up.
            Event::Failed
            | Event::StillFailing
            | Event::Flapping
            | Event::Lost
            | Event::Degraded
            | Event::Unknown
            | Event::Recovered
            | Event::Trouble
            | Event::TroubleOver
            | Event::Test => (event, false),
        };
        if is_last {
            standing.state = State::Lost;
            incident.worst = State::Lost;
        }
        standing.told_at = Some(now);
        standing.untold = 0;
        let told = title::failure(event, incident, seen, now, (dependents.len(), is_last));
        let notice = Notice {
            title: told,
            state: Some(standing.state),
            since: incident.began,
            failures: incident.failures,
            number: incident.notices,
            incident: Some(incident.id),
            dependents,
            ..about(key, event, seen, now)
        };
        self.tell(notice, turn);
    }

    /// Tells a leak of a probe that newer ones followed: their results stand, so the test's state does.
    pub(super) fn late_leak(&mut self, key: &TestKey, seen: &Seen, turn: &mut Turn) {
        let now = turn.now;
        let own = self.id(now, &["late leak", &seen.probe.to_string()]);
        let standing = self.touch(key, turn);
        if !standing.leaks(seen.probe) {
            return;
        }
        let mut past = None;
        let incident = match &mut standing.incident {
            Some(open) => open,
            // It is an incident all the same, over when it is found.
            None => past.insert(Incident {
                id: own,
                key: key.clone(),
                began: seen.due_at,
                ended: Some(now.max(seen.due_at)),
                code: seen.code,
                reason: seen.reason.clone(),
                worst: State::Down,
                failures: 1,
                notices: 0,
                is_leak: true,
                is_flapping: false,
                depends_on: None,
                acknowledged: None,
 recoveries: Vec::new(),
            }),
        };
        incident.notices = incident.notices.saturating_add(1);
        let notice = Notice {
            title: title::late_leak(key, seen, now),
            state: Some(standing.state),
            since: seen.due_at,
            failures: incident.failures,
            number: incident.notices,
            incident: Some(incident.id),
            ..about(key, Event::Leak, seen, now)
        };
        turn.ended.extend(past);
        self.tell(notice, turn);
    }

    /// Tells that a test is Degraded or Unknown, unless it may come from a route that this one depends on.
    pub(super) fn complain(
        &mut self,
        key: &TestKey,
        state: State,
        since: Timestamp,
        seen: &Seen,
        turn: &mut Turn,
    ) {
        match self.link(&key.route, seen.due_at, turn.now) {
            Link::Clear => {}
            Link::Undecided(_) | Link::Explained(_) | Link::Down(_) => return,
        }
        let standing = self.touch(key, turn);
        standing.told = Some(Told { state, since });
        standing.told_at = Some(turn.now);
        let (event, count) = match state {
            State::Degraded => (Event::Degraded, standing.warnings.count),
            State::Up | State::Unknown | State::Down | State::Lost => {
                (Event::Unknown, standing.unknowns.count)
            }
        };
        let notice = Notice {
            severity: Severity::Warning,
            title: title::complaint(key, state, seen, turn.now, (count, since)),
            state: Some(standing.state),
            since,
            failures: standing.failures.count,
            ..about(key, event, seen, turn.now)
        };
        self.tell(notice, turn);
    }

    /// Tells that what was told is over: it weighs as much as that did.
    pub(super) fn tell_recovered(
        &mut self,
        key: &TestKey,
        (ended, until): (Told, Timestamp),
        seen: &Seen,
        incident: Option<&Incident>,
        turn: &mut Turn,
    ) {
        let incident = incident.filter(|_| ended.state == State::Down);
        let standing = self.touch(key, turn);
        standing.told_at = Some(turn.now);
        let notice = Notice {
            severity: match ended.state {
                State::Up | State::Degraded | State::Unknown => Severity::Warning,
                State::Down | State::Lost => Severity::Critical,
            },
            title: title::recovered(key, ended, until, seen, turn.now),
            state: Some(standing.state),
            since: ended.since,
            failures: incident.map_or(0, |incident| incident.failures),
            number: incident.map_or(1, |incident| incident.notices) + 1,
            incident: incident.map(|incident| incident.id),
            ..about(key, Event::Recovered, seen, turn.now)
        };
        self.tell(notice, turn);
    }

    /// mailrobin itself is in trouble: told once.
    pub(super) fn trouble(&mut self, what: String, reason: &str, turn: &mut Turn) {
        if self.troubles.contains_key(&what) {
            return;
        }
        let title = title::trouble(&what, reason);
        let reason = if reason.is_empty() { &what } else { reason };
        let notice = Notice {
            title,
            ..self.own_affair(Event::Trouble, (&what, reason), turn.now, turn.now)
        };
        self.troubles.insert(what, turn.now);
        self.tell(notice, turn);
    }

    /// It is over: told if that it began was.
    pub(super) fn trouble_over(&mut self, what: &str, turn: &mut Turn) {
        let Some(since) = self.troubles.remove(what) else {
            return;
        };
        let notice = Notice {
            title: title::trouble_over(what, since, turn.now),
            number: 2,
            ..self.own_affair(Event::TroubleOver, (what, what), since, turn.now)
        };
        self.tell(notice, turn);
    }

    fn own_affair(
        &self,
        event: Event,
        (what, reason): (&str, &str),
        since: Timestamp,
        now: Timestamp,
    ) -> Notice {
        Notice {
            id: Uuid::nil(),
            event,
            severity: Severity::Critical,
            title: String::new(),
            route: None,
            test: None,
            state: None,
            code: None,
            reason: clean(reason),
            since,
            at: now,
            failures: 0,
            number: 1,
            incident: Some(self.id(since, &["trouble", what])),
            probe: None,
            dependents: Vec::new(),
            instance: String::new(),
        }
    }

    fn tell(&self, notice: Notice, turn: &mut Turn) {
        let alerts = if let Some(route) = &notice.route {
            let watch = self.watches.get(route);
            watch.map(|watch| watch.alerts.clone()).unwrap_or_default()
        } else {
            // What is mailrobin's own concerns everybody.
            let all = self.watches.values().flat_map(|watch| &watch.alerts);
            let all: BTreeSet<_> = all.cloned().collect();
            all.into_iter().collect()
        };
        let facts = [
            notice.event.as_str(),
            notice.route.as_ref().map_or("", |route| route.as_str()),
            notice.test.as_deref().unwrap_or(""),
            &notice.incident.unwrap_or_default().to_string(),
            &notice.probe.unwrap_or_default().to_string(),
            &notice.number.to_string(),
        ];
        let notice = Box::new(Notice {
            id: self.id(notice.at, &facts),
            title: clean(&notice.title),
            instance: self.instance.clone(),
            ..notice
        });
        turn.told.push(Effect::Tell { alerts, notice });
    }

    /// A `UUIDv7` of this moment whose other bits say what it is for: the same facts have the same id, also after a restart.
    fn id(&self, now: Timestamp, facts: &[&str]) -> Uuid {
        let text = format!("{}\0{now}\0{}", self.instance, facts.join("\0"));
        let hash = digest(&SHA256, text.as_bytes());
        let mut bits = [0; 10];
        for (bit, byte) in bits.iter_mut().zip(hash.as_ref()) {
            *bit = *byte;
        }
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
    }
}

/// A notice with what a result says; the rest depends on what it is told for.
fn about(key: &TestKey, event: Event, seen: &Seen, now: Timestamp) -> Notice {
    Notice {
        id: Uuid::nil(),
        event,
        severity: Severity::Critical,
        title: String::new(),
        route: Some(key.route.clone()),
        test: Some(key.test.to_string()),
        state: None,
        code: Some(seen.code),
        reason: clean(&seen.reason),
        since: seen.due_at,
        at: now,
        failures: 0,
        number: 1,
        incident: None,
        probe: Some(seen.probe),
        dependents: Vec::new(),
        instance: String::new(),
    }
}
