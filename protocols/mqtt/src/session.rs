//! One connection: who it is, what it sends, what it is sent, and why it ends.
//!
//! Pure: no socket, no clock, no task. The driver hands in bytes and the time, answers what
//! [`Session::poll`] asks, and writes what [`Session::take_output`] returns. Each fact goes out
//! with a ticket, and so does the state of a session that outlives its connection; the client
//! hears of it only when [`Session::settle_up_to`] says that it is kept. An idle session holds its
//! own few hundred bytes, its subscriptions and its will, and nothing else.

mod closing;
mod connecting;
mod downstream;
mod output;
mod sending;
mod state;
mod subscribing;
mod upstream;

pub use connecting::{Grant, Introduction};
pub use downstream::Delivery;
pub use output::{NewSubscription, Output, Slowed};
pub use sending::{Message, Through};
pub use state::{InflightRecord, LastWords, SessionState, SubscriptionRecord};
pub use subscribing::SharedPlaces;

use crate::error::{CloseReason, ProtocolError};
use crate::frame::{self, Frame};
use crate::message::{self, Packet, Version, kind};
use crate::options::Options;
use connecting::{Peer, Waiting};
use downstream::Inflight;
use model::{Fact, Monotonic, Now, Settlement, Ticket};
use output::{Answer, Pending, Reply};
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use subscribing::Subscription;
use upstream::Unreleased;

/// One connection of one client: a board's or a program's.
///
/// After every call but [`Session::poll`] and the questions, drain `poll` to `None`, then write
/// what [`Session::take_output`] returns. A driver goes round like this:
///
/// ```
/// # use lastmile_mqtt::{Introduction, NewSubscription, Output, Session, SessionState};
/// # use model::{Event, Fact, Now, Settlement};
/// # use std::time::Duration;
/// # trait World {
/// #     fn now(&self) -> Now;
/// #     fn sign_in(&mut self, session: &mut Session, who: &Introduction);
/// #     fn offer(&mut self, session: &mut Session, new: &[NewSubscription]);
/// #     fn route_no_more(&mut self, filters: &[Box<str>]);
/// #     fn keep(&mut self, write: Write) -> Settlement;
/// #     fn write(&mut self, bytes: &[u8]);
/// # }
/// /// What goes to the disk at once, or not at all.
/// #[derive(Default)]
/// struct Write {
///     facts: Vec<Fact>,
///     /// Messages that are needed no more, by their keys.
///     done: Vec<u64>,
///     will: Option<(Duration, Event)>,
///     state: Option<SessionState>,
/// }
///
/// /// After `receive`, `expire`, `close`, `deliver` or `send`. False: close the socket.
/// fn carry_out(session: &mut Session, world: &mut impl World) -> bool {
///     loop {
///         let (mut write, mut last, mut goes_on) = (Write::default(), None, true);
///         let mut is_done = true;
///         while let Some(output) = session.poll() {
///             is_done = false;
///             match output {
///                 Output::Authenticate(who) => world.sign_in(session, &who),
///                 Output::Emit { fact, ticket } => {
///                     write.facts.push(fact);
///                     last = Some(ticket);
///                 }
///                 Output::Keep { ticket } => {
///                     write.state = Some(session.state());
///                     last = Some(ticket);
///                 }
///                 Output::Acknowledged(key) => write.done.push(key),
///                 Output::WillLater { delay, will } => write.will = Some((delay, will)),
///                 Output::Subscribed { filters } => world.offer(session, &filters),
///                 Output::Unsubscribed { filters } => world.route_no_more(&filters),
///                 Output::Ready => world.offer(session, &[]),
///                 Output::Refused(refusal) => drop(refusal.code()), // count it
///                 Output::Slowed(slowed) => drop(slowed.code()), // and this
///                 Output::Close(_) => goes_on = false,
///             }
///         }
///         let settlement = world.keep(write);
///         if let Some(last) = last {
///             session.settle_up_to(last, settlement, world.now());
///         }
///         world.write(&session.take_output());
///         if is_done || !goes_on {
///             return goes_on;
///         }
///     }
/// }
/// ```
///
/// What is offered is commands ([`Session::deliver`]) and messages ([`Session::send`]), each until
/// one is [`crate::Undeliverable::WindowFull`]; [`Output::Ready`] tells when to go on.
pub struct Session {
    options: Arc<Options>,
    state: State,
    /// When the connection was opened, then when the board was last heard.
    heard: Monotonic,
    /// Longest silence after CONNECT.
    silence_max: Duration,
    /// Who it is, from the driver's grant to the end.
    peer: Option<Box<Peer>>,
    outputs: VecDeque<Output>,
    out: Vec<u8>,
    /// What to do for each fact handed out and not settled, oldest first.
    pending: VecDeque<Pending>,
    /// Bytes of event data among them.
    pending_bytes: usize,
    /// The ticket of the next fact; the oldest pending one's is `pending.len()` less.
    ticket_next: u64,
    subscriptions: Vec<Subscription>,
    /// Commands and messages handed in and not acknowledged by the client.
    inflight: VecDeque<Inflight>,
    packet_id_last: u16,
    /// A delivery was refused for want of room: say when there is some.
    starved: bool,
    /// When the second began in which publishes and filters are counted.
    second_began: Monotonic,
    published_in_second: u32,
    /// QoS 2 publishes taken and not yet released [4.3.3].
    unreleased: Vec<Unreleased>,
    /// Publishes above QoS 0 that a client of 5.0 was not yet answered.
    unanswered: u16,
    /// Answers that wait for their turn, or for the disk.
    answers: VecDeque<Answer>,
    /// For how long the session is kept after the connection, in seconds.
    expiry_s: u32,
    /// Most that may become.
    expiry_max_s: u32,
    /// Longest packet that the client takes, in bytes.
    their_packet_len_max: u32,
    /// Up to which ticket the driver was told to keep the state.
    told: u64,
    version: Version,
    /// The session outlives this connection, or an earlier one.
    persists: bool,
    /// CONNACK has said so.
    is_welcome: bool,
    /// [`Output::Close`] is handed out.
    has_ended: bool,
}

