//! Whom a message is from and for, and what the server said of each recipient.

mod facts;

use super::address::{Mailbox, ReversePath};
use super::delivery::Delivery;
use super::demands::Demands;
use super::dot::Measure;
use super::limits::{MAX_REFUSAL_TEXT, MAX_REFUSAL_TEXTS};
use super::original_recipient::{OriginalRecipient, RecipientDelivery};
use super::outcome::Outcome;
use super::reply::Reply;
use crate::error::ServerReply;
use memchr::memchr_iter;

/// What became of the message for one recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecipientState {
    /// The server was not asked, or nothing was completed for it.
    #[default]
    NotTried = 0,
    /// The server accepted it.
    Accepted = 1,
    /// The server refused it, or the message, with a 4xx reply.
    RefusedTemporary = 2,
    /// The server refused it, or the message, with a 5xx reply.
    RefusedPermanent = 3,
    /// The end of the message was sent and no answer came.
    Unknown = 4,
}

impl RecipientState {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 5] =
        [Self::NotTried, Self::Accepted, Self::RefusedTemporary, Self::RefusedPermanent, Self::Unknown];

    /// The constant's name behind `SMTP_RECIPIENT_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTried => "NOT_TRIED",
            Self::Accepted => "ACCEPTED",
            Self::RefusedTemporary => "REFUSED_TEMPORARY",
            Self::RefusedPermanent => "REFUSED_PERMANENT",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The sender and the recipients of one message.
///
/// The sender and the recipients lie one behind the other in one text, so that an
/// envelope that is cleared and filled again allocates nothing; each recipient as
/// the command that it will be, so that a long list is copied and not composed.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    text: String,
    sender_end: usize,
    recipients: Vec<Recipient>,
    /// How many octets of replies are kept.
    refusal_octets: usize,
    /// How many recipients are [`Course::Waiting`].
    waiting: usize,
    size: Option<u64>,
    all_or_nothing: bool,
    eight_bit: bool,
    binary: bool,
    chunks: bool,
    measure: Option<Measure>,
    /// The content can be had more than once.
    repeatable: bool,
    /// Some mailbox has characters beyond ASCII.
    smtputf8: bool,
    /// The header has, or the caller says so.
    header_utf8: bool,
    delivery: Delivery,
    envelope_id: String,
    extra_parameters: String,
    leaves_out: bool,
    /// Apart, since few messages have any and envelopes are moved about.
    special: Option<Box<Special>>,
}

/// What is seldom asked for.
#[derive(Clone, Debug, Default)]
struct Special {
    demands: Demands,
    /// What is wished for single recipients, by their number, which rises.
    own_deliveries: Vec<(usize, RecipientDelivery)>,
}

/// What stands around a recipient in its command.
const BEFORE: &str = "RCPT TO:<";
const BEHIND: &str = ">\r\n";

#[derive(Clone, Debug)]
struct Recipient {
    end: usize,
    course: Course,
    state: RecipientState,
    refusal: Option<Box<ServerReply>>,
}

/// How far a recipient is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// For a transaction to come.
    Waiting,
    /// In the present transaction.
    Asked,
    /// Nothing more will be done about it.
    Settled,
}

impl Envelope {
    /// Empties the envelope and sets the sender.
    pub fn begin(&mut self, sender: ReversePath<'_>) {
        let needs_smtputf8 = matches!(sender, ReversePath::Mailbox(mailbox) if mailbox.needs_smtputf8());
        self.begin_with(sender.as_str(), needs_smtputf8);
    }

    fn begin_with(&mut self, sender: &str, needs_smtputf8: bool) {
        self.text.clear();
        self.text.push_str(sender);
        self.sender_end = self.text.len();
        self.recipients.clear();
        self.waiting = 0;
        self.refusal_octets = 0;
        self.size = None;
        self.all_or_nothing = false;
        self.eight_bit = false;
        self.binary = false;
        self.chunks = false;
        self.measure = None;
        self.repeatable = false;
        self.header_utf8 = false;
        self.smtputf8 = needs_smtputf8;
        self.delivery = Delivery::default();
        self.envelope_id.clear();
        self.extra_parameters.clear();
        self.leaves_out = false;
        if let Some(special) = &mut self.special {
            special.demands.clear();
            special.own_deliveries.clear();
        }
    }

    /// Adds a recipient.
    pub fn push(&mut self, recipient: Mailbox<'_>) {
        self.push_command(recipient.as_str());
        self.smtputf8 |= recipient.needs_smtputf8();
        self.waiting += 1;
        self.recipients.push(Recipient {
            end: self.text.len(),
            course: Course::Waiting,
            state: RecipientState::NotTried,
            refusal: None,
        });
    }

