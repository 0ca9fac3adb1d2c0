//! Properties: set when it is the caller's turn, read at any time.

use super::core::Client;
use super::live::Transfer;
use super::property::{Access, Kind, Property, Row};
use super::status::certificate_text;
use super::tls::set_tls_data;
use super::wishes::check_keyword;
use crate::error::{Code, Error, Result, ServerReply};
use crate::proto::RecipientState;

/// One recipient of the last message.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The mailbox.
    pub address: String,
    /// What the server said of it.
    pub state: RecipientState,
    /// The reply, if it was refused.
    pub refusal: Option<ServerReply>,
}

impl Client {
    /// Sets a text.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_PROPERTY`, `READ_ONLY_PROPERTY`, `INVALID_PARAMETER`, `REENTRANT`.
    pub fn set_text(&self, id: u32, value: &str) -> Result<()> {
        let row = writable(id, Kind::Text)?;
        self.when_free(|_| {
            if row.property == Property::TraceFile {
                // Not before its path has been looked at.
                self.shared.lock().settings.clone().set_text(row.property, row.name, value)?;
                self.tracer.open(value)?;
            }
            self.shared.lock().settings.set_text(row.property, row.name, value)
        })
    }

    /// Sets a number.
    ///
    /// # Errors
    ///
    /// As [`Self::set_text`].
    pub fn set_integer(&self, id: u32, value: i64) -> Result<()> {
        let row = writable(id, Kind::Integer)?;
        self.when_free(|_| {
            let mut shared = self.shared.lock();
            if row.property != Property::LastError {
                shared.settings.set_integer(row.property, row.name, value)?;
                self.tracer.configure(&shared.settings.trace);
                return Ok(());
            }
            if value != 0 {
                let what = "LAST_ERROR can only be set to 0, which clears it";
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
            shared.status.error = None;
            Ok(())
        })
    }

    /// Has the conversation appended to a file: two properties at once, both or none.
    ///
    /// # Errors
    ///
    /// `FILE`, `INVALID_PARAMETER`, `REENTRANT`.
    pub fn enable_trace(&self, path: &str, flags: u32) -> Result<()> {
        self.when_free(|_| {
            let mut settings = self.shared.lock().settings.clone();
            settings.set_text(Property::TraceFile, "TRACE_FILE", path)?;
            settings.set_integer(Property::TraceFlags, "TRACE_FLAGS", i64::from(flags))?;
            self.tracer.open(path)?;
            self.tracer.configure(&settings.trace);
            self.shared.lock().settings = settings;
            Ok(())
        })
    }

    /// Reads a text, also while a call runs.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_PROPERTY`, `WRITE_ONLY_PROPERTY`.
    pub fn text(&self, id: u32) -> Result<String> {
        let row = readable(id, Kind::Text)?;
        if row.property == Property::TraceText {
            return Ok(self.tracer.text());
        }
        let shared = self.shared.lock();
        let value = shared.settings.text(row.property).map(str::to_owned);
        value.or_else(|| shared.status.text(row.property)).ok_or_else(|| unknown(id, Kind::Text))
    }

    /// Sets what need not be a text.
    ///
    /// # Errors
    ///
    /// As [`Self::set_text`].
    pub fn set_data(&self, id: u32, value: &[u8]) -> Result<()> {
        let row = writable(id, Kind::Text)?;
        self.when_free(|_| match set_tls_data(&mut self.shared.lock().settings.tls, row.property, value) {
            true => Ok(()),
            false => {
                let what = format!("{} is a text, not octets", row.name);
                Err(Error::caller(Code::UNKNOWN_PROPERTY, what).with_remedy("Set it with SmtpSetString."))
            }
        })
    }

    /// One of the certificates that the server sent, in DER form.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there is none of this number.
    pub fn certificate(&self, index: usize) -> Result<Vec<u8>> {
        let shared = self.shared.lock();
        shared.status.chain().nth(index).map(<[u8]>::to_vec).ok_or_else(|| {
            let what = format!("there is no certificate {index}: the server sent {}", shared.status.chain().count());
            Error::caller(Code::INVALID_PARAMETER, what)
        })
    }

    /// What one of them says of itself.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there is none of this number, `UNKNOWN_PROPERTY`.
    pub fn certificate_text(&self, index: usize, id: u32) -> Result<String> {
        let row = readable(id, Kind::Text)?;
        certificate_text(&self.certificate(index)?, row.property).ok_or_else(|| {
            let what = format!("{} is not about a certificate", row.name);
            Error::caller(Code::UNKNOWN_PROPERTY, what)
        })
    }

    /// What the server says of an extension.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if that is no keyword, `EXTENSION_UNAVAILABLE`.
    pub fn capability(&self, keyword: &str) -> Result<String> {
        check_keyword(keyword)?;
        let shared = self.shared.lock();
        let offered = &shared.status.capabilities;
        offered.parameters(keyword).map(str::to_owned).ok_or_else(|| {
            let keyword = keyword.to_ascii_uppercase();
            let what = format!("an extension was asked about, {keyword}, which {}", offered.denial(&keyword));
            Error::caller(Code::EXTENSION_UNAVAILABLE, what)
                .with_remedy("Do without it; SMTP_PROPERTY_EXTENSIONS lists what is offered.")
                .with_choice(&offered.lines, offered.skipped())
        })
    }

    /// Asks for notifications about one recipient of the messages to come; see
    /// `SmtpSetRecipientDelivery`.
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `INVALID_PARAMETER`, `TOO_LONG`, `REENTRANT`.
    pub fn set_recipient_delivery(&self, address: Option<&str>, options: u32, original: Option<&str>) -> Result<()> {
        self.when_free(|_| self.shared.lock().settings.wishes.set_recipient(address, options, original))
    }

    /// How many recipients the last message had.
    #[must_use]
    pub fn recipient_count(&self) -> usize {
        self.shared.lock().status.envelope.len()
    }

    /// What became of a recipient of the last message.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there is none of this number.
    pub fn recipient(&self, index: usize) -> Result<Recipient> {
        let shared = self.shared.lock();
        let envelope = &shared.status.envelope;
        let Some(address) = envelope.recipient(index) else {
            let what = format!("there is no recipient {index}: the last message had {}", envelope.len());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        };
        let refusal = envelope.refusal(index).cloned();
        Ok(Recipient { address: address.to_owned(), state: envelope.state(index), refusal })
    }

    /// Reads a number, also while a call runs.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_PROPERTY`.
    pub fn integer(&self, id: u32) -> Result<i64> {
        let row = readable(id, Kind::Integer)?;
        let shared = self.shared.lock();
        let value = shared.settings.integer(row.property);
        drop(shared);
        value
            .or_else(|| self.live_integer(row.property))
            .or_else(|| self.shared.lock().status.integer(row.property))
            .ok_or_else(|| unknown(id, Kind::Integer))
    }

    /// How far the content of the message under way is, or of the last one.
    #[must_use]
    pub fn transfer(&self) -> Transfer {
        let shared = self.shared.lock();
        let now = shared.status.clock.map(|clock| clock.now());
        self.live.transfer(now, shared.status.content_time())
    }

    /// What changes while a call runs.
    fn live_integer(&self, property: Property) -> Option<i64> {
        let connected = || self.shared.lock().status.is_connected();
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Some(match property {
            Property::State => i64::from(self.live.state(connected())),
            Property::Phase => i64::from(self.live.phase(connected())),
            Property::IsBlocked => i64::from(self.live.is_running()),
            Property::TransferBytes => whole(self.transfer().copied),
            Property::TransferRate => whole(self.transfer().rate()),
            _ => return None,
        })
    }
}

fn row(id: u32, kind: Kind) -> Result<&'static Row> {
    Row::of(id).filter(|row| row.kind == kind).ok_or_else(|| unknown(id, kind))
}

fn writable(id: u32, kind: Kind) -> Result<&'static Row> {
    let row = row(id, kind)?;
    if row.access == Access::ReadOnly {
        return Err(Error::caller(Code::READ_ONLY_PROPERTY, format!("{} can only be read", row.name)));
    }
    Ok(row)
}

fn readable(id: u32, kind: Kind) -> Result<&'static Row> {
    let row = row(id, kind)?;
    if row.access == Access::WriteOnly {
        return Err(Error::caller(Code::WRITE_ONLY_PROPERTY, format!("{} can only be set", row.name)));
    }
    Ok(row)
}

fn unknown(id: u32, kind: Kind) -> Box<Error> {
    let kind = match kind {
        Kind::Text => "text",
        Kind::Integer => "integer",
    };
    Error::caller(Code::UNKNOWN_PROPERTY, format!("there is no {kind} property {id}"))
}