/// Named for what must come next.
#[derive(Debug)]
enum State {
    /// The board has connected and must say who it is.
    ExpectConnect,
    /// The driver must say whether it may.
    ExpectGrant(Box<Waiting>),
    /// Its arrival must be on disk before it is welcomed.
    ExpectCommit,
    /// It may send anything but CONNECT.
    ExpectPacket,
    /// Nothing more may be said.
    Closed,
}

impl Session {
    /// Starts waiting for CONNECT.
    pub fn new(options: Arc<Options>, now: Now) -> Self {
        Self {
            options,
            state: State::ExpectConnect,
            heard: now.monotonic,
            silence_max: Duration::MAX,
            peer: None,
            outputs: VecDeque::new(),
            out: Vec::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            ticket_next: 0,
            subscriptions: Vec::new(),
            inflight: VecDeque::new(),
            packet_id_last: 0,
            starved: false,
            second_began: now.monotonic,
            published_in_second: 0,
            unreleased: Vec::new(),
            unanswered: 0,
            answers: VecDeque::new(),
            expiry_s: 0,
            expiry_max_s: 0,
            their_packet_len_max: u32::MAX,
            told: 0,
            version: Version::V3_1_1,
            persists: false,
            is_welcome: false,
            has_ended: false,
        }
    }

    /// Takes the whole packets at the front of `bytes`, and returns how many bytes they were.
    ///
    /// Keep the rest and hand it in again, with more behind it, once [`Session::wants_input`]. A
    /// board that breaks the protocol is closed: then all of `bytes` counts as taken.
    pub fn receive(&mut self, bytes: &[u8], now: Now) -> usize {
        if matches!(self.state, State::ExpectPacket) && !bytes.is_empty() {
            self.heard = now.monotonic;
        }
        self.count_anew(now);
        // MQTT 3.1.1 [MQTT-3.1.0-1]: told by the first byte, before anything is read or awaited.
        let is_stranger = matches!(self.state, State::ExpectConnect);
        if is_stranger && bytes.first().is_some_and(|head| head >> 4 != kind::CONNECT) {
            self.close(ProtocolError::NotConnected.into(), now);
        }
        let mut taken = 0;
        while self.wants_input() {
            match frame::decode(&bytes[taken..], self.body_len_max()) {
                Ok(None) => return taken,
                Ok(Some((frame, len))) => {
                    taken += len;
                    if let Err(reason) = self.take(frame, now) {
                        self.close(reason, now);
                    }
                }
                Err(error) => self.close(CloseReason::Protocol(error), now),
            }
        }
        if matches!(self.state, State::Closed) { bytes.len() } else { taken }
    }

