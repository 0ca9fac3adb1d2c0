//! The table of properties: the header's constants, the reference pages and the
//! bindings' properties are all made from it.

/// The type of a property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text: `SmtpSetString`, `SmtpGetString`.
    Text,
    /// A whole number: `SmtpSetInteger`, `SmtpGetInteger`.
    Integer,
}

/// What may be done with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Set and read.
    ReadWrite,
    /// Read only: the library sets it.
    ReadOnly,
    /// Set only: a secret.
    WriteOnly,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The property.
    pub property: Property,
    /// The name behind `SMTP_PROPERTY_`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// What may be done with it.
    pub access: Access,
    /// The value before it is set, as text.
    pub default: &'static str,
    /// What it is: unit, limits and source.
    pub doc: &'static str,
}

macro_rules! properties {
    ($($name:ident $variant:ident $id:literal $kind:ident $access:ident $default:literal $doc:literal;)+) => {
        /// A property of a client, with its number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property {
            $(#[doc = $doc] $variant = $id,)+
        }

        /// Every property, in the order of its number.
        pub static TABLE: &[Row] = &[
            $(Row {
                property: Property::$variant,
                name: stringify!($name),
                kind: Kind::$kind,
                access: Access::$access,
                default: $default,
                doc: $doc,
            },)+
        ];
    };
}

impl Row {
    /// The row of a number.
    #[must_use]
    pub fn of(id: u32) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.property as u32 == id)
    }
}

