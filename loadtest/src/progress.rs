//! A line that moves while one waits.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;

/// A bar on standard error; nothing at all where that is no terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of that many tenths of a second.
    pub(crate) fn new(tenths: u64) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(tenths)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Self(bar)
    }

    /// Moves to a place and says how it stands.
    pub(crate) fn at(&self, tenths: u64, says: String) {
        self.0.set_position(tenths);
        self.0.set_message(says);
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
