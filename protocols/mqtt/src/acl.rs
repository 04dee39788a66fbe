//! What a client may publish and read: templates in which `{device}` stands for a device's names
//! and `{client_id}` for what the client calls itself.
//!
//! Closed by default: what no template names is refused, and so is what a denied one names. Pure
//! text; whose names they are is the driver's knowledge.

use crate::topic::{Filter, Level, Topic, TopicError, TopicLimits};

/// What clients of one kind may do. One value is shared by all of them.
///
/// Whom it is asked about are `names`: first the client identifier, then whatever else stands for
/// `{device}`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Acl {
    publish: Vec<Filter>,
    subscribe: Vec<Filter>,
    deny: Vec<Filter>,
    /// A leading wildcard in a publish template takes `$` names too, but `$SYS`.
    is_program: bool,
}

/// The level that stands for any of a device's names.
const DEVICE: &str = "{device}";
/// The level that stands for the client identifier.
const CLIENT_ID: &str = "{client_id}";

impl Acl {
    /// Most templates of each kind: every publish is held against all of them.
    pub const TEMPLATES_MAX: usize = 100;

    /// Reads templates: topic filters in which a level may be `{device}` or `{client_id}`.
    pub fn new<'a>(
        publish: impl IntoIterator<Item = &'a str>,
        subscribe: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, AclError> {
        let (publish, subscribe) = (templates(publish)?, templates(subscribe)?);
        Ok(Self { publish, subscribe, ..Self::default() })
    }

    /// The same, but nothing that one of these templates names, neither to publish nor to read.
    pub fn denying<'a>(self, deny: impl IntoIterator<Item = &'a str>) -> Result<Self, AclError> {
        Ok(Self { deny: templates(deny)?, ..self })
    }

    /// The same for a program: a leading wildcard in what it may publish takes names that begin
    /// with `$` too, but for those of `$SYS` and `$share`.
    #[must_use]
    pub fn for_program(self) -> Self {
        Self { is_program: true, ..self }
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

    /// Whether a client of these names may publish to `topic`.
    pub fn may_publish(&self, topic: Topic<'_>, names: &[Box<str>]) -> bool {
        let wild_takes_dollar = self.is_program && !is_reserved(topic);
        self.publish.iter().any(|template| allows(template, topic, names, wild_takes_dollar))
            && !self.denies(topic, names)
    }

    /// Whether a client of these names may be sent `topic`.
    pub fn may_read(&self, topic: Topic<'_>, names: &[Box<str>]) -> bool {
        self.subscribe.iter().any(|template| allows(template, topic, names, false))
            && !self.denies(topic, names)
    }

    /// Whether `filter` shares a topic with what a client of these names may read: then it is
    /// granted, and cut to that by [`Acl::may_read`] at each delivery.
    pub fn may_subscribe(&self, filter: &Filter, names: &[Box<str>]) -> bool {
        self.subscribe.iter().any(|template| overlaps(template, filter, names))
            && !self.deny.iter().any(|template| covers(template, filter, names))
    }

    /// What a client's response topics may begin with [MQTT 5.0, 3.2.2.3.15]: the first template
    /// that it may read, if that is all below some level. `None` where that says nothing.
    pub fn response_prefix(&self, names: &[Box<str>]) -> Option<String> {
        let mut prefix = String::new();
        for level in self.subscribe.first()?.levels() {
            prefix.push_str(match level {
                Level::Name(DEVICE | CLIENT_ID) => names.first()?,
                Level::Name(name) => name,
                Level::Any => return None,
                Level::Rest => return (!prefix.is_empty()).then_some(prefix),
            });
            prefix.push('/');
        }
        None
    }

    fn denies(&self, topic: Topic<'_>, names: &[Box<str>]) -> bool {
        self.deny.iter().any(|template| allows(template, topic, names, true))
    }
}

fn templates<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Filter>, AclError> {
    let parsed = texts.into_iter().map(|text| {
        let filter = Filter::parse(text, TopicLimits::default())?;
        let strays = filter.levels().any(|level| match level {
            Level::Name(DEVICE | CLIENT_ID) | Level::Any | Level::Rest => false,
            Level::Name(name) => name.contains(['{', '}']),
        });
        if strays { Err(AclError::Placeholder) } else { Ok(filter) }
    });
    let templates = parsed.collect::<Result<Vec<_>, _>>()?;
    if templates.len() > Acl::TEMPLATES_MAX { Err(AclError::TooMany) } else { Ok(templates) }
}

/// Names that nobody publishes to: the server's own, and what is no topic at all.
fn is_reserved(topic: Topic<'_>) -> bool {
    let first = topic.as_str().split('/').next();
    first.is_some_and(|level| {
        level.eq_ignore_ascii_case("$sys") || level.eq_ignore_ascii_case("$share")
    })
}

#[inline]
fn is_named(wanted: &str, name: &str, names: &[Box<str>]) -> bool {
    // Most levels are plain, and every publish comes by here.
    if !wanted.starts_with('{') {
        return wanted == name;
    }
    match wanted {
        DEVICE => names.iter().any(|own| **own == *name),
        CLIENT_ID => names.first().is_some_and(|own| **own == *name),
        _ => wanted == name,
    }
}

/// As [`Filter::matches`], with `{device}` taking any of `names`.
fn allows(
    template: &Filter,
    topic: Topic<'_>,
    names: &[Box<str>],
    wild_takes_dollar: bool,
) -> bool {
    if topic.as_str().starts_with('$')
        && !wild_takes_dollar
        && template.as_str().starts_with(['+', '#'])
    {
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

/// Whether every topic that the filter names is one of the template's.
fn covers(template: &Filter, filter: &Filter, names: &[Box<str>]) -> bool {
    let mut ours = template.levels();
    let mut theirs = filter.levels();
    loop {
        match (ours.next(), theirs.next()) {
            (Some(Level::Rest), _) | (None, None) => return true,
            (Some(Level::Any), Some(Level::Name(_) | Level::Any)) => {}
            (Some(Level::Name(wanted)), Some(Level::Name(name)))
                if is_named(wanted, name, names) => {}
            (Some(_), _) | (None, Some(_)) => return false,
        }
    }
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
    /// A brace that does not spell one of the two placeholders, filling its level.
    #[error("braces may only spell `{{device}}` or `{{client_id}}`, alone in their level")]
    Placeholder,
    /// More templates than allowed.
    #[error("more than {} templates", Acl::TEMPLATES_MAX)]
    TooMany,
}
