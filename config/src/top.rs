//! The whole file.

use crate::beam::Beam;
use crate::boards::Boards;
use crate::broker::Broker;
use crate::check;
use crate::checks::Checks;
use crate::cidr::Cidr;
use crate::commands::Commands;
use crate::cwmp::Cwmp;
use crate::fault::{Cause, Fault, Faults, Warning};
use crate::files::{Files, Firmware};
use crate::http::{Backend, Operator, Public, Tls};
use crate::mpesa::Mpesa;
use crate::mqtt::Mqtt;
use crate::provisioning::Provisioning;
use crate::read::{Reader, Value};
use crate::roles::Roles;
use crate::section::{Entry, Section, section, words};
use crate::sink::{Bus, Sink};
use crate::sms::Sms;
use crate::store::{Events, Log, Shutdown, Store};
use crate::text::Name;
use crate::ussd::Ussd;
use crate::warn;
use crate::water::Water;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

words! {
    /// Whether a device must sign in.
    Auth {
        /// It must.
        Required = "required",
        /// It need not.
        Open = "open",
    }
}

section! {
    /// Every key may be left out, and so may the file. Relative paths begin where the daemon was
    /// started.
    Config "" "" {
        /// The name of this gateway: the source of its events is `/lastmile/<node>`. Two gateways that
        /// feed one backend need two names.
        restart node: Name = "lastmile",
        /// Where the store, firmware images and the secrets of the first start are (mode 0600). The
        /// command line's `--data-dir` goes before it. Beside the daemon by default, so that a first
        /// try needs no rights; the shipped unit uses `/var/lib/lastmile`.
        restart data_dir: PathBuf = "./data",
        /// Tenants beside `default`, which is always there. Every token, service and sink belongs to
        /// one, and a caller to that of the service. Routers and boards do not choose yet: they live
        /// in `default` until a later release.
        restart tenants: Vec<Name> = [],
        /// Proxies whose `X-Forwarded-For` is believed. None by default: anyone may write that header,
        /// and with it pass for any address.
        restart trusted_proxies: Vec<Cidr> = [],
        /// What is kept on disk before a device hears its answer.
        section store: Store = {},
        /// What is an event, and how long it stays.
        section events: Events = {},
        /// Routers and ONTs.
        section cwmp: Cwmp = {},
        /// What devices are told to do.
        section commands: Commands = {},
        /// Boards.
        section mqtt: Mqtt = {},
        /// What becomes of boards.
        section boards: Boards = {},
        /// Messages that SORACOM Beam brings.
        section beam: Beam = {},
        /// What devices should be.
        section provisioning: Provisioning = {},
        /// What aggregators, providers and devices call over HTTP.
        section public: Public = {},
        /// Images that devices fetch.
        section firmware: Firmware = {},
        /// Files that devices send.
        section files: Files = {},
        /// The REST API, the metrics and the health probes.
        section operator: Operator = {},
        /// Dialogues with phones.
        section ussd: Ussd = {},
        /// Payments over Safaricom's Daraja.
        section mpesa: Mpesa = {},
        /// Texts to phones.
        section sms: Sms = {},
        /// Subscriptions to water points.
        section water: Water = {},
        /// Where events go.
        tables sink: Vec<Sink> = [],
        /// The broker inside, for consumers on this machine.
        section bus: Bus = {},
        /// From where on a device is not well.
        section checks: Checks = {},
        /// The certificate of every listener with TLS.
        section tls: Tls = {},
        /// What a token may do.
        section roles: Roles = {},
        /// Who answers for equipment and customers.
        section backend: Backend = {},
        /// What is logged.
        section log: Log = {},
        /// How the daemon stops.
        section shutdown: Shutdown = {},
    }
}

impl Config {
    /// Longest file, in bytes: a thousand sinks and credentials fit many times.
    pub const FILE_MAX: usize = 1024 * 1024;

    /// Reads the file's text (an absent file is the empty text).
    ///
    /// # Errors
    ///
    /// Every fault at once: unknown and missing keys, wrong types, values out of range, and
    /// contradictions between keys that are sound by themselves. Only where the text is not TOML are
    /// the faults those of its syntax alone: what the rest would mean is not known then.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut reader = Reader::new(text);
        if text.len() > Self::FILE_MAX {
            let message = format!("is longer than {} bytes", Self::FILE_MAX);
            let fault = Fault { line: None, key: String::new(), cause: Cause::Syntax, message };
            return Err(Faults(vec![fault]));
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            errors.iter().for_each(|error| reader.syntax(error));
            return Err(Faults(reader.into_faults()));
        }
        let node = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        let config = Self::read(&mut reader, &node);
        if let Some(config) = &config {
            check::contradictions(config, &mut reader);
        }
        let faults = reader.into_faults();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(Faults(faults)),
        }
    }

    /// Whether the broker inside runs: a sink names it.
    pub fn has_bus(&self) -> bool {
        self.sink.iter().any(|sink| sink.broker.as_ref().is_some_and(Broker::is_embedded))
    }

    /// What is allowed but seldom meant: plain listeners, open doors.
    pub fn warnings(&self) -> Vec<Warning> {
        warn::warnings(self)
    }

    /// The keys in which `new` differs and which take effect only at the next start.
    pub fn restart_keys_changed(&self, new: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        Section::restart_keys_changed(self, new, &mut keys);
        keys
    }

    /// This configuration with the live keys of `new`: what a running daemon goes on with.
    #[must_use]
    pub fn with_live_of(&self, new: &Self) -> Self {
        let mut config = self.clone();
        config.take_live(new);
        config
    }

    /// Every table and key with its documentation, in the order of the reference.
    pub fn reference() -> Vec<Entry> {
        let mut entries = Vec::new();
        Self::entries(&mut entries);
        entries
    }
}

/// What an absent file means.
impl Default for Config {
    fn default() -> Self {
        Self::parse("").expect("every default is sound: a test reads them")
    }
}
