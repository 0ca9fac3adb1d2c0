//! The envelope: which command goes out when, how a long list of recipients is
//! split, and how a transaction ends.

use super::doubt::Doubts;
use super::{Outcome, Session, State};
use crate::error::{Code, Error, Phase, Result};
use crate::proto::command::{Command, smtputf8_required};
use crate::proto::dot::DotStuffer;
use crate::proto::envelope::{Envelope, RecipientState};
use crate::proto::ledger::Pending;
use crate::proto::limits::OUTPUT_CHUNK;
use crate::proto::reply::Reply;

/// The command of a transaction that is queued next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Next {
    Reset,
    Mail,
    /// The first recipient that waits, from this one on.
    Rcpt(usize),
    Data,
    #[default]
    Nothing,
}

/// The message under way, or the last one. It may take several transactions.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) envelope: Envelope,
    /// The present command is about this message.
    pub(super) running: bool,
    /// The caller gives the commands one by one.
    pub(super) stepwise: bool,
    /// So far, there is no content.
    pub(super) open: bool,
    /// The content goes on with another call.
    pub(super) keeps_open: bool,
    pub(super) next: Next,
    /// How many recipients of the present transaction were asked for, and accepted.
    asked: u32,
    pub(super) accepted: usize,
    /// One recipient of each domain that was asked for, where their number is limited.
    domains: Vec<usize>,
    /// How many recipients the server takes at a time, as this message has shown.
    rcpt_limit: Option<u32>,
    pub(super) refusal: Option<Box<Error>>,
    pub(super) stuffer: DotStuffer,
    /// The content goes out with BDAT.
    pub(super) chunked: bool,
    /// The next chunk.
    pub(super) chunk: Vec<u8>,
    /// The content is one chunk, of which so many octets are still to come.
    pub(super) left: Option<u64>,
    /// That chunk goes out before the recipients' replies are in.
    pub(super) ahead: bool,
    /// The source has been read before.
    pub(super) rewind: bool,
    pub(super) end_sent: bool,
    /// Where the end is among all octets of the session; 0 if it is not queued.
    pub(super) end_at: u64,
    /// The fate of the present transaction.
    pub(super) outcome: Outcome,
    /// An earlier transaction of this message was accepted.
    pub(super) delivered: bool,
    pub(super) content_octets: u64,
    pub(super) doubts: Option<Box<Doubts>>,
    /// In a batch: what it is handed back with, and the reply to its end.
    pub(super) number: u32,
    pub(super) end_reply: Reply,
    /// Its MAIL went out before the message in front of it was settled.
    pub(super) rode: bool,
}

impl Transaction {
    /// Forgets the message before; the envelope is that of the next one already.
    pub(super) fn prepare(&mut self) {
        self.outcome = Outcome::NotSent;
        self.end_sent = false;
        self.end_at = 0;
        self.delivered = false;
        self.rewind = false;
        self.rcpt_limit = None;
    }

    /// Forgets the transaction before.
    pub(super) fn begin(&mut self, chunked: bool) {
        self.running = true;
        self.forget_answers();
        self.refusal = None;
        self.doubts = None;
        self.content_octets = 0;
        self.end_sent = false;
        self.end_at = 0;
        self.outcome = Outcome::NotSent;
        self.chunked = chunked;
        self.chunk.clear();
        self.left = None;
        self.ahead = false;
        self.stuffer = if chunked { DotStuffer::without_dots() } else { DotStuffer::default() };
    }

    fn forget_answers(&mut self) {
        self.asked = 0;
        self.accepted = 0;
        self.domains.clear();
    }

    /// The fate of the message as a whole.
    pub(super) fn outcome(&self) -> Outcome {
        match self.outcome {
            Outcome::Unknown => Outcome::Unknown,
            _ if self.delivered => Outcome::Accepted,
            outcome => outcome,
        }
    }

    /// The fate of a message of which every recipient was refused.
    pub(super) fn refused_outcome(&self) -> Outcome {
        let temporary = self.envelope.count(RecipientState::RefusedTemporary) > 0;
        if temporary { Outcome::RejectedTemporary } else { Outcome::RejectedPermanent }
    }

    /// Whether a recipient's domain is among those of the transaction, or may be added.
    fn admits_domain(&mut self, index: usize, most: u32) -> bool {
        let domain = self.envelope.domain(index);
        if self.domains.iter().any(|other| self.envelope.domain(*other).eq_ignore_ascii_case(domain)) {
            return true;
        }
        let fits = self.domains.len() < most as usize;
        if fits {
            self.domains.push(index);
        }
        fits
    }
}

