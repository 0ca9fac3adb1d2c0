//! What the caller passes in, checked before anything is sent.

use super::options::Options;
use super::settings::{Chunking, Settings};
use crate::drive::{Plan, Read, Source};
use crate::error::{Code, Error, Result};
use crate::net::resolve::literal;
use crate::proto::{Envelope, HostName, Mailbox, OrdinaryList, ReversePath, Security, split_list, to_ascii};
use memchr::memchr_iter;

/// What a message is sent with.
pub struct Arguments<'a> {
    /// The sender.
    pub sender: &'a str,
    /// The recipients, separated by commas.
    pub recipients: &'a str,
    /// Header, empty line and body.
    pub message: Content<'a>,
}

/// Where a message is.
pub enum Content<'a> {
    /// In memory.
    Memory(&'a [u8]),
    /// In memory that several may have.
    Shared(std::sync::Arc<[u8]>),
    /// In the file of this path.
    File(&'a str),
    /// With a function that fills a buffer and says how far; 0 is the end.
    Reader {
        /// The length in octets, if it is known.
        size: Option<u64>,
        /// The function.
        read: Box<Read>,
    },
    /// Made while it is sent, in lines that end with CRLF.
    Source {
        /// The length in octets, if it is known.
        size: Option<u64>,
        /// Whether it can be had more than once.
        repeatable: bool,
        /// Whether it has octets beyond ASCII.
        eight_bit: bool,
        /// Whether its header has such characters.
        header_utf8: bool,
        /// It.
        source: Box<dyn Source + Send>,
    },
}

/// For a list of so many octets, room is made before it is read.
const LONG_LIST: usize = 1024;

/// Puts the sender and the recipients into an envelope, domains in ASCII.
pub(super) fn fill_envelope(envelope: &mut Envelope, sender: &str, recipients: &str) -> Result<()> {
    fill_sender(envelope, sender)?;
    if recipients.len() > LONG_LIST {
        envelope.reserve(memchr_iter(b',', recipients.as_bytes()).count() + 1, recipients.len());
    }
    let mut ordinary = OrdinaryList::new(recipients);
    ordinary.by_ref().for_each(|mailbox| envelope.push(mailbox));
    for recipient in split_list(ordinary.rest) {
        with_mailbox(recipient, |mailbox| {
            envelope.push(mailbox);
            Ok(())
        })?;
    }
    if envelope.is_empty() {
        return Err(Error::caller(Code::NO_RECIPIENTS, "the list of recipients is empty"));
    }
    Ok(())
}

/// Empties an envelope and puts the sender into it.
pub(super) fn fill_sender(envelope: &mut Envelope, sender: &str) -> Result<()> {
    match ReversePath::parse(sender)? {
        ReversePath::Mailbox(mailbox) if mailbox.needs_smtputf8() => {
            envelope.begin(ReversePath::Mailbox(Mailbox::parse(&to_ascii(mailbox.as_str())?)?));
        }
        sender => envelope.begin(sender),
    }
    Ok(())
}

/// Does something with a mailbox, its domain in ASCII.
pub(super) fn with_mailbox<T>(text: &str, use_it: impl FnOnce(Mailbox<'_>) -> Result<T>) -> Result<T> {
    let mailbox = Mailbox::parse(text)?;
    if mailbox.needs_smtputf8() {
        return use_it(Mailbox::parse(&to_ascii(mailbox.as_str())?)?);
    }
    use_it(mailbox)
}

/// Adds what the properties say of every message.
pub(super) fn fill_wishes(envelope: &mut Envelope, settings: &Settings) -> Result<()> {
    if settings.binary && settings.chunking == Chunking::Never {
        let what = "SMTP_PROPERTY_BINARY needs BDAT, which SMTP_PROPERTY_CHUNKING forbids";
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    envelope.set_all_or_nothing(settings.all_or_nothing);
    envelope.set_delivery(settings.delivery, &settings.envelope_id);
    envelope.set_extra_parameters(settings.mail_parameters.as_str());
    envelope.set_leaves_out(settings.leave_out);
    envelope.set_binary(settings.binary);
    envelope.set_chunks(settings.chunking == Chunking::Always);
    envelope.set_header_utf8(settings.smtputf8);
    envelope.set_demands(&settings.wishes.demands);
    settings.wishes.fill_recipients(envelope);
    Ok(())
}

/// What a connection is to be like, from the arguments and the properties.
pub(super) fn plan(settings: &Settings, host: Option<&str>, port: u16, options: Options) -> Result<Plan> {
    let options = if options == Options::NONE { settings.options } else { options };
    let host = host.filter(|host| !host.is_empty()).unwrap_or(&settings.host);
    if host.is_empty() {
        return Err(Error::caller(Code::INVALID_PARAMETER, "no host was given, neither here nor as a property"));
    }
    if host.starts_with('/') {
        return path_plan(settings, host, options);
    }
    let ascii = to_ascii(host).map_err(|_| not_a_host(host))?;
    let host = ascii.as_ref();
    check_host(host)?;
    let port = if port == 0 { settings.port } else { port };
    let security = options.security(settings.security, port);
    if settings.network.proxy.is_some() && !settings.network.addresses.is_empty() {
        let what =
            "SMTP_PROPERTY_CONNECT_ADDRESS and SMTP_PROPERTY_PROXY exclude each other: the proxy looks the host up";
        return Err(Error::caller(Code::INVALID_PARAMETER, what)
            .with_remedy("Clear one of them; an address for the proxy belongs into SMTP_PROPERTY_PROXY."));
    }
    let port = match (port, security) {
        (25, _) if options.has(Options::LMTP) => {
            let what = "LMTP must not be spoken on port 25 (RFC 2033 section 5)";
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        (0, _) if options.has(Options::LMTP) => 24,
        (0, Security::Implicit) => 465,
        (0, _) => 25,
        (port, _) => port,
    };
    let extended = !options.has(Options::BASIC);
    if !extended && security == Security::Required {
        let what = "SMTP_OPTION_BASIC excludes the TLS mode \"required\": STARTTLS needs EHLO";
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    Ok(Plan { host: host.to_owned(), port, security, ..common_plan(settings, options)? })
}

/// The plan for a Unix socket. Nothing on it leaves the machine, and there is no
/// name that a certificate could be for.
fn path_plan(settings: &Settings, path: &str, options: Options) -> Result<Plan> {
    let security = options.security(settings.security, 0);
    if matches!(security, Security::Required | Security::Implicit) {
        let what = format!("TLS was asked for, and {path} is a Unix socket, which needs none");
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    Ok(Plan {
        host: path.to_owned(),
        path: Some(path.to_owned()),
        proxy: None,
        security: Security::None,
        ..common_plan(settings, options)?
    })
}

fn common_plan(settings: &Settings, options: Options) -> Result<Plan> {
    let local_name = match settings.local_name.as_str() {
        "" => None,
        name => Some(HostName::parse(name)?),
    };
    settings.tls.check()?;
    Ok(Plan {
        host: String::new(),
        path: None,
        port: 0,
        attached: false,
        proxy: settings.network.proxy.clone(),
        addresses: settings.network.addresses.clone(),
        family: settings.network.family,
        prefer_ipv6: options.has(Options::PREFER_IPV6),
        local: settings.network.local.clone(),
        local_name,
        lmtp: options.has(Options::LMTP),
        extended: !options.has(Options::BASIC),
        security: Security::None,
        tls: settings.tls.clone(),
        insecure_skip_verify: settings.insecure_skip_verify || options.has(Options::TRUSTEDSITE),
        insecure_auth: settings.insecure_auth,
        withheld: settings.wishes.disabled().collect(),
        timeouts: settings.timeouts.clone(),
    })
}

/// Finds mistakes that a look-up would only call an unknown name.
fn check_host(host: &str) -> Result<()> {
    // An IPv6 address with a zone is for the system to read.
    let is_zoned = host.contains(':') && host.contains('%') && !host.chars().any(|c| c.is_control() || c == ' ');
    if literal(host).is_some() || is_zoned || HostName::parse(host.strip_suffix('.').unwrap_or(host)).is_ok() {
        return Ok(());
    }
    let error = not_a_host(host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Err(if has_port { error.with_remedy("Pass the port as a parameter of its own.") } else { error })
}

fn not_a_host(host: &str) -> Box<Error> {
    let what = format!("\"{}\" is not a host name or address", host.escape_debug());
    Error::caller(Code::INVALID_PARAMETER, what)
}
