//! What is known of the client's connection, its last message and its last
//! failure: the properties that can only be read.

use super::extended::extended_options;
use super::property::Property;
use crate::drive::{Connection, Spent};
use crate::error::{Error, Phase, ServerReply};
use crate::net::certificate::{Certificate, end_point, fingerprint, hexadecimal};
use crate::net::clock::Clock;
use crate::net::pins::pin_of;
use crate::net::tls::TlsInfo;
use crate::proto::{BatchMode, Capabilities, Envelope, Outcome, RecipientState, Reply, ReversePath, Session, queue_id};
use std::sync::Arc;

/// A copy of the facts, readable while a call runs.
#[derive(Debug, Default)]
pub(super) struct Status {
    connected: bool,
    extended: bool,
    reply: Reply,
    extensions: String,
    pub(super) capabilities: Capabilities,
    mechanisms: String,
    mechanism: &'static str,
    size_limit: u64,
    peer: String,
    local: String,
    tls: TlsInfo,
    outcome: Outcome,
    /// The last message's, with what became of each recipient.
    pub(super) envelope: Envelope,
    /// The reply to the end of the last message, if there was one.
    final_reply: Reply,
    pub(super) error: Option<Arc<Error>>,
    /// The clock of the last connection.
    pub(super) clock: Option<Clock>,
    /// What time was spent on: in making the last connection, in the last login,
    /// on the last message.
    spent: Spent,
    /// The time of the last call, in milliseconds.
    last_call: u64,
    /// The octets sent and received over the last connection.
    octets: (u64, u64),
    batch_mode: BatchMode,
}

/// The phases of a message.
const MESSAGE: [Phase; 5] = [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Content, Phase::End];

impl Status {
    /// Takes over what a connection has learnt; without one, nothing is left but
    /// the fate of the last message.
    pub(super) fn take_connection(&mut self, connection: Option<&Connection>) {
        let session = connection.and_then(Connection::session);
        self.connected = session.is_some_and(Session::is_open);
        self.extended = session.is_some_and(Session::is_extended);
        self.mechanism = session.and_then(Session::authenticated).map_or("", |mechanism| mechanism.name());
        self.extensions.clear();
        self.capabilities = Capabilities::default();
        self.mechanisms.clear();
        self.size_limit = 0;
        self.peer.clear();
        self.local.clear();
        self.tls = TlsInfo::default();
        if let Some(connection) = connection {
            self.clock = Some(connection.clock());
            self.spent.clear();
            // What an earlier session's server said is not about this one.
            self.reply.clear();
        }
        let (Some(connection), Some(session)) = (connection, session) else { return };
        self.reply.copy_from(session.last_reply());
        let capabilities = session.capabilities();
        self.extensions = capabilities.lines.join("\n");
        self.mechanisms = capabilities.mechanisms.join(" ");
        self.size_limit = capabilities.size.unwrap_or(0);
        self.capabilities.clone_from(capabilities);
        if let Some((peer, local)) = connection.addresses() {
            self.peer = peer.to_string();
            self.local = local.map(|local| local.to_string()).unwrap_or_default();
        }
        self.tls = connection.tls_info().cloned().unwrap_or_default();
    }

    /// Takes over what the last call has cost. What a call did not do keeps what
    /// it cost when it was done last.
    pub(super) fn take_costs(&mut self, connection: &Connection) {
        let spent = connection.spent();
        self.spent.add_all(spent);
        self.last_call = spent.total();
        self.octets = connection.octets();
    }

    /// What became of the last message.
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The reply to the end of the last message, if there was one.
    pub(super) fn final_reply(&self) -> Option<ServerReply> {
        (self.final_reply.code() != 0).then(|| self.final_reply.to_record())
    }

    /// The octets sent and received over the last connection.
    pub(super) fn octets(&self) -> (u64, u64) {
        self.octets
    }

    /// The milliseconds that the content of the last message took.
    pub(super) fn content_time(&self) -> u64 {
        self.spent.on(&[Phase::Content])
    }

