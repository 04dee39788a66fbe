//! What an operator may set: the configuration file, as types that cannot hold a wrong value.
//!
//! [`Config::parse`] reads the text as a tree that knows its lines, then gives it types, then
//! checks what must go together; it reports every fault at once. It never opens a file, resolves a
//! name or looks at the environment: whether a file that is named exists is the daemon's to see.
//!
//! The doc comment of each key is its only documentation: `config/REFERENCE.md` is written from it,
//! and `config/lastmile.toml` is compared with the defaults by a test.

mod acl;
mod beam;
mod boards;
mod bounded;
mod broker;
mod check;
mod checks;
mod cidr;
mod commands;
mod cwmp;
mod fault;
mod files;
mod http;
mod mpesa;
mod mqtt;
mod provisioning;
mod public_key;
mod quirk;
mod read;
mod roles;
mod section;
mod sink;
mod sms;
mod store;
mod text;
mod top;
mod ussd;
mod warn;
mod water;

pub use acl::TopicTemplate;
pub use beam::Beam;
pub use boards::{Boards, Imsi, InUseOn, ReadyOn, TimeZoneName, TopicName};
pub use bounded::{Bounded, DAY, GIB, HOUR, KIB, MIB, MINUTE, Period, SECOND, Size, TIB};
pub use broker::{Broker, ClientId, TopicPrefix};
pub use checks::{Checks, Dbm};
pub use cidr::{Cidr, CidrError};
pub use commands::Commands;
pub use cwmp::{ClientCertificates, ConnectionRequest, Credential, Cwmp, Discovery};
pub use fault::{Cause, Fault, Faults, Warning};
pub use files::{Files, Firmware};
pub use http::{Backend, BackendKind, Operator, Public, Tls};
pub use mpesa::{Mpesa, TransactionType};
pub use mqtt::{BoardAcl, BoardCertificates, Mqtt, QueueFull};
pub use provisioning::Provisioning;
pub use public_key::PublicKeyText;
pub use quirk::{Quirk, QuirkFlag, Said};
pub use roles::{Permission, Roles};
pub use section::{Entry, Reload};
pub use sink::{Bus, Sink, SinkKind};
pub use sms::{Sms, SmsApi, SmsProvider};
pub use store::{Events, Log, LogFormat, LogLevel, Shutdown, Store, StoreUrl};
pub use text::{EventPattern, HostPort, HttpUrl, Name, PlainText, UserName};
pub use top::{Auth, Config};
pub use ussd::{
    Aggregator, DialCode, DialogueEvents, FieldName, Network, Service, ServiceFields, Ussd,
};
pub use water::{TimeOfDay, Water};
