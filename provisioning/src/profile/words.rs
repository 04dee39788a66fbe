//! The words of the language: its keys, and the names that templates and conditions may use. One list
//! of each, from which files are read, slips are told and the reference is checked.

/// Every table of a profile with its keys. The first is the file itself.
#[cfg(test)]
pub(super) const TABLES: [(&str, &[&str]); 12] = [
    ("profile", PROFILE),
    ("[match]", MATCH),
    ("[match.tags]", TAGS),
    ("[defaults]", DEFAULTS),
    ("[[parameter]]", PARAMETER),
    ("[[object]]", OBJECT),
    ("a value of `set`", ENTRY),
    ("[[refresh]]", REFRESH),
    ("`scale`", SCALE),
    ("[[alias]]", ALIAS),
    ("[firmware]", FIRMWARE),
    ("[window]", WINDOW),
];
pub(super) const PROFILE: &[&str] = &[
    "name",
    "description",
    "layer",
    "quirks",
    "verify_on",
    "guess",
    "match",
    "defaults",
    "parameter",
    "object",
    "refresh",
    "alias",
    "firmware",
    "window",
];
pub(super) const MATCH: &[&str] = &[
    "oui",
    "manufacturer",
    "product_class",
    "model",
    "hardware_version",
    "software_version",
    "serial",
    "tags",
    "group",
    "protocol",
    "when",
];
pub(super) const TAGS: &[&str] = &["all", "any"];
pub(super) const DEFAULTS: &[&str] = &["drift", "verify_every", "optional", "window"];
pub(super) const PARAMETER: &[&str] = &[
    "path",
    "value",
    "template",
    "remove",
    "when",
    "type",
    "secret",
    "drift",
    "optional",
    "verify_every",
    "window",
    "guess",
];
pub(super) const OBJECT: &[&str] = &[
    "table",
    "key",
    "ensure",
    "set",
    "remove",
    "when",
    "drift",
    "optional",
    "verify_every",
    "window",
    "guess",
];
pub(super) const ENTRY: &[&str] = &["value", "template", "when", "type", "secret", "optional"];
pub(super) const REFRESH: &[&str] =
    &["path", "every", "on", "measure", "scale", "remove", "when", "guess"];
pub(super) const SCALE: &[&str] = &["times", "decibel"];
pub(super) const ALIAS: &[&str] = &["kind", "path", "guess"];
pub(super) const FIRMWARE: &[&str] = &["version", "image", "when"];
pub(super) const WINDOW: &[&str] = &["days", "from", "to", "zone"];

/// The kinds of values that are no XML Schema types.
pub(super) const HOST: &str = "host";
pub(super) const HOST_OR_EMPTY: &str = "host_or_empty";
/// What a profile may say about drift.
pub(super) const DRIFT: [&str; 2] = ["mend", "report"];
/// What an object may be.
pub(super) const ENSURE: [&str; 2] = ["present", "absent"];
/// Who speaks at the far end.
pub(super) const PROTOCOLS: [&str; 3] = ["cwmp", "mqtt", "ussd"];

/// The names of readings that the business is told of and that a technician's checks look for.
pub const MEASURES: [&str; 9] = [
    "ip",
    "mac",
    "optical_rx_dbm",
    "optical_tx_dbm",
    "hosts",
    "wifi_2g_enabled",
    "wifi_5g_enabled",
    "sip_status",
    "uptime_s",
];

/// What profiles may say is peculiar about their devices: the words of `[[cwmp.quirk]]`.
pub const QUIRKS: [&str; 6] = [
    "skip_root_names",
    "boolean_literal",
    "date_time_milliseconds",
    "digest_replay",
    "download_success_on_timeout",
    "write_readonly",
];

/// The events of an Inform (TR-069 A.3.3.5, 3.7.1.5) that may trigger something. The two that every
/// session has are not among them.
pub(super) const EVENTS: [&str; 20] = [
    "0 BOOTSTRAP",
    "1 BOOT",
    "3 SCHEDULED",
    "4 VALUE CHANGE",
    "5 KICKED",
    "7 TRANSFER COMPLETE",
    "8 DIAGNOSTICS COMPLETE",
    "9 REQUEST DOWNLOAD",
    "10 AUTONOMOUS TRANSFER COMPLETE",
    "11 DU STATE CHANGE COMPLETE",
    "12 AUTONOMOUS DU STATE CHANGE COMPLETE",
    "13 WAKEUP",
    "14 HEARTBEAT",
    "M Reboot",
    "M ScheduleInform",
    "M Download",
    "M Upload",
    "M ScheduleDownload",
    "M ChangeDUState",
    "M AddObject",
];
/// The events that every session has: what they triggered would be done in each.
pub(super) const COMMON_EVENTS: [&str; 2] = ["2 PERIODIC", "6 CONNECTION REQUEST"];

/// The variables of templates and conditions.
pub(super) const VARIABLES: [&str; 3] = ["device", "tenant", "equipment"];
/// The fields of `device`.
pub(super) const DEVICE: [&str; 14] = [
    "id",
    "protocol",
    "manufacturer",
    "oui",
    "product_class",
    "serial",
    "model",
    "hardware_version",
    "software_version",
    "connection_request_url",
    "periodic_interval_s",
    "group",
    "customer",
    "root",
];
/// The further field of `device` that is a list.
pub(super) const DEVICE_TAGS: &str = "tags";
/// The fields of one radio network.
pub(super) const WIFI: [&str; 5] = ["band", "ssid", "passphrase", "enable", "hidden"];
/// The fields of one telephone line.
pub(super) const VOIP: [&str; 13] = [
    "line",
    "enable",
    "uri",
    "auth_user",
    "auth_password",
    "registrar",
    "proxy",
    "outbound_proxy",
    "port",
    "transport",
    "digit_map",
    "dtmf",
    "directory_number",
];
/// The fields of one VLAN.
pub(super) const VLAN: [&str; 3] = ["role", "id", "priority"];
/// The fields of `equipment` that are objects, with theirs.
pub(super) const PARTS: [(&str, &[&str]); 3] = [
    ("bridge", &["enable", "ports"]),
    ("dscp", &["sip", "rtp"]),
    ("firmware", &["version", "url", "sha256", "size"]),
];
/// How bands are spelled.
pub(super) const BANDS: [&str; 3] = ["2.4GHz", "5GHz", "6GHz"];
/// The functions of templates.
pub(super) const FUNCTIONS: [&str; 5] = ["wifi", "voip", "vlan", "alias", "known"];
