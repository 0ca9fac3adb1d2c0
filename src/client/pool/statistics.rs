//! What a pool has done so far.

/// Counters of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Messages that wait.
    pub queued: u64,
    /// Messages that are being sent.
    pub in_flight: u64,
    /// Messages that servers took.
    pub accepted: u64,
    /// Messages that servers refused.
    pub rejected: u64,
    /// Messages of which nobody knows.
    pub unknown: u64,
    /// Messages that did not leave.
    pub not_sent: u64,
    /// Results that nobody has taken.
    pub results: u64,
    /// Connections, those being made included.
    pub connections: u64,
    /// Connections that wait for a message.
    pub idle: u64,
    /// Connections that were made.
    pub opened: u64,
    /// Connections that could not be made.
    pub failed: u64,
    /// Connections retired by age.
    pub retired_age: u64,
    /// Connections retired by the number of their messages.
    pub retired_count: u64,
    /// Connections retired since nothing was to be sent.
    pub retired_idle: u64,
    /// Connections that the server closed, saying 421.
    pub retired_closing: u64,
    /// Connections given up for new settings, for another destination, or at the end.
    pub retired_other: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Idle connections that the server ended, noticed before they were used.
    pub hung_up: u64,
    /// Connections that were found dead by a message, which was then sent over another.
    pub stale: u64,
    /// The octets sent over connections that are closed.
    pub octets_sent: u64,
    /// The octets received over them.
    pub octets_received: u64,
}
