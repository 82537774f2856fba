//! Progress on a terminal while probes travel: drawn on standard error, gone when the report comes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::engine::order;

/// With more probes than this, one bar stands for all.
const SINGLY: usize = 12;
/// How often the spinners turn.
const TICK: Duration = Duration::from_millis(100);

/// The drawing.
pub(super) struct Progress {
    drawn: MultiProgress,
    total: ProgressBar,
    singly: bool,
    expects_trouble: bool,
}

impl Progress {
    /// For so many probes; draws nothing when `quiet` or off a terminal. A mailbox that cannot be read is only worth a
    /// warning to who does not expect it.
    pub(super) fn new(probes: usize, quiet: bool, expects_trouble: bool) -> Self {
        let drawn = MultiProgress::new();
        if quiet {
            drawn.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let singly = probes <= SINGLY;
        let total = if singly {
            ProgressBar::hidden()
        } else {
            let bar =
                ProgressBar::new(probes as u64).with_style(style("{bar:32} {pos}/{len} {msg}"));
            drawn.add(bar)
        };
        Self {
            drawn,
            total,
            singly,
            expects_trouble,
        }
    }

    /// Draws what is told until the run is over.
    pub(super) async fn follow(self, mut told: mpsc::UnboundedReceiver<order::Progress>) {
        let mut lines: HashMap<Uuid, ProgressBar> = HashMap::new();
        // The same trouble is told once, however often it is met.
        let mut said = HashSet::new();
        while let Some(event) = told.recv().await {
            match event {
                order::Progress::Started { id, route, payload } if self.singly => {
                    let line = ProgressBar::new_spinner()
                        .with_style(style("{spinner} {prefix} {elapsed} {msg}"));
                    let line = self
                        .drawn
                        .add(line.with_prefix(format!("{} {payload}", route.name)));
                    line.set_message("submitting");
                    line.enable_steady_tick(TICK);
                    lines.insert(id, line);
                }
                order::Progress::Started { .. } => {}
                order::Progress::Accepted(id) => say(&lines, id, "accepted, on its way"),
                order::Progress::Deferred(id, _) => {
                    say(&lines, id, "put off by the gateway, to be tried again");
                }
                order::Progress::Settled(record) => {
                    self.total.inc(1);
                    if let Some(line) = lines.remove(&record.id) {
                        line.finish_and_clear();
                    }
                }
                order::Progress::Blind(mailbox, blindness) => {
                    if !self.expects_trouble
                        && said.insert((mailbox.clone(), blindness.failure.what.clone()))
                    {
                        tracing::warn!(%mailbox, "{}", blindness.failure.what);
                        self.total
                            .set_message(format!("the mailbox {mailbox} cannot be read"));
                    }
                }
            }
        }
        self.total.finish_and_clear();
        // A line that cannot be cleared does no harm.
        let _ = self.drawn.clear();
    }
}

fn say(lines: &HashMap<Uuid, ProgressBar>, id: Uuid, message: &'static str) {
    if let Some(line) = lines.get(&id) {
        line.set_message(message);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
