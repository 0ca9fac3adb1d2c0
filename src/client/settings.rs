//! What the caller has set: the properties that can be written.

use super::login::{auth_type_number, parse_auth_type, parse_methods};
use super::network::Network;
use super::options::Options;
use super::property::Property;
use super::tls::{has_lines, set_tls_integer, set_tls_text, tls_integer, tls_text};
use super::tracer::{CONTENT, HEX, TraceSettings};
use super::wishes::Wishes;
use crate::error::{Code, Error, Result};
use crate::net::tls_settings::TlsSettings;
use crate::proto::sasl::Mechanism;
use crate::proto::{Delivery, HostName, ParameterList, Secret, Security, Timeouts, check_envelope_id};

/// The values of the writable properties.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) auth_type: Option<Mechanism>,
    pub(super) bearer_token: Secret,
    pub(super) auth_identity: String,
    pub(super) auth_methods: Vec<Mechanism>,
    /// The same as it was set.
    pub(super) auth_methods_text: String,
    pub(super) auth_realm: String,
    pub(super) options: Options,
    pub(super) security: Security,
    pub(super) tls: TlsSettings,
    pub(super) local_name: String,
    pub(super) insecure_auth: bool,
    pub(super) insecure_skip_verify: bool,
    pub(super) all_or_nothing: bool,
    pub(super) leave_out: bool,
    pub(super) delivery: Delivery,
    pub(super) envelope_id: String,
    pub(super) mail_parameters: ParameterList,
    pub(super) chunking: Chunking,
    pub(super) binary: bool,
    pub(super) strict_line_ends: bool,
    pub(super) smtputf8: bool,
    pub(super) wishes: Wishes,
    pub(super) network: Network,
    pub(super) nonblocking: bool,
    pub(super) batch: BatchLimits,
    pub(super) timeout: u32,
    pub(super) timeouts: Timeouts,
    pub(super) trace: TraceSettings,
}

/// How much of a batch may be in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    pub(super) messages: u32,
    pub(super) octets: u32,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { messages: 32, octets: 256 * 1024 }
    }
}

/// When to send with BDAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chunking {
    /// Never: a message that needs it is an error.
    Never = 0,
    /// When the message needs it.
    #[default]
    WhenNeeded = 1,
    /// Whenever the server offers it.
    Always = 2,
}

impl Chunking {
    /// Every choice: its name behind `SMTP_CHUNKING_`, what it means.
    pub const ALL: [(Self, &str, &str); 3] = [
        (Self::Never, "NEVER", "Never; a message that needs it is an error."),
        (Self::WhenNeeded, "WHEN_NEEDED", "When the message needs it: SMTP_PROPERTY_BINARY."),
        (Self::Always, "ALWAYS", "Whenever the server offers it, else DATA."),
    ];
}

/// The names of the TLS modes behind `SMTP_TLS_`.
pub(super) const MODES: [(Security, &str); 4] = [
    (Security::Opportunistic, "OPPORTUNISTIC"),
    (Security::None, "NONE"),
    (Security::Required, "REQUIRED"),
    (Security::Implicit, "IMPLICIT"),
];

