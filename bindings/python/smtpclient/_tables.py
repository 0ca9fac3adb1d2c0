"""Constants, properties and error codes of libsmtpclient.

Generated from the sources by tests/generated.rs; do not edit.
"""

from __future__ import annotations

from typing import NamedTuple

VERSION = "0.1.0"
ABI_VERSION = 0
PENDING = 1

# Options of SmtpConnect and SMTP_PROPERTY_OPTIONS; bits.
OPTION_NONE = 0
OPTION_EXTENDED = 1
OPTION_TUNNEL = 1024
OPTION_TRUSTEDSITE = 2048
OPTION_SECURE = 4096
OPTION_SECURE_IMPLICIT = 8192
OPTION_BASIC = 65536
OPTION_LMTP = 131072
OPTION_PREFER_IPV6 = 262144

# Ports for SmtpConnect.
PORT_LMTP = 24
PORT_STANDARD = 25
PORT_SECURE = 465
PORT_SUBMISSION = 587

# Bits of SMTP_PROPERTY_DELIVERY_OPTIONS.
DELIVERY_NOTIFY_NEVER = 32768
DELIVERY_NOTIFY_SUCCESS = 65536
DELIVERY_NOTIFY_FAILURE = 131072
DELIVERY_NOTIFY_DELAY = 262144
DELIVERY_RETURN_HEADERS = 524288
DELIVERY_RETURN_MESSAGE = 1048576

# Bits of SMTP_PROPERTY_EXTENDED_OPTIONS: what the server offers.
EXTOPT_EXPN = 1
EXTOPT_VRFY = 2
EXTOPT_DSN = 4
EXTOPT_SIZE = 8
EXTOPT_ETRN = 16
EXTOPT_8BITMIME = 32
EXTOPT_AUTHLOGIN = 64
EXTOPT_STARTTLS = 128
EXTOPT_PIPELINING = 256
EXTOPT_CHUNKING = 512
EXTOPT_BINARYMIME = 1024
EXTOPT_SMTPUTF8 = 2048
EXTOPT_ENHANCEDSTATUSCODES = 4096
EXTOPT_DELIVERBY = 8192
EXTOPT_FUTURERELEASE = 16384
EXTOPT_MT_PRIORITY = 32768
EXTOPT_REQUIRETLS = 65536
EXTOPT_LIMITS = 131072
EXTOPT_HELP = 262144

# Values of SMTP_PROPERTY_TLS_MODE.
TLS_OPPORTUNISTIC = 0
TLS_NONE = 1
TLS_REQUIRED = 2
TLS_IMPLICIT = 3

# Values of SmtpSecurityInfo: the version of TLS.
PROTOCOL_NONE = 0
PROTOCOL_TLS_1_2 = 771
PROTOCOL_TLS_1_3 = 772

# Values of SMTP_PROPERTY_TLS_MIN_VERSION and SMTP_PROPERTY_TLS_MAX_VERSION.
TLS_VERSION_1_2 = 771
TLS_VERSION_1_3 = 772

# Values of SMTP_PROPERTY_AUTH_TYPE: how to log in.
AUTH_AUTOMATIC = -1
AUTH_LOGIN = 0
AUTH_PLAIN = 1
AUTH_XOAUTH2 = 3
AUTH_BEARER = 4
AUTH_CRAM_MD5 = 5
AUTH_EXTERNAL = 6
AUTH_SCRAM_SHA_1 = 7
AUTH_SCRAM_SHA_256 = 8
AUTH_SCRAM_SHA_512 = 9
AUTH_SCRAM_SHA_1_PLUS = 10
AUTH_SCRAM_SHA_256_PLUS = 11
AUTH_SCRAM_SHA_512_PLUS = 12
AUTH_DIGEST_MD5 = 13
AUTH_NTLM = 14
AUTH_ANONYMOUS = 15
AUTH_GSSAPI = 16

# Values of SMTP_PROPERTY_CERTIFICATE_STATUS.
CERTIFICATE_NONE = 0
CERTIFICATE_VALID = 1
CERTIFICATE_NO_MATCH = 2
CERTIFICATE_EXPIRED = 3
CERTIFICATE_REVOKED = 4
CERTIFICATE_UNTRUSTED = 5
CERTIFICATE_INVALID = 6

# Values of SMTP_PROPERTY_CHUNKING: when to send with BDAT.
CHUNKING_NEVER = 0
CHUNKING_WHEN_NEEDED = 1
CHUNKING_ALWAYS = 2

# Values of SMTP_PROPERTY_ADDRESS_FAMILY.
FAMILY_ANY = 0
FAMILY_IPV4 = 1
FAMILY_IPV6 = 2

# Values of SMTP_PROPERTY_OUTCOME: what became of the last message.
OUTCOME_NOT_SENT = 0
OUTCOME_ACCEPTED = 1
OUTCOME_REJECTED_TEMPORARY = 2
OUTCOME_REJECTED_PERMANENT = 3
OUTCOME_UNKNOWN = 4

# States of SmtpRecipient: what became of the message for one recipient.
RECIPIENT_NOT_TRIED = 0
RECIPIENT_ACCEPTED = 1
RECIPIENT_REFUSED_TEMPORARY = 2
RECIPIENT_REFUSED_PERMANENT = 3
RECIPIENT_UNKNOWN = 4

# Texts of SmtpGetRecipientString.
RECIPIENT_TEXT_ADDRESS = 1
RECIPIENT_TEXT_REPLY = 2

# Options of SmtpMessageExport, SmtpMessageExportFile, SmtpMessageExportStream and SmtpMessageGetSize; bits.
EXPORT_DEFAULT = 0
EXPORT_ALLHEADERS = 1
EXPORT_KEEPORDER = 2

