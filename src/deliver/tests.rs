//! Sinks, feed and keeper over a store in memory, with time that nobody waits for.

mod ahead;
mod feed;
mod keeper;
mod memory_store;
mod mqtt;
mod order;
mod poison;
mod retry;
mod scene;
mod skipping;
mod webhook;
