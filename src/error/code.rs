//! The one table of error codes: number, class, text and remedy.
//!
//! Codes have the original's layout, `0x8004xxxx`: the low word is the Winsock
//! number where there is one, and otherwise a number of our own in 0x5000 to
//! 0x5FFF (0x50xx misuse, 0x51xx server, 0x52xx wire, 0x53xx TLS, 0x5Fxx
//! internal), away from Winsock's numbers and from the original's private ones.
//! A number is never used again: one that is retired stays listed as reserved.

use std::fmt;

/// An error code as the C interface returns it: negative, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub i32);

impl Code {
    /// The table entry of this code.
    #[must_use]
    pub fn entry(self) -> Option<&'static Entry> {
        TABLE.iter().find(|entry| entry.code == self)
    }

    /// The C name, such as `SMTP_ERROR_TIMEOUT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().map_or("unknown error", |entry| entry.name)
    }

    /// The family the code belongs to.
    #[must_use]
    pub fn class(self) -> Class {
        self.entry().map_or(Class::Internal, |entry| entry.class)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The calling program misused the library; nothing was sent because of it.
    Caller = 1,
    /// The server refused, or broke the protocol.
    Server = 2,
    /// Name resolution, the network, TLS or time failed.
    Wire = 3,
    /// A defect of this library.
    Internal = 4,
}

impl Class {
    /// The constant's name behind `SMTP_CLASS_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "CALLER",
            Self::Server => "SERVER",
            Self::Wire => "WIRE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Entry {
    /// The number.
    pub code: Code,
    /// The C name.
    pub name: &'static str,
    /// The family.
    pub class: Class,
    /// What it means, without a full stop.
    pub text: &'static str,
    /// What to do about it, one sentence.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($name:ident $number:literal $class:ident $text:literal $remedy:literal;)+) => {
        impl Code {
            $(
                #[doc = $text]
                pub const $name: Self = Self::from_low_word($number);
            )+
        }

        /// Every code, in the order of its number.
        pub static TABLE: &[Entry] = &[
            $(Entry {
                code: Code::$name,
                name: concat!("SMTP_ERROR_", stringify!($name)),
                class: Class::$class,
                text: $text,
                remedy: $remedy,
            },)+
        ];
    };
}

impl Code {
    const fn from_low_word(low: u16) -> Self {
        Self((0x8004_0000_u32 | low as u32).cast_signed())
    }
}