impl Session {
    /// Takes the next message over, and finds what can be found wrong with it at once.
    pub(super) fn take_envelope(&mut self, envelope: &mut Envelope) -> Result<()> {
        if matches!(self.state, State::Building | State::Paused) {
            // The message that was begun must not be forgotten.
            return self.expect_ready();
        }
        std::mem::swap(&mut self.mail.envelope, envelope);
        self.mail.prepare();
        self.expect_ready()?;
        self.check_size(&self.mail.envelope)
    }

    /// Finds what can be found wrong with a message before anything is sent.
    pub(super) fn check_envelope(&self, envelope: &Envelope) -> Result<()> {
        self.check_size(envelope)?;
        self.check_recipients(envelope)
    }

    /// The same but for the size, of a message that is complete.
    pub(super) fn check_recipients(&self, envelope: &Envelope) -> Result<()> {
        if envelope.is_empty() {
            return Err(Error::caller(Code::NO_RECIPIENTS, "the list of recipients is empty"));
        }
        self.expect_offered(envelope)
    }

    fn check_size(&self, envelope: &Envelope) -> Result<()> {
        if let (Some(limit @ 1..), Some(size)) = (self.capabilities.size, envelope.size())
            && size > limit
        {
            let what = format!("the message has {size} octets and the server accepts at most {limit}");
            return Err(Error::caller(Code::MESSAGE_TOO_LARGE, what));
        }
        Ok(())
    }

    /// Begins a transaction for the recipients that wait.
    pub(super) fn begin_transaction(&mut self) {
        self.mail.begin(self.capabilities.chunking && self.mail.envelope.prefers_chunks());
        self.mail.rode = false;
        if self.is_used_up() {
            return self.leave();
        }
        self.mail.ahead = self.may_go_ahead();
        self.transactions += 1;
        self.state = State::Envelope;
        self.begin_envelope();
        self.pump();
    }

    /// Begins with MAIL, or RSET before it, for the recipients without an answer.
    pub(super) fn begin_envelope(&mut self) {
        let mail = &mut self.mail;
        mail.next = if self.stale_transaction { Next::Reset } else { Next::Mail };
        mail.forget_answers();
        mail.envelope.unask();
    }

    /// Queues the commands of a transaction as far as the rules allow, and ends
    /// a transaction that came to nothing once all its replies are in.
    #[inline]
    pub(super) fn pump(&mut self) {
        if self.state == State::Envelope {
            self.pump_envelope();
        }
    }

    fn pump_envelope(&mut self) {
        while self.state == State::Envelope && self.out.waiting().len() < OUTPUT_CHUNK / 4 {
            if !self.ledger.is_empty() && !self.capabilities.pipelining {
                return;
            }
            match self.mail.next {
                Next::Reset => {
                    self.mail.next = Next::Mail;
                    self.queue(&Command::Reset, Pending::Reset);
                }
                Next::Mail => self.queue_mail(),
                Next::Rcpt(from) => self.queue_recipients(from),
                // DATA cannot be taken back: it waits until every recipient is in.
                // So does BDAT, which may bring a long message to nobody.
                Next::Data if self.data_waits() && !self.ledger.is_empty() => return,
                Next::Data => {
                    self.mail.next = Next::Nothing;
                    if self.mail.envelope.is_all_or_nothing() && self.mail.accepted < self.mail.envelope.len() {
                        continue;
                    }
                    if self.mail.chunked {
                        let is_hopeful = self.mail.accepted > 0 || (self.mail.ahead && !self.ledger.is_empty());
                        match self.mail.envelope.measure().filter(|_| !self.mail.stepwise) {
                            _ if !is_hopeful || self.mail.refusal.is_some() => {}
                            Some(measure) => self.begin_whole(measure.octets),
                            None => self.state = State::Content,
                        }
                    } else if self.mail.accepted > 0 || !self.ledger.is_empty() {
                        self.queue(&Command::Data, Pending::Data);
                    }
                }
                Next::Nothing if self.ledger.is_empty() => {
                    if !self.repeat_without_doubted() && !self.repeat_in_place() {
                        return self.end_envelope();
                    }
                }
                Next::Nothing => return,
            }
        }
    }

    fn data_waits(&self) -> bool {
        (self.mail.chunked && !self.mail.ahead) || self.mail.envelope.is_all_or_nothing()
    }

    /// Whether the content may go out together with the envelope: a little that can be
    /// given again. With LMTP it has as many replies as recipients were accepted, so
    /// that has to be known.
    fn may_go_ahead(&self) -> bool {
        let mail = &self.mail;
        mail.chunked
            && self.capabilities.pipelining
            && mail.envelope.measure().is_some_and(|measure| measure.octets <= OUTPUT_CHUNK as u64)
            && mail.envelope.is_repeatable()
            && !mail.envelope.is_all_or_nothing()
            && !mail.stepwise
            && !self.config.lmtp
    }

