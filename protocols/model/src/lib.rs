//! The words every part of lastmile shares: time, devices, events, commands.
//!
//! Values that cannot be wrong, and nothing that a protocol knows. No input or output, no clock:
//! time and chance are arguments ([`Now`], [`Random`]).

mod alias;
mod chance;
mod command;
pub mod data_model;
mod device;
mod event;
pub mod form;
mod loose;
mod observation;
mod redact;
mod secret_name;
mod session;
mod tenant;
mod time;

pub use alias::{Alias, AliasError, AliasKind};
pub use chance::Random;
pub use command::{
    Command, CommandChange, CommandId, CommandKind, CommandState, DeploymentOperation,
    ParameterAttributes, ParameterValue, Payload, QoS, TimeWindow,
};
pub use data_model::{DataModel, DataModelEntry};
pub use device::{DeviceFacts, DeviceId, DeviceIdError, Protocol};
pub use event::{Event, EventType, Json};
pub use form::{Form, FormError};
pub use loose::{Loose, foreign_id};
pub use observation::{AttributeEntry, NameEntry, Observation, Reading};
pub use redact::{Redacted, RedactionKey, set_redaction_key};
pub use secret_name::is_secret;
pub use session::{Fact, Settlement, Ticket};
pub use tenant::{Tenant, TenantError};
pub use time::{Monotonic, Now};