properties! {
    HOST Host 1 Text ReadWrite ""
        "The server's host name or address, for SmtpConnect without one. An IPv6 address may stand in brackets. A path that begins with a slash is a Unix socket.";
    PORT Port 2 Integer ReadWrite "0"
        "The server's port, for SmtpConnect without one. 0 means 25, or 465 with implicit TLS, or 24 with LMTP.";
    USER User 3 Text ReadWrite ""
        "The user name, for SmtpAuthenticate without one.";
    PASSWORD Password 4 Text WriteOnly ""
        "The password, for SmtpAuthenticate without one. Can be set but not read; wiped from memory on release.";
    OPTIONS Options 5 Integer ReadWrite "0"
        "The SMTP_OPTION_ bits, for SmtpConnect without any.";
    TLS_MODE TlsMode 6 Integer ReadWrite "0"
        "How to use TLS, one of the SMTP_TLS_ constants, unless the options of SmtpConnect say otherwise (RFC 3207, RFC 8314).";
    CA_FILE CaFile 7 Text ReadWrite ""
        "The path of a PEM file with the authorities to trust instead of the system's. Empty, as CA_FOLDER and CA_DATA: the system's.";
    LOCAL_NAME LocalName 8 Text ReadWrite ""
        "The name to greet the server with (EHLO), a domain name or address literal. Empty: this machine's name if it is a full one, else the address of the connection (RFC 5321 section 4.1.4).";
    INSECURE_AUTH InsecureAuth 9 Integer ReadWrite "0"
        "INSECURE: 1 allows a password to be sent without TLS, or over TLS with a certificate that was not verified. To a loopback address it is always allowed, unless a proxy or a socket of the caller leads there.";
    INSECURE_SKIP_VERIFY InsecureSkipVerify 10 Integer ReadWrite "0"
        "INSECURE: 1 switches the check of the server's certificate off and trusts it all the same.";
    ALL_OR_NOTHING AllOrNothing 11 Integer ReadWrite "0"
        "1 lets one refused recipient stop the message: then nothing is sent to anyone. Costs a round trip, as DATA waits for every recipient's reply.";
    DELIVERY_OPTIONS DeliveryOptions 12 Integer ReadWrite "0"
        "Which notifications to ask for with every message, SMTP_DELIVERY_ bits (DSN, RFC 3461); 0 leaves it to the servers.";
    ENVELOPE_ID EnvelopeId 13 Text ReadWrite ""
        "An identifier that notifications bring back (ENVID, RFC 3461 section 4.4): printable ASCII, at most 100 characters.";
    LEAVE_OUT LeaveOut 14 Integer ReadWrite "0"
        "1 has notifications, and other wishes that say so, left out where the server does not offer them, instead of the message failing.";
    MAIL_PARAMETERS MailParameters 15 Text ReadWrite ""
        "Further parameters of MAIL as they stand on the line, separated by blanks (RFC 5321 section 4.1.2); not compared with what the server offers.";
    CHUNKING Chunking 16 Integer ReadWrite "1"
        "When to send with BDAT instead of DATA (RFC 3030), one of the SMTP_CHUNKING_ constants: never, when the message needs it, or whenever the server offers it.";
    BINARY Binary 17 Integer ReadWrite "0"
        "1 sends the message octet for octet, without any repair (BODY=BINARYMIME, RFC 3030); an error before anything is sent where the server does not offer BINARYMIME and CHUNKING.";
    STRICT_LINE_ENDS StrictLineEnds 18 Integer ReadWrite "0"
        "1 refuses a message with a bare CR or LF (SMTP_ERROR_LINE_END, with the line) instead of repairing it. In memory and in a file that is found before anything is sent; from a reader, the connection is closed at that line.";
    SMTPUTF8 Smtputf8 19 Integer ReadWrite "0"
        "1 asks for SMTPUTF8 (RFC 6531) with every message. Not needed for addresses, nor for a header that is in memory or within the first 64 KiB of a file: those are looked at.";
    TIMEOUT Timeout 20 Integer ReadWrite "0"
        "The limit of one call as a whole, in milliseconds; 0 is none. Whichever limit is nearer counts.";
    TIMEOUT_RESOLVE TimeoutResolve 21 Integer ReadWrite "30000"
        "The limit for looking the host name up, in milliseconds; 0 is none.";
    TIMEOUT_CONNECT TimeoutConnect 22 Integer ReadWrite "30000"
        "The limit for making the TCP connection, all addresses together, in milliseconds; 0 is none.";
    TIMEOUT_TLS TimeoutTls 23 Integer ReadWrite "30000"
        "The limit for the TLS handshake, in milliseconds; 0 is none.";
    TIMEOUT_GREETING TimeoutGreeting 24 Integer ReadWrite "300000"
        "The limit for the server's greeting, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.1).";
    TIMEOUT_COMMAND TimeoutCommand 25 Integer ReadWrite "300000"
        "The limit for the replies to EHLO, HELO, STARTTLS, AUTH, RSET and commands of one's own, in milliseconds; 0 is none.";
    TIMEOUT_MAIL TimeoutMail 26 Integer ReadWrite "300000"
        "The limit for the reply to MAIL, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.2).";
    TIMEOUT_RCPT TimeoutRcpt 27 Integer ReadWrite "300000"
        "The limit for the reply to each RCPT, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.3).";
    TIMEOUT_DATA TimeoutData 28 Integer ReadWrite "120000"
        "The limit for the reply to DATA, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.4).";
    TIMEOUT_CONTENT TimeoutContent 29 Integer ReadWrite "180000"
        "The longest time without progress while the message is sent, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.5).";
    TIMEOUT_END TimeoutEnd 30 Integer ReadWrite "600000"
        "The limit for the reply to the end of the message, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.6).";
    TIMEOUT_QUIT TimeoutQuit 31 Integer ReadWrite "2000"
        "The limit for the reply to QUIT, in milliseconds; 0 is none.";
    DELIVER_BY DeliverBy 40 Text ReadWrite ""
        "When every message is to be delivered, seconds;mode (DELIVERBY, RFC 2852 section 4), such as 120;R or -5;NT: R has a late message returned, N has the sender told, T has every relay report. Where it is not offered, N is left out with LEAVE_OUT; R is an error. Empty: no wish.";
    HOLD_FOR HoldFor 41 Integer ReadWrite "0"
        "For how many seconds the server is to hold every message, 1 to 999999999 (FUTURERELEASE, RFC 4865); 0 is not at all. Excludes HOLD_UNTIL. Where it is not offered, or not for so long, that is an error also with LEAVE_OUT.";
    HOLD_UNTIL HoldUntil 42 Text ReadWrite ""
        "Until when the server is to hold every message, a date and time of RFC 3339 such as 2026-11-02T10:00:00Z (FUTURERELEASE, RFC 4865); sent in UTC and whole seconds. Excludes HOLD_FOR. Empty: not at all. Else as HOLD_FOR.";
    MT_PRIORITY MtPriority 43 Integer ReadWrite "0"
        "The priority of every message, -9 to 9 (MT-PRIORITY, RFC 6710); 0 asks for nothing, which means the same. Left out with LEAVE_OUT where it is not offered.";
    REQUIRE_TLS RequireTls 44 Integer ReadWrite "0"
        "1 has every message travel over verified TLS to its end or come back (REQUIRETLS, RFC 8689). An error before anything is sent, also with LEAVE_OUT, unless the server offers it and this session has TLS with a verified certificate.";
    AUTH_SENDER AuthSender 45 Text ReadWrite ""
        "Who handed every message in at first, a mailbox, or <> if that is not known (AUTH= of MAIL, RFC 4954 section 5). Empty: nothing is said. Left out with LEAVE_OUT where the server offers no login.";
    DISABLED_EXTENSIONS DisabledExtensions 50 Text ReadWrite ""
        "Extensions that are not to be used, keywords separated by blanks, such as PIPELINING SIZE: treated as not offered from the next EHLO on.";
    TRACE_FILE TraceFile 60 Text ReadWrite ""
        "The path of a file to which the conversation is appended as a transcript, secrets masked; empty: none. Opened when it is set, and made so that only its owner can read it. A write that fails later is left out and fails no call.";
    TRACE_KEEP TraceKeep 61 Integer ReadWrite "0"
        "How many of the last records of the conversation are kept for SMTP_PROPERTY_TRACE_TEXT, at most 10000; of more than 16 MiB the oldest go first. 0 keeps none.";
    TRACE_FLAGS TraceFlags 62 Integer ReadWrite "0"
        "What the trace has besides, SMTP_TRACE_ bits.";
    INSECURE_TRACE_SECRETS InsecureTraceSecrets 63 Integer ReadWrite "0"
        "INSECURE: 1 shows passwords in the trace and in events as they are sent.";
    TLS_MIN_VERSION TlsMinVersion 64 Integer ReadWrite "771"
        "The least version of TLS, one of the SMTP_TLS_VERSION_ constants; above TLS_MAX_VERSION, SmtpConnect refuses it.";
    TLS_MAX_VERSION TlsMaxVersion 65 Integer ReadWrite "772"
        "The highest version of TLS, one of the SMTP_TLS_VERSION_ constants.";
    TLS_SERVER_NAME TlsServerName 66 Text ReadWrite ""
        "The name that the server's certificate must be for, a host name or address, also told to the server (SNI). Empty: the host that was connected to.";
    CA_FOLDER CaFolder 67 Text ReadWrite ""
        "The path of a folder whose PEM files have the authorities to trust instead of the system's. CA_FILE, CA_FOLDER and CA_DATA are taken together.";
    CA_DATA CaData 68 Text ReadWrite ""
        "The authorities to trust instead of the system's, as the text of a PEM file.";
    CLIENT_CERTIFICATE ClientCertificate 69 Text ReadWrite ""
        "The path of a file with this client's certificate, for servers that ask for one, and those of its issuers: PEM, DER or PKCS#12, told apart by what is in it. Empty: none.";
    CLIENT_KEY ClientKey 70 Text ReadWrite ""
        "The path of a file with the key of that certificate: PEM or DER; PKCS#8 may be encrypted. Empty: it is in the same file.";
    CLIENT_KEY_PASSWORD ClientKeyPassword 71 Text WriteOnly ""
        "The password of the key, or of the PKCS#12 file. Can be set but not read; wiped from memory on release.";
    CLIENT_CERTIFICATE_DATA ClientCertificateData 72 Text WriteOnly ""
        "What a file of CLIENT_CERTIFICATE would have in it, instead of one; DER and PKCS#12 by SmtpSetData. Can be set but not read.";
    CLIENT_KEY_DATA ClientKeyData 73 Text WriteOnly ""
        "What a file of CLIENT_KEY would have in it, instead of one; DER by SmtpSetData. Can be set but not read; wiped from memory on release.";
    TLS_PINS TlsPins 74 Text ReadWrite ""
        "The only certificates accepted, one a line: sha256: and the hexadecimal digest of a certificate, or sha256// and the Base64 digest of a public key (SubjectPublicKeyInfo). Compared with the server's own certificate in every mode, besides all other checks. Empty: any.";
    TLS_RESUMPTION TlsResumption 75 Integer ReadWrite "1"
        "1 lets a connection resume the TLS session of an earlier one of this process, if that was to the same server with the same settings, which saves time.";
    CRL_FILE CrlFile 76 Text ReadWrite ""
        "The path of a file with revocation lists, PEM or DER, one at least of the authority that issued the server's certificate: a certificate on a list is refused, and one without a list too, with another error. Empty: revocation is not looked at.";
    AUTH_TYPE AuthType 80 Integer ReadWrite "-1"
        "How to log in, one of the SMTP_AUTH_ constants. What the server does not offer is refused before anything is sent.";
    BEARER_TOKEN BearerToken 81 Text WriteOnly ""
        "An OAuth 2.0 access token, for SmtpAuthenticate without a password where the type takes a token; with SMTP_AUTH_AUTOMATIC it is preferred to a password. Can be set but not read; wiped from memory on release.";
    AUTH_IDENTITY AuthIdentity 82 Text ReadWrite ""
        "Whom to act as, if not as the user who logs in (authorization identity, RFC 4422). PLAIN, SCRAM, DIGEST-MD5, OAUTHBEARER, EXTERNAL and GSSAPI have a place for it; no other method is used then.";
    AUTH_METHODS AuthMethods 83 Text ReadWrite ""
        "With SMTP_AUTH_AUTOMATIC, the login methods that may be used, the best first, by their names on the wire separated by blanks, such as SCRAM-SHA-256 PLAIN; the first that the server offers is taken. Empty: the usual order.";
    AUTH_REALM AuthRealm 84 Text ReadWrite ""
        "The realm for DIGEST-MD5, where the server names several, and the domain for NTLM, where the user name has none. Empty: the server's first, and no domain.";
    IS_CONNECTED IsConnected 100 Integer ReadOnly "0"
        "1 while the client is connected, as far as it has noticed.";
    IS_EXTENDED IsExtended 101 Integer ReadOnly "0"
        "1 if the server accepted EHLO, 0 if only HELO.";
    RESULT_CODE ResultCode 102 Integer ReadOnly "0"
        "The three-digit code of the server's last reply; 0 if there was none.";
    RESULT_STRING ResultString 103 Text ReadOnly ""
        "The text of the server's last reply, its lines joined by line feeds.";
    ENHANCED_CODE EnhancedCode 104 Text ReadOnly ""
        "The enhanced status code of the server's last reply, such as 5.1.1 (RFC 3463); empty if it had none.";
    EXTENSIONS Extensions 105 Text ReadOnly ""
        "The extensions that the server offers, as it wrote them, one a line.";
    AUTH_MECHANISMS AuthMechanisms 106 Text ReadOnly ""
        "The login mechanisms that the server offers, separated by blanks.";
    AUTH_MECHANISM AuthMechanism 107 Text ReadOnly ""
        "The mechanism that logged in; empty before.";
    SIZE_LIMIT SizeLimit 108 Integer ReadOnly "0"
        "The largest message that the server accepts, in octets (RFC 1870); 0 if it names no limit.";
    PEER_ADDRESS PeerAddress 109 Text ReadOnly ""
        "The address and port of the server.";
    LOCAL_ADDRESS LocalAddress 110 Text ReadOnly ""
        "The address and port of this end of the connection.";
    EXTENDED_OPTIONS ExtendedOptions 111 Integer ReadOnly "0"
        "The known extensions that the server offers and that are not left out, SMTP_EXTOPT_ bits.";
    LEFT_OUT_EXTENSIONS LeftOutExtensions 112 Text ReadOnly ""
        "The extensions that the server offers and that are not used, one a line: keyword, colon, reason. They were switched off, or the server refused MAIL for the parameter of an extension that it offers, and MAIL was repeated without; such a one is left out with this server for the rest of the client's life.";
    TLS_PROTOCOL TlsProtocol 120 Text ReadOnly ""
        "The TLS version in use, such as TLS 1.3; empty without TLS.";
    TLS_CIPHER TlsCipher 121 Text ReadOnly ""
        "The cipher suite in use by its IANA name; empty without TLS.";
    TLS_VERIFIED TlsVerified 122 Integer ReadOnly "0"
        "1 if the server's certificate was checked and is good.";
    TLS_OBJECTION TlsObjection 123 Text ReadOnly ""
        "Why the certificate was not found good, where TLS is used all the same (opportunistic, or checks switched off).";
    CERTIFICATE_STATUS CertificateStatus 124 Integer ReadOnly "0"
        "What the check of the server's certificate came to, one of the SMTP_CERTIFICATE_ constants; also told where it changes nothing (opportunistic, or checks switched off).";
    CERTIFICATE_SUBJECT CertificateSubject 125 Text ReadOnly ""
        "Whom the server's certificate was issued to, such as CN=mail.example.com,O=Example,C=DE (RFC 4514).";
    CERTIFICATE_ISSUER CertificateIssuer 126 Text ReadOnly ""
        "Who issued the server's certificate, in the same form.";
    CERTIFICATE_ISSUED CertificateIssued 127 Text ReadOnly ""
        "From when the certificate is valid, such as 2026-01-31T00:00:00Z (RFC 3339, UTC).";
    CERTIFICATE_EXPIRES CertificateExpires 128 Text ReadOnly ""
        "Until when the certificate is valid, in the same form.";
    CERTIFICATE_FINGERPRINT CertificateFingerprint 129 Text ReadOnly ""
        "The SHA-256 digest of the certificate, 64 hexadecimal digits.";
    CERTIFICATE_NAMES CertificateNames 130 Text ReadOnly ""
        "The names and addresses that the certificate is for (subjectAltName, RFC 5280), one a line.";
    CIPHER_STRENGTH CipherStrength 131 Integer ReadOnly "0"
        "The bits of the cipher's key, such as 256; 0 without TLS.";
    HASH_STRENGTH HashStrength 132 Integer ReadOnly "0"
        "The bits of the cipher suite's hash, such as 384; 0 without TLS.";
    KEY_EXCHANGE KeyExchange 133 Text ReadOnly ""
        "The group of the key exchange by its IANA name, such as X25519; empty without TLS.";
    SECURE Secure 134 Integer ReadOnly "0"
        "1 while the client is connected with TLS.";
    OUTCOME Outcome 140 Integer ReadOnly "0"
        "What became of the last message, one of the SMTP_OUTCOME_ constants.";
    SAFE_TO_RETRY SafeToRetry 141 Integer ReadOnly "1"
        "1 if sending the last message again cannot deliver it twice.";
    RECIPIENTS_ACCEPTED RecipientsAccepted 142 Integer ReadOnly "0"
        "How many recipients of the last message the server accepted.";
    RECIPIENTS_REFUSED RecipientsRefused 143 Integer ReadOnly "0"
        "How many recipients of the last message the server refused.";
    REFUSED_RECIPIENTS RefusedRecipients 144 Text ReadOnly ""
        "The refused recipients of the last message, one a line: address, colon, code, text.";
    FINAL_REPLY FinalReply 145 Text ReadOnly ""
        "The server's reply to the end of the last message: code and text.";
    QUEUE_ID QueueId 146 Text ReadOnly ""
        "The id under which the server queued the last message, where its final reply has a known form.";
    LAST_ERROR LastError 160 Integer ReadWrite "0"
        "The code of this client's last failure. A success leaves it; set it to 0 to clear it.";
    ERROR_CLASS ErrorClass 161 Integer ReadOnly "0"
        "The family of the last failure, one of the SMTP_CLASS_ constants; 0 if there was none.";
    ERROR_PHASE ErrorPhase 162 Integer ReadOnly "0"
        "What was being done at the last failure, one of the SMTP_PHASE_ constants.";
    ERROR_RESULT_CODE ErrorResultCode 163 Integer ReadOnly "0"
        "The reply code that caused the last failure; 0 if no reply did.";
    ERROR_ENHANCED_CODE ErrorEnhancedCode 164 Text ReadOnly ""
        "The enhanced status code of that reply.";
    ERROR_REPLY ErrorReply 165 Text ReadOnly ""
        "The text of that reply, its lines joined by line feeds.";
    ERROR_OS ErrorOs 166 Integer ReadOnly "0"
        "The operating system's error number of the last failure; 0 if it was not the system's.";
    ERROR_TLS_REASON ErrorTlsReason 167 Text ReadOnly ""
        "The TLS library's own reason for the last failure.";
    ERROR_ADDRESS ErrorAddress 168 Text ReadOnly ""
        "The mail or network address that the last failure concerns.";
    ERROR_REMEDY ErrorRemedy 169 Text ReadOnly ""
        "What to do about the last failure, one sentence.";
    ERROR_JSON ErrorJson 170 Text ReadOnly ""
        "The whole record of the last failure as a JSON object; empty if there was none. Members: code, name, class, phase, what, remedy, and where they apply reply (code, text, enhanced), command, os_error, tls_reason, address, attempts (address, error), offered (names), skipped (name, reason), outcome, safe_to_retry.";
    ERROR_OFFERED ErrorOffered 171 Text ReadOnly ""
        "Where the last failure was that of a choice, what the server offered, one a line: login mechanisms, or extensions.";
    ERROR_SKIPPED ErrorSkipped 172 Text ReadOnly ""
        "Where the last failure was that of a choice, what was passed over, one a line: name, colon, reason.";
    ERROR_OUTCOME ErrorOutcome 173 Integer ReadOnly "-1"
        "What became of the message whose sending failed last, one of the SMTP_OUTCOME_ constants; -1 if the last failure was not of a message.";
    ERROR_SAFE_TO_RETRY ErrorSafeToRetry 174 Integer ReadOnly "1"
        "0 if doing again what failed last could deliver a message twice.";
    ERROR_COMMAND ErrorCommand 175 Text ReadOnly ""
        "The verb of the command that the reply of the last failure answers, such as RCPT; EHLO also for HELO, DATA also for the content. Empty if no reply was the cause.";
    TRACE_TEXT TraceText 180 Text ReadOnly ""
        "The last records of the conversation as a transcript, as many as SMTP_PROPERTY_TRACE_KEEP says.";
    STATE State 181 Integer ReadOnly "0"
        "What the client is doing just now, one of the SMTP_STATUS_ constants.";
    PHASE Phase 182 Integer ReadOnly "0"
        "What the running call is doing just now, one of the SMTP_PHASE_ constants; without a call SMTP_PHASE_IDLE, or SMTP_PHASE_ARGUMENT if the client is not connected.";
    IS_BLOCKED IsBlocked 183 Integer ReadOnly "0"
        "1 while a call runs on the client.";
    TIME_RESOLVE TimeResolve 184 Integer ReadOnly "0"
        "The milliseconds that the look-up of the host name took for the last connection.";
    TIME_CONNECT TimeConnect 185 Integer ReadOnly "0"
        "The milliseconds that the TCP connection took.";
    TIME_TLS TimeTls 186 Integer ReadOnly "0"
        "The milliseconds that the TLS handshake took.";
    TIME_GREETING TimeGreeting 187 Integer ReadOnly "0"
        "The milliseconds from the connection to the last reply to EHLO, without the TLS handshake.";
    TIME_AUTH TimeAuth 188 Integer ReadOnly "0"
        "The milliseconds that the last login took.";
    TIME_ENVELOPE TimeEnvelope 189 Integer ReadOnly "0"
        "The milliseconds that MAIL, RCPT and DATA of the last message took.";
    TIME_CONTENT TimeContent 190 Integer ReadOnly "0"
        "The milliseconds that the content of the last message took.";
    TIME_END TimeEnd 191 Integer ReadOnly "0"
        "The milliseconds that the reply to the end of the last message took.";
    TIME_TOTAL TimeTotal 192 Integer ReadOnly "0"
        "The milliseconds that the last call over the network took, waiting for its turn left out.";
    BYTES_SENT BytesSent 193 Integer ReadOnly "0"
        "The octets sent over the last connection, without what TLS adds, as of the end of the last call.";
    BYTES_RECEIVED BytesReceived 194 Integer ReadOnly "0"
        "The octets received over the last connection, without what TLS adds, as of the end of the last call.";
    TRANSFER_BYTES TransferBytes 195 Integer ReadOnly "0"
        "The octets of content taken from their source for the message under way, or the last one.";
    TRANSFER_TIME TransferTime 196 Integer ReadOnly "0"
        "The milliseconds that the content of the last message took, the wait for the reply left out.";
    TRANSFER_RATE TransferRate 197 Integer ReadOnly "0"
        "SMTP_PROPERTY_TRANSFER_BYTES in a second; a time below a millisecond counts as one.";
    VERSION Version 198 Text ReadOnly ""
        "The version of the library that is loaded.";
    CHANNEL_BINDING_EXPORTER ChannelBindingExporter 200 Text ReadOnly ""
        "The channel binding tls-exporter of the connection (RFC 9266), 64 hexadecimal digits; empty without TLS 1.3.";
    CHANNEL_BINDING_END_POINT ChannelBindingEndPoint 201 Text ReadOnly ""
        "The channel binding tls-server-end-point of the connection (RFC 5929), hexadecimal digits; empty without TLS, or where the certificate's signature names no hash.";
    TLS_RESUMED TlsResumed 202 Integer ReadOnly "0"
        "1 if the connection resumed the TLS session of an earlier one.";
    CERTIFICATE_COUNT CertificateCount 203 Integer ReadOnly "0"
        "How many certificates the server sent, its own and those of its issuers; see SmtpGetCertificate.";
    CERTIFICATE_PIN CertificatePin 204 Text ReadOnly ""
        "The pin of the key of the server's certificate, as SMTP_PROPERTY_TLS_PINS takes it: sha256// and Base64.";
    PROXY Proxy 230 Text ReadWrite ""
        "The proxy to connect through, such as socks5://user:password@host:1080, socks4a://host:1080 or http://host:3128 (SOCKS 5: RFC 1928, RFC 1929; HTTP CONNECT: RFC 9110); user and password with percent-encoding. The proxy looks host names up. Read back, the password is masked. A Unix socket is connected to without it. Empty: none.";
    TIMEOUT_PROXY TimeoutProxy 231 Integer ReadWrite "60000"
        "The limit for the proxy's answer, its own connection to the server included, in milliseconds; 0 is none.";
    CONNECT_ADDRESS ConnectAddress 232 Text ReadWrite ""
        "The IP address to connect to, or several separated by commas, instead of looking the host up; the host stays the name that the certificate must be for. Excludes PROXY. Empty: the host's.";
    ADDRESS_FAMILY AddressFamily 233 Integer ReadWrite "0"
        "Which addresses may be connected to, one of the SMTP_FAMILY_ constants; with a proxy, the proxy's.";
    LOCAL_BIND_ADDRESS LocalBindAddress 234 Text ReadWrite ""
        "The address of this machine to connect from, such as 192.0.2.7, 192.0.2.7:5025 with a port; an IPv6 address with a port stands in brackets. Empty: the system chooses.";
    LOCAL_INTERFACE LocalInterface 235 Text ReadWrite ""
        "The network interface to connect through, such as eth0 (SO_BINDTODEVICE; Linux and Android only). Empty: the system chooses.";
    KEEP_ALIVE KeepAlive 236 Integer ReadWrite "0"
        "After how many seconds of silence the system asks whether the server is there, so that routers on the way remember the connection, 1 to 32767 (SO_KEEPALIVE, TCP_KEEPIDLE); 0 never.";
    ERROR_ATTEMPTS ErrorAttempts 240 Text ReadOnly ""
        "Where no connection could be made, the addresses that were tried, one a line: address, colon, reason.";
    TIME_PROXY TimeProxy 241 Integer ReadOnly "0"
        "The milliseconds that the proxy took for the last connection.";
    BLOCKING Blocking 250 Integer ReadWrite "1"
        "0 lets no operation that follows wait: what cannot be done at once returns SMTP_PENDING and is gone on with by SmtpProcess, when SmtpGetPollInfo says.";
    BATCH_MESSAGES BatchMessages 260 Integer ReadWrite "32"
        "How many messages of a batch may be in flight with BDAT; 1 or 0 sends one by one, also with DATA.";
    BATCH_OCTETS BatchOctets 261 Integer ReadWrite "262144"
        "How many octets of content of a batch may be in flight with BDAT.";
    BATCH_MODE BatchMode 262 Integer ReadOnly "0"
        "How the messages of the last batch followed on each other, one of the SMTP_BATCH_MODE_ constants.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_every_row_is_documented() {
        assert!(TABLE.windows(2).all(|pair| (pair[0].property as u32) < pair[1].property as u32));
        for row in TABLE {
            assert!(row.doc.ends_with('.'), "{}", row.name);
            assert!(row.kind == Kind::Text || row.default.parse::<i64>().is_ok(), "{}", row.name);
            assert_eq!(Row::of(row.property as u32).map(|found| found.name), Some(row.name));
        }
        assert!(Row::of(0).is_none() && Row::of(99_999).is_none());
    }
}
