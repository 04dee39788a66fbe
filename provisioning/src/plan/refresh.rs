//! What is read again and again, and the names of the device.

use super::decide::{Decision, is_plain};
use super::look::{Look, seconds};
use super::{Blocked, Obstacle};
use crate::{Pattern, Rule, WantedRefresh};
use jiff::Timestamp;

/// Most parameters of a subtree that are looked at to tell its age.
const SUBTREE_LOOK_MAX: usize = 64;

impl Decision<'_> {
    /// What is due of all that is read again and again.
    pub(super) fn refreshes(&mut self) {
        for refresh in &self.wanted.refreshes {
            self.refresh(refresh);
        }
    }

    fn refresh(&mut self, refresh: &WantedRefresh) {
        let view = self.view;
        let pattern = refresh.path.as_str();
        let every_s = seconds(refresh.every);
        let asked_s = view.held.refreshed_at(pattern).map(Timestamp::as_second);
        let asked_s = asked_s.filter(|_| !view.is_reset);
        let read_s = self.oldest_s(&refresh.path);
        let last_s = asked_s.max(read_s).unwrap_or(i64::MIN / 2);
        let is_forced = view.it.events.iter().any(|event| refresh.on_events.contains(event));
        let (_, is_due) = view.due_s(last_s, every_s, is_forced);
        if !is_due {
            return self.due_in(last_s, every_s);
        }
        if self.read_all(&refresh.path, &refresh.rule) {
            self.refreshes.patterns.insert(pattern.into());
        } else {
            self.due_in(view.now_s, every_s);
        }
    }

    /// When the oldest of a pattern's parameters was read; `None` where one never was.
    fn oldest_s(&self, pattern: &Pattern) -> Option<i64> {
        let known = self.view.known;
        let read_s = |path: &str| Some(known.get(path)?.read_at?.as_second());
        if pattern.is_object() {
            let below = known.below(pattern.as_str()).filter(|it| !it.is_object());
            let ages = below.take(SUBTREE_LOOK_MAX).map(|it| it.read_at.map(Timestamp::as_second));
            // Nothing is older than `None`.
            return ages.min().flatten();
        }
        if is_plain(pattern) {
            return read_s(pattern.as_str());
        }
        pattern.expand(known).paths.iter().map(|path| read_s(path)).min().flatten()
    }

    /// Asks for all that a pattern stands for. Says whether anything of it can be asked.
    fn read_all(&mut self, pattern: &Pattern, rule: &Rule) -> bool {
        let view = self.view;
        let (paths, mut is_asked) = self.paths_to_read(pattern);
        let is_none = paths.is_empty() && !is_asked;
        let mut absent = None;
        for path in paths {
            if view.known.get(&path).is_none() && view.is_absent(&path) {
                absent = Some(path);
            } else if view.may_read(&path) {
                self.refreshes.read(&path);
                is_asked = true;
            }
        }
        if !is_asked && (is_none || absent.is_some()) {
            let path = absent.as_deref().unwrap_or(pattern.as_str());
            let blocked = Blocked::new(path, Obstacle::Absent, ABSENT, rule);
            self.block(Blocked { is_harmless: true, ..blocked });
        }
        is_asked
    }

    /// The paths to read, and whether a table has to be listed before all are known.
    fn paths_to_read(&mut self, pattern: &Pattern) -> (Vec<Box<str>>, bool) {
        if is_plain(pattern) {
            return (vec![pattern.as_str().into()], false);
        }
        let view = self.view;
        let expansion = pattern.expand(view.known);
        let mut is_asked = false;
        for table in &expansion.tables {
            let is_unknown = view.known.below_after(table, table).next().is_none();
            if is_unknown && !view.known.is_whole() && view.may_list(table) {
                self.refreshes.list(table);
                is_asked = true;
            }
        }
        for path in expansion.unknown.iter().filter(|path| view.may_read(path)) {
            if !view.is_absent(path) {
                self.refreshes.read(path);
                is_asked = true;
            }
        }
        (expansion.paths, is_asked)
    }

    /// Names of the device that were never read.
    pub(super) fn aliases(&mut self) {
        for alias in &self.wanted.aliases {
            let (paths, _) = self.paths_to_read(&alias.path);
            for path in paths {
                let look = self.view.look(&path, self.view.known.get(&path), i64::MAX / 2, None);
                if let Look::Ask = look {
                    self.refreshes.read(&path);
                }
            }
        }
    }
}

const ABSENT: &str = "the device has nothing to read there";
