//! `[firmware]` and `[files]`: what devices fetch from us, and what they send.

use crate::bounded::{Bounded, DAY, GIB, HOUR, KIB, MIB, MINUTE, Period, SECOND, Size, TIB};
use crate::public_key::PublicKeyText;
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
        /// Whose signatures are demanded: Ed25519 public keys, each in base64 or the path of its PEM
        /// file. When any is listed, an image without a signature by one of them is refused, and one
        /// that was taken before is given to nobody. None listed: images are taken as they come.
        restart keys: Vec<PublicKeyText> = [],
        /// Most devices that fetch firmware of rollouts at once; the others wait for their turn. As many
        /// as `transfers_max` has room for, so that none of them is sent away.
        restart parallel_max: Bounded<1, 100_000> = 200,
        /// Longest time from telling a device to download to hearing how that ended. Beyond it the try
        /// has failed. A router's image takes six hours at 24 kbit/s.
        restart download_time: Period<MINUTE, { 30 * DAY }> = "6h",
        /// Longest time in which a device that took an image over restarts and reports the version that
        /// it runs. Beyond it the try has failed; until then it is given nothing else. Routers take two
        /// to ten minutes.
        restart apply_grace: Period<SECOND, { 7 * DAY }> = "20m",
        /// Both for boards, which ask once a day and sleep in between: longest time from the answer to the
        /// end of the download, and from there to the report. A day and a half lets one day be missed.
        restart board_grace: Period<MINUTE, { 30 * DAY }> = "36h",
        /// How often a board may ask by HTTP in a minute, since each question is kept; beyond it it is
        /// answered 429. Boards ask once a day.
        restart asks_per_minute: Bounded<1, 10_000> = 20,
        /// How many devices must have failed with an image for it to be given to nobody else, unless that
        /// is forced: fewer may be an accident.
        restart failed_elsewhere_min: Bounded<1, 1_000_000> = 5,
        /// And how many percent of those that tried it.
        restart failed_elsewhere_share: Bounded<1, 100> = 20,
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