# Numbers of SmtpMessageSetInteger and SmtpMessageGetInteger.
MESSAGE_PRIORITY = 1
MESSAGE_FLOWED = 2
MESSAGE_ENCODING = 3

# Values of SMTP_MESSAGE_ENCODING: how texts are encoded.
ENCODING_AUTOMATIC = 0
ENCODING_QUOTED = 1
ENCODING_BASE64 = 2
ENCODING_8BIT = 3

# Values of SMTP_MESSAGE_PRIORITY: how urgent a message is.
PRIORITY_NONE = 0
PRIORITY_HIGHEST = 1
PRIORITY_HIGH = 2
PRIORITY_NORMAL = 3
PRIORITY_LOW = 4
PRIORITY_LOWEST = 5

# Texts of SmtpMessageGetPartString.
PART_TEXT_TYPE = 1
PART_TEXT_NAME = 2
PART_TEXT_DISPOSITION = 3
PART_TEXT_CONTENT_ID = 4
PART_TEXT_CHARSET = 5
PART_TEXT_ENCODING = 6
PART_TEXT_CONTENT = 7

# Values of SMTP_PROPERTY_BATCH_MODE: how the messages of a batch followed on each other.
BATCH_MODE_ONE_BY_ONE = 0
BATCH_MODE_PIPELINED = 1
BATCH_MODE_IN_FLIGHT = 2

# Texts of SmtpBatchGetString.
BATCH_TEXT_ERROR = 1
BATCH_TEXT_ERROR_JSON = 2
BATCH_TEXT_REPLY = 3
BATCH_TEXT_QUEUE_ID = 4

# Events of SmtpRegisterEvent; bits.
EVENT_CONNECT = 1
EVENT_DISCONNECT = 2
EVENT_TIMEOUT = 16
EVENT_CANCEL = 32
EVENT_PROGRESS = 64
EVENT_COMMAND = 128
EVENT_REPLY = 256
EVENT_ERROR = 512
EVENT_RECIPIENT = 1024
EVENT_MESSAGE = 2048

# Directions in SmtpPollInfo; bits.
POLL_READ = 1
POLL_WRITE = 2

# Properties of a pool that a client has not: SmtpPoolSetInteger, SmtpPoolGetInteger.
POOL_CONNECTIONS = 265
POOL_CONNECTIONS_TOTAL = 266
POOL_MESSAGES_PER_CONNECTION = 267
POOL_MAX_AGE = 268
POOL_IDLE_TIME = 269
POOL_QUEUE_LIMIT = 270
POOL_QUEUE_OCTETS = 271
POOL_RATE = 272
POOL_RATE_PERIOD = 273
POOL_BACK_OFF = 274
POOL_BACK_OFF_MAX = 275
POOL_CONNECT_ATTEMPTS = 276
POOL_QUEUE_TIME = 277

# Texts of SmtpPoolGetResultString.
POOL_TEXT_ERROR_JSON = 1
POOL_TEXT_RECIPIENTS_JSON = 2
POOL_TEXT_ERROR = 3
POOL_TEXT_REPLY = 4
POOL_TEXT_QUEUE_ID = 5

# Bits of SMTP_PROPERTY_TRACE_FLAGS.
TRACE_HEX = 4
TRACE_CONTENT = 8

# Directions of SmtpTraceRecord.
DIRECTION_CLIENT = 0
DIRECTION_SERVER = 1
DIRECTION_CONTENT = 2
DIRECTION_NOTE = 3

# Values of SMTP_PROPERTY_STATE and SmtpGetStatus: what a client is doing.
STATUS_UNUSED = 0
STATUS_IDLE = 1
STATUS_CONNECT = 2
STATUS_READ = 3
STATUS_WRITE = 4
STATUS_DISCONNECT = 5

# What SmtpCheckMessage finds.
CHECK_OVERSIZE = 1
CHECK_NUL = 2
CHECK_BARE_LINE_END = 3
CHECK_LINE_TOO_LONG = 4
CHECK_LINE_LONG = 5
CHECK_EIGHT_BIT = 6
CHECK_EIGHT_BIT_UNDECLARED = 7
CHECK_HEADER_EIGHT_BIT = 8
CHECK_HEADER_CHARSET = 9
CHECK_HEADER_LINE = 10
CHECK_HEADER_NAME = 11
CHECK_HEADER_MISSING = 12
CHECK_HEADER_REPEATED = 13
CHECK_HEADER_EMPTY = 14
CHECK_HEADER_LONG = 15
CHECK_INJECTION = 16
CHECK_BLANK_FOLD = 17
CHECK_ADDRESS = 18
CHECK_LOOK_ALIKE = 19
CHECK_INVISIBLE = 20
CHECK_NAME_IS_ADDRESS = 21
CHECK_SENDER_MISSING = 22
CHECK_DATE = 23
CHECK_MESSAGE_ID = 24
CHECK_BCC = 25
CHECK_LEFTOVER = 26
CHECK_TEXT_EMPTY = 27
CHECK_CONTENT_TYPE = 28
CHECK_BOUNDARY_MISSING = 29
CHECK_BOUNDARY_UNUSED = 30
CHECK_BOUNDARY_OPEN = 31
CHECK_TRANSFER_ENCODING = 32
CHECK_ENCODED_BODY = 33
CHECK_BINARY = 34
CHECK_CHARSET = 35
CHECK_UNSUBSCRIBE = 36
CHECK_TOO_DEEP = 37

# How bad a finding of SmtpCheckMessage is.
SEVERITY_HINT = 1
SEVERITY_WARNING = 2
SEVERITY_ERROR = 3

