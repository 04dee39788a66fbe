//! The water service over a store of its own.
