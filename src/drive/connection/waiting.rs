//! What an event loop has to wait for: one descriptor, whatever the stage.

use super::{Connection, Stage};
use crate::error::Result;
use crate::net::gathering::Gathering;
use crate::net::sys::Watch;
use crate::net::waker::Waker;
use crate::net::wire_error;
use crate::proto::{Moment, Want};
use std::sync::Arc;

/// What is waited for, kept open: as long as it is, its number stands for nothing else,
/// so that a loop that compares numbers notices every change.
#[derive(Debug)]
pub enum Held {
    /// The one socket.
    Socket(Arc<socket2::Socket>),
    /// What tells that a name was looked up.
    Waker(Arc<Waker>),
    /// Several.
    Gathering(Arc<Gathering>),
}

/// How long a loop may wait where several things are waited for and the system has
/// no descriptor that stands for all of them, in milliseconds.
const IMPATIENCE: u64 = 20;

impl Connection {
    /// What to wait for: any of these.
    #[must_use]
    pub fn watches(&self) -> Vec<Watch> {
        let waker = self.waker.iter().map(|waker| waker.watch());
        match &self.stage {
            Stage::Resolving(_) | Stage::Joined(..) | Stage::Failed => waker.collect(),
            Stage::Racing(race) => waker.chain(race.watches()).collect(),
            Stage::Tunnelling(tunnelling) => waker.chain([tunnelling.watch()]).collect(),
            Stage::Talking(talk) => vec![talk.watch()],
        }
    }

    /// What to wait for, and until when.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn waiting(&mut self) -> Result<(Watch, Held, Option<Moment>)> {
        let deadline = self.deadline();
        if let Stage::Talking(talk) = &self.stage {
            let watch = talk.stream.watch(talk.session.want() == Want::Write);
            return Ok((watch, Held::Socket(talk.stream.shared_socket()), deadline));
        }
        let watches = self.watches();
        if let (Stage::Resolving(_) | Stage::Joined(..) | Stage::Failed, Some(waker)) = (&self.stage, &self.waker) {
            return Ok((waker.watch(), Held::Waker(Arc::clone(waker)), deadline));
        }
        if let ([only], Some(socket)) = (&*watches, self.only_socket()) {
            return Ok((*only, Held::Socket(socket), deadline));
        }
        if let Some(gathering) = self.gathering.as_ref().filter(|gathering| gathering.is_of(&watches)) {
            return Ok((gathering.watch(), Held::Gathering(Arc::clone(gathering)), deadline));
        }
        match Gathering::new(watches) {
            Ok(gathering) => {
                let gathering = self.gathering.insert(Arc::new(gathering));
                Ok((gathering.watch(), Held::Gathering(Arc::clone(gathering)), deadline))
            }
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => self.hurried(deadline),
            Err(error) => Err(wire_error(&error, self.phase())),
        }
    }

    fn only_socket(&self) -> Option<Arc<socket2::Socket>> {
        match &self.stage {
            Stage::Racing(race) => race.only_socket(),
            Stage::Tunnelling(tunnelling) => Some(tunnelling.shared_socket()),
            _ => None,
        }
    }

    fn hurried(&self, deadline: Option<Moment>) -> Result<(Watch, Held, Option<Moment>)> {
        let soon = Moment::earlier(deadline, Some(self.timer.now + IMPATIENCE));
        let Some(waker) = &self.waker else {
            return Err(wire_error(&std::io::ErrorKind::Unsupported.into(), self.phase()));
        };
        Ok((waker.watch(), Held::Waker(Arc::clone(waker)), soon))
    }
}