# Texts of SmtpMessageGetFindingString.
FINDING_TEXT_NAME = 1
FINDING_TEXT_HEADER = 2
FINDING_TEXT_WHAT = 3
FINDING_TEXT_REMEDY = 4

# Values of SMTP_PROPERTY_ERROR_CLASS: who has to act.
CLASS_CALLER = 1
CLASS_SERVER = 2
CLASS_WIRE = 3
CLASS_INTERNAL = 4

# Values of SMTP_PROPERTY_ERROR_PHASE and SMTP_PROPERTY_PHASE: what was or is being done.
PHASE_ARGUMENT = 0
PHASE_RESOLVE = 1
PHASE_CONNECT = 2
PHASE_GREETING = 3
PHASE_EHLO = 4
PHASE_STARTTLS = 5
PHASE_TLS = 6
PHASE_AUTH = 7
PHASE_MAIL = 8
PHASE_RCPT = 9
PHASE_DATA = 10
PHASE_CONTENT = 11
PHASE_END = 12
PHASE_RESET = 13
PHASE_QUIT = 14
PHASE_IDLE = 15
PHASE_COMMAND = 16
PHASE_PROXY = 17


class PropertyRow(NamedTuple):
    """One property: its number, type (text or integer), access (rw, r or w) and meaning."""

    id: int
    kind: str
    access: str
    doc: str