codes! {
    INVALID_PARAMETER 10022 Caller
        "a parameter has a value that is not allowed"
        "Correct the parameter that the message names.";
    OPERATION_IN_PROGRESS 10036 Caller
        "an earlier operation of the client is still under way"
        "Go on with it by SmtpProcess until it is over, or end it with SmtpCancel and SmtpProcess.";
    INVALID_HANDLE 10038 Caller
        "the handle is not a live one of its type"
        "Use the handle that the function that creates them returned, and never after its release.";
    ADDRESS_UNAVAILABLE 10049 Wire
        "the address cannot be used from this machine"
        "Check the host name, the port and the machine's network set-up.";
    NETWORK_UNREACHABLE 10051 Wire
        "the network of the server cannot be reached"
        "Check the machine's network connection and routes.";
    CONNECTION_ABORTED 10053 Wire
        "the connection broke while it was in use"
        "Connect again; look at the outcome before you send the message again.";
    CONNECTION_RESET 10054 Wire
        "the server cut the connection off"
        "Connect again; look at the outcome before you send the message again.";
    ALREADY_CONNECTED 10056 Caller
        "the client is connected already"
        "Disconnect first, or use a second client.";
    NOT_CONNECTED 10057 Caller
        "the client is not connected"
        "Call SmtpConnect first.";
    TIMEOUT 10060 Wire
        "the time allowed ran out"
        "Check that the server is reachable, or allow more time.";
    CONNECTION_REFUSED 10061 Wire
        "nothing accepts connections at this address and port"
        "Check the host name and the port (25 relay, 587 submission, 465 implicit TLS).";
    HOST_UNREACHABLE 10065 Wire
        "the server cannot be reached"
        "Check the host name and the machine's network connection.";
    CANCELLED 10111 Caller
        "the operation was cancelled"
        "Nothing to mend; connect again to go on.";
    HOST_NOT_FOUND 11001 Wire
        "the host name does not exist or has no address"
        "Check the spelling of the host name.";
    HOST_LOOKUP_FAILED 11002 Wire
        "the host name could not be looked up just now"
        "Check the machine's name service, and try again later.";
    NULL_POINTER 0x5001 Caller
        "a pointer that must not be null is null"
        "Pass the parameter that the message names.";
    INVALID_UTF8 0x5002 Caller
        "a string is not valid UTF-8"
        "Convert the text to UTF-8 before the call.";
    INVALID_ADDRESS 0x5003 Caller
        "an address is not a valid mailbox"
        "Write it as local-part@domain (RFC 5321, section 4.1.2), without a display name or line breaks.";
    NO_RECIPIENTS 0x5004 Caller
        "no recipient was given"
        "Give at least one address.";
    BUFFER_TOO_SMALL 0x5005 Caller
        "the buffer is too small for the text"
        "Call again with a buffer of the length that was returned.";
    UNKNOWN_PROPERTY 0x5006 Caller
        "there is no such property of this type"
        "Use an SMTP_PROPERTY_ constant with the get or set function of its type.";
    READ_ONLY_PROPERTY 0x5007 Caller
        "the property can only be read"
        "Do not set it.";
    REENTRANT 0x5008 Caller
        "the client was called from within its own callback"
        "Call it after the callback has returned; only SmtpCancel and the getters may be called inside.";
    RELEASED 0x5009 Caller
        "the client was released while the call was waiting or running"
        "Let every call return before SmtpClientRelease.";
    FORKED 0x500A Caller
        "the handle was made before this process was forked"
        "Create a new client in the child process.";
    HANDLE_POISONED 0x500B Caller
        "an earlier internal error made this client unusable"
        "Release it and create a new one.";
    SMTPUTF8_REQUIRED 0x500C Caller
        "an address needs SMTPUTF8, which the server does not offer"
        "Use an address whose local part is ASCII, or a server that offers SMTPUTF8.";
    TOO_LONG 0x500D Caller
        "a text is longer than the protocol allows"
        "Shorten the text that the message names.";
    CA_FILE 0x500E Caller
        "the certificate authority file cannot be used"
        "Give the path of a readable PEM file with at least one certificate.";
    NO_CREDENTIALS 0x500F Caller
        "no user name or password was given"
        "Pass both to SmtpAuthenticate, or set the properties.";
    INSECURE_CREDENTIALS 0x5010 Caller
        "the password was not sent, since the connection does not protect it"
        "Use TLS with a verified certificate, or set SMTP_PROPERTY_INSECURE_AUTH.";
    TOO_MANY_HANDLES 0x5011 Caller
        "no more clients can be created"
        "Release the clients that are no longer used.";
    MESSAGE_TOO_LARGE 0x5012 Caller
        "the message is larger than the server accepts"
        "Send a smaller message, or give a link instead of an attachment.";
    WRITE_ONLY_PROPERTY 0x5013 Caller
        "the property can only be set"
        "Keep the value yourself; secrets are not given back.";
    FILE 0x5014 Caller
        "the message file cannot be read"
        "Check the path and the permissions of the file.";
    READER 0x5015 Caller
        "the program's reader gave up"
        "Look into the reader callback; the message was not completed.";
    UNSUITABLE_COMMAND 0x5016 Caller
        "the command would leave the session in an unknown state"
        "Use the function that is made for it.";
    EXTENSION_UNAVAILABLE 0x5017 Caller
        "the message asks for an extension that the server does not offer"
        "Do not ask for it, or set SMTP_PROPERTY_LEAVE_OUT to have it left out.";
    MESSAGE_OPEN 0x5018 Caller
        "a message was begun and is not complete"
        "Complete it with SmtpCloseMessage, or drop it with SmtpReset.";
    NO_MESSAGE_OPEN 0x5019 Caller
        "no message was begun"
        "Call SmtpCreateMessage first.";
    TOO_MANY_RECIPIENTS 0x501A Caller
        "the server does not take so many recipients at a time"
        "Send the message from memory or from a file, without SMTP_PROPERTY_ALL_OR_NOTHING, or to fewer recipients at a time.";
    LINE_END 0x501B Caller
        "the message has a line end that is not CRLF"
        "Write every line end as CRLF, or clear SMTP_PROPERTY_STRICT_LINE_ENDS to have them repaired.";
    NO_OPERATION 0x5020 Caller
        "no operation is under way"
        "Call SmtpProcess only while an operation is pending: its result is told once.";
    BATCH_BUSY 0x5024 Caller
        "the batch is being sent"
        "Wait until the call that sends it has returned.";
    BATCH_ENDED 0x5025 Caller
        "the message was not begun, since the call that sends the batch had ended before"
        "Connect again and send the batch again: only what was not sent is sent then.";
    ATTACHED 0x5028 Caller
        "the client is attached to a reactor"
        "Leave its operations to the reactor, or detach it with SmtpReactorDetach first.";
    QUEUE_FULL 0x5029 Caller
        "the queue of the pool is full"
        "Submit the message later, let SmtpPoolSubmit wait, or raise SMTP_POOL_QUEUE_LIMIT or SMTP_POOL_QUEUE_OCTETS.";
    POOL_CLOSED 0x502A Caller
        "the pool was drained or aborted"
        "Release the pool and create a new one.";
    HEADER 0x5030 Caller
        "the header field cannot be written"
        "Correct the name or the value that the message tells of.";
    ATTACHMENT 0x5031 Caller
        "the attachment cannot be used"
        "Check the file, its name and its type; the message says which.";
    NOT_FOUND 0x5032 Caller
        "the message has no such header field or part"
        "Ask for the number of them first; they count from 0.";
    NOT_A_MESSAGE 0x5033 Caller
        "what was to be loaded is not a message"
        "Load header fields, an empty line and a body, as in an .eml file.";
    WRITER 0x5034 Caller
        "what was to be written could not be written"
        "Look into the writer callback, or check the path and the room on the disk.";
    NO_SENDER 0x5035 Caller
        "the message does not say whom it is from"
        "Set the header field From.";
    NO_CONTENT 0x5036 Caller
        "the part has no content of its own"
        "Ask for the parts that are in it.";
    LOADED_BODY 0x5037 Caller
        "the body of a loaded message cannot be replaced"
        "Empty the message with SmtpMessageClear, or compose another one.";
    DKIM_KEY 0x5040 Caller
        "the DKIM key cannot be used"
        "Give an RSA key of 2048 to 4096 bits or an Ed25519 key, in PEM form or as the path of a file with it.";
    DKIM_SETTING 0x5041 Caller
        "a setting of the DKIM signature is not allowed"
        "Correct the domain, selector or option that the message names.";
    DKIM_HEADER 0x5042 Caller
        "the message's header cannot be signed"
        "Mend the header; SmtpCheckMessage finds what is wrong with it.";
    READ_ONCE 0x5043 Caller
        "the message can be read only once, and checking or signing it takes one time more"
        "Attach from memory or a file, or with a rewind function.";
    SERVER_CLOSING 0x5101 Server
        "the server is closing the connection (421)"
        "Connect again later.";
    SERVER_REFUSED 0x5102 Server
        "the server refuses the session"
        "Read the server's own words in the message.";
    PROTOCOL 0x5103 Server
        "the server broke the SMTP protocol"
        "Check that the host and port are those of a mail server; if they are, the server is at fault.";
    REPLY_TOO_LONG 0x5104 Server
        "the server's reply is longer than the library accepts"
        "Check that the host and port are those of a mail server.";
    COMMAND_REJECTED 0x5105 Server
        "the server rejected the command"
        "Read the server's own words in the message.";
    AUTHENTICATION_FAILED 0x5106 Server
        "the server did not accept the login"
        "Check the user name and the password.";
    INVALID_AUTHENTICATION_TYPE 0x5107 Server
        "the server offers no login method that this client may use"
        "Compare the methods that the message lists; many servers offer them only after TLS.";
    STARTTLS_UNAVAILABLE 0x5108 Server
        "TLS is required but the server does not offer STARTTLS"
        "Use implicit TLS (port 465) if the server has it, or another server.";
    STARTTLS_REJECTED 0x5109 Server
        "the server offered STARTTLS and then refused it"
        "Try again later, or use implicit TLS (port 465).";
    STARTTLS_INJECTION 0x510A Server
        "text arrived behind the STARTTLS reply, before TLS"
        "Somebody may be tampering with the connection; do not send over this network.";
    SENDER_REJECTED 0x510B Server
        "the server refused the sender"
        "Check the sender's address and whether the server wants a login first.";
    RECIPIENTS_REJECTED 0x510C Server
        "the server refused every recipient"
        "Check the addresses and whether the server wants a login first.";
    DATA_REJECTED 0x510D Server
        "the server did not want the message"
        "Read the server's own words in the message.";
    MESSAGE_REJECTED 0x510E Server
        "the server read the message and refused it"
        "Read the server's own words in the message.";
    RECIPIENT_REJECTED 0x510F Server
        "the server refused a recipient"
        "Leave the refused recipient out; with SMTP_PROPERTY_ALL_OR_NOTHING nothing is sent as long as one is refused.";
    CONNECTION_CLOSED 0x5201 Wire
        "the server closed the connection without a reply"
        "Connect again; look at the outcome before you send the message again.";
    NETWORK 0x5202 Wire
        "the operating system reports a network error"
        "Look at the system's error in the message.";
    PROXY_REFUSED 0x5210 Wire
        "the proxy refused to make the connection"
        "Ask who runs the proxy whether it lets connections to this host and port through, or use another.";
    PROXY_TARGET 0x5211 Wire
        "the proxy could not reach the server"
        "Check the server's host name and port; the proxy itself works, and it is the proxy that looks the name up.";
    PROXY_AUTHENTICATION 0x5212 Wire
        "the proxy did not accept the login"
        "Check the user name and the password in SMTP_PROPERTY_PROXY.";
    PROXY_PROTOCOL 0x5213 Wire
        "the proxy broke the protocol, or is not one"
        "Check the protocol, the host and the port in SMTP_PROPERTY_PROXY.";
    TLS_HANDSHAKE 0x5301 Wire
        "TLS could not be started"
        "Read the reason in the message.";
    TLS_NOT_TLS 0x5302 Wire
        "the server does not speak TLS on this port"
        "This port speaks plain SMTP first: use STARTTLS (port 587 or 25), or implicit TLS on port 465.";
    TLS_CERTIFICATE_NAME 0x5303 Wire
        "the certificate is not for this host name"
        "Connect by a name that the certificate has, or have the certificate renewed with this name.";
    TLS_CERTIFICATE_EXPIRED 0x5304 Wire
        "the certificate is expired or not yet valid"
        "Have the certificate renewed, and check this machine's clock.";
    TLS_CERTIFICATE_UNTRUSTED 0x5305 Wire
        "the certificate was not issued by a trusted authority"
        "Name the authority's file with SMTP_PROPERTY_CA_FILE, or have the certificate issued by a public authority.";
    TLS_CERTIFICATE_REVOKED 0x5306 Wire
        "the certificate was revoked"
        "Do not send to this server until it has a new certificate.";
    TLS_CERTIFICATE_INVALID 0x5307 Wire
        "the certificate cannot be used for this server"
        "Have the certificate replaced; the message names the check that failed.";
    TLS_BROKEN 0x5308 Wire
        "the TLS connection broke"
        "Connect again; look at the outcome before you send the message again.";
    TLS_PIN_MISMATCH 0x5309 Wire
        "the certificate is none of those that are pinned"
        "If the server has a new key, as its operator can tell, set SMTP_PROPERTY_TLS_PINS anew; else somebody may be in between.";
    TLS_REVOCATION_UNKNOWN 0x530A Wire
        "whether the certificate was revoked cannot be told"
        "Get a current revocation list of the certificate's authority, and name it with SMTP_PROPERTY_CRL_FILE.";
    TLS_CRL_FILE 0x530B Wire
        "the revocation list cannot be used"
        "Give the path of a readable file with revocation lists, in PEM or DER form.";
    TLS_CLIENT_CERTIFICATE 0x530C Wire
        "the client's own certificate or its key cannot be used"
        "Check the file, the key that belongs to it, and its password; the message says which.";
    TLS_CLIENT_CERTIFICATE_REQUIRED 0x530D Wire
        "the server wants a certificate of the client"
        "Set SMTP_PROPERTY_CLIENT_CERTIFICATE and, if it is not in the same file, SMTP_PROPERTY_CLIENT_KEY.";
    INTERNAL 0x5F01 Internal
        "the library has a defect"
        "Please report it with the message; release this client and create a new one.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_names_are_distinct_and_in_their_ranges() {
        let numbers: HashSet<i32> = TABLE.iter().map(|e| e.code.0).collect();
        let names: HashSet<_> = TABLE.iter().map(|e| e.name).collect();
        assert_eq!(numbers.len(), TABLE.len());
        assert_eq!(names.len(), TABLE.len());
        for entry in TABLE {
            let low = entry.code.0.cast_unsigned() & 0xFFFF;
            assert!(entry.code.0 < 0);
            let class = match low {
                10000..=11999 => continue,
                0x5000..=0x50FF => Class::Caller,
                0x5100..=0x51FF => Class::Server,
                0x5200..=0x53FF => Class::Wire,
                0x5F00..=0x5FFF => Class::Internal,
                _ => panic!("{} is outside every range", entry.name),
            };
            assert_eq!(entry.class, class, "{}", entry.name);
        }
    }

    #[test]
    fn every_code_has_a_text_and_a_remedy() {
        for entry in TABLE {
            assert!(!entry.text.is_empty() && !entry.text.ends_with('.'));
            assert!(entry.remedy.ends_with('.'), "{}", entry.name);
        }
    }

    #[test]
    fn winsock_numbers_give_the_original_codes() {
        assert_eq!(Code::TIMEOUT.0.cast_unsigned(), 0x8004_274C);
        assert_eq!(Code::CONNECTION_REFUSED.0.cast_unsigned(), 0x8004_274D);
        assert_eq!(Code::HOST_NOT_FOUND.0.cast_unsigned(), 0x8004_2AF9);
    }
}
