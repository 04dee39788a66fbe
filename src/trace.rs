//! What single devices and we say to each other, kept in memory for an engineer who asked for it.
//!
//! Secrets are blanked before anything is kept. Nothing of it outlives the process, and a device
//! that nobody asked for costs one look at a number.

use cwmp::trace::{Blanked, blanked};
use jiff::Timestamp;
use model::{DeviceId, Monotonic, Now, Tenant};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most traces that are kept at once, those that have ended among them: 32 MiB at most.
const TRACES_MAX: usize = 32;
/// Most bytes of one trace: some 200 sessions, or one discovery of a large device. What is older
/// goes.
const TRACE_BYTES_MAX: usize = 1 << 20;
/// Largest body that is kept.
const BODY_BYTES_MAX: usize = 256 << 10;
/// For how long a trace can be read once it has ended.
const READABLE_FOR: Duration = Duration::from_secs(60 * 60);

/// Why there is no trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TraceError {
    /// As many are kept as may be.
    #[error("at most {TRACES_MAX} traces are kept at once; end one first")]
    TooMany,
}

/// All traces. Shared as `Arc<Traces>`.
#[derive(Debug, Default)]
pub struct Traces {
    /// How many are under way.
    live: AtomicUsize,
    kept: Mutex<HashMap<(Tenant, DeviceId), Trace>>,
}

/// One device's.
#[derive(Debug)]
struct Trace {
    ends_at: Monotonic,
    entries: VecDeque<String>,
    bytes: usize,
    dropped: usize,
    /// Whether the device's next words may repeat a secret that it was told.
    repeats: bool,
}

/// What a device said.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The head of its request, a header to a line, without secrets.
    pub head: &'a str,
    /// Of its body.
    pub content_type: Option<&'a str>,
    /// Unpacked.
    pub body: &'a [u8],
}

impl Traces {
    /// Whether any device is traced: one load, which is all that others cost.
    pub fn is_any(&self) -> bool {
        self.live() > 0
    }

    /// How many traces are under way.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Begins a trace, in place of the one that the device had.
    pub fn begin(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        lasts: Duration,
        now: Now,
    ) -> Result<(), TraceError> {
        let mut kept = self.lock();
        let place = (tenant.clone(), device.clone());
        if kept.len() >= TRACES_MAX && !kept.contains_key(&place) {
            // One that has only not been read yet makes room.
            let ended = kept.iter().filter(|(_, it)| it.ends_at <= now.monotonic);
            let oldest = ended.min_by_key(|(_, it)| it.ends_at).map(|(place, _)| place.clone());
            kept.remove(&oldest.ok_or(TraceError::TooMany)?);
        }
        let ends_at = now.monotonic + lasts;
        let entries = VecDeque::new();
        kept.insert(place, Trace { ends_at, entries, bytes: 0, dropped: 0, repeats: false });
        self.count(&kept, now.monotonic);
        Ok(())
    }

    /// Ends a trace and forgets it; says whether there was one.
    pub fn end(&self, tenant: &Tenant, device: &DeviceId, now: Monotonic) -> bool {
        let mut kept = self.lock();
        let was = kept.remove(&(tenant.clone(), device.clone())).is_some();
        self.count(&kept, now);
        was
    }

    /// What was said so far: `>` from the device, `<` to it, `#` what is to be known of it.
    pub fn transcript(&self, tenant: &Tenant, device: &DeviceId) -> Option<String> {
        let kept = self.lock();
        let trace = kept.get(&(tenant.clone(), device.clone()))?;
        let mut text = String::with_capacity(trace.bytes + 80);
        if trace.dropped > 0 {
            let _ = writeln!(text, "# {} older entries had no room", trace.dropped);
        }
        trace.entries.iter().for_each(|entry| text.push_str(entry));
        Some(text)
    }

    /// Ends what is due, and forgets what nobody has come for.
    pub fn expire(&self, now: Monotonic) {
        if self.is_any() {
            let mut kept = self.lock();
            kept.retain(|_, it| now < it.ends_at + READABLE_FOR);
            self.count(&kept, now);
        }
    }

    /// Whether this device is traced.
    pub fn wants(&self, tenant: &Tenant, device: &DeviceId, now: Monotonic) -> bool {
        self.is_any() && self.with(tenant, device, now, |_| ()).is_some()
    }

    /// Keeps what a device said.
    pub fn heard(&self, tenant: &Tenant, device: &DeviceId, now: Now, said: Heard<'_>) {
        let repeats = self.with(tenant, device, now.monotonic, |it| it.repeats);
        let Some(repeats) = repeats else { return };
        let body = blank(said.content_type, said.body, repeats);
        let mut entry = title(now.wall, said.head);
        quote(&mut entry, '>', &body.text);
        self.with(tenant, device, now.monotonic, |it| it.push(entry, false));
    }

    /// Keeps what a device was told.
    pub fn answered(&self, tenant: &Tenant, device: &DeviceId, now: Now, status: u16, body: &[u8]) {
        let body = blank(None, body, false);
        let mut entry = title(now.wall, &format!("answered {status}"));
        quote(&mut entry, '<', &body.text);
        let repeats = body.secrets > 0;
        self.with(tenant, device, now.monotonic, |it| it.push(entry, repeats));
    }

