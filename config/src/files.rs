//! `[firmware]` and `[files]`: what devices fetch from us, and what they send.

use crate::bounded::{Bounded, DAY, GIB, HOUR, KIB, MIB, MINUTE, Period, SECOND, Size, TIB};
use crate::section::section;

section! {
    /// Images that devices fetch from `public.listen`, each by an address that is signed for it alone
    /// and ends. They are kept under `data_dir/images`.
    Firmware "[firmware]" "firmware." {
        /// Largest image. A router's is 16 to 128 MiB; whole systems come close to half a GiB.
        restart image_max: Size<KIB, { 64 * GIB }> = "512 MiB",
        /// Most disk for all images together. Some sixty of a router's size; an upload that would go
        /// beyond it is refused (507).
        restart quota: Size<MIB, { 64 * TIB }> = "8 GiB",
        /// Most bytes a second to all devices together; 0 is no limit, as by default: what the line
        /// bears is not known here. A rollout takes what it can get, so give it half of the line.
        restart bandwidth: Size<0, TIB> = "0 B",
        /// Most bytes a second to one device; 0 is no limit.
        restart transfer_bandwidth: Size<0, TIB> = "0 B",
        /// Most images on their way at once; the next device is told to come back (503). Each holds a
        /// file and a buffer of 64 KiB.
        restart transfers_max: Bounded<1, 100_000> = 200,
        /// How long a device may fetch or send by the address that it was given, unless the command ends
        /// earlier. A day is enough for a device that begins at night; who steals an address has it no
        /// longer.
        restart link_valid: Period<MINUTE, { 90 * DAY }> = "24h",
    }
}

section! {
    /// Files that devices send to `public.listen` because a command asked for them: configurations and
    /// logs. They are kept under `data_dir/uploads`, encrypted, since a configuration holds secrets.
    Files "[files]" "files." {
        /// Largest file. A configuration is some hundred KiB, a log a few MiB; beyond it the device is
        /// refused (413).
        restart upload_max: Size<KIB, { 16 * GIB }> = "16 MiB",
        /// Most disk for all of them together; beyond it a device is refused (507).
        restart quota: Size<MIB, { 64 * TIB }> = "2 GiB",
        /// Most files of one device that are kept; the oldest go. Enough to compare, and a device that
        /// sends for ever fills nothing.
        restart uploads_per_device: Bounded<1, 1000> = 20,
        /// How long they are kept. A month outlasts a complaint; secrets should not lie about longer.
        restart uploads_retain: Period<HOUR, { 3650 * DAY }> = "30d",
        /// Most files on their way to us at once; the next device is told to come back (503). Each holds
        /// a file and a buffer of 256 KiB.
        restart uploads_max: Bounded<1, 100_000> = 50,
        /// Longest time in which a sender brings no 16 KiB: a modem at 9,600 bit/s needs half of it.
        restart idle_timeout: Period<SECOND, { 10 * MINUTE }> = "30s",
    }
}
