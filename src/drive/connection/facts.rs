//! What can be asked about a connection.

use super::super::plan::Plan;
use super::super::spent::Spent;
use super::{Connection, Stage};
use crate::net::clock::Clock;
use crate::net::peer::Peer;
use crate::net::tls::TlsInfo;
use crate::proto::{Moment, Session};
use std::net::SocketAddr;

impl Connection {
    /// The clock by which it goes.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.timer.clock()
    }

    /// What the present call has spent its time on.
    #[must_use]
    pub fn spent(&self) -> &Spent {
        &self.timer.spent
    }

    /// The octets sent and received so far, without what TLS adds.
    #[must_use]
    pub fn octets(&self) -> (u64, u64) {
        match &self.stage {
            Stage::Talking(talk) => (talk.session.octets_sent(), talk.received),
            _ => (0, 0),
        }
    }

    /// The time when the last wait ended.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.timer.now
    }

    /// What it was to be like.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The conversation, once there is one.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        match &self.stage {
            Stage::Talking(talk) => Some(&talk.session),
            _ => self.left.as_deref(),
        }
    }

    /// What was agreed for TLS.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        match &self.stage {
            Stage::Talking(talk) => talk.tls_info.as_ref(),
            _ => None,
        }
    }

    /// The address of the server and of this end.
    #[must_use]
    pub fn addresses(&self) -> Option<(&Peer, Option<SocketAddr>)> {
        match &self.stage {
            Stage::Talking(talk) => Some((&talk.peer, talk.stream.local_address())),
            _ => None,
        }
    }
}
