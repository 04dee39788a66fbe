//! Every rule by itself, and then any wish on any device.

mod device;
mod held;
mod objects;
mod parameters;
mod properties;
mod readings;
mod world;
