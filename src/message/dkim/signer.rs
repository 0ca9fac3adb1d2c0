//! Signs a message as its octets go by.

use super::fields::MAX_NAMES;
use super::options::{Expiry, Time};
use super::tags::Tags;
use super::{BodyHash, Canonical, HeaderFields, Settings, SigningKey, choice, relaxed_field};
use crate::error::{Code, Error, Result};
use crate::proto::DotStuffer;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::sync::Arc;

/// A signature to be made.
#[derive(Debug)]
pub struct Signature {
    settings: Settings,
    key: SigningKey,
}

impl Signature {
    /// One with a key.
    #[must_use]
    pub fn new(settings: Settings, key: SigningKey) -> Self {
        Self { settings, key }
    }

    /// The DKIM-Signature field for a header and the hash of a body.
    fn field(&self, fields: &HeaderFields, body: [u8; 32], now: u64) -> Result<String> {
        let settings = &self.settings;
        let names = settings.names.clone().unwrap_or_else(|| choice::usual(fields));
        if names.len() > MAX_NAMES {
            let what =
                format!("{} fields of the message's header would be signed, and {MAX_NAMES} are the most", names.len());
            return Err(Error::caller(Code::DKIM_HEADER, what));
        }
        let mut tags = Tags::new();
        tags.tag("a", self.key.algorithm());
        tags.tag("c", &format!("{}/{}", settings.header.name(), settings.body.name()));
        tags.tag("d", &settings.domain);
        tags.tag("s", &settings.selector);
        if !settings.identity.is_empty() {
            tags.tag("i", &settings.identity);
        }
        let made = match settings.time {
            Time::Now => Some(now),
            Time::NotSaid => None,
            Time::At(made) => Some(made),
        };
        if let Some(made) = made {
            tags.tag("t", &made.to_string());
        }
        let until = match settings.expiry {
            Expiry::Never => None,
            Expiry::After(seconds) => Some(made.unwrap_or(now).saturating_add(seconds)),
            Expiry::At(until) => Some(until),
        };
        if let Some(until) = until {
            if made.is_some_and(|made| until <= made) {
                let what = format!("the DKIM signature would be over, by its x={until}, before it is made");
                return Err(Error::caller(Code::DKIM_SETTING, what));
            }
            tags.tag("x", &until.to_string());
        }
        tags.names(&names);
        tags.tag("bh", &BASE64_STANDARD.encode(body));
        let tags = tags.unsigned();
        let mut octets = fields.canonical(&names, settings.header);
        match settings.header {
            Canonical::Simple => octets.extend_from_slice(tags.as_str().as_bytes()),
            Canonical::Relaxed => {
                relaxed_field(tags.as_str().as_bytes(), &mut octets);
                octets.truncate(octets.len() - 2);
            }
        }
        Ok(tags.signed(&BASE64_STANDARD.encode(self.key.sign(&octets)?)))
    }
}

/// Takes a message in any pieces and makes its signatures.
#[derive(Debug)]
pub struct Signer {
    signatures: Vec<Arc<Signature>>,
    repair: DotStuffer,
    /// The piece at hand, its line ends repaired.
    repaired: Vec<u8>,
    fields: HeaderFields,
    in_body: bool,
    simple: Option<BodyHash>,
    relaxed: Option<BodyHash>,
}

/// Of a piece, what is worked on at a time.
const STEP: usize = 64 * 1024;

impl Signer {
    /// Makes these signatures.
    #[must_use]
    pub fn new(signatures: &[Arc<Signature>]) -> Self {
        let wanted = |canonical| signatures.iter().any(|signature| signature.settings.body == canonical);
        Self {
            signatures: signatures.to_vec(),
            repair: DotStuffer::without_dots(),
            repaired: Vec::new(),
            fields: HeaderFields::default(),
            in_body: false,
            simple: wanted(Canonical::Simple).then(|| BodyHash::new(Canonical::Simple)),
            relaxed: wanted(Canonical::Relaxed).then(|| BodyHash::new(Canonical::Relaxed)),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// `DKIM_HEADER` if the header is too long.
    pub fn push(&mut self, piece: &[u8]) -> Result<()> {
        for step in piece.chunks(STEP) {
            let mut repaired = std::mem::take(&mut self.repaired);
            repaired.clear();
            self.repair.push(step, &mut repaired);
            let taken = self.take(&repaired);
            self.repaired = repaired;
            taken?;
        }
        Ok(())
    }

    fn take(&mut self, mut octets: &[u8]) -> Result<()> {
        if !self.in_body {
            let Some(rest) = self.fields.push(octets)? else { return Ok(()) };
            self.in_body = true;
            octets = rest;
        }
        for hash in [&mut self.simple, &mut self.relaxed].into_iter().flatten() {
            hash.push(octets);
        }
        Ok(())
    }

    /// The DKIM-Signature fields, to be put in front of the message.
    ///
    /// # Errors
    ///
    /// `DKIM_HEADER` if the header cannot be signed.
    pub fn finish(mut self, now: u64) -> Result<String> {
        let mut end = Vec::new();
        self.repair.finish(&mut end);
        self.take(&end)?;
        self.fields.divide()?;
        if self.fields.count("From") == 0 {
            let what = "the message has no From field, which every DKIM signature covers";
            return Err(Error::caller(Code::DKIM_HEADER, what));
        }
        let simple = self.simple.map(BodyHash::finish).unwrap_or_default();
        let relaxed = self.relaxed.map(BodyHash::finish).unwrap_or_default();
        let mut out = String::new();
        for signature in &self.signatures {
            let body = if signature.settings.body == Canonical::Simple { simple } else { relaxed };
            out += &signature.field(&self.fields, body, now)?;
        }
        Ok(out)
    }
}