    /// What an envelope needs and the server lacks is an error before anything is sent.
    pub(super) fn expect_offered(&self, envelope: &Envelope) -> Result<()> {
        let offered = &self.capabilities;
        if envelope.address_needs_smtputf8() && !offered.smtputf8 {
            let addresses =
                std::iter::once(envelope.sender()).chain((0..).map_while(|index| envelope.recipient(index)));
            let address = addresses.into_iter().find(|address| !address.is_ascii()).unwrap_or_default();
            return Err(smtputf8_required(address, offered));
        }
        if envelope.needs_smtputf8() && !offered.smtputf8 && !envelope.leaves_out() {
            let what = "the header has characters beyond ASCII, which needs SMTPUTF8 (RFC 6532), and the server does not offer it";
            return Err(Error::caller(Code::SMTPUTF8_REQUIRED, what)
                .with_remedy("Encode the header (RFC 2047), or set SMTP_PROPERTY_LEAVE_OUT to send it as it is."));
        }
        if envelope.wants_notifications() && !offered.dsn && !envelope.leaves_out() {
            return Err(self.unavailable("notifications were asked for", "DSN", "RFC 3461"));
        }
        if envelope.is_binary() && !offered.binary_mime {
            return Err(self.unavailable("the message is binary", "BINARYMIME", "RFC 3030"));
        }
        if envelope.is_binary() && !offered.chunking {
            return Err(self.unavailable("the message is binary", "CHUNKING", "RFC 3030"));
        }
        self.expect_one_transaction_to_do(envelope)?;
        self.expect_demands(envelope)
    }

    /// Where the server has said that it takes so few recipients, or recipients of so
    /// few domains, that there will be further transactions, the message must allow
    /// for that.
    fn expect_one_transaction_to_do(&self, envelope: &Envelope) -> Result<()> {
        let limits = self.capabilities.limits;
        if envelope.is_repeatable() && !envelope.is_all_or_nothing() {
            return Ok(());
        }
        let takes = match (limits.rcpt, limits.rcpt_domain) {
            (Some(most), _) if envelope.len() > most as usize => format!("{most} recipients at a time"),
            (_, Some(most)) if envelope.has_more_domains(most as usize) => {
                format!("recipients of {most} domains at a time")
            }
            _ => return Ok(()),
        };
        let why = if envelope.is_all_or_nothing() {
            format!("so {} cannot be served all or none of them", envelope.len())
        } else {
            format!("and for {} the message must be read more than once", envelope.len())
        };
        let what = format!("the server takes {takes}, {why}");
        Err(Error::caller(Code::TOO_MANY_RECIPIENTS, what))
    }

    pub(super) fn queue_mail(&mut self) {
        self.mail.next = if self.mail.stepwise { Next::Nothing } else { Next::Rcpt(0) };
        let from = self.out.end();
        Command::Mail(&self.mail.envelope, &self.capabilities).write_to(self.out.buffer());
        self.trace.command(self.out.since(from), None);
        self.ledger.enter(Pending::Mail, self.out.queued());
    }

    /// The first recipient, from one on, that waits and that the server's limits
    /// allow in this transaction.
    fn choose_recipient(&mut self, from: usize) -> Option<usize> {
        let limits = self.capabilities.limits;
        let most = self.mail.rcpt_limit.into_iter().chain(limits.rcpt).min();
        if most.is_some_and(|most| self.mail.asked >= most) {
            return None;
        }
        (from..self.mail.envelope.len()).find(|index| {
            self.mail.envelope.is_waiting(*index)
                && limits.rcpt_domain.is_none_or(|most| self.mail.admits_domain(*index, most))
        })
    }

    /// Queues as many recipients as may go out now.
    fn queue_recipients(&mut self, from: usize) {
        let limits = self.capabilities.limits;
        let is_limited = limits.rcpt.is_some() || limits.rcpt_domain.is_some() || self.mail.rcpt_limit.is_some();
        let has_parameters = self.capabilities.dsn && self.mail.envelope.wants_notifications();
        if self.capabilities.pipelining && !is_limited && !has_parameters && !self.trace.wants_records() {
            return self.queue_plain_recipients(from);
        }
        let mut next = from;
        while let Some(index) = self.choose_recipient(next) {
            self.queue_rcpt(index);
            next = index + 1;
            if !self.capabilities.pipelining || self.out.waiting().len() >= OUTPUT_CHUNK / 4 {
                self.mail.next = Next::Rcpt(next);
                return;
            }
        }
        self.mail.next = Next::Data;
    }

