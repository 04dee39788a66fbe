//! The exchange over a store on disk.

mod boards;
mod crashes;
mod full_store;
mod groups;
mod index;
mod openings;
mod places;
mod programs;
mod retained;
mod scene;
mod sessions;

use super::retained::Retained;
use super::*;
use crate::store::Operation;
use ::mqtt::{Filter, LastWords, SessionState, message_of};
use jiff::SignedDuration;
use model::{DeviceId, Event, EventType, Json};
use scene::{Scene, board, event, keys, program, record, state};
use std::time::Duration;