    fn with<T>(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        now: Monotonic,
        use_it: impl FnOnce(&mut Trace) -> T,
    ) -> Option<T> {
        let mut kept = self.lock();
        let trace = kept.get_mut(&(tenant.clone(), device.clone()))?;
        (now < trace.ends_at).then(|| use_it(trace))
    }

    fn count(&self, kept: &HashMap<(Tenant, DeviceId), Trace>, now: Monotonic) {
        let live = kept.values().filter(|it| now < it.ends_at).count();
        self.live.store(live, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Tenant, DeviceId), Trace>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trace {
    fn push(&mut self, entry: String, repeats: bool) {
        self.repeats = repeats;
        self.bytes += entry.len();
        self.entries.push_back(entry);
        while self.bytes > TRACE_BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }
}

fn blank(content_type: Option<&str>, body: &[u8], repeats: bool) -> Blanked {
    let options = cwmp::Options { body_bytes_max: BODY_BYTES_MAX, ..cwmp::Options::default() };
    blanked(content_type, body, repeats, &options)
}

fn title(at: Timestamp, head: &str) -> String {
    let mut entry = String::new();
    let mut lines = head.lines();
    let _ = writeln!(entry, "# {at} {}", lines.next().unwrap_or_default());
    lines.for_each(|line| quote(&mut entry, '#', line));
    entry
}

/// Each line behind its mark, and the mark alone for nothing: an empty POST is a word, too. A
/// carriage return would hide a line on a terminal.
fn quote(entry: &mut String, mark: char, text: &str) {
    let lines = if text.is_empty() { "\n".lines() } else { text.lines() };
    for line in lines {
        entry.push(mark);
        if !line.is_empty() {
            entry.push(' ');
        }
        entry
            .extend(line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }));
        entry.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: u64) -> Now {
        let wall = Timestamp::from_second(1_767_225_600).unwrap();
        Now { monotonic: Monotonic::from_nanos(seconds * 1_000_000_000), wall }
    }

    fn device(n: usize) -> DeviceId {
        DeviceId::cwmp("00D09E", "Router", &format!("S{n}")).unwrap()
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_trace_holds_what_was_said_and_no_secret() {
        let (traces, tenant, it) = (Traces::default(), Tenant::default(), device(1));
        assert!(!traces.is_any());
        traces.begin(&tenant, &it, MINUTE, now(0)).unwrap();
        assert!(traces.is_any() && traces.wants(&tenant, &it, Monotonic::from_nanos(1)));
        assert!(!traces.wants(&tenant, &device(2), Monotonic::from_nanos(1)));
        let set = "<E><P><Name>D.Password</Name><Value>s3cret</Value></P></E>";
        let fault = "<E><Fault><FaultString>s3cret is short\rX</FaultString></Fault></E>";
        traces.answered(&tenant, &it, now(1), 200, set.as_bytes());
        let heard = Heard { head: "POST\nAccept: a", content_type: None, body: fault.as_bytes() };
        traces.heard(&tenant, &it, now(2), heard);
        traces.answered(&tenant, &it, now(3), 204, b"");
        let expected = "# 2026-01-01T00:00:00Z answered 200\n\
             < <E><P><Name>D.Password</Name><Value>…</Value></P></E>\n\
             # 2026-01-01T00:00:00Z POST\n# Accept: a\n\
             > <E><Fault><FaultString>…</FaultString></Fault></E>\n\
             # 2026-01-01T00:00:00Z answered 204\n<\n";
        assert_eq!(traces.transcript(&tenant, &it).as_deref(), Some(expected));
        assert!(traces.end(&tenant, &it, Monotonic::from_nanos(4)));
        assert!(!traces.is_any() && traces.transcript(&tenant, &it).is_none());
    }

    #[test]
    fn a_trace_ends_and_is_forgotten() {
        let (traces, tenant, it) = (Traces::default(), Tenant::default(), device(1));
        traces.begin(&tenant, &it, MINUTE, now(0)).unwrap();
        traces.answered(&tenant, &it, now(59), 204, b"");
        traces.answered(&tenant, &it, now(60), 200, b"");
        traces.expire(now(61).monotonic);
        assert!(!traces.is_any());
        assert_eq!(traces.transcript(&tenant, &it).unwrap().lines().count(), 2, "can be read yet");
    }

    #[test]
    fn every_bound_holds() {
        let (traces, tenant) = (Traces::default(), Tenant::default());
        for n in 0..TRACES_MAX {
            traces.begin(&tenant, &device(n), MINUTE, now(0)).unwrap();
        }
        let more = device(TRACES_MAX);
        assert_eq!(traces.begin(&tenant, &more, MINUTE, now(1)), Err(TraceError::TooMany));
        assert_eq!(traces.begin(&tenant, &device(0), MINUTE, now(1)), Ok(()), "one each");
        assert_eq!(
            traces.begin(&tenant, &more, MINUTE, now(60)),
            Ok(()),
            "in place of an ended one"
        );
        let body = format!("<E>{}</E>", "x".repeat(BODY_BYTES_MAX - 10));
        for second in 61..70 {
            traces.answered(&tenant, &more, now(second), 200, body.as_bytes());
        }
        let text = traces.transcript(&tenant, &more).unwrap();
        assert!(text.len() <= TRACE_BYTES_MAX + 100, "{}", text.len());
        assert!(text.starts_with("# 6 older entries had no room\n"), "{}", &text[..60]);
    }
}
