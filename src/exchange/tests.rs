//! The exchange over a store on disk.

mod boards;
mod groups;
mod index;
mod programs;
mod retained;
mod scene;
mod sessions;

use super::*;
use ::mqtt::message_of;
use model::{Event, EventType};
use scene::{Scene, board, event, keys, program, record, state};