    /// Empties the envelope and puts the sender and the recipients of another into it,
    /// of which they are known by [`Self::sender`], [`Self::commands`] and
    /// [`Self::address_needs_smtputf8`].
    pub fn refill(&mut self, sender: &str, commands: &str, needs_smtputf8: bool) {
        self.begin_with(sender, needs_smtputf8);
        self.text.push_str(commands);
        // No mailbox has a line feed.
        self.recipients.extend(memchr_iter(b'\n', commands.as_bytes()).map(|end| Recipient {
            end: self.sender_end + end + 1,
            course: Course::Waiting,
            state: RecipientState::NotTried,
            refusal: None,
        }));
        self.waiting = self.recipients.len();
    }

    /// The RCPT commands of all recipients, without parameters.
    #[must_use]
    pub fn commands(&self) -> &str {
        &self.text[self.sender_end..]
    }

    fn push_command(&mut self, recipient: &str) {
        self.text.push_str(BEFORE);
        self.text.push_str(recipient);
        self.text.push_str(BEHIND);
    }

    /// Makes room for so many recipients of so many octets together.
    pub fn reserve(&mut self, recipients: usize, octets: usize) {
        self.recipients.reserve(recipients);
        self.text.reserve(octets + recipients * (BEFORE.len() + BEHIND.len()));
    }

    /// Adds the last recipient of another envelope, with what became of it.
    pub fn push_last_of(&mut self, other: &Self) {
        let (Some(index), Some(recipient)) = (other.len().checked_sub(1), other.recipients.last()) else { return };
        self.push_command(other.recipient(index).unwrap_or_default());
        self.recipients.push(Recipient { end: self.text.len(), ..recipient.clone() });
    }

    /// Tells the length of the message in octets, for SIZE (RFC 1870).
    pub fn set_size(&mut self, size: Option<u64>) {
        self.size = size;
    }

    /// Tells that the message has, or may have, octets beyond ASCII (RFC 6152).
    pub fn set_eight_bit(&mut self, eight_bit: bool) {
        self.eight_bit = eight_bit;
    }

    /// Tells that the message is not made of lines, and goes out as it is (RFC 3030).
    pub fn set_binary(&mut self, binary: bool) {
        self.binary = binary;
    }

    /// See [`Self::set_binary`].
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// Has the message sent with BDAT where the server knows it (RFC 3030).
    pub fn set_chunks(&mut self, wanted: bool) {
        self.chunks = wanted;
    }

    /// Whether BDAT is wanted or needed.
    #[must_use]
    pub fn prefers_chunks(&self) -> bool {
        self.chunks || self.binary
    }

    /// Tells what the message will be on the wire with BDAT, so that it can go as one chunk.
    pub fn set_measure(&mut self, measure: Measure) {
        self.measure = Some(measure);
    }

    /// See [`Self::set_measure`].
    #[must_use]
    pub fn measure(&self) -> Option<Measure> {
        self.measure
    }

    /// Tells that the content can be had more than once, for further transactions.
    pub fn set_repeatable(&mut self, repeatable: bool) {
        self.repeatable = repeatable;
    }

    /// See [`Self::set_repeatable`].
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Has the message sent with SMTPUTF8 (RFC 6531) for the sake of its header.
    pub fn set_header_utf8(&mut self, needed: bool) {
        self.header_utf8 = needed;
    }

    /// Asks for notifications, with an identifier that was checked before.
    pub fn set_delivery(&mut self, delivery: Delivery, envelope_id: &str) {
        self.delivery = delivery;
        self.envelope_id.clear();
        self.envelope_id.push_str(envelope_id);
    }

    /// Asks for notifications of one recipient in the place of those of all.
    pub fn set_recipient_delivery(&mut self, index: usize, delivery: RecipientDelivery) {
        let own = &mut self.special.get_or_insert_default().own_deliveries;
        match own.binary_search_by_key(&index, |(of, _)| *of) {
            Ok(at) => own[at].1 = delivery,
            Err(at) => own.insert(at, (index, delivery)),
        }
    }

    /// What to say of a recipient with RCPT, if anything.
    #[must_use]
    pub fn recipient_delivery(&self, index: usize) -> Option<(Delivery, Option<&OriginalRecipient>)> {
        let everybodys = (!self.delivery.is_empty()).then_some((self.delivery, None));
        let Some(special) = &self.special else { return everybodys };
        let Ok(at) = special.own_deliveries.binary_search_by_key(&index, |(of, _)| *of) else { return everybodys };
        let own = &special.own_deliveries[at].1;
        let notify = if own.notify.is_empty() { self.delivery } else { own.notify };
        Some((notify, own.original.as_ref()))
    }

