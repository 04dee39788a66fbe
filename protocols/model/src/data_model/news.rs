//! An observation, put in the order of paths and with the objects in it that it only implies.

use super::PATH_BYTES_MAX;
use crate::{AttributeEntry, NameEntry, Reading};

/// What is heard of one path.
#[derive(Clone, Copy)]
pub(super) struct News<'a> {
    pub(super) path: &'a str,
    pub(super) change: Change<'a>,
}

/// What there is to hear.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// That it is there: something below it was named.
    Implied,
    /// That it is there, and whether it may be written.
    Named { writable: bool },
    /// What the device says its value is.
    Told(&'a Reading),
    /// What we wrote: its type is only our belief.
    Written(&'a Reading),
    /// How it is notified, and who may write it.
    Attributes(&'a AttributeEntry),
}

impl<'a> News<'a> {
    pub(super) fn named(entry: &'a NameEntry) -> Self {
        Self { path: &entry.path, change: Change::Named { writable: entry.writable } }
    }

    pub(super) fn told(reading: &'a Reading) -> Self {
        Self { path: &reading.path, change: Change::Told(reading) }
    }

    pub(super) fn written(reading: &'a Reading) -> Self {
        Self { path: &reading.path, change: Change::Written(reading) }
    }

    pub(super) fn attributes(entry: &'a AttributeEntry) -> Self {
        Self { path: &entry.path, change: Change::Attributes(entry) }
    }
}

/// News in the order of paths, each path once and after the objects that it is in.
pub(super) struct Ordered<'a> {
    pub(super) news: Vec<News<'a>>,
    /// How many had a path that is not kept.
    pub(super) dropped: u64,
}

impl<'a> Ordered<'a> {
    /// Of two with one path the last stays, as the device said it last.
    pub(super) fn new(all: impl Iterator<Item = News<'a>>) -> Self {
        let mut dropped = 0;
        let mut heard = Vec::with_capacity(all.size_hint().0);
        for news in all {
            if news.path.is_empty() || news.path.len() > PATH_BYTES_MAX {
                dropped += 1;
            } else {
                heard.push(news);
            }
        }
        // Devices walk their tree in some order of their own: the sort finds its runs.
        if !heard.is_sorted_by(|left, right| left.path < right.path) {
            heard.sort_by(|left, right| left.path.cmp(right.path));
            heard.dedup_by(|later, kept| {
                let same = later.path == kept.path;
                if same {
                    *kept = *later;
                }
                same
            });
        }
        Self { news: with_parents(&heard), dropped }
    }

    /// Whether this path is among them.
    pub(super) fn has(&self, path: &str) -> bool {
        self.news.binary_search_by(|news| news.path.cmp(path)).is_ok()
    }
}

/// Adds the objects that the paths are in.
fn with_parents<'a>(heard: &[News<'a>]) -> Vec<News<'a>> {
    let mut whole = Vec::with_capacity(heard.len() + heard.len() / 8);
    let mut previous = "";
    for news in heard {
        // Whatever object both are in was added with the one before.
        let known = shared(previous.as_bytes(), news.path.as_bytes());
        let within = news.path.len() - 1;
        let path = news.path.as_bytes();
        let dots = (known..within).filter(|&at| path[at] == b'.');
        whole.extend(dots.map(|at| News { path: &news.path[..=at], change: Change::Implied }));
        whole.push(*news);
        previous = news.path;
    }
    whole
}

/// How many bytes two paths have in common at their start.
pub(super) fn shared(left: &[u8], right: &[u8]) -> usize {
    const STEP: usize = 8;
    let mut len = 0;
    // Eight at a time: paths have some forty in common.
    while let (Some(one), Some(other)) = (left.get(len..len + STEP), right.get(len..len + STEP)) {
        if one != other {
            break;
        }
        len += STEP;
    }
    let rest = left[len..].iter().zip(&right[len..]);
    len + rest.take_while(|(one, other)| one == other).count()
}
