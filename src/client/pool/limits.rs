//! The limits of a pool: a table of properties beside those of a client.

use crate::error::{Code, Error, Result};

/// One row of the table.
#[derive(Debug)]
pub struct PoolRow {
    /// The property's number.
    pub id: u32,
    /// The name behind `SMTP_POOL_`.
    pub name: &'static str,
    /// The value before it is set.
    pub default: u32,
    /// The least value.
    pub least: u32,
    /// The greatest value.
    pub most: u32,
    /// What it is.
    pub doc: &'static str,
}

macro_rules! limits {
    ($($field:ident $name:ident $id:literal $default:literal $least:literal $most:literal $doc:literal;)+) => {
        /// What a pool keeps to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::client) struct Limits {
            $(pub(in crate::client) $field: u32,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Limits {
            fn field(&mut self, id: u32) -> Option<&mut u32> {
                match id {
                    $($id => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }

        /// Every property of a pool that a client has not, in the order of its number.
        pub const POOL_TABLE: &[PoolRow] = &[
            $(PoolRow { id: $id, name: stringify!($name), default: $default, least: $least, most: $most, doc: $doc },)+
        ];
    };
}

limits! {
    connections CONNECTIONS 265 10 1 10_000
        "The most connections to one destination: one host, port, user and password.";
    connections_total CONNECTIONS_TOTAL 266 100 1 100_000
        "The most connections of the pool to all destinations.";
    messages MESSAGES_PER_CONNECTION 267 100 0 1_000_000_000
        "After how many messages a connection is retired; 0 never.";
    age MAX_AGE 268 600_000 0 2_147_483_647
        "The age in milliseconds at which a connection is retired, once it is idle; 0 never.";
    idle IDLE_TIME 269 30_000 0 2_147_483_647
        "After how many milliseconds without a message a connection is retired; 0 never.";
    queue QUEUE_LIMIT 270 1_000 1 1_000_000_000
        "The most messages that wait to be sent; SmtpPoolSubmit refuses or waits beyond it.";
    queue_octets QUEUE_OCTETS 271 67_108_864 0 2_147_483_647
        "The most octets of messages in memory that wait to be sent; one message more is taken if none waits; 0 is no limit.";
    rate RATE 272 0 0 100_000
        "The most messages that are begun to one destination within any SMTP_POOL_RATE_PERIOD; 0 is no limit.";
    rate_period RATE_PERIOD 273 60_000 1 86_400_000
        "The span of time of SMTP_POOL_RATE in milliseconds.";
    back_off BACK_OFF 274 1_000 1 86_400_000
        "For how many milliseconds no connection is tried after one could not be made; doubled with every further failure.";
    back_off_most BACK_OFF_MAX 275 60_000 1 86_400_000
        "The most that this becomes, in milliseconds.";
    attempts CONNECT_ATTEMPTS 276 3 1 1_000
        "How many attempts in a row to connect must fail before the messages that wait for the destination fail.";
    queue_time QUEUE_TIME 277 0 0 2_147_483_647
        "How many milliseconds a message may wait in the pool before it fails with SMTP_ERROR_TIMEOUT; 0 is no limit.";
}

impl Limits {
    /// Sets one; `None` if there is none of this number.
    pub(in crate::client) fn set(&mut self, id: u32, value: i64) -> Option<Result<()>> {
        let row = POOL_TABLE.iter().find(|row| row.id == id)?;
        let field = self.field(id)?;
        let fits = u32::try_from(value).ok().filter(|value| (row.least..=row.most).contains(value));
        let Some(value) = fits else {
            let what = format!("the value {value} of {} is not between {} and {}", row.name, row.least, row.most);
            return Some(Err(Error::caller(Code::INVALID_PARAMETER, what)));
        };
        *field = value;
        Some(Ok(()))
    }

    /// Reads one.
    pub(in crate::client) fn get(mut self, id: u32) -> Option<i64> {
        self.field(id).map(|value| i64::from(*value))
    }

    /// How long nothing is tried after so many failures in a row.
    pub(super) fn back_off_after(&self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(31);
        (u64::from(self.back_off) << doublings).min(u64::from(self.back_off_most.max(self.back_off)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_number_default_and_range() {
        assert!(POOL_TABLE.windows(2).all(|pair| pair[0].id < pair[1].id));
        let mut limits = Limits::default();
        for row in POOL_TABLE {
            assert!(row.doc.ends_with('.') && (265..290).contains(&row.id), "{}", row.name);
            assert_eq!(limits.get(row.id), Some(i64::from(row.default)));
            for (value, fits) in [(row.least, true), (row.most, true), (row.most + 1, false)] {
                assert_eq!(limits.set(row.id, i64::from(value)).expect("known").is_ok(), fits, "{}", row.name);
            }
            assert_eq!(limits.get(row.id), Some(i64::from(row.most)));
        }
        assert!(limits.set(1, 1).is_none() && limits.get(1).is_none());
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let limits = Limits { back_off: 10, back_off_most: 55, ..Limits::default() };
        let pauses: Vec<u64> = [1, 2, 3, 4, 500].map(|failures| limits.back_off_after(failures)).into();
        assert_eq!(pauses, [10, 20, 40, 55, 55]);
    }
}