    /// Whether anything of DSN (RFC 3461) is asked for.
    #[must_use]
    pub fn wants_notifications(&self) -> bool {
        let of_one = self.special.as_ref().is_some_and(|special| !special.own_deliveries.is_empty());
        !self.delivery.is_empty() || !self.envelope_id.is_empty() || of_one
    }

    /// Asks for what was checked before, in an envelope that asks for nothing yet.
    pub fn set_demands(&mut self, demands: &Demands) {
        // The envelope was cleared before.
        if !demands.is_empty() {
            self.special.get_or_insert_default().demands.copy_from(demands);
        }
    }

    /// See [`Self::set_demands`]; `None` if there are none.
    #[must_use]
    pub fn demands(&self) -> Option<&Demands> {
        self.special.as_ref().map(|special| &special.demands).filter(|demands| !demands.is_empty())
    }

    /// Adds parameters to MAIL, which were checked before.
    pub fn set_extra_parameters(&mut self, parameters: &str) {
        self.extra_parameters.clear();
        self.extra_parameters.push_str(parameters);
    }

    /// Leaves wishes out that the server cannot meet, instead of failing.
    pub fn set_leaves_out(&mut self, leaves_out: bool) {
        self.leaves_out = leaves_out;
    }

    /// See [`Self::set_leaves_out`].
    #[must_use]
    pub fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    /// See [`Self::set_eight_bit`].
    #[must_use]
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether some mailbox needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn address_needs_smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// Whether a mailbox or the header needs SMTPUTF8.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.smtputf8 || self.header_utf8
    }

    /// See [`Self::set_delivery`].
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// See [`Self::set_delivery`].
    #[must_use]
    pub fn envelope_id(&self) -> &str {
        &self.envelope_id
    }

    /// See [`Self::set_extra_parameters`].
    #[must_use]
    pub fn extra_parameters(&self) -> &str {
        &self.extra_parameters
    }

    /// Asks for the message to be delivered to all recipients or to none.
    pub fn set_all_or_nothing(&mut self, wanted: bool) {
        self.all_or_nothing = wanted;
    }

    /// Whether one refused recipient is to stop the message.
    #[must_use]
    pub fn is_all_or_nothing(&self) -> bool {
        self.all_or_nothing
    }

    /// The length of the message, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The number of recipients.
    #[must_use]
    pub fn len(&self) -> usize {
        self.recipients.len()
    }

    /// Whether there is no recipient.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recipients.is_empty()
    }

    /// The sender's mailbox without brackets, empty for `<>`.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.text[..self.sender_end]
    }

    /// The mailbox of a recipient, without brackets.
    #[must_use]
    pub fn recipient(&self, index: usize) -> Option<&str> {
        let command = self.command(index)?;
        Some(&command[BEFORE.len()..command.len() - BEHIND.len()])
    }

    /// The RCPT command of a recipient, without parameters.
    pub(super) fn command(&self, index: usize) -> Option<&str> {
        let end = self.recipients.get(index)?.end;
        Some(&self.text[self.start(index)..end])
    }

    /// Where the command of a recipient begins.
    fn start(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            Some(before) => self.recipients[before].end,
            None => self.sender_end,
        }
    }

    /// Takes a recipient into the present transaction.
    pub(super) fn ask(&mut self, index: usize) {
        let Some(recipient) = self.recipients.get_mut(index) else { return };
        if recipient.course == Course::Waiting {
            recipient.course = Course::Asked;
            self.waiting -= 1;
        }
    }

    /// Takes the recipients that wait, from one on, into the present transaction,
    /// until there are enough octets. Appends their commands, and tells of each and
    /// of how many octets there are up to it. Gives where it stopped, and how many.
    pub(super) fn ask_all(
        &mut self,
        from: usize,
        enough: usize,
        out: &mut Vec<u8>,
        mut tell: impl FnMut(u32, usize),
    ) -> (usize, u32) {
        let start = self.start(from);
        // Commands that lie one behind the other are copied together.
        let mut run = start..start;
        let (mut octets, mut asked, mut next) = (0, 0, from);
        for recipient in &mut self.recipients[from..] {
            if recipient.course == Course::Waiting {
                octets += recipient.end - run.end;
                run.end = recipient.end;
                recipient.course = Course::Asked;
                asked += 1;
                tell(u32::try_from(next).unwrap_or(u32::MAX), octets);
            } else {
                out.extend_from_slice(&self.text.as_bytes()[run]);
                run = recipient.end..recipient.end;
            }
            next += 1;
            if octets >= enough {
                break;
            }
        }
        out.extend_from_slice(&self.text.as_bytes()[run]);
        self.waiting -= asked;
        (next, u32::try_from(asked).unwrap_or(u32::MAX))
    }

    /// Has the recipients wait again that were asked for in vain, as MAIL was refused.
    pub(super) fn unask(&mut self) {
        for recipient in &mut self.recipients {
            if recipient.course == Course::Asked && recipient.state == RecipientState::NotTried {
                recipient.course = Course::Waiting;
                self.waiting += 1;
            }
        }
    }

    /// Writes down that a recipient was accepted.
    pub(super) fn accept(&mut self, index: usize) {
        let Some(recipient) = self.recipients.get_mut(index) else { return };
        recipient.state = RecipientState::Accepted;
        if recipient.refusal.is_some() {
            recipient.refusal = None;
        }
    }

    /// Writes down the reply to a recipient's RCPT command, or for LMTP to the end
    /// of the message.
    pub(super) fn answer(&mut self, index: usize, reply: &Reply) {
        let Some(recipient) = self.recipients.get_mut(index) else { return };
        recipient.state = match reply.code() {
            200..=299 => RecipientState::Accepted,
            400..=499 => RecipientState::RefusedTemporary,
            _ => RecipientState::RefusedPermanent,
        };
        recipient.refusal = None;
        if recipient.state != RecipientState::Accepted {
            recipient.refusal = Some(kept(reply.to_record(), &mut self.refusal_octets));
        }
    }

    /// Writes down that a recipient was one too many, and has it wait.
    pub(super) fn defer(&mut self, index: usize, reply: &Reply) {
        let Some(recipient) = self.recipients.get_mut(index) else { return };
        recipient.state = RecipientState::RefusedTemporary;
        recipient.refusal = Some(kept(reply.to_record(), &mut self.refusal_octets));
        if recipient.course == Course::Asked {
            recipient.course = Course::Waiting;
            self.waiting += 1;
        }
    }

    /// Nothing more will change for a recipient.
    pub(super) fn settle(&mut self, index: usize) {
        if let Some(recipient) = self.recipients.get_mut(index) {
            recipient.course = Course::Settled;
        }
    }

    /// Writes down what became of the message for all recipients that were accepted
    /// in the present transaction, with the reply if one decided it.
    pub fn settle_all(&mut self, outcome: Outcome, reply: Option<&ServerReply>) {
        for recipient in self.recipients.iter_mut().filter(|recipient| recipient.is_hopeful()) {
            recipient.course = Course::Settled;
            recipient.state = match outcome {
                Outcome::Accepted => RecipientState::Accepted,
                Outcome::NotSent => RecipientState::NotTried,
                Outcome::RejectedTemporary => RecipientState::RefusedTemporary,
                Outcome::RejectedPermanent => RecipientState::RefusedPermanent,
                Outcome::Unknown => RecipientState::Unknown,
            };
            recipient.refusal = reply.map(|reply| kept(reply.clone(), &mut self.refusal_octets));
        }
    }
}

