//! A program's connection: it reads the events for itself, and its part of shared subscriptions.

use super::{Client, Driver, MqttParts};
use crate::deliver::{Feed, FeedItem};
use crate::exchange::{
    Membership, Progress, Queued, SHARED_KEYS, Seat, is_retained, message_of_stored,
    topic_of_stored,
};
use crate::store::{Position, ReadError, StoredEvent};
use ::mqtt::{
    CloseReason, Filter, Message, NewSubscription, SubscriptionRecord, Through, Topic, TopicLimits,
    Undeliverable, split_shared,
};
use model::{DeviceId, Now};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tracing::warn;

/// Filters and topics were checked when they came in.
const UNLIMITED: TopicLimits = TopicLimits { len_max: usize::MAX, levels_max: usize::MAX };

/// What a program's connection has beside a board's.
pub(super) struct Program {
    client_id: Box<str>,
    revoked: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    /// Whether what it is subscribed to has been looked at: until then a resumed session's place
    /// stays as it was.
    follows: bool,
    /// While it has a subscription that is not shared.
    feed: Option<Feed>,
    progress: Progress,
    /// New subscriptions, and the last event that was there before each.
    since: Vec<(Filter, Position)>,
    memberships: Vec<Membership>,
    /// What there is no room for.
    held: VecDeque<Held>,
}

/// A message on its way to the session.
struct Held {
    key: u64,
    /// Of an event that the program reads itself.
    at: Option<Position>,
    /// By this subscription alone; `None` for all that match.
    through: Option<Arc<str>>,
    is_own: bool,
    message: Arc<Message>,
}

/// What wakes a program's connection.
pub(super) enum News {
    /// Its token is revoked.
    Revoked,
    /// Its session is ended from elsewhere.
    Ended,
    Read(FeedItem),
    /// The events cannot be read.
    Unreadable,
    /// A shared subscription dealt it something: it is held.
    Dealt,
}

