//! Content that goes from its source to the stream past the session: it has been looked
//! at before, and goes out as it is.

use super::{Observer, Result, Talk};
use crate::drive::source::{Rest, Source};
use crate::drive::timer::Timer;

impl Talk {
    /// Has content go from its source to the stream in one step, if that can be done;
    /// true if something went out.
    pub(super) fn pass(
        &mut self,
        source: &mut dyn Source,
        observer: &mut dyn Observer,
        timer: &mut Timer,
    ) -> Result<Option<bool>> {
        /// Long enough to cost few calls, short enough to tell of progress, and to
        /// hear the server in between.
        const MOST: usize = 1024 * 1024;
        let most = usize::try_from(self.session.passable()).unwrap_or(MOST).min(MOST);
        if matches!(source.rest(), Rest::Pieces)
            || (matches!(source.rest(), Rest::File(_)) && !self.stream.takes_files())
        {
            return Ok(None);
        }
        if !self.session.output().is_empty() {
            return self.write(timer).map(Some);
        }
        let sent = match source.rest() {
            Rest::Memory([]) => None,
            Rest::Memory(octets) => Some(self.stream.write(&octets[..octets.len().min(most)])),
            Rest::File(file) => self.stream.write_file(file, most).transpose(),
            Rest::Pieces => None,
        };
        let count = match sent {
            None => return Ok(None),
            Some(Ok(0)) => return Ok(Some(false)),
            Some(Ok(count)) => count,
            Some(Err(error)) => return self.hear(error, timer),
        };
        source.skip(count);
        timer.read();
        self.session.handle_passed(count as u64, timer.now);
        observer.progress(self.session.content_octets(), false, timer.now);
        if self.session.passable() > 0 {
            self.look_for_a_refusal(count)?;
        }
        Ok(Some(true))
    }
}
