//! The steps of a visit as they are taken, each with its own time and the words that ended it.

use crate::clock::Stamp;
use crate::config::secret::Hidden;
use crate::probe::visit::{Taken, VisitStep};

/// Words of one step are kept up to this many bytes.
const MOST_WORDS: usize = 4096;

/// The steps so far. Each begins where the one before ended.
#[derive(Debug)]
pub struct Steps {
    /// When the first was begun.
    pub started: Stamp,
    /// When the last ended.
    pub marked: Stamp,
    /// Those that were taken.
    pub taken: Vec<Taken>,
    words: String,
    hidden: Hidden,
}

impl Steps {
    /// Begins now.
    pub fn begin() -> Self {
        let started = Stamp::now();
        Self {
            started,
            marked: started,
            taken: Vec::new(),
            words: String::new(),
            hidden: Hidden::default(),
        }
    }

    /// What the server said in the step that is being taken; lines of one step are kept together.
    pub fn hear(&mut self, words: &str) {
        let words = self.stripped(words);
        if !self.words.is_empty() {
            self.words.push('\n');
        }
        let room = MOST_WORDS.saturating_sub(self.words.len());
        let end = words.floor_char_boundary(room);
        self.words.push_str(words.get(..end).unwrap_or_default());
    }

    /// From now on what the server quotes of this is not kept.
    pub fn hide(&mut self, hidden: Hidden) {
        self.hidden = hidden;
    }

    /// A peer's words without what is hidden.
    pub fn stripped(&self, words: &str) -> String {
        self.hidden.strip(words)
    }

    /// What was done since the last step is no business of the server's, and is no part of the next.
    pub fn skip(&mut self) {
        self.marked = Stamp::now();
    }

    /// This step ends now.
    pub fn end(&mut self, step: VisitStep) {
        let now = Stamp::now();
        self.taken.push(Taken {
            step,
            took: now.since(self.marked),
            words: std::mem::take(&mut self.words).into(),
        });
        self.marked = now;
    }
}
