//! Profiles over a store.
