//! Where the time went, drawn: the bar of phases, the servers that a copy passed, and the figures of several probes.

use std::fmt::{self, Write};
use std::time::Duration;

use owo_colors::OwoColorize;

use super::INDENT;
use crate::judge::reason::human;
use crate::probe::evidence::Evidence;
use crate::probe::hop::Hop;
use crate::probe::outcome::Phase;
use crate::probe::record::Record;

/// How wide the bar of phases is.
const BAR: usize = 32;
/// So many hops are shown.
const MOST_HOPS: usize = 8;
/// Of a host's name, so many characters.
const LONGEST_HOST: usize = 40;

/// Whether a hop's clock shows a second or more, or cannot be right.
pub(super) fn is_worth_a_look(hop: &Hop) -> bool {
    hop.skew_ms.is_some()
        || hop
            .delay_ms
            .is_some_and(|delay| !(0.0..1500.0).contains(&delay))
}

/// The servers that the copy passed: from whom to whom it took how long, by their own clocks.
pub(super) fn hops(out: &mut String, evidence: &Evidence) -> fmt::Result {
    let Evidence {
        hops,
        hops_left_out,
        ..
    } = evidence;
    // Those nearest to the mailbox.
    let shown = hops.len().min(MOST_HOPS);
    let hidden = hops.len() - shown + hops_left_out;
    let hops: Vec<_> = hops.iter().skip(hops.len() - shown).collect();
    if hidden > 0 {
        writeln!(out, "{INDENT}{hidden} hops, then")?;
    }
    let host = |hop: &Hop| -> String {
        let name = hop.by.as_deref().unwrap_or("(no name)");
        name.chars().take(LONGEST_HOST).collect()
    };
    let longest = hops.iter().map(|hop| host(hop).chars().count()).max();
    for hop in hops {
        let protocol = hop.protocol.as_deref().unwrap_or("-");
        let delay = match (hop.at, hop.delay_ms) {
            (None, _) => "no time".to_owned(),
            (Some(_), None) => String::new(),
            (Some(_), Some(delay)) if delay < 0.0 => format!("-{}", of_ms(-delay)),
            (Some(_), Some(delay)) if delay < 1.0 => "+0 s".to_owned(),
            (Some(_), Some(delay)) => format!("+{}", of_ms(delay)),
        };
        let skew = hop.skew_ms.map_or_else(String::new, |skew| {
            let side = if skew > 0.0 { "ahead" } else { "behind" };
            format!("  its clock is about {} {side}", of_ms(skew.abs()))
        });
        let line = format!(
            "{INDENT}→ {:width$}  {protocol:8} {delay}{skew}",
            host(hop),
            width = longest.unwrap_or(0)
        );
        writeln!(out, "{}", line.trim_end().dimmed())?;
    }
    Ok(())
}

/// Where the time went: a bar and its legend.
pub(super) fn phases(out: &mut String, probe: &Record, width: Option<usize>) -> fmt::Result {
    let sum = |wanted: fn(Phase) -> bool| -> f64 {
        probe
            .phases
            .iter()
            .filter(|phase| wanted(phase.name))
            .map(|phase| phase.ms)
            .sum()
    };
    let parts = [
        ("deferral", '·', sum(|phase| phase == Phase::Deferral)),
        (
            "connect",
            '░',
            sum(|phase| phase != Phase::Deferral && phase.is_before_mail()),
        ),
        (
            "submit",
            '▒',
            sum(|phase| matches!(phase, Phase::Mail | Phase::Rcpt | Phase::Data)),
        ),
        ("transit", '█', sum(|phase| phase == Phase::Transit)),
    ];
    let whole: f64 = parts.iter().map(|(_, _, ms)| ms).sum();
    if whole <= 0.0 {
        return Ok(());
    }
    let mut bar = String::new();
    let mut done = 0.0;
    for (_, glyph, ms) in parts {
        done += ms;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a short bar"
        )]
        #[expect(clippy::cast_precision_loss, reason = "a short bar")]
        let end = (done / whole * BAR as f64).round() as usize;
        while bar.chars().count() < end {
            bar.push(glyph);
        }
    }
    let legend: Vec<_> = parts
        .iter()
        .filter(|(_, _, ms)| *ms > 0.0)
        .map(|(name, glyph, ms)| format!("{glyph} {name} {}", of_ms(*ms)))
        .collect();
    let legend = legend.join("  ");
    let fits = width.is_none_or(|width| INDENT.len() + BAR + 1 + legend.chars().count() <= width);
    if fits {
        writeln!(out, "{INDENT}{} {legend}", bar.cyan())
    } else {
        writeln!(out, "{INDENT}{}\n{INDENT}{legend}", bar.cyan())
    }
}

/// The value that `percent` of the sorted values do not exceed (nearest rank).
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Milliseconds for a person: `0.4 ms`, `12 ms`, `3.2 s`.
pub fn of_ms(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        human(Duration::from_secs_f64((ms / 1000.0).max(0.0)))
    }
}
