//! The operator side as its callers meet it, over a real store.

mod changes;
mod listener;
mod people;
mod refusals;
mod scene;
mod sending;
mod stream;
mod waking;
mod walk;
