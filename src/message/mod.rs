//! Messages: checking and signing their octets. It stands beside the client, which
//! sends them, and knows no connection.

#![forbid(unsafe_code)]

pub mod check;
pub mod dkim;
