//! Whatever happens in whatever order: nothing is told that is not so, nothing twice, and a restart changes nothing.

mod happening;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::plan::Policy;
use crate::probe::notice::{self, Severity};
use crate::probe::outcome::Code;
use happening::{TESTS, beginning, events, happening, key, policy, watches};

fn board(watches: &BTreeMap<RouteName, Arc<Watch>>) -> Board {
    let mut board = Board::restore("test", BTreeMap::new());
    board.reload(watches, |_| true, beginning());
    board
}

proptest! {
    #[test]
    fn a_restart_at_any_moment_changes_nothing(
        policies in prop::collection::vec(policy(), 4),
        happenings in prop::collection::vec((happening(), any::<bool>()), 1..60),
    ) {
        let watches = watches(&policies);
        let (happenings, restarts): (Vec<_>, Vec<_>) = happenings.into_iter().unzip();
        let (mut one, mut other) = (board(&watches), board(&watches));
        let mut kept: BTreeMap<TestKey, String> = BTreeMap::new();
        for ((now, event), restart) in events(&happenings).into_iter().zip(restarts) {
            let told = one.step(event.clone(), now);
            prop_assert_eq!(&told, &other.step(event, now));
            for key in other.changed() {
                kept.insert(key.clone(), serde_json::to_string(&other.standings()[&key]).unwrap());
            }
            if restart {
                let standings = kept.iter().map(|(key, text)| (key.clone(), serde_json::from_str(text).unwrap()));
                other = Board::restore("test", standings.collect());
                let effects = other.reload(&watches, |_| true, now);
                prop_assert!(effects.iter().all(|effect| matches!(effect, Effect::Mood { .. })), "{:?}", effects);
            }
            prop_assert_eq!(one.standings(), other.standings());
            prop_assert_eq!(one.next_tick(now), other.next_tick(now));
        }
    }

    #[test]
    fn what_is_told_is_so(
        policies in prop::collection::vec(policy(), 4),
        happenings in prop::collection::vec(happening(), 1..120),
    ) {
        let mut board = board(&watches(&policies));
        let mut history = History::default();
        for (now, event) in events(&happenings) {
            let before = board.clone();
            let effects = board.step(event.clone(), now);
            for notice in told(&effects) {
                assert_eq!(notice.at, now);
                history.takes(notice);
                is_so(notice, &before, &board);
            }
            history.ends(&effects);
            if let Event::Result(finding) = &event {
                counts_in_order(finding, &effects, &before, &board);
            }
            board.standings().iter().for_each(holds);
        }
        all_passes_in_the_end(&mut board, beginning() + Duration::from_hours(1000));
    }
}

fn told(effects: &[Effect]) -> Vec<&Notice> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Tell { notice, .. } => Some(&**notice),
        Effect::Incident(_) | Effect::Recover { .. } | Effect::Mood { .. } => None,
    });
    told.collect()
}

/// What was told so far.
#[derive(Default)]
struct History {
    notices: BTreeSet<Uuid>,
    numbers: BTreeMap<Uuid, u32>,
    over: BTreeSet<Uuid>,
}

impl History {
    /// Nothing is told twice, and of an incident none is left out.
    fn takes(&mut self, notice: &Notice) {
        assert!(self.notices.insert(notice.id), "again: {}", notice.title);
        if let Some(incident) = notice.incident {
            let number = self.numbers.entry(incident).or_default();
            *number += 1;
            assert_eq!(*number, notice.number, "{}", notice.title);
        }
    }

    /// What is over is over.
    fn ends(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Incident(incident) = effect {
                assert!(!self.over.contains(&incident.id));
                if let Some(ended) = incident.ended {
                    assert!(ended >= incident.began);
                    self.over.insert(incident.id);
                }
            }
        }
    }
}

fn is_so(notice: &Notice, before: &Board, board: &Board) {
    let Notice { title, reason, .. } = notice;
    assert!(!title.contains(char::is_control) && !reason.contains(char::is_control));
    let route = notice.route.clone().unwrap();
    let key = TestKey::new(route.clone(), notice.test.as_ref().unwrap(), "");
    let standing = &board.standings()[&key];
    let was = before.standing(&key).cloned().unwrap_or_default();
    assert_eq!(notice.state, Some(standing.state), "{title}");
    let policy = &board.watches[&route].policy;
    match notice.event {
        notice::Event::Failed | notice::Event::StillFailing | notice::Event::Lost => {
            let is_lost = notice.event == notice::Event::Lost;
            assert_eq!(is_lost, standing.state == State::Lost, "{title}");
            assert_eq!(is_lost, notice.number >= policy.max_alerts, "{title}");
            assert!(
                standing.state >= State::Down && was.state != State::Lost,
                "{title}"
            );
            assert_eq!(notice.severity, Severity::Critical);
            let mut ancestors = board.ancestors(&route).into_iter();
            assert!(
                ancestors.all(|it| board.route_state(it) < State::Down),
                "{title}"
            );
            let is_same = was.incident.as_ref().map(|it| it.id) == notice.incident;
            assert!(!(is_same && was.is_acknowledged()), "{title}");
        }
        notice::Event::Leak => assert_eq!(notice.code, Some(Code::Leak)),
        notice::Event::Flapping => assert!(standing.is_flapping && !was.is_flapping),
        notice::Event::Degraded => assert_eq!(standing.state, State::Degraded),
        notice::Event::Unknown => assert_eq!(standing.state, State::Unknown),
        notice::Event::Recovered => {
            assert!(standing.state < State::Unknown, "{title}");
            let is_known = was.incident.is_some_and(|it| it.notices > 0);
            assert!(is_known || was.told.is_some(), "{title}");
        }
        notice::Event::Trouble | notice::Event::TroubleOver | notice::Event::Test => panic!(),
    }
}

