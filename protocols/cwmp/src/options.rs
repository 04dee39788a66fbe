//! Every bound of the codec and the session, in one place.

use std::time::Duration;

/// What may be set. The defaults serve any device seen so far with room to spare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest decoded body in bytes. A device of 5,000 parameters answers with about 1 MB.
    pub body_bytes_max: usize,
    /// Deepest nesting of elements. CWMP itself needs 8.
    pub depth_max: usize,
    /// Most elements in one body: three per parameter and some.
    pub elements_max: usize,
    /// Most parameters, parameter names or faults in one body.
    pub parameters_max: usize,
    /// Most events in one Inform. TR-069 3.7.1.5 asks a device to hold 64.
    pub events_max: usize,
    /// Longest silence of a device within its session (TR-069 3.4.1 suggests 30 s).
    pub idle_timeout: Duration,
    /// Most requests of ours in one session, so that no rule can go round for ever.
    pub requests_max: u32,
    /// Most times the rest of a refused SetParameterValues is tried again without the culprits.
    pub set_retries_max: u32,
    /// Most names or values in one call of ours. Devices of 64 MB answer 256 values without strain.
    pub batch_names_max: usize,
    /// Most times in one session that what a refused path (9005) belongs to is looked up again.
    pub rediscoveries_max: u32,
    /// Without a TransferComplete for this long after it was asked for, a Download is taken to have
    /// ended when its device restarts, where the model is known never to send one
    /// ([`crate::Quirks::download_success_on_timeout`]).
    pub transfer_silence: Duration,
    /// Make an event of an Inform that brings no news, too.
    pub event_per_inform: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            depth_max: 32,
            elements_max: 200_000,
            parameters_max: 20_000,
            events_max: 256,
            idle_timeout: Duration::from_secs(30),
            requests_max: 1024,
            set_retries_max: 3,
            batch_names_max: 256,
            rediscoveries_max: 3,
            transfer_silence: Duration::from_secs(300),
            event_per_inform: false,
        }
    }
}