    /// Whether [`Session::receive`] would take a packet now; while not, leave the socket unread.
    ///
    /// False while the driver owes an answer or a settlement, while too much waits to be written,
    /// while the board is faster than allowed (until [`Session::expire`] at the deadline), and at
    /// the end.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::ExpectConnect => true,
            State::ExpectPacket => {
                !self.owes_us()
                    && !self.is_too_fast()
                    && self.out.len() < self.options.output_bytes_max
            }
            State::ExpectGrant(_) | State::ExpectCommit | State::Closed => false,
        }
    }

    /// How many bytes the packet at the front of `bytes` has in all, once that is known.
    ///
    /// For a driver that makes room for exactly what is still to come. `None` too for a packet
    /// that [`Session::receive`] will refuse.
    pub fn announced(&self, bytes: &[u8]) -> Option<usize> {
        frame::announced(bytes, self.body_len_max()).ok().flatten()
    }

    /// Says what became of every fact up to and including `ticket` that is not yet settled.
    ///
    /// Facts that fared differently are settled each with its own word. Facts are settled in the
    /// order they were handed out; a ticket settled before is ignored,
    /// as is everything once the session is closed.
    pub fn settle_up_to(&mut self, ticket: Ticket, settlement: Settlement, now: Now) {
        let blocked = self.owes_us();
        while self.oldest_ticket() <= ticket.0 {
            let settled = self.oldest_ticket();
            let Some(pending) = self.pending.pop_front() else { break };
            self.pending_bytes -= pending.bytes as usize;
            match settlement {
                Settlement::Committed => self.committed(pending.reply),
                Settlement::Refused => self.not_kept(pending.reply, now),
                Settlement::Overtaken => self.overtaken(pending.reply),
            }
            if !self.answers.is_empty() {
                self.give_answers(settled);
            }
        }
        if self.pending.is_empty() && self.pending.capacity() > PENDING_KEPT {
            self.pending = VecDeque::new();
        }
        if blocked && !self.owes_us() {
            // We would not listen: its silence is our doing.
            self.heard = now.monotonic;
        }
        self.say_if_ready();
    }

    /// Returns the next thing for the driver to do, until there is nothing left.
    #[must_use = "what is not carried out is lost"]
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        self.note_told(output.as_ref());
        if output.is_none() && self.outputs.capacity() > 0 {
            // Most connections are idle most of the time: they keep no queue.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Takes all bytes that wait to be written to the board, in order. Poll again afterwards: room
    /// may be what a delivery waits for ([`Output::Ready`]).
    pub fn take_output(&mut self) -> Vec<u8> {
        let out = mem::take(&mut self.out);
        self.say_if_ready();
        out
    }

    /// Whether bytes wait to be written.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// When [`Session::expire`] should next be called. May move with every other call.
    pub fn deadline(&self) -> Monotonic {
        match self.state {
            State::ExpectConnect | State::ExpectGrant(_) => {
                self.heard + self.options.connect_timeout
            }
            State::ExpectPacket if self.owes_us() => Monotonic::NEVER,
            State::ExpectPacket if self.is_too_fast() => self.second_began + SECOND,
            State::ExpectPacket => self.heard + self.silence_max,
            State::ExpectCommit | State::Closed => Monotonic::NEVER,
        }
    }

    /// For so long the driver did not read, for a reason of ours: no silence of the client's.
    pub fn unread_for(&mut self, time: Duration) {
        self.heard = self.heard + time;
    }

    /// Does what is due at [`Session::deadline`]: gives up on a board that has been silent, or
    /// lets one go on that was too fast. Hand in again what [`Session::receive`] left.
    pub fn expire(&mut self, now: Now) {
        if now.monotonic < self.deadline() {
            return;
        }
        match self.state {
            State::ExpectConnect | State::ExpectGrant(_) => {
                self.close(CloseReason::ConnectTimeout, now);
            }
            State::ExpectPacket if self.is_too_fast() => {
                self.count_anew(now);
                self.heard = now.monotonic;
            }
            // MQTT 3.1.1 [MQTT-3.1.2-24]
            State::ExpectPacket => self.close(CloseReason::KeepAlive, now),
            State::ExpectCommit | State::Closed => {}
        }
    }

    /// Whether the session is at its end: nothing it is told matters any more.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether CONNECT was answered with a welcome and the session goes on.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::ExpectPacket)
    }

    /// Whether CONNECT was answered with a welcome, be the session at its end by now.
    pub fn was_welcome(&self) -> bool {
        self.is_welcome
    }

    fn body_len_max(&self) -> usize {
        match self.state {
            State::ExpectConnect => self.options.connect_len_max,
            State::ExpectGrant(_) | State::ExpectCommit | State::ExpectPacket | State::Closed => {
                self.options.packet_len_max
            }
        }
    }

    /// Whether so many facts await their settlement that no more may be made.
    fn owes_us(&self) -> bool {
        self.pending.len() >= self.options.unsettled_max
            || self.pending_bytes >= self.options.unsettled_bytes_max
    }

    fn is_too_fast(&self) -> bool {
        self.published_in_second >= self.options.publish_rate_max
    }

    /// Whether the client takes a packet with a body that long [MQTT 5.0, MQTT-3.1.2-24].
    fn takes(&self, body_len: usize) -> bool {
        1 + frame::length_size(body_len) + body_len <= self.their_packet_len_max as usize
    }

    /// Forgets the publishes and filters of a second that is over.
    fn count_anew(&mut self, now: Now) {
        if now.monotonic.since(self.second_began) >= SECOND {
            self.second_began = now.monotonic;
            self.published_in_second = 0;
        }
    }

    fn oldest_ticket(&self) -> u64 {
        self.ticket_next - self.pending.len() as u64
    }

    /// Takes one packet. An error closes the session.
    fn take(&mut self, frame: Frame<'_>, now: Now) -> Result<(), CloseReason> {
        let packet = match message::decode(frame, self.version) {
            Ok(packet) => packet,
            Err(error) => return Err(self.unreadable(frame, error)),
        };
        if self.version == Version::V5 {
            message::check_client(&packet)?;
        }
        // `Closed` is left behind while we decide, so an error cannot leave a usable session.
        self.state = match (mem::replace(&mut self.state, State::Closed), packet) {
            (State::ExpectConnect, Packet::Connect(connect)) => self.introduced(&connect)?,
            (State::ExpectPacket, Packet::Publish(publish)) => self.published(publish, now)?,
            (State::ExpectPacket, Packet::Pubrel(it)) => self.released(it.packet_id),
            (State::ExpectPacket, Packet::Puback(it)) => self.acknowledged(it),
            (State::ExpectPacket, Packet::Pubrec(it)) => self.received_by_client(it),
            (State::ExpectPacket, Packet::Pubcomp(it)) => self.completed(it.packet_id),
            (State::ExpectPacket, Packet::Subscribe { packet_id, filters, properties }) => {
                self.subscribed(packet_id, &filters, properties)?
            }
            (State::ExpectPacket, Packet::Unsubscribe { packet_id, filters, .. }) => {
                self.unsubscribed(packet_id, &filters)?
            }
            (State::ExpectPacket, Packet::Pingreq) => {
                message::pingresp(&mut self.out);
                State::ExpectPacket
            }
            (State::ExpectPacket, Packet::Disconnect { reason, properties }) => {
                return Err(self.said_goodbye(reason, properties));
            }
            // MQTT 3.1.1 [MQTT-3.1.0-2]
            (State::ExpectPacket, Packet::Connect(_)) => {
                return Err(ProtocolError::SecondConnect.into());
            }
            // MQTT 5.0, 4.12: no method was agreed upon in CONNECT.
            (State::ExpectPacket, Packet::Auth { .. }) => {
                return Err(ProtocolError::NotAuthenticating.into());
            }
            (
                State::ExpectPacket,
                Packet::Connack { .. }
                | Packet::Suback { .. }
                | Packet::Unsuback { .. }
                | Packet::Pingresp,
            ) => return Err(ProtocolError::ServerPacket.into()),
            (
                State::ExpectConnect | State::ExpectGrant(_) | State::ExpectCommit | State::Closed,
                _,
            ) => return Err(ProtocolError::NotConnected.into()),
        };
        Ok(())
    }

    /// Hands out a fact and remembers what to do when it is settled.
    fn emit(&mut self, fact: Fact, reply: Reply) {
        let bytes = match &fact {
            Fact::Event(event) => u32::try_from(event.data.as_str().len()).unwrap_or(u32::MAX),
            Fact::Command(_) => 0,
        };
        let ticket = self.next_ticket(reply, bytes);
        self.outputs.push_back(Output::Emit { fact, ticket });
    }

    fn next_ticket(&mut self, reply: Reply, bytes: u32) -> Ticket {
        let ticket = Ticket(self.ticket_next);
        self.ticket_next += 1;
        self.pending_bytes += bytes as usize;
        self.pending.push_back(Pending { reply, bytes });
        if self.owes_us() {
            let options = &self.options;
            let was_under = self.pending.len() <= options.unsettled_max
                && self.pending_bytes - (bytes as usize) < options.unsettled_bytes_max;
            if was_under {
                self.outputs.push_back(Output::Slowed(Slowed::Unsettled));
            }
        }
        ticket
    }

    /// Gives an answer once all that was handed out before is settled, so that answers keep the
    /// order of what they answer [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    fn answer_in_turn(&mut self, bytes: Vec<u8>) {
        if self.pending.is_empty() {
            self.out.extend_from_slice(&bytes);
        } else {
            self.answer_after(self.ticket_next - 1, bytes, None);
        }
    }

    fn answer_after(&mut self, after: u64, bytes: Vec<u8>, then: Option<Output>) {
        self.answers.push_back(Answer { after, bytes: bytes.into(), then });
    }

    fn give_answers(&mut self, settled: u64) {
        while self.answers.front().is_some_and(|answer| answer.after <= settled) {
            let Some(answer) = self.answers.pop_front() else { break };
            self.out.extend_from_slice(&answer.bytes);
            self.outputs.extend(answer.then);
        }
        if self.answers.is_empty() {
            self.answers = VecDeque::new();
        }
    }

    /// It is on disk: what was waiting for that is done now.
    fn committed(&mut self, reply: Reply) {
        match reply {
            // An answer is given by its ticket.
            Reply::Nothing
            | Reply::Record
            | Reply::Arrival
            | Reply::Recorded(_)
            | Reply::Answer => {}
            Reply::Welcome { session_present } => self.welcome(session_present),
            Reply::Puback(packet_id) => self.taken(packet_id),
            Reply::Pubrec(packet_id) => self.received(packet_id),
            Reply::Pubrel(packet_id) => self.release(packet_id),
            Reply::Pubcomp(packet_id) => self.complete(packet_id),
            Reply::Deliver(packet_id) => self.send_now(packet_id),
        }
    }

    /// A command ended before its step was kept: what was not sent yet stays here, and its place in
    /// the window is free.
    fn overtaken(&mut self, reply: Reply) {
        match reply {
            Reply::Deliver(packet_id) | Reply::Recorded(packet_id) => {
                self.forget_packet(packet_id);
            }
            // Nobody waits, or it is an event or a state, of which this is never said.
            Reply::Nothing
            | Reply::Record
            | Reply::Arrival
            | Reply::Welcome { .. }
            | Reply::Puback(_)
            | Reply::Pubrec(_)
            | Reply::Pubrel(_)
            | Reply::Pubcomp(_)
            | Reply::Answer => self.committed(reply),
        }
    }

    /// There was no room: the client is refused in the protocol's words, which for a publish are
    /// none but the end of the connection.
    fn not_kept(&mut self, reply: Reply, now: Now) {
        match reply {
            Reply::Record => {}
            Reply::Recorded(packet_id) => {
                self.forget_packet(packet_id);
            }
            Reply::Deliver(packet_id) if self.carries_command(packet_id) => {
                self.forget_packet(packet_id);
            }
            Reply::Welcome { .. } | Reply::Arrival => self.turn_away(now),
            Reply::Nothing
            | Reply::Puback(_)
            | Reply::Pubrec(_)
            | Reply::Pubrel(_)
            | Reply::Pubcomp(_)
            | Reply::Deliver(_)
            | Reply::Answer => {
                // What was handed out and not kept was not received.
                let told = self.told;
                self.unreleased.retain(|known| known.is_kept || known.ticket > told);
                self.close(CloseReason::StoreFull, now);
            }
        }
    }
}

/// Prints how far it is, never who or what.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("heard", &self.heard)
            .field("pending", &self.pending.len())
            .field("subscriptions", &self.subscriptions.len())
            .field("inflight", &self.inflight.len())
            .finish_non_exhaustive()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Facts for which an idle session keeps room: a usual window, in 128 bytes.
const PENDING_KEPT: usize = 16;
