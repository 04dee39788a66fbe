//! Payments over the real store, with a Daraja of our own at the other end.

mod given_up;
mod histories;
mod operator;
mod oracle;
mod scenes;
mod sky;
mod strays;
mod till;
mod world;
