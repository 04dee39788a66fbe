//! What single models get wrong, as data: each flag changes one thing that we do.

/// The peculiarities of one model. All are off for a device that nobody has said anything of.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags, each read in one place")]
pub struct Quirks {
    /// It crashes on, or refuses, GetParameterNames of its root: discovery begins at the objects
    /// below it that the Inform shows.
    pub skip_root_names: bool,
    /// It reads and writes booleans as `true` and `false` only.
    pub boolean_literal: bool,
    /// It wants milliseconds in a dateTime.
    pub date_time_milliseconds: bool,
    /// It repeats one digest answer for ever, with the same nonce count.
    pub digest_replay: bool,
    /// It never sends TransferComplete: a Download that is not heard of in time, while the device
    /// came back, has succeeded.
    pub download_success_on_timeout: bool,
    /// It says of parameters that they are not writable and lets them be written.
    pub write_readonly: bool,
}