PROPERTIES: dict[str, PropertyRow] = {
    "host": PropertyRow(1, "text", "rw", "The server's host name or address, for SmtpConnect without one. An IPv6 address may stand in brackets. A path that begins with a slash is a Unix socket."),
    "port": PropertyRow(2, "integer", "rw", "The server's port, for SmtpConnect without one. 0 means 25, or 465 with implicit TLS, or 24 with LMTP."),
    "user": PropertyRow(3, "text", "rw", "The user name, for SmtpAuthenticate without one."),
    "password": PropertyRow(4, "text", "w", "The password, for SmtpAuthenticate without one. Can be set but not read; wiped from memory on release."),
    "options": PropertyRow(5, "integer", "rw", "The SMTP_OPTION_ bits, for SmtpConnect without any."),
    "tls_mode": PropertyRow(6, "integer", "rw", "How to use TLS, one of the SMTP_TLS_ constants, unless the options of SmtpConnect say otherwise (RFC 3207, RFC 8314)."),
    "ca_file": PropertyRow(7, "text", "rw", "The path of a PEM file with the authorities to trust instead of the system's. Empty, as CA_FOLDER and CA_DATA: the system's."),
    "local_name": PropertyRow(8, "text", "rw", "The name to greet the server with (EHLO), a domain name or address literal. Empty: this machine's name if it is a full one, else the address of the connection (RFC 5321 section 4.1.4)."),
    "insecure_auth": PropertyRow(9, "integer", "rw", "INSECURE: 1 allows a password to be sent without TLS, or over TLS with a certificate that was not verified. To a loopback address it is always allowed, unless a proxy or a socket of the caller leads there."),
    "insecure_skip_verify": PropertyRow(10, "integer", "rw", "INSECURE: 1 switches the check of the server's certificate off and trusts it all the same."),
    "all_or_nothing": PropertyRow(11, "integer", "rw", "1 lets one refused recipient stop the message: then nothing is sent to anyone. Costs a round trip, as DATA waits for every recipient's reply."),
    "delivery_options": PropertyRow(12, "integer", "rw", "Which notifications to ask for with every message, SMTP_DELIVERY_ bits (DSN, RFC 3461); 0 leaves it to the servers."),
    "envelope_id": PropertyRow(13, "text", "rw", "An identifier that notifications bring back (ENVID, RFC 3461 section 4.4): printable ASCII, at most 100 characters."),
    "leave_out": PropertyRow(14, "integer", "rw", "1 has notifications, and other wishes that say so, left out where the server does not offer them, instead of the message failing."),
    "mail_parameters": PropertyRow(15, "text", "rw", "Further parameters of MAIL as they stand on the line, separated by blanks (RFC 5321 section 4.1.2); not compared with what the server offers."),
    "chunking": PropertyRow(16, "integer", "rw", "When to send with BDAT instead of DATA (RFC 3030), one of the SMTP_CHUNKING_ constants: never, when the message needs it, or whenever the server offers it."),
    "binary": PropertyRow(17, "integer", "rw", "1 sends the message octet for octet, without any repair (BODY=BINARYMIME, RFC 3030); an error before anything is sent where the server does not offer BINARYMIME and CHUNKING."),
    "strict_line_ends": PropertyRow(18, "integer", "rw", "1 refuses a message with a bare CR or LF (SMTP_ERROR_LINE_END, with the line) instead of repairing it. In memory and in a file that is found before anything is sent; from a reader, the connection is closed at that line."),
    "smtputf8": PropertyRow(19, "integer", "rw", "1 asks for SMTPUTF8 (RFC 6531) with every message. Not needed for addresses, nor for a header that is in memory or within the first 64 KiB of a file: those are looked at."),
    "timeout": PropertyRow(20, "integer", "rw", "The limit of one call as a whole, in milliseconds; 0 is none. Whichever limit is nearer counts."),
    "timeout_resolve": PropertyRow(21, "integer", "rw", "The limit for looking the host name up, in milliseconds; 0 is none."),
    "timeout_connect": PropertyRow(22, "integer", "rw", "The limit for making the TCP connection, all addresses together, in milliseconds; 0 is none."),
    "timeout_tls": PropertyRow(23, "integer", "rw", "The limit for the TLS handshake, in milliseconds; 0 is none."),
    "timeout_greeting": PropertyRow(24, "integer", "rw", "The limit for the server's greeting, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.1)."),
    "timeout_command": PropertyRow(25, "integer", "rw", "The limit for the replies to EHLO, HELO, STARTTLS, AUTH, RSET and commands of one's own, in milliseconds; 0 is none."),
    "timeout_mail": PropertyRow(26, "integer", "rw", "The limit for the reply to MAIL, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.2)."),
    "timeout_rcpt": PropertyRow(27, "integer", "rw", "The limit for the reply to each RCPT, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.3)."),
    "timeout_data": PropertyRow(28, "integer", "rw", "The limit for the reply to DATA, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.4)."),
    "timeout_content": PropertyRow(29, "integer", "rw", "The longest time without progress while the message is sent, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.5)."),
    "timeout_end": PropertyRow(30, "integer", "rw", "The limit for the reply to the end of the message, in milliseconds; 0 is none (RFC 5321 section 4.5.3.2.6)."),
    "timeout_quit": PropertyRow(31, "integer", "rw", "The limit for the reply to QUIT, in milliseconds; 0 is none."),
    "deliver_by": PropertyRow(40, "text", "rw", "When every message is to be delivered, seconds;mode (DELIVERBY, RFC 2852 section 4), such as 120;R or -5;NT: R has a late message returned, N has the sender told, T has every relay report. Where it is not offered, N is left out with LEAVE_OUT; R is an error. Empty: no wish."),
    "hold_for": PropertyRow(41, "integer", "rw", "For how many seconds the server is to hold every message, 1 to 999999999 (FUTURERELEASE, RFC 4865); 0 is not at all. Excludes HOLD_UNTIL. Where it is not offered, or not for so long, that is an error also with LEAVE_OUT."),
    "hold_until": PropertyRow(42, "text", "rw", "Until when the server is to hold every message, a date and time of RFC 3339 such as 2026-11-02T10:00:00Z (FUTURERELEASE, RFC 4865); sent in UTC and whole seconds. Excludes HOLD_FOR. Empty: not at all. Else as HOLD_FOR."),
    "mt_priority": PropertyRow(43, "integer", "rw", "The priority of every message, -9 to 9 (MT-PRIORITY, RFC 6710); 0 asks for nothing, which means the same. Left out with LEAVE_OUT where it is not offered."),
    "require_tls": PropertyRow(44, "integer", "rw", "1 has every message travel over verified TLS to its end or come back (REQUIRETLS, RFC 8689). An error before anything is sent, also with LEAVE_OUT, unless the server offers it and this session has TLS with a verified certificate."),
    "auth_sender": PropertyRow(45, "text", "rw", "Who handed every message in at first, a mailbox, or <> if that is not known (AUTH= of MAIL, RFC 4954 section 5). Empty: nothing is said. Left out with LEAVE_OUT where the server offers no login."),
    "disabled_extensions": PropertyRow(50, "text", "rw", "Extensions that are not to be used, keywords separated by blanks, such as PIPELINING SIZE: treated as not offered from the next EHLO on."),
    "trace_file": PropertyRow(60, "text", "rw", "The path of a file to which the conversation is appended as a transcript, secrets masked; empty: none. Opened when it is set, and made so that only its owner can read it. A write that fails later is left out and fails no call."),
    "trace_keep": PropertyRow(61, "integer", "rw", "How many of the last records of the conversation are kept for SMTP_PROPERTY_TRACE_TEXT, at most 10000; of more than 16 MiB the oldest go first. 0 keeps none."),
    "trace_flags": PropertyRow(62, "integer", "rw", "What the trace has besides, SMTP_TRACE_ bits."),
    "insecure_trace_secrets": PropertyRow(63, "integer", "rw", "INSECURE: 1 shows passwords in the trace and in events as they are sent."),
    "tls_min_version": PropertyRow(64, "integer", "rw", "The least version of TLS, one of the SMTP_TLS_VERSION_ constants; above TLS_MAX_VERSION, SmtpConnect refuses it."),
    "tls_max_version": PropertyRow(65, "integer", "rw", "The highest version of TLS, one of the SMTP_TLS_VERSION_ constants."),
    "tls_server_name": PropertyRow(66, "text", "rw", "The name that the server's certificate must be for, a host name or address, also told to the server (SNI). Empty: the host that was connected to."),
    "ca_folder": PropertyRow(67, "text", "rw", "The path of a folder whose PEM files have the authorities to trust instead of the system's. CA_FILE, CA_FOLDER and CA_DATA are taken together."),
    "ca_data": PropertyRow(68, "text", "rw", "The authorities to trust instead of the system's, as the text of a PEM file."),
    "client_certificate": PropertyRow(69, "text", "rw", "The path of a file with this client's certificate, for servers that ask for one, and those of its issuers: PEM, DER or PKCS#12, told apart by what is in it. Empty: none."),
    "client_key": PropertyRow(70, "text", "rw", "The path of a file with the key of that certificate: PEM or DER; PKCS#8 may be encrypted. Empty: it is in the same file."),
    "client_key_password": PropertyRow(71, "text", "w", "The password of the key, or of the PKCS#12 file. Can be set but not read; wiped from memory on release."),
    "client_certificate_data": PropertyRow(72, "text", "w", "What a file of CLIENT_CERTIFICATE would have in it, instead of one; DER and PKCS#12 by SmtpSetData. Can be set but not read."),
    "client_key_data": PropertyRow(73, "text", "w", "What a file of CLIENT_KEY would have in it, instead of one; DER by SmtpSetData. Can be set but not read; wiped from memory on release."),
    "tls_pins": PropertyRow(74, "text", "rw", "The only certificates accepted, one a line: sha256: and the hexadecimal digest of a certificate, or sha256// and the Base64 digest of a public key (SubjectPublicKeyInfo). Compared with the server's own certificate in every mode, besides all other checks. Empty: any."),
    "tls_resumption": PropertyRow(75, "integer", "rw", "1 lets a connection resume the TLS session of an earlier one of this process, if that was to the same server with the same settings, which saves time."),
    "crl_file": PropertyRow(76, "text", "rw", "The path of a file with revocation lists, PEM or DER, one at least of the authority that issued the server's certificate: a certificate on a list is refused, and one without a list too, with another error. Empty: revocation is not looked at."),
    "auth_type": PropertyRow(80, "integer", "rw", "How to log in, one of the SMTP_AUTH_ constants. What the server does not offer is refused before anything is sent."),
    "bearer_token": PropertyRow(81, "text", "w", "An OAuth 2.0 access token, for SmtpAuthenticate without a password where the type takes a token; with SMTP_AUTH_AUTOMATIC it is preferred to a password. Can be set but not read; wiped from memory on release."),
    "auth_identity": PropertyRow(82, "text", "rw", "Whom to act as, if not as the user who logs in (authorization identity, RFC 4422). PLAIN, SCRAM, DIGEST-MD5, OAUTHBEARER, EXTERNAL and GSSAPI have a place for it; no other method is used then."),
    "auth_methods": PropertyRow(83, "text", "rw", "With SMTP_AUTH_AUTOMATIC, the login methods that may be used, the best first, by their names on the wire separated by blanks, such as SCRAM-SHA-256 PLAIN; the first that the server offers is taken. Empty: the usual order."),
    "auth_realm": PropertyRow(84, "text", "rw", "The realm for DIGEST-MD5, where the server names several, and the domain for NTLM, where the user name has none. Empty: the server's first, and no domain."),
    "is_connected": PropertyRow(100, "integer", "r", "1 while the client is connected, as far as it has noticed."),
    "is_extended": PropertyRow(101, "integer", "r", "1 if the server accepted EHLO, 0 if only HELO."),
    "result_code": PropertyRow(102, "integer", "r", "The three-digit code of the server's last reply; 0 if there was none."),
    "result_string": PropertyRow(103, "text", "r", "The text of the server's last reply, its lines joined by line feeds."),
    "enhanced_code": PropertyRow(104, "text", "r", "The enhanced status code of the server's last reply, such as 5.1.1 (RFC 3463); empty if it had none."),
    "extensions": PropertyRow(105, "text", "r", "The extensions that the server offers, as it wrote them, one a line."),
    "auth_mechanisms": PropertyRow(106, "text", "r", "The login mechanisms that the server offers, separated by blanks."),
    "auth_mechanism": PropertyRow(107, "text", "r", "The mechanism that logged in; empty before."),
    "size_limit": PropertyRow(108, "integer", "r", "The largest message that the server accepts, in octets (RFC 1870); 0 if it names no limit."),
    "peer_address": PropertyRow(109, "text", "r", "The address and port of the server."),
    "local_address": PropertyRow(110, "text", "r", "The address and port of this end of the connection."),
    "extended_options": PropertyRow(111, "integer", "r", "The known extensions that the server offers and that are not left out, SMTP_EXTOPT_ bits."),
    "left_out_extensions": PropertyRow(112, "text", "r", "The extensions that the server offers and that are not used, one a line: keyword, colon, reason. They were switched off, or the server refused MAIL for the parameter of an extension that it offers, and MAIL was repeated without; such a one is left out with this server for the rest of the client's life."),
    "tls_protocol": PropertyRow(120, "text", "r", "The TLS version in use, such as TLS 1.3; empty without TLS."),
    "tls_cipher": PropertyRow(121, "text", "r", "The cipher suite in use by its IANA name; empty without TLS."),
    "tls_verified": PropertyRow(122, "integer", "r", "1 if the server's certificate was checked and is good."),
    "tls_objection": PropertyRow(123, "text", "r", "Why the certificate was not found good, where TLS is used all the same (opportunistic, or checks switched off)."),
    "certificate_status": PropertyRow(124, "integer", "r", "What the check of the server's certificate came to, one of the SMTP_CERTIFICATE_ constants; also told where it changes nothing (opportunistic, or checks switched off)."),
    "certificate_subject": PropertyRow(125, "text", "r", "Whom the server's certificate was issued to, such as CN=mail.example.com,O=Example,C=DE (RFC 4514)."),
    "certificate_issuer": PropertyRow(126, "text", "r", "Who issued the server's certificate, in the same form."),
    "certificate_issued": PropertyRow(127, "text", "r", "From when the certificate is valid, such as 2026-01-31T00:00:00Z (RFC 3339, UTC)."),
    "certificate_expires": PropertyRow(128, "text", "r", "Until when the certificate is valid, in the same form."),
    "certificate_fingerprint": PropertyRow(129, "text", "r", "The SHA-256 digest of the certificate, 64 hexadecimal digits."),
    "certificate_names": PropertyRow(130, "text", "r", "The names and addresses that the certificate is for (subjectAltName, RFC 5280), one a line."),
    "cipher_strength": PropertyRow(131, "integer", "r", "The bits of the cipher's key, such as 256; 0 without TLS."),
    "hash_strength": PropertyRow(132, "integer", "r", "The bits of the cipher suite's hash, such as 384; 0 without TLS."),
    "key_exchange": PropertyRow(133, "text", "r", "The group of the key exchange by its IANA name, such as X25519; empty without TLS."),
    "secure": PropertyRow(134, "integer", "r", "1 while the client is connected with TLS."),
    "outcome": PropertyRow(140, "integer", "r", "What became of the last message, one of the SMTP_OUTCOME_ constants."),
    "safe_to_retry": PropertyRow(141, "integer", "r", "1 if sending the last message again cannot deliver it twice."),
    "recipients_accepted": PropertyRow(142, "integer", "r", "How many recipients of the last message the server accepted."),
    "recipients_refused": PropertyRow(143, "integer", "r", "How many recipients of the last message the server refused."),
    "refused_recipients": PropertyRow(144, "text", "r", "The refused recipients of the last message, one a line: address, colon, code, text."),
    "final_reply": PropertyRow(145, "text", "r", "The server's reply to the end of the last message: code and text."),
    "queue_id": PropertyRow(146, "text", "r", "The id under which the server queued the last message, where its final reply has a known form."),
    "last_error": PropertyRow(160, "integer", "rw", "The code of this client's last failure. A success leaves it; set it to 0 to clear it."),
    "error_class": PropertyRow(161, "integer", "r", "The family of the last failure, one of the SMTP_CLASS_ constants; 0 if there was none."),
    "error_phase": PropertyRow(162, "integer", "r", "What was being done at the last failure, one of the SMTP_PHASE_ constants."),
    "error_result_code": PropertyRow(163, "integer", "r", "The reply code that caused the last failure; 0 if no reply did."),
    "error_enhanced_code": PropertyRow(164, "text", "r", "The enhanced status code of that reply."),
    "error_reply": PropertyRow(165, "text", "r", "The text of that reply, its lines joined by line feeds."),
    "error_os": PropertyRow(166, "integer", "r", "The operating system's error number of the last failure; 0 if it was not the system's."),
    "error_tls_reason": PropertyRow(167, "text", "r", "The TLS library's own reason for the last failure."),
    "error_address": PropertyRow(168, "text", "r", "The mail or network address that the last failure concerns."),
    "error_remedy": PropertyRow(169, "text", "r", "What to do about the last failure, one sentence."),
    "error_json": PropertyRow(170, "text", "r", "The whole record of the last failure as a JSON object; empty if there was none. Members: code, name, class, phase, what, remedy, and where they apply reply (code, text, enhanced), command, os_error, tls_reason, address, attempts (address, error), offered (names), skipped (name, reason), outcome, safe_to_retry."),
    "error_offered": PropertyRow(171, "text", "r", "Where the last failure was that of a choice, what the server offered, one a line: login mechanisms, or extensions."),
    "error_skipped": PropertyRow(172, "text", "r", "Where the last failure was that of a choice, what was passed over, one a line: name, colon, reason."),
    "error_outcome": PropertyRow(173, "integer", "r", "What became of the message whose sending failed last, one of the SMTP_OUTCOME_ constants; -1 if the last failure was not of a message."),
    "error_safe_to_retry": PropertyRow(174, "integer", "r", "0 if doing again what failed last could deliver a message twice."),
    "error_command": PropertyRow(175, "text", "r", "The verb of the command that the reply of the last failure answers, such as RCPT; EHLO also for HELO, DATA also for the content. Empty if no reply was the cause."),
    "trace_text": PropertyRow(180, "text", "r", "The last records of the conversation as a transcript, as many as SMTP_PROPERTY_TRACE_KEEP says."),
    "state": PropertyRow(181, "integer", "r", "What the client is doing just now, one of the SMTP_STATUS_ constants."),
    "phase": PropertyRow(182, "integer", "r", "What the running call is doing just now, one of the SMTP_PHASE_ constants; without a call SMTP_PHASE_IDLE, or SMTP_PHASE_ARGUMENT if the client is not connected."),
    "is_blocked": PropertyRow(183, "integer", "r", "1 while a call runs on the client."),
    "time_resolve": PropertyRow(184, "integer", "r", "The milliseconds that the look-up of the host name took for the last connection."),
    "time_connect": PropertyRow(185, "integer", "r", "The milliseconds that the TCP connection took."),
    "time_tls": PropertyRow(186, "integer", "r", "The milliseconds that the TLS handshake took."),
    "time_greeting": PropertyRow(187, "integer", "r", "The milliseconds from the connection to the last reply to EHLO, without the TLS handshake."),
    "time_auth": PropertyRow(188, "integer", "r", "The milliseconds that the last login took."),
    "time_envelope": PropertyRow(189, "integer", "r", "The milliseconds that MAIL, RCPT and DATA of the last message took."),
    "time_content": PropertyRow(190, "integer", "r", "The milliseconds that the content of the last message took."),
    "time_end": PropertyRow(191, "integer", "r", "The milliseconds that the reply to the end of the last message took."),
    "time_total": PropertyRow(192, "integer", "r", "The milliseconds that the last call over the network took, waiting for its turn left out."),
    "bytes_sent": PropertyRow(193, "integer", "r", "The octets sent over the last connection, without what TLS adds, as of the end of the last call."),
    "bytes_received": PropertyRow(194, "integer", "r", "The octets received over the last connection, without what TLS adds, as of the end of the last call."),
    "transfer_bytes": PropertyRow(195, "integer", "r", "The octets of content taken from their source for the message under way, or the last one."),
    "transfer_time": PropertyRow(196, "integer", "r", "The milliseconds that the content of the last message took, the wait for the reply left out."),
    "transfer_rate": PropertyRow(197, "integer", "r", "SMTP_PROPERTY_TRANSFER_BYTES in a second; a time below a millisecond counts as one."),
    "version": PropertyRow(198, "text", "r", "The version of the library that is loaded."),
    "channel_binding_exporter": PropertyRow(200, "text", "r", "The channel binding tls-exporter of the connection (RFC 9266), 64 hexadecimal digits; empty without TLS 1.3."),
    "channel_binding_end_point": PropertyRow(201, "text", "r", "The channel binding tls-server-end-point of the connection (RFC 5929), hexadecimal digits; empty without TLS, or where the certificate's signature names no hash."),
    "tls_resumed": PropertyRow(202, "integer", "r", "1 if the connection resumed the TLS session of an earlier one."),
    "certificate_count": PropertyRow(203, "integer", "r", "How many certificates the server sent, its own and those of its issuers; see SmtpGetCertificate."),
    "certificate_pin": PropertyRow(204, "text", "r", "The pin of the key of the server's certificate, as SMTP_PROPERTY_TLS_PINS takes it: sha256// and Base64."),
    "proxy": PropertyRow(230, "text", "rw", "The proxy to connect through, such as socks5://user:password@host:1080, socks4a://host:1080 or http://host:3128 (SOCKS 5: RFC 1928, RFC 1929; HTTP CONNECT: RFC 9110); user and password with percent-encoding. The proxy looks host names up. Read back, the password is masked. A Unix socket is connected to without it. Empty: none."),
    "timeout_proxy": PropertyRow(231, "integer", "rw", "The limit for the proxy's answer, its own connection to the server included, in milliseconds; 0 is none."),
    "connect_address": PropertyRow(232, "text", "rw", "The IP address to connect to, or several separated by commas, instead of looking the host up; the host stays the name that the certificate must be for. Excludes PROXY. Empty: the host's."),
    "address_family": PropertyRow(233, "integer", "rw", "Which addresses may be connected to, one of the SMTP_FAMILY_ constants; with a proxy, the proxy's."),
    "local_bind_address": PropertyRow(234, "text", "rw", "The address of this machine to connect from, such as 192.0.2.7, 192.0.2.7:5025 with a port; an IPv6 address with a port stands in brackets. Empty: the system chooses."),
    "local_interface": PropertyRow(235, "text", "rw", "The network interface to connect through, such as eth0 (SO_BINDTODEVICE; Linux and Android only). Empty: the system chooses."),
    "keep_alive": PropertyRow(236, "integer", "rw", "After how many seconds of silence the system asks whether the server is there, so that routers on the way remember the connection, 1 to 32767 (SO_KEEPALIVE, TCP_KEEPIDLE); 0 never."),
    "error_attempts": PropertyRow(240, "text", "r", "Where no connection could be made, the addresses that were tried, one a line: address, colon, reason."),
    "time_proxy": PropertyRow(241, "integer", "r", "The milliseconds that the proxy took for the last connection."),
    "blocking": PropertyRow(250, "integer", "rw", "0 lets no operation that follows wait: what cannot be done at once returns SMTP_PENDING and is gone on with by SmtpProcess, when SmtpGetPollInfo says."),
    "batch_messages": PropertyRow(260, "integer", "rw", "How many messages of a batch may be in flight with BDAT; 1 or 0 sends one by one, also with DATA."),
    "batch_octets": PropertyRow(261, "integer", "rw", "How many octets of content of a batch may be in flight with BDAT."),
    "batch_mode": PropertyRow(262, "integer", "r", "How the messages of the last batch followed on each other, one of the SMTP_BATCH_MODE_ constants."),
}