/// A reply as it is kept for a recipient: the whole of it, unless there are so many
/// long ones that they would add up.
fn kept(mut reply: ServerReply, octets: &mut usize) -> Box<ServerReply> {
    if *octets + reply.text.len() > MAX_REFUSAL_TEXTS {
        reply.text.truncate(reply.text.floor_char_boundary(MAX_REFUSAL_TEXT));
    }
    reply.text.shrink_to_fit();
    *octets += reply.text.len();
    Box::new(reply)
}

impl Recipient {
    fn is_hopeful(&self) -> bool {
        self.course == Course::Asked && self.state == RecipientState::Accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_in_order_and_reuse_keeps_no_trace() {
        let mut envelope = Envelope::default();
        for _ in 0..2 {
            envelope.begin(ReversePath::parse("s@a").expect("good"));
            envelope.push(Mailbox::parse("r1@b").expect("good"));
            envelope.push(Mailbox::parse("r2@c").expect("good"));
            assert_eq!(envelope.sender(), "s@a");
            assert_eq!(envelope.recipient(0), Some("r1@b"));
            assert_eq!(envelope.recipient(1), Some("r2@c"));
            assert_eq!(envelope.recipient(2), None);
            assert_eq!(envelope.count(RecipientState::NotTried), 2);
        }
        envelope.begin(ReversePath::Null);
        assert!(envelope.is_empty() && envelope.sender().is_empty());
    }
}
