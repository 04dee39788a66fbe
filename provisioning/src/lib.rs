//! What a device should be, and the smallest way to make it so.
//!
//! Pure functions: no socket, no store, no clock. In the order in which a device meets them:
//!
//! 1. [`base`]: what every CPE is told at first contact, so that it can be woken and calls by itself.
//! 2. [`profile`]: which profiles are a device's, and in which order they lie on each other.
//! 3. [`Equipment`]: the values that the business keeps for it.
//! 4. [`Wanted`]: profiles and values together: what it should be.
//! 5. [`decide`]: what is wanted against what is known: the fewest calls that make it so.
//! 6. [`Held`]: what is remembered of it until the next session.
//! 7. [`checkup`]: whether it is well, as a technician asks.

pub mod base;
pub mod checkup;
pub mod equipment;
mod fingerprint;
mod held;
mod kind;
mod pattern;
mod plan;
pub mod profile;
mod subject;
mod wanted;
mod window;

pub use equipment::Equipment;
pub use held::{
    Adding, Hashed, Held, Refreshed, Refusal, Standing, StepOutcome, StepRefusal, Told,
};
pub use pattern::{Expansion, Pattern, PatternError, Segment};
pub use plan::{
    Blocked, Change, ChangeView, Circumstances, LearnView, Measured, ObjectView, Obstacle, Plan,
    PlanView, Step, Why, Wish, aliases, decide, measured,
};
pub use profile::{Layers, Profile, ProfileFault, ProfileSet, Revision};
pub use subject::Subject;
pub use wanted::{
    Drift, Measure, Presence, Rule, Scale, ValueKind, Wanted, WantedAlias, WantedFirmware,
    WantedObject, WantedParameter, WantedRefresh,
};
pub use window::{Window, WindowError};
