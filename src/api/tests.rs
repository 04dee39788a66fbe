//! The operator side as its callers meet it, over a real store.

mod boards;
mod broadcasts;
mod changes;
mod checks;
mod equipment;
mod files;
mod firmware;
mod jobs;
mod listener;
mod opt_outs;
mod parameters;
mod payments;
mod people;
mod phrases;
mod refusals;
mod scene;
mod sending;
mod steering;
mod stream;
mod waking;
mod walk;
mod water;
