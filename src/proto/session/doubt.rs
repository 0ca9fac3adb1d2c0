//! Servers that offer an extension and do not know its parameter: MAIL is
//! repeated once without what may be left out, and if that helps, it is left
//! out from then on.

use super::{Outcome, Session};
use crate::proto::capabilities::{Capabilities, Withheld};

/// What a refused MAIL command may have been refused for.
#[derive(Debug)]
pub(super) struct Doubts {
    extensions: Vec<Withheld>,
    /// What the server offers, while MAIL is being repeated without a part of it.
    before: Option<Capabilities>,
}

impl Session {
    /// MAIL was refused: takes note if a parameter may be the cause.
    pub(super) fn doubt(&mut self) {
        if let Some(doubts) = self.mail.doubts.as_mut() {
            // Without them it was refused too, so that nothing was learnt.
            if let Some(before) = doubts.before.take() {
                self.capabilities = before;
            }
            doubts.extensions.clear();
            return;
        }
        let reply = self.parser.reply();
        // "Parameter not recognised" and "parameter not implemented" (RFC 5321 section 4.2.3).
        if !matches!(reply.code(), 504 | 555) {
            return;
        }
        let said = format!("{} {}", reply.code(), reply.to_record().text.replace('\n', " / "));
        let reason = format!("the server offered it and refused its parameter ({})", said.trim_end());
        let extensions: Vec<_> = self
            .spare_parameters()
            .into_iter()
            .map(|keyword| Withheld { keyword: keyword.to_owned(), reason: reason.clone() })
            .collect();
        if !extensions.is_empty() {
            self.mail.doubts = Some(Box::new(Doubts { extensions, before: None }));
        }
    }

    /// The extensions that this message's MAIL has parameters of, and that it can do without.
    fn spare_parameters(&self) -> Vec<&'static str> {
        let (envelope, offered) = (&self.mail.envelope, &self.capabilities);
        let leaves_out = envelope.leaves_out();
        let (by, priority) = envelope.demands().map_or((None, 0), |demands| (demands.deliver_by, demands.priority));
        let has_dsn = !envelope.delivery().mail_parameter().is_empty() || !envelope.envelope_id().is_empty();
        let spare = [
            ("SIZE", offered.size.is_some() && envelope.size().is_some()),
            ("8BITMIME", offered.eight_bit && envelope.is_eight_bit()),
            ("DSN", leaves_out && offered.dsn && has_dsn),
            ("DELIVERBY", leaves_out && offered.deliver_by.is_some() && by.is_some_and(|by| !by.returns())),
            ("MT-PRIORITY", leaves_out && offered.mt_priority.is_some() && priority != 0),
        ];
        spare.into_iter().filter(|(_, used)| *used).map(|(keyword, _)| keyword).collect()
    }

    /// Whether something is in doubt that was not left out yet.
    pub(super) fn may_repeat_without_doubted(&self) -> bool {
        self.mail.doubts.as_ref().is_some_and(|doubts| !doubts.extensions.is_empty() && doubts.before.is_none())
    }

    /// Once all replies are in: begins the transaction again without what is in
    /// doubt. True if there was something.
    pub(super) fn repeat_without_doubted(&mut self) -> bool {
        if !self.may_repeat_without_doubted() {
            return false;
        }
        let Some(doubts) = self.mail.doubts.as_mut() else { return false };
        let less = self.capabilities.clone().without(&doubts.extensions);
        doubts.before = Some(std::mem::replace(&mut self.capabilities, less));
        self.mail.refusal = None;
        self.mail.outcome = Outcome::NotSent;
        self.begin_envelope();
        true
    }

    pub(super) fn capabilities_before_doubt(&self) -> Option<&Capabilities> {
        self.mail.doubts.as_ref()?.before.as_ref()
    }

    /// MAIL was accepted: what it was repeated without is left out from now on.
    pub(super) fn settle_doubts(&mut self) {
        if let Some(doubts) = self.mail.doubts.as_mut() {
            doubts.before = None;
            doubts.extensions.clear();
        }
    }
}
