//! What a board may publish and read: topic filters with placeholders.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};

/// A topic filter in which a level may be `{device}` or `{client_id}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicTemplate(String);

/// The placeholders.
const PLACES: [&str; 2] = ["{device}", "{client_id}"];

impl TopicTemplate {
    /// Longest template, in bytes, and most levels: as topics have by default.
    pub const LEN_MAX: usize = 1024;
    /// Most levels.
    pub const LEVELS_MAX: usize = 32;

    /// The template.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it takes topics under which other boards have theirs: it has a wildcard in the place
    /// of a board's name, or before it.
    pub(crate) fn reaches_others(&self) -> bool {
        let mut levels = self.0.split('/');
        match levels.next() {
            Some("#" | "+") => true,
            Some("boards") => matches!(levels.next(), Some("#" | "+")),
            _ => false,
        }
    }

    fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::LEN_MAX {
            return Err("must have 1 to 1024 bytes");
        }
        if text.contains(|c: char| c.is_control()) {
            return Err("must not hold control characters");
        }
        if text.split('/').count() > Self::LEVELS_MAX {
            return Err("must have 32 levels at most");
        }
        if text.starts_with("$share/") {
            return Err("must not be a shared subscription: name the topics alone");
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let is_last = levels.peek().is_none();
            match level {
                "+" => {}
                "#" if is_last => {}
                "#" => return Err("may hold `#` as its last level only"),
                level if level.contains(['+', '#']) => {
                    return Err("may hold `+` and `#` as whole levels only");
                }
                level if PLACES.contains(&level) => {}
                level if level.contains(['{', '}']) => {
                    return Err(
                        "may hold braces as `{device}` and `{client_id}` only, as whole levels",
                    );
                }
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl Value for TopicTemplate {
    fn describe() -> String {
        "topic filter with `{device}`, `{client_id}`".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a topic filter")?;
        Self::new(text)
            .map_or_else(|message| reader.refuse(node, Cause::Value, message.to_owned()), Some)
    }

    fn blank() -> Option<Self> {
        Some(Self(String::new()))
    }
}
