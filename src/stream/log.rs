//! Lines for the log, until somebody on a thread of Python's fetches them.

use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub text: String,
}

/// Beyond the limit lines are only counted.
#[derive(Default)]
pub(super) struct Log {
    lines: VecDeque<Line>,
    dropped: usize,
}

impl Log {
    pub(super) const LIMIT: usize = 1000;

    pub(super) fn warn(&mut self, text: String) {
        self.push(Line { level: Level::Warning, text });
    }

    pub(super) fn inform(&mut self, text: impl Into<String>) {
        self.push(Line { level: Level::Info, text: text.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn drain(&mut self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.lines.drain(..).collect();
        match std::mem::take(&mut self.dropped) {
            0 => {}
            dropped => {
                let text = format!("{dropped} further log lines were dropped");
                lines.push(Line { level: Level::Warning, text });
            }
        }
        lines
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() < Self::LIMIT {
            self.lines.push_back(line);
        } else {
            self.dropped += 1;
        }
    }
}