    /// What was agreed with TLS.
    pub(super) fn tls(&self) -> &TlsInfo {
        &self.tls
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Takes over what the last command has changed; allocates nothing in the long run.
    pub(super) fn take_session(&mut self, session: &mut Session) {
        self.connected = session.is_open();
        self.mechanism = session.authenticated().map_or("", |mechanism| mechanism.name());
        self.reply.copy_from(session.last_reply());
    }

    /// Takes note that the connection is gone; what was learnt of it stays readable.
    pub(super) fn take_disconnect(&mut self) {
        self.connected = false;
        self.drop_message();
    }

    /// Takes note that a message that was begun will not be completed: nobody gets it,
    /// whoever was accepted for it. What is completed stays as it is.
    pub(super) fn drop_message(&mut self) {
        self.envelope.settle_all(Outcome::NotSent, None);
    }

    /// Takes over what RSET has changed.
    pub(super) fn take_reset(&mut self, session: &mut Session) {
        self.take_session(session);
        self.drop_message();
    }

    /// Forgets what the last login has cost: a new one is begun.
    pub(super) fn begin_login(&mut self) {
        self.spent.forget(&[Phase::Auth]);
    }

    /// Forgets the last message: a new one is begun.
    pub(super) fn begin_message(&mut self) {
        self.outcome = Outcome::NotSent;
        self.envelope.begin(ReversePath::Null);
        self.final_reply.clear();
        self.spent.forget(&MESSAGE);
    }

    /// Takes over what the sending of a message has changed.
    pub(super) fn take_message(&mut self, session: &mut Session) {
        self.take_session(session);
        self.outcome = session.outcome();
        session.swap_envelope(&mut self.envelope);
        if session.has_final_reply() {
            self.final_reply.copy_from(session.last_reply());
        }
    }

    /// Takes over what the sending of a batch has changed, its messages apart.
    pub(super) fn take_batch(&mut self, session: &mut Session) {
        self.take_session(session);
        self.batch_mode = session.batch_mode();
    }

    /// Takes over what a step of a message has changed, its recipients apart.
    pub(super) fn take_outcome(&mut self, session: &mut Session) {
        self.take_session(session);
        self.outcome = session.outcome();
    }

    /// Takes over the recipient that was just added to a message.
    pub(super) fn take_recipient(&mut self, session: &mut Session) {
        self.take_outcome(session);
        if session.is_open() {
            self.envelope.push_last_of(session.envelope());
        } else {
            self.envelope.clone_from(session.envelope());
        }
    }

    /// Takes over what content, or its end, has changed.
    pub(super) fn take_content(&mut self, session: &mut Session) {
        self.take_outcome(session);
        if session.has_final_reply() {
            self.final_reply.copy_from(session.last_reply());
        }
        if !session.is_message_open() && !session.envelope().is_empty() {
            self.envelope.clone_from(session.envelope());
        }
    }

    pub(super) fn text(&self, property: Property) -> Option<String> {
        let error = self.error.as_deref();
        let reply = error.and_then(|error| error.reply.as_ref());
        Some(match property {
            Property::ResultString => self.reply_text(),
            Property::EnhancedCode => enhanced_text(self.reply.enhanced()),
            Property::Extensions => self.extensions.clone(),
            Property::LeftOutExtensions => lines(&self.capabilities.skipped()),
            Property::ErrorOffered => error.map(|error| error.offered.join("\n")).unwrap_or_default(),
            Property::ErrorSkipped => error.map(|error| lines(&error.skipped)).unwrap_or_default(),
            Property::AuthMechanisms => self.mechanisms.clone(),
            Property::AuthMechanism => self.mechanism.to_owned(),
            Property::PeerAddress => self.peer.clone(),
            Property::LocalAddress => self.local.clone(),
            Property::TlsProtocol => self.tls.protocol.to_owned(),
            Property::TlsCipher => self.tls.cipher.clone(),
            Property::TlsObjection => self.tls.objection.clone().unwrap_or_default(),
            Property::KeyExchange => self.tls.key_exchange.to_owned(),
            Property::ChannelBindingExporter => {
                self.tls.exporter.map(|octets| hexadecimal(&octets)).unwrap_or_default()
            }
            Property::ChannelBindingEndPoint => {
                end_point(&self.tls.certificate).map(|octets| hexadecimal(&octets)).unwrap_or_default()
            }
            Property::RefusedRecipients => self.refused_recipients(),
            Property::FinalReply if self.final_reply.code() == 0 => String::new(),
            Property::FinalReply => format!("{} {}", self.final_reply.code(), self.final_reply.to_record().text),
            Property::QueueId => self.queue_id(),
            Property::ErrorEnhancedCode => enhanced_text(reply.and_then(|reply| reply.enhanced)),
            Property::ErrorReply => reply.map(|reply| reply.text.clone()).unwrap_or_default(),
            Property::ErrorTlsReason => error.and_then(|error| error.tls_reason.clone()).unwrap_or_default(),
            Property::ErrorAddress => error.and_then(|error| error.address.clone()).unwrap_or_default(),
            Property::ErrorAttempts => error.map(|error| lines(&error.attempts)).unwrap_or_default(),
            Property::ErrorCommand => error.map(|error| error.command().to_owned()).unwrap_or_default(),
            Property::Version => env!("CARGO_PKG_VERSION").to_owned(),
            Property::ErrorJson => error.map(Error::to_json).unwrap_or_default(),
            Property::ErrorRemedy => error.map(|error| error.remedy().to_owned()).unwrap_or_default(),
            _ => return certificate_text(&self.tls.certificate, property),
        })
    }

    pub(super) fn integer(&self, property: Property) -> Option<i64> {
        let error = self.error.as_deref();
        Some(match property {
            Property::IsConnected => i64::from(self.connected),
            Property::IsExtended => i64::from(self.extended),
            Property::ResultCode => i64::from(self.reply.code()),
            Property::ExtendedOptions => i64::from(extended_options(&self.capabilities)),
            Property::SizeLimit => i64::try_from(self.size_limit).unwrap_or(i64::MAX),
            Property::TlsVerified => i64::from(self.tls.verified),
            Property::CertificateStatus => self.tls.status as i64,
            Property::CipherStrength => i64::try_from(self.tls.cipher_bits).unwrap_or(i64::MAX),
            Property::HashStrength => i64::try_from(self.tls.hash_bits).unwrap_or(i64::MAX),
            Property::TlsResumed => i64::from(self.tls.resumed),
            Property::CertificateCount => i64::try_from(self.chain().count()).unwrap_or(i64::MAX),
            Property::Secure => i64::from(self.connected && !self.tls.protocol.is_empty()),
            Property::Outcome => self.outcome as i64,
            Property::BatchMode => self.batch_mode as i64,
            Property::SafeToRetry => i64::from(self.outcome.safe_to_retry()),
            Property::RecipientsAccepted => self.count(&[RecipientState::Accepted]),
            Property::RecipientsRefused => {
                self.count(&[RecipientState::RefusedTemporary, RecipientState::RefusedPermanent])
            }
            Property::LastError => error.map_or(0, |error| i64::from(error.code.0)),
            Property::ErrorClass => error.map_or(0, |error| error.class() as i64),
            Property::ErrorPhase => error.map_or(0, |error| error.phase as i64),
            Property::ErrorResultCode => {
                error.and_then(|error| error.reply.as_ref()).map_or(0, |reply| i64::from(reply.code))
            }
            Property::ErrorOs => error.map_or(0, |error| i64::from(error.os_error)),
            Property::ErrorOutcome => error.and_then(|error| error.outcome).map_or(-1, |outcome| outcome as i64),
            Property::ErrorSafeToRetry => {
                i64::from(error.and_then(|error| error.outcome).is_none_or(Outcome::safe_to_retry))
            }
            _ => return self.cost(property),
        })
    }

    /// The certificates that the server sent, its own first.
    pub(super) fn chain(&self) -> impl Iterator<Item = &[u8]> {
        let own = Some(self.tls.certificate.as_slice()).filter(|der| !der.is_empty());
        own.into_iter().chain(self.tls.issuers.iter().map(Vec::as_slice))
    }

    fn cost(&self, property: Property) -> Option<i64> {
        let count = match property {
            Property::TimeResolve => self.spent.on(&[Phase::Resolve]),
            Property::TimeConnect => self.spent.on(&[Phase::Connect]),
            Property::TimeProxy => self.spent.on(&[Phase::Proxy]),
            Property::TimeTls => self.spent.on(&[Phase::Tls]),
            Property::TimeGreeting => self.spent.on(&[Phase::Greeting, Phase::Ehlo, Phase::StartTls]),
            Property::TimeAuth => self.spent.on(&[Phase::Auth]),
            Property::TimeEnvelope => self.spent.on(&[Phase::Mail, Phase::Rcpt, Phase::Data]),
            Property::TimeContent | Property::TransferTime => self.content_time(),
            Property::TimeEnd => self.spent.on(&[Phase::End]),
            Property::TimeTotal => self.last_call,
            Property::BytesSent => self.octets.0,
            Property::BytesReceived => self.octets.1,
            _ => return None,
        };
        Some(i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn count(&self, states: &[RecipientState]) -> i64 {
        i64::try_from(self.envelope.count_any(states)).unwrap_or(i64::MAX)
    }

    fn refused_recipients(&self) -> String {
        let refused = (0..self.envelope.len()).filter_map(|index| {
            let (mailbox, reply) = (self.envelope.recipient(index)?, self.envelope.refusal(index)?);
            Some(format!("{mailbox}: {} {}", reply.code, reply.text.replace('\n', " / ")))
        });
        refused.collect::<Vec<_>>().join("\n")
    }

    /// The text of the server's last reply, made printable.
    pub(super) fn reply_text(&self) -> String {
        self.reply.to_record().text
    }

    fn queue_id(&self) -> String {
        if self.outcome != Outcome::Accepted {
            return String::new();
        }
        queue_id(&self.final_reply.to_record().text).unwrap_or_default().to_owned()
    }
}

/// What a certificate in DER form says of itself, nothing if there is none; `None` if
/// the property is not about that.
pub(super) fn certificate_text(der: &[u8], property: Property) -> Option<String> {
    let read = || Certificate::read(der);
    Some(match property {
        Property::CertificateSubject => read().subject,
        Property::CertificateIssuer => read().issuer,
        Property::CertificateIssued => read().issued,
        Property::CertificateExpires => read().expires,
        Property::CertificateFingerprint if der.is_empty() => String::new(),
        Property::CertificateFingerprint => fingerprint(der),
        Property::CertificateNames => read().names,
        Property::CertificatePin => pin_of(der),
        _ => return None,
    })
}

/// Names with their reasons, one a line.
fn lines(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, reason)| format!("{name}: {reason}")).collect::<Vec<_>>().join("\n")
}

pub(super) fn enhanced_text(code: Option<(u8, u16, u16)>) -> String {
    code.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")).unwrap_or_default()
}
