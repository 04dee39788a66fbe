//! What a device may publish and read: templates in which `{device}` stands for its own names.
//!
//! Closed by default: what no template names is refused. Pure text; whose names they are is the
//! driver's knowledge.

use crate::topic::{Filter, Level, Topic, TopicError, TopicLimits};

/// What devices of one kind may do. One value is shared by all of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Acl {
    publish: Vec<Filter>,
    subscribe: Vec<Filter>,
}

/// The level that stands for any of a device's names.
const DEVICE: &str = "{device}";

impl Acl {
    /// Most templates of either kind: every publish is held against all of them.
    pub const TEMPLATES_MAX: usize = 100;

    /// Reads templates: topic filters in which a level may be `{device}`.
    pub fn new<'a>(
        publish: impl IntoIterator<Item = &'a str>,
        subscribe: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, AclError> {
        Ok(Self { publish: templates(publish)?, subscribe: templates(subscribe)? })
    }

    /// What a board may do by default: publish `boards/{device}/up/#` and `customer_mngt`, read
    /// `boards/{device}/down/#`.
    #[must_use]
    pub fn board() -> Self {
        Self::new(["boards/{device}/up/#", "customer_mngt"], ["boards/{device}/down/#"])
            .expect("the templates are well formed")
    }

    /// Everything but `$` topics: for a lab (`mqtt.auth = "open"`).
    #[must_use]
    pub fn open() -> Self {
        Self::new(["#"], ["#"]).expect("the templates are well formed")
    }

    /// Whether a device of these names may publish to `topic`.
    pub fn may_publish(&self, topic: Topic<'_>, names: &[Box<str>]) -> bool {
        self.publish.iter().any(|template| allows(template, topic, names))
    }

    /// Whether a device of these names may be sent `topic`.
    pub fn may_read(&self, topic: Topic<'_>, names: &[Box<str>]) -> bool {
        self.subscribe.iter().any(|template| allows(template, topic, names))
    }

    /// Whether `filter` shares a topic with what a device of these names may read: then it is
    /// granted, and cut to that by [`Acl::may_read`] at each delivery.
    pub fn may_subscribe(&self, filter: &Filter, names: &[Box<str>]) -> bool {
        self.subscribe.iter().any(|template| overlaps(template, filter, names))
    }
}

fn templates<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Filter>, AclError> {
    let parsed = texts.into_iter().map(|text| {
        let filter = Filter::parse(text, TopicLimits::default())?;
        let strays = filter.levels().any(|level| match level {
            Level::Name(name) => name != DEVICE && name.contains(['{', '}']),
            Level::Any | Level::Rest => false,
        });
        if strays { Err(AclError::Placeholder) } else { Ok(filter) }
    });
    let templates = parsed.collect::<Result<Vec<_>, _>>()?;
    if templates.len() > Acl::TEMPLATES_MAX { Err(AclError::TooMany) } else { Ok(templates) }
}

fn is_named(wanted: &str, name: &str, names: &[Box<str>]) -> bool {
    if wanted == DEVICE { names.iter().any(|own| **own == *name) } else { wanted == name }
}

/// As [`Filter::matches`], with `{device}` taking any of `names`.
fn allows(template: &Filter, topic: Topic<'_>, names: &[Box<str>]) -> bool {
    if topic.as_str().starts_with('$') && template.as_str().starts_with(['+', '#']) {
        return false;
    }
    let mut given = topic.as_str().split('/');
    for level in template.levels() {
        match (level, given.next()) {
            (Level::Rest, _) => return true,
            (Level::Any, Some(_)) => {}
            (Level::Name(wanted), Some(name)) if is_named(wanted, name, names) => {}
            (Level::Name(_), _) | (Level::Any, None) => return false,
        }
    }
    given.next().is_none()
}

/// Whether some topic is allowed by the template and named by the filter.
fn overlaps(template: &Filter, filter: &Filter, names: &[Box<str>]) -> bool {
    // MQTT 3.1.1 [MQTT-4.7.2-1]: a leading wildcard and a `$` name share nothing.
    let wild = |filter: &Filter| filter.as_str().starts_with(['+', '#']);
    let dollar = |filter: &Filter| filter.as_str().starts_with('$');
    if (wild(template) && dollar(filter)) || (dollar(template) && wild(filter)) {
        return false;
    }
    let mut ours = template.levels();
    let mut theirs = filter.levels();
    loop {
        match (ours.next(), theirs.next()) {
            (Some(Level::Rest), _) | (_, Some(Level::Rest)) | (None, None) => return true,
            (Some(_), None) | (None, Some(_)) => return false,
            (Some(Level::Name(wanted)), Some(Level::Name(name))) => {
                if !is_named(wanted, name, names) {
                    return false;
                }
            }
            (Some(Level::Name(_) | Level::Any), Some(_)) => {}
        }
    }
}

/// Why a template is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AclError {
    /// It is no topic filter.
    #[error("not a topic filter")]
    Filter(#[from] TopicError),
    /// A brace that is not `{{device}}` filling its level.
    #[error("braces may only spell `{{device}}`, alone in its level")]
    Placeholder,
    /// More templates than allowed.
    #[error("more than {} templates", Acl::TEMPLATES_MAX)]
    TooMany,
}