    /// The same where there is nothing to ask about each, for long lists.
    fn queue_plain_recipients(&mut self, from: usize) {
        let queued = self.out.queued();
        let enough = OUTPUT_CHUNK / 4 - self.out.waiting().len();
        let (out, ledger) = (self.out.buffer(), &mut self.ledger);
        let (next, asked) = self.mail.envelope.ask_all(from, enough, out, |index, octets| {
            ledger.enter(Pending::Rcpt(index), queued + octets as u64);
        });
        self.mail.asked += asked;
        self.mail.next = if next < self.mail.envelope.len() { Next::Rcpt(next) } else { Next::Data };
    }

    pub(super) fn queue_rcpt(&mut self, index: usize) {
        let from = self.out.end();
        Command::Rcpt(&self.mail.envelope, index, &self.capabilities).write_to(self.out.buffer());
        self.mail.envelope.ask(index);
        self.mail.asked += 1;
        if self.trace.wants_records() {
            self.trace.command(self.out.since(from), None);
        }
        self.ledger.enter(Pending::Rcpt(u32::try_from(index).unwrap_or(u32::MAX)), self.out.queued());
    }

    /// Whether the reply to RCPT says that there were too many, and the recipient
    /// can wait for another transaction (RFC 5321 section 4.5.3.1.10). The codes alone
    /// are also those of a full mailbox.
    pub(super) fn is_one_too_many(&self) -> bool {
        let reply = self.parser.reply();
        if !matches!(reply.code(), 452 | 552) || self.mail.accepted == 0 || self.mail.stepwise {
            return false;
        }
        let says_so = match reply.enhanced() {
            Some((_, subject, detail)) => (subject, detail) == (5, 3),
            None => reply.to_record().text.to_ascii_lowercase().contains("too many recipients"),
        };
        says_so && !self.mail.envelope.is_all_or_nothing() && self.mail.envelope.is_repeatable()
    }

    /// Has a recipient wait for another transaction.
    pub(super) fn defer_recipient(&mut self, index: usize) {
        self.mail.envelope.defer(index, self.parser.reply());
        let accepted = u32::try_from(self.mail.accepted).unwrap_or(u32::MAX);
        self.mail.rcpt_limit.get_or_insert(accepted);
    }

    /// The transaction was accepted: on to the recipients that still wait.
    pub(super) fn end_accepted(&mut self) {
        self.mail.outcome = Outcome::Accepted;
        self.mail.delivered = true;
        self.mail.envelope.settle_all(Outcome::Accepted, None);
        if self.mail.stepwise || self.mail.envelope.waiting() == 0 {
            return self.succeed(State::Ready);
        }
        self.mail.rewind = true;
        self.begin_transaction();
    }

    /// All replies are in, and no content follows.
    fn end_envelope(&mut self) {
        if self.mail.stepwise && self.mail.open {
            let result = self.mail.refusal.take().map_or(Ok(()), Err);
            return self.conclude(result, State::Building);
        }
        let error = match self.mail.refusal.take() {
            Some(error) => error,
            None if self.mail.envelope.waiting() > 0 && !self.mail.envelope.is_all_or_nothing() => {
                return self.begin_transaction();
            }
            None if self.mail.delivered => return self.succeed(State::Ready),
            None => self.recipients_refused(),
        };
        self.mail.envelope.settle_all(Outcome::NotSent, None);
        self.conclude(Err(error), State::Ready);
    }

    /// The error when all recipients, or one too many, were refused.
    pub(super) fn recipients_refused(&mut self) -> Box<Error> {
        let envelope = &self.mail.envelope;
        self.mail.outcome = self.mail.refused_outcome();
        let index = (0..envelope.len()).find(|index| envelope.refusal(*index).is_some()).unwrap_or_default();
        let first = envelope.recipient(index).unwrap_or_default();
        let refused = envelope.len() - self.mail.accepted;
        let (code, what) = match envelope.len() {
            1 => (Code::RECIPIENTS_REJECTED, format!("the server refused the recipient <{first}>")),
            count if refused == count => (
                Code::RECIPIENTS_REJECTED,
                format!("the server refused all {count} recipients, the first being <{first}>"),
            ),
            count => {
                let what = format!(
                    "the server refused {refused} of {count} recipients, the first being <{first}>, so nothing was sent"
                );
                (Code::RECIPIENT_REJECTED, what)
            }
        };
        let error = Error::new(code, Phase::Rcpt, what).with_address(first);
        match envelope.refusal(index) {
            Some(reply) => error.with_reply(reply.clone()),
            None => error,
        }
    }
}
