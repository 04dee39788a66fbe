//! Subscriptions to water points: what callers, payments, messages and the clock do to them.

mod backend;

pub use self::backend::{BackendError, Change, Effect, WaterBackend};