# Code: (name, class).
ERRORS: dict[int, tuple[str, int]] = {
    -2147211482: ("SMTP_ERROR_INVALID_PARAMETER", 1),
    -2147211468: ("SMTP_ERROR_OPERATION_IN_PROGRESS", 1),
    -2147211466: ("SMTP_ERROR_INVALID_HANDLE", 1),
    -2147211455: ("SMTP_ERROR_ADDRESS_UNAVAILABLE", 3),
    -2147211453: ("SMTP_ERROR_NETWORK_UNREACHABLE", 3),
    -2147211451: ("SMTP_ERROR_CONNECTION_ABORTED", 3),
    -2147211450: ("SMTP_ERROR_CONNECTION_RESET", 3),
    -2147211448: ("SMTP_ERROR_ALREADY_CONNECTED", 1),
    -2147211447: ("SMTP_ERROR_NOT_CONNECTED", 1),
    -2147211444: ("SMTP_ERROR_TIMEOUT", 3),
    -2147211443: ("SMTP_ERROR_CONNECTION_REFUSED", 3),
    -2147211439: ("SMTP_ERROR_HOST_UNREACHABLE", 3),
    -2147211393: ("SMTP_ERROR_CANCELLED", 1),
    -2147210503: ("SMTP_ERROR_HOST_NOT_FOUND", 3),
    -2147210502: ("SMTP_ERROR_HOST_LOOKUP_FAILED", 3),
    -2147201023: ("SMTP_ERROR_NULL_POINTER", 1),
    -2147201022: ("SMTP_ERROR_INVALID_UTF8", 1),
    -2147201021: ("SMTP_ERROR_INVALID_ADDRESS", 1),
    -2147201020: ("SMTP_ERROR_NO_RECIPIENTS", 1),
    -2147201019: ("SMTP_ERROR_BUFFER_TOO_SMALL", 1),
    -2147201018: ("SMTP_ERROR_UNKNOWN_PROPERTY", 1),
    -2147201017: ("SMTP_ERROR_READ_ONLY_PROPERTY", 1),
    -2147201016: ("SMTP_ERROR_REENTRANT", 1),
    -2147201015: ("SMTP_ERROR_RELEASED", 1),
    -2147201014: ("SMTP_ERROR_FORKED", 1),
    -2147201013: ("SMTP_ERROR_HANDLE_POISONED", 1),
    -2147201012: ("SMTP_ERROR_SMTPUTF8_REQUIRED", 1),
    -2147201011: ("SMTP_ERROR_TOO_LONG", 1),
    -2147201010: ("SMTP_ERROR_CA_FILE", 1),
    -2147201009: ("SMTP_ERROR_NO_CREDENTIALS", 1),
    -2147201008: ("SMTP_ERROR_INSECURE_CREDENTIALS", 1),
    -2147201007: ("SMTP_ERROR_TOO_MANY_HANDLES", 1),
    -2147201006: ("SMTP_ERROR_MESSAGE_TOO_LARGE", 1),
    -2147201005: ("SMTP_ERROR_WRITE_ONLY_PROPERTY", 1),
    -2147201004: ("SMTP_ERROR_FILE", 1),
    -2147201003: ("SMTP_ERROR_READER", 1),
    -2147201002: ("SMTP_ERROR_UNSUITABLE_COMMAND", 1),
    -2147201001: ("SMTP_ERROR_EXTENSION_UNAVAILABLE", 1),
    -2147201000: ("SMTP_ERROR_MESSAGE_OPEN", 1),
    -2147200999: ("SMTP_ERROR_NO_MESSAGE_OPEN", 1),
    -2147200998: ("SMTP_ERROR_TOO_MANY_RECIPIENTS", 1),
    -2147200997: ("SMTP_ERROR_LINE_END", 1),
    -2147200992: ("SMTP_ERROR_NO_OPERATION", 1),
    -2147200988: ("SMTP_ERROR_BATCH_BUSY", 1),
    -2147200987: ("SMTP_ERROR_BATCH_ENDED", 1),
    -2147200984: ("SMTP_ERROR_ATTACHED", 1),
    -2147200983: ("SMTP_ERROR_QUEUE_FULL", 1),
    -2147200982: ("SMTP_ERROR_POOL_CLOSED", 1),
    -2147200976: ("SMTP_ERROR_HEADER", 1),
    -2147200975: ("SMTP_ERROR_ATTACHMENT", 1),
    -2147200974: ("SMTP_ERROR_NOT_FOUND", 1),
    -2147200973: ("SMTP_ERROR_NOT_A_MESSAGE", 1),
    -2147200972: ("SMTP_ERROR_WRITER", 1),
    -2147200971: ("SMTP_ERROR_NO_SENDER", 1),
    -2147200970: ("SMTP_ERROR_NO_CONTENT", 1),
    -2147200969: ("SMTP_ERROR_LOADED_BODY", 1),
    -2147200960: ("SMTP_ERROR_DKIM_KEY", 1),
    -2147200959: ("SMTP_ERROR_DKIM_SETTING", 1),
    -2147200958: ("SMTP_ERROR_DKIM_HEADER", 1),
    -2147200957: ("SMTP_ERROR_READ_ONCE", 1),
    -2147200767: ("SMTP_ERROR_SERVER_CLOSING", 2),
    -2147200766: ("SMTP_ERROR_SERVER_REFUSED", 2),
    -2147200765: ("SMTP_ERROR_PROTOCOL", 2),
    -2147200764: ("SMTP_ERROR_REPLY_TOO_LONG", 2),
    -2147200763: ("SMTP_ERROR_COMMAND_REJECTED", 2),
    -2147200762: ("SMTP_ERROR_AUTHENTICATION_FAILED", 2),
    -2147200761: ("SMTP_ERROR_INVALID_AUTHENTICATION_TYPE", 2),
    -2147200760: ("SMTP_ERROR_STARTTLS_UNAVAILABLE", 2),
    -2147200759: ("SMTP_ERROR_STARTTLS_REJECTED", 2),
    -2147200758: ("SMTP_ERROR_STARTTLS_INJECTION", 2),
    -2147200757: ("SMTP_ERROR_SENDER_REJECTED", 2),
    -2147200756: ("SMTP_ERROR_RECIPIENTS_REJECTED", 2),
    -2147200755: ("SMTP_ERROR_DATA_REJECTED", 2),
    -2147200754: ("SMTP_ERROR_MESSAGE_REJECTED", 2),
    -2147200753: ("SMTP_ERROR_RECIPIENT_REJECTED", 2),
    -2147200511: ("SMTP_ERROR_CONNECTION_CLOSED", 3),
    -2147200510: ("SMTP_ERROR_NETWORK", 3),
    -2147200496: ("SMTP_ERROR_PROXY_REFUSED", 3),
    -2147200495: ("SMTP_ERROR_PROXY_TARGET", 3),
    -2147200494: ("SMTP_ERROR_PROXY_AUTHENTICATION", 3),
    -2147200493: ("SMTP_ERROR_PROXY_PROTOCOL", 3),
    -2147200255: ("SMTP_ERROR_TLS_HANDSHAKE", 3),
    -2147200254: ("SMTP_ERROR_TLS_NOT_TLS", 3),
    -2147200253: ("SMTP_ERROR_TLS_CERTIFICATE_NAME", 3),
    -2147200252: ("SMTP_ERROR_TLS_CERTIFICATE_EXPIRED", 3),
    -2147200251: ("SMTP_ERROR_TLS_CERTIFICATE_UNTRUSTED", 3),
    -2147200250: ("SMTP_ERROR_TLS_CERTIFICATE_REVOKED", 3),
    -2147200249: ("SMTP_ERROR_TLS_CERTIFICATE_INVALID", 3),
    -2147200248: ("SMTP_ERROR_TLS_BROKEN", 3),
    -2147200247: ("SMTP_ERROR_TLS_PIN_MISMATCH", 3),
    -2147200246: ("SMTP_ERROR_TLS_REVOCATION_UNKNOWN", 3),
    -2147200245: ("SMTP_ERROR_TLS_CRL_FILE", 3),
    -2147200244: ("SMTP_ERROR_TLS_CLIENT_CERTIFICATE", 3),
    -2147200243: ("SMTP_ERROR_TLS_CLIENT_CERTIFICATE_REQUIRED", 3),
    -2147197183: ("SMTP_ERROR_INTERNAL", 4),
}