impl Program {
    pub(super) fn new(
        client_id: Box<str>,
        revoked: impl Future<Output = ()> + Send + Sync + 'static,
        at: Position,
        is_resumed: bool,
    ) -> Self {
        Self {
            client_id,
            revoked: Box::pin(revoked),
            follows: !is_resumed,
            feed: None,
            progress: Progress::new(at),
            since: Vec::new(),
            memberships: Vec::new(),
            held: VecDeque::new(),
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Waits for what comes next. Reads nothing while something is held. Cancelled, it loses
    /// nothing.
    pub(super) async fn news(&mut self, seat: &Seat) -> News {
        let Self { revoked, feed, memberships, held, .. } = self;
        let may_read = held.is_empty();
        let read = async {
            match feed {
                Some(feed) if may_read => feed.next().await,
                _ => std::future::pending().await,
            }
        };
        let dealt = poll_fn(|cx| {
            for membership in memberships.iter_mut() {
                if let Poll::Ready(Some(dealt)) = membership.poll_next(cx) {
                    let through = Some(membership.filter().into());
                    return Poll::Ready((through, dealt));
                }
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            () = revoked => News::Revoked,
            () = seat.ended() => News::Ended,
            (through, dealt) = dealt => {
                let (key, message) = (dealt.key, dealt.message);
                held.push_back(Held { key, at: None, through, is_own: false, message });
                News::Dealt
            }
            read = read => match read {
                Some(Ok(item)) => News::Read(item),
                Some(Err(error)) => {
                    warn!(%error, "a program's events could not be read");
                    News::Unreadable
                }
                // The daemon stops: it is told so by another way.
                None => {
                    *feed = None;
                    News::Dealt
                }
            },
        }
    }

    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    /// Keeps a retained message until there is room for it.
    pub(super) fn hold(&mut self, queued: Queued) {
        let Queued { key, through, is_own, message } = queued;
        self.held.push_back(Held { key, at: None, through, is_own, message });
    }

    /// These messages are needed no more.
    pub(super) fn acknowledged(&mut self, parts: &MqttParts, seat: &Seat, keys: &[u64]) {
        for key in keys {
            if *key < SHARED_KEYS {
                self.progress.done(*key);
            } else if is_retained(*key) {
                parts.exchange.acknowledged(seat, &[*key]);
            } else if let Some(member) = self.memberships.iter().find(|it| it.dealt(*key)) {
                member.done(*key);
            }
        }
        parts.exchange.advance(seat, &self.progress);
    }

    /// One that reads nothing is up to date: what was before a subscription is not sent by it.
    pub(super) async fn catch_up(&mut self, parts: &MqttParts, seat: &Seat) {
        // One that is resumed goes on where it was, if events are kept for it.
        let reads = self.feed.is_some() || (!self.follows && parts.exchange.has_place(seat));
        let is_idle = !reads && !self.progress.is_open();
        if is_idle && let Ok(newest) = parts.exchange.newest().await {
            self.progress = Progress::new(newest);
        }
        if self.follows || is_idle {
            parts.exchange.advance(seat, &self.progress);
        }
    }

    /// The connection is over: what was not acknowledged of shared subscriptions goes to others.
    pub(super) async fn leave(&mut self, parts: &MqttParts, seat: &Seat) {
        self.catch_up(parts, seat).await;
        self.memberships.clear();
        self.feed = None;
        self.held.clear();
    }

    /// Reads the events; `new` subscriptions begin with the next.
    async fn read_on(
        &mut self,
        parts: &MqttParts,
        seat: &Seat,
        new: &[NewSubscription],
    ) -> Result<(), ReadError> {
        let newest = parts.exchange.newest().await?;
        let new = new.iter().filter(|new| new.is_new);
        let new = new.filter_map(|new| Filter::parse(&new.filter, UNLIMITED).ok());
        self.since.extend(new.map(|filter| (filter, newest)));
        if self.feed.is_none() {
            self.feed = Some(parts.exchange.feed(seat).await?);
        }
        Ok(())
    }

    /// Whether an event that was there before a new subscription was subscribed to all the same.
    fn was_wanted(&self, at: Position, topic: &str, all: &[SubscriptionRecord]) -> bool {
        let Ok(topic) = Topic::parse(topic, UNLIMITED) else { return false };
        let is_new = |filter: &str| {
            self.since.iter().any(|(new, since)| at <= *since && new.as_str() == filter)
        };
        all.iter().filter(|record| !is_new(&record.filter)).any(|record| {
            Filter::parse(&record.filter, UNLIMITED).is_ok_and(|filter| filter.matches(topic))
        })
    }
}

impl Driver {
    /// Does what has come to a program.
    pub(super) fn hear(&mut self, news: News, now: Now) {
        match news {
            News::Revoked | News::Ended => self.session.close(CloseReason::Administrative, now),
            News::Unreadable => self.session.close(CloseReason::StoreFull, now),
            News::Read(item) => {
                self.take(item);
                self.offer_events();
            }
            News::Dealt => self.offer_events(),
        }
    }

    /// Sends the program what is held and what has been read, while there is room.
    pub(super) fn offer_events(&mut self) {
        while self.send_held() {
            let program = self.client.as_deref_mut().and_then(|it| it.program.as_deref_mut());
            let feed = program.and_then(|program| program.feed.as_mut());
            let Some(item) = feed.and_then(Feed::take_ready) else { break };
            self.take(item);
        }
        let parts = &self.listener.parts;
        if let Some(Client { seat, program: Some(program), .. }) = self.client.as_deref_mut() {
            parts.exchange.advance(seat, &program.progress);
        }
    }

    /// Takes one event in.
    fn take(&mut self, item: FeedItem) {
        let Some(client) = self.client.as_deref_mut() else { return };
        let Some(program) = client.program.as_deref_mut() else { return };
        let FeedItem::Event { event, .. } = item else {
            return self.listener.parts.exchange.give_up(&client.seat, 0, "trimmed");
        };
        program.since.retain(|(_, since)| event.position <= *since);
        let topic = topic_of_stored(&event);
        // Most events are none of a program's: these are not taken apart.
        let topic = topic.as_deref().and_then(|topic| Topic::parse(topic, UNLIMITED).ok());
        let is_wanted = topic.is_some_and(|topic| self.session.subscribed_qos(topic).is_some());
        if !is_wanted || program.progress.was_done(event.position.sequence) {
            return program.progress.passed(event.position);
        }
        let Some(message) = message_of_stored(&event) else {
            return program.progress.passed(event.position);
        };
        if !program.since.is_empty() {
            let all = self.session.state().subscriptions;
            if !program.was_wanted(event.position, &message.topic, &all) {
                return program.progress.passed(event.position);
            }
        }
        let is_own = is_own(&client.device, &program.client_id, &event, &message);
        program.progress.sent(event.position);
        let (key, at) = (event.position.sequence, Some(event.position));
        let message = Arc::new(message);
        program.held.push_back(Held { key, at, through: None, is_own, message });
    }

    /// Sends what is held; false when there is no more room.
    pub(super) fn send_held(&mut self) -> bool {
        let parts = &self.listener.parts;
        let now = parts.clock.now();
        let Some(client) = self.client.as_deref_mut() else { return false };
        let Some(program) = client.program.as_deref_mut() else { return false };
        while let Some(held) = program.held.front() {
            let (key, is_own) = (held.key, held.is_own);
            let through = match &held.through {
                Some(filter) => Through::Filter(filter),
                None => Through::Matching { is_own },
            };
            match self.session.send(&held.message, key, through, now) {
                Err(Undeliverable::WindowFull | Undeliverable::NotConnected) => return false,
                Ok(()) => parts.metrics.mqtt_messages.with_label_values(&["down"]).inc(),
                Err(never) => {
                    self.session.forget(key);
                    let member = program.memberships.iter().find(|it| it.dealt(key));
                    match (member, never) {
                        (Some(member), _) => member.decline(key),
                        // It did not ask for it, or may not have it.
                        (_, Undeliverable::NotSubscribed | Undeliverable::NotAllowed) => {
                            parts.exchange.acknowledged(&client.seat, &[key]);
                        }
                        _ => parts.exchange.give_up(&client.seat, key, never.code()),
                    }
                    if held.at.is_some() {
                        program.progress.done(key);
                    }
                }
            }
            program.held.pop_front();
        }
        true
    }

    /// Reads what the program is subscribed to now, and no more; `new` begins with the next event.
    pub(super) async fn follow(&mut self, new: &[NewSubscription]) {
        let parts = &self.listener.parts;
        let window = self.listener.session_options.inflight_max;
        let Some(client) = self.client.as_deref_mut() else { return };
        let Some(program) = client.program.as_deref_mut() else { return };
        if !mem::replace(&mut program.follows, true) {
            program.progress = parts.exchange.progress(&client.seat);
        }
        let all = self.session.state().subscriptions;
        let shared = |record: &&SubscriptionRecord| split_shared(&record.filter).is_some();
        if all.iter().all(|record| shared(&record)) {
            program.feed = None;
        } else {
            if let Err(error) = program.read_on(parts, &client.seat, new).await {
                warn!(%error, "a program's events could not be read");
                return self.session.close(CloseReason::StoreFull, parts.clock.now());
            }
        }
        let is_wanted =
            |member: &Membership| all.iter().any(|record| *record.filter == *member.filter());
        program.memberships.retain(is_wanted);
        for record in all.iter().filter(shared) {
            let is_in = program.memberships.iter().any(|it| *it.filter() == *record.filter);
            if !is_in {
                // Refused only where fewer may be than when it was kept; counted there.
                let joined = parts.exchange.join(&client.seat, &record.filter, window);
                program.memberships.extend(joined);
            }
        }
    }
}

/// Whether the program published it itself, as this client.
fn is_own(owner: &DeviceId, client_id: &str, event: &StoredEvent, message: &Message) -> bool {
    event.device == *owner && message.publisher.as_deref() == Some(client_id)
}