/// What is older than the newest result changes nothing; a leak is told, but where nothing is any more.
fn counts_in_order(finding: &Finding, effects: &[Effect], before: &Board, board: &Board) {
    let was = before.standing(&finding.key).cloned().unwrap_or_default();
    let Some(is) = board.standing(&finding.key) else {
        return;
    };
    if was.seq.is_some_and(|seq| finding.seq < seq) {
        let counted = |it: &Standing| {
            (
                it.seq,
                it.failures.count,
                it.passes.count,
                it.flaps.count_ones(),
            )
        };
        // But with it time passes: what was held back may be told, and Lost with it.
        if was.opening == is.opening {
            assert_eq!((was.state, counted(&was)), (is.state, counted(is)));
        }
    }
    let is_leak = finding.verdict == Verdict::Fail && finding.code == Code::Leak;
    let is_open = was.state != State::Lost && !was.is_acknowledged();
    let is_seen = !was.knows(finding.probe) && is.knows(finding.probe);
    assert!(!is_seen || is_leak);
    if is_seen && is_open {
        let leak =
            |it: &&Notice| it.event == notice::Event::Leak && it.probe == Some(finding.probe);
        assert_eq!(told(effects).into_iter().filter(leak).count(), 1);
    }
}

fn holds((key, standing): (&TestKey, &Standing)) {
    let is_open = standing.incident.is_some();
    assert_eq!(
        is_open,
        standing.state >= State::Down || standing.is_flapping,
        "{key}"
    );
    assert!(
        standing.state >= State::Down || standing.opening == Opening::Done,
        "{key}"
    );
}

/// Then nothing is open, and whoever was told of a failure knows that it is over.
fn all_passes_in_the_end(board: &mut Board, mut now: Timestamp) {
    let mut seq = board.standings().values().filter_map(|it| it.seq).max();
    for _ in 0..20 {
        for test in TESTS {
            now += Duration::from_mins(1);
            seq = seq.map(|seq| seq + 1).or(Some(1));
            let finding = Finding {
                key: key(test),
                seq: seq.unwrap(),
                probe: Uuid::from_u64_pair(2, seq.unwrap()),
                due_at: now,
                verdict: Verdict::Pass,
                code: Code::Ok,
                reason: String::new(),
                is_unwelcome: false,
            };
            let effects = board.step(Event::Result(finding), now);
            let own: Vec<_> = told(&effects);
            let recovered = |it: &&Notice| it.event == notice::Event::Recovered;
            assert!(own.into_iter().filter(recovered).count() <= 1);
        }
    }
    for (key, standing) in board.standings() {
        assert_eq!(standing.state, State::Up, "{key}");
        assert!(
            standing.incident.is_none() && standing.told.is_none(),
            "{key}"
        );
    }
}

#[test]
fn a_standing_of_an_older_version_can_be_read() {
    let standing: Standing = serde_json::from_str("{}").unwrap();
    assert_eq!(standing, Standing::default());
}

#[test]
fn a_route_that_depends_on_itself_is_told_of() {
    let mut policies = vec![Policy::default(); 4];
    policies[0].fail_after = 1;
    let mut watches = watches(&policies);
    let network = Arc::make_mut(watches.get_mut(&"network".into()).unwrap());
    network.policy.depends_on = Some("inbound".into());
    network.policy.fail_after = 1;
    let mut board = board(&watches);
    let finding = Finding {
        key: key(TESTS[0]),
        seq: 1,
        probe: Uuid::from_u64_pair(1, 1),
        due_at: beginning(),
        verdict: Verdict::Fail,
        code: Code::Missing,
        reason: "a".repeat(10_000),
        is_unwelcome: false,
    };
    let effects = board.step(Event::Result(finding), beginning());
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Tell { notice, .. } => Some(notice.title.len()),
        Effect::Incident(_) | Effect::Recover { .. } | Effect::Mood { .. } => None,
    });
    let told: Vec<_> = told.collect();
    assert!(
        matches!(told.as_slice(), [length] if *length < 500),
        "{told:?}"
    );
}
