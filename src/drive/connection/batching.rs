//! Many messages in one operation: from their source to the session, and their fates back.

use super::Talk;
use crate::drive::observer::Observer;
use crate::drive::source::Source;
use crate::drive::timer::Timer;
use crate::error::Result;

impl Talk {
    /// Gives the session the next message of a batch.
    #[inline(never)]
    pub(super) fn take_message(&mut self, source: &mut dyn Source, timer: &Timer) -> bool {
        match source.next_message(self.session.next_envelope()) {
            Some(number) => self.session.add_message(number, timer.now),
            None => self.session.end_messages(),
        }
        true
    }

    /// Has the source begin a message's content.
    #[inline(never)]
    pub(super) fn select(&mut self, source: &mut dyn Source, observer: &mut dyn Observer) -> Result<bool> {
        source.select(self.session.message_number())?;
        observer.begins(self.session.envelope().size());
        self.session.handle_rewound();
        Ok(true)
    }

    /// Gives the next piece of a message that goes out as a whole.
    #[inline(never)]
    pub(super) fn gather(&mut self, source: &mut dyn Source, timer: &Timer) -> bool {
        match source.next() {
            Ok([]) => self.session.finish_gathered(timer.now),
            Ok(piece) => self.session.gather(piece),
            Err(error) => self.session.drop_gathered(error),
        }
        true
    }

    /// Says what became of messages.
    #[inline(never)]
    pub(super) fn tell_settled(&mut self, source: &mut dyn Source, observer: &mut dyn Observer) {
        for settled in self.session.settled() {
            source.settled(settled);
            observer.settled(settled.number(), settled.outcome());
        }
        self.session.clear_settled();
    }
}