impl Settings {
    pub(super) fn set_text(&mut self, property: Property, name: &str, value: &str) -> Result<()> {
        if let Some(bad) = value.chars().find(|c| c.is_control())
            && !matches!(property, Property::Password | Property::BearerToken)
            && !has_lines(property)
        {
            let what = format!("the value of {name} has the control character U+{:04X}", u32::from(bad));
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        if let Some(set) = set_tls_text(&mut self.tls, property, value) {
            return set;
        }
        match property {
            Property::Host => value.clone_into(&mut self.host),
            Property::User => value.clone_into(&mut self.user),
            Property::Password => self.password = Secret::new(value),
            Property::BearerToken => self.bearer_token = Secret::new(value),
            Property::AuthIdentity => value.clone_into(&mut self.auth_identity),
            Property::AuthMethods => {
                self.auth_methods = parse_methods(name, value)?;
                value.clone_into(&mut self.auth_methods_text);
            }
            Property::AuthRealm => value.clone_into(&mut self.auth_realm),
            Property::LocalName => {
                if !value.is_empty() {
                    HostName::parse(value)?;
                }
                value.clone_into(&mut self.local_name);
            }
            Property::EnvelopeId => {
                check_envelope_id(value)?;
                value.clone_into(&mut self.envelope_id);
            }
            Property::MailParameters => self.mail_parameters = ParameterList::parse(value)?,
            Property::TraceFile => value.clone_into(&mut self.trace.file),
            _ => {
                let set = self.network.set_text(property, name, value);
                return set
                    .or_else(|| self.wishes.set_text(property, value))
                    .unwrap_or_else(|| Err(not_a_setting(name)));
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, property: Property) -> Option<&str> {
        Some(match property {
            Property::Host => &self.host,
            Property::User => &self.user,
            Property::AuthIdentity => &self.auth_identity,
            Property::AuthMethods => &self.auth_methods_text,
            Property::AuthRealm => &self.auth_realm,
            Property::LocalName => &self.local_name,
            Property::EnvelopeId => &self.envelope_id,
            Property::MailParameters => self.mail_parameters.as_str(),
            Property::TraceFile => &self.trace.file,
            _ => {
                let others = || self.wishes.text(property).or_else(|| tls_text(&self.tls, property));
                return self.network.text(property).or_else(others);
            }
        })
    }

    pub(super) fn set_integer(&mut self, property: Property, name: &str, value: i64) -> Result<()> {
        let out_of_range = |most: i64| {
            let what = format!("the value {value} of {name} is not between 0 and {most}");
            Error::caller(Code::INVALID_PARAMETER, what)
        };
        let set = self.network.set_integer(property, name, value);
        if let Some(set) = set.or_else(|| self.wishes.set_integer(property, name, value)) {
            return set;
        }
        if let Some(set) = set_tls_integer(&mut self.tls, property, name, value) {
            return set;
        }
        match property {
            Property::Port => self.port = u16::try_from(value).map_err(|_| out_of_range(i64::from(u16::MAX)))?,
            Property::Options => {
                let bits = u32::try_from(value).map_err(|_| out_of_range(i64::from(u32::MAX)))?;
                self.options = Options::parse(bits)?;
            }
            Property::TlsMode => {
                let found = MODES.iter().find(|(mode, _)| *mode as i64 == value);
                self.security = found.ok_or_else(|| out_of_range(3))?.0;
            }
            Property::AuthType => self.auth_type = parse_auth_type(name, value)?,
            Property::Blocking => self.nonblocking = !switch(value).ok_or_else(|| out_of_range(1))?,
            Property::InsecureAuth => self.insecure_auth = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::Chunking => {
                let found = Chunking::ALL.iter().find(|(choice, ..)| *choice as i64 == value);
                self.chunking = found.ok_or_else(|| out_of_range(2))?.0;
            }
            Property::Binary => self.binary = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::StrictLineEnds => self.strict_line_ends = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::Smtputf8 => self.smtputf8 = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::LeaveOut => self.leave_out = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::DeliveryOptions => {
                let bits = u32::try_from(value).map_err(|_| out_of_range(i64::from(u32::MAX)))?;
                self.delivery = Delivery::parse(bits)?;
            }
            Property::TraceKeep => {
                /// See the property.
                const MOST: u32 = 10_000;
                let count = u32::try_from(value).ok().filter(|count| *count <= MOST);
                self.trace.keep = count.ok_or_else(|| out_of_range(i64::from(MOST)))?;
            }
            Property::TraceFlags => {
                let bits = u32::try_from(value).map_err(|_| out_of_range(i64::from(u32::MAX)))?;
                if bits & !(HEX | CONTENT) != 0 {
                    let what =
                        format!("the value of {name} has bits without a meaning: {:#x}", bits & !(HEX | CONTENT));
                    return Err(Error::caller(Code::INVALID_PARAMETER, what));
                }
                self.trace.flags = bits;
            }
            Property::InsecureTraceSecrets => self.trace.secrets = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::AllOrNothing => self.all_or_nothing = switch(value).ok_or_else(|| out_of_range(1))?,
            Property::InsecureSkipVerify => self.insecure_skip_verify = switch(value).ok_or_else(|| out_of_range(1))?,
            _ => {
                let most = i64::from(i32::MAX);
                let limit = self.limit_mut(property).ok_or_else(|| not_a_setting(name))?;
                *limit = u32::try_from(value).ok().filter(|_| value <= most).ok_or_else(|| out_of_range(most))?;
            }
        }
        Ok(())
    }

    pub(super) fn integer(&self, property: Property) -> Option<i64> {
        Some(match property {
            Property::Port => i64::from(self.port),
            Property::Options => i64::from(self.options.0),
            Property::TlsMode => self.security as i64,
            Property::AuthType => auth_type_number(self.auth_type),
            Property::Blocking => i64::from(!self.nonblocking),
            Property::InsecureAuth => i64::from(self.insecure_auth),
            Property::InsecureSkipVerify => i64::from(self.insecure_skip_verify),
            Property::AllOrNothing => i64::from(self.all_or_nothing),
            Property::LeaveOut => i64::from(self.leave_out),
            Property::Chunking => self.chunking as i64,
            Property::Binary => i64::from(self.binary),
            Property::StrictLineEnds => i64::from(self.strict_line_ends),
            Property::Smtputf8 => i64::from(self.smtputf8),
            Property::DeliveryOptions => i64::from(self.delivery.0),
            Property::TraceKeep => i64::from(self.trace.keep),
            Property::TraceFlags => i64::from(self.trace.flags),
            Property::InsecureTraceSecrets => i64::from(self.trace.secrets),
            _ => {
                let limit = || self.clone().limit_mut(property).map(|limit| i64::from(*limit));
                let others = || self.wishes.integer(property).or_else(|| tls_integer(&self.tls, property));
                return self.network.integer(property).or_else(others).or_else(limit);
            }
        })
    }

    /// The limit that a property is.
    fn limit_mut(&mut self, property: Property) -> Option<&mut u32> {
        let limits = &mut self.timeouts;
        Some(match property {
            Property::BatchMessages => &mut self.batch.messages,
            Property::BatchOctets => &mut self.batch.octets,
            Property::Timeout => &mut self.timeout,
            Property::TimeoutResolve => &mut limits.resolve,
            Property::TimeoutConnect => &mut limits.connect,
            Property::TimeoutProxy => &mut limits.proxy,
            Property::TimeoutTls => &mut limits.tls,
            Property::TimeoutGreeting => &mut limits.greeting,
            Property::TimeoutCommand => &mut limits.command,
            Property::TimeoutMail => &mut limits.mail,
            Property::TimeoutRcpt => &mut limits.rcpt,
            Property::TimeoutData => &mut limits.data,
            Property::TimeoutContent => &mut limits.content,
            Property::TimeoutEnd => &mut limits.end,
            Property::TimeoutQuit => &mut limits.quit,
            _ => return None,
        })
    }
}

fn switch(value: i64) -> Option<bool> {
    matches!(value, 0 | 1).then_some(value == 1)
}

fn not_a_setting(name: &str) -> Box<Error> {
    Error::caller(Code::READ_ONLY_PROPERTY, format!("{name} can only be read"))
}
