//! M-Pesa: what Daraja, Safaricom's API, is asked, what it answers, and what it calls back with.
//!
//! An [`Account`] writes the three requests: for a token, for a prompt on a phone (an [`Order`]), for
//! what became of a prompt. Their answers are read by [`Token::read`], [`PushAnswer::read`] and
//! [`QueryAnswer::read`] into what a caller may conclude, and a [`Callback`] into what somebody
//! claims. Whatever cannot be read says nothing: it is `Unknown`, which never means failed.
//!
//! Pure: no socket, no clock, no task, no file. Time is an argument. Never prints a number, a key or
//! a token. `SPEC.md` lists each clause with its function and its test.

#![deny(clippy::wildcard_enum_match_arm)]

mod answer;
mod auth;
mod callback;
mod error;
mod frame;
mod number;
mod options;
mod request;

pub use answer::{PushAnswer, QueryAnswer};
pub use auth::Token;
pub use callback::{ACCEPTED, Callback, is_receipt};
pub use error::{AccountError, OrderError, TokenFault, Unreadable};
pub use frame::BODY_LEN_MAX;
pub use number::Number;
pub use options::{Account, AccountFields, TransactionType};
pub use request::{Call, Order};
