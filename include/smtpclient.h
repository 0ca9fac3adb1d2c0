/* Generated from the sources by tests/generated.rs; do not edit. */
#ifndef SMTPCLIENT_H
#define SMTPCLIENT_H

/**
 * @file smtpclient.h
 * @mainpage libsmtpclient
 *
 * An SMTP client: connect, authenticate, send, disconnect.
 *
 * @section ownership Ownership
 * Strings and messages passed in belong to the caller and need to live through the call only; the
 * library copies what it keeps, and reads a message in place. Strings out are copied to the
 * caller's buffer; the few that are returned as pointers belong to the library, as each says.
 * Handles are ended with the function that their create function names.
 *
 * @section threads Threads
 * Any handle may be used from any thread. Calls on one client queue up in the order they came;
 * SmtpCancel and the getters never wait. Several clients work side by side.
 *
 * @section callbacks Callbacks
 * Callbacks come on the thread whose call caused them, with no lock of the library's held. In one,
 * SmtpCancel and the getters may be called on the same client; all else gives SMTP_ERROR_REENTRANT.
 *
 * @section errors Errors
 * Operations return 0, or a negative code. SmtpGetLastErrorString has one sentence with the
 * cause, the server's own words and what to do; the SMTP_PROPERTY_ERROR_ properties have the parts.
 * Outputs are untouched on failure, unless the function says otherwise.
 *
 * @section versions Versions
 * Within one SMTP_ABI_VERSION, functions and constants are only added, and structures grow at
 * their end; a structure tells its size in its first member.
 */


#include <stddef.h>
#include <stdint.h>

/** The version of this header. */
#define SMTP_VERSION_STRING "0.1.0"
#define SMTP_VERSION_MAJOR 0
#define SMTP_VERSION_MINOR 1
#define SMTP_VERSION_PATCH 0

/** The number of this interface; compare with SmtpGetAbiVersion. */
#define SMTP_ABI_VERSION 0

/** What operations return on success. */
#define SMTP_OK 0

/** What operations return that have to wait, with SMTP_PROPERTY_BLOCKING 0. */
#define SMTP_PENDING 1

/** A length for a message that ends with its first NUL. */
#define SMTP_NUL_TERMINATED ((size_t)-1)

/** A size of a message that is not known beforehand. */
#define SMTP_SIZE_UNKNOWN ((uint64_t)-1)

/** @name SMTP_OPTION
 *  Options of SmtpConnect and SMTP_PROPERTY_OPTIONS; bits.
 *  @{ */

/**
 * No option: EHLO with HELO as fall-back, and TLS as SMTP_PROPERTY_TLS_MODE says.
 */
#define SMTP_OPTION_NONE 0x0

/**
 * Use ESMTP when offered. Always done here, so this changes nothing; the original asked for it.
 */
#define SMTP_OPTION_EXTENDED 0x1

/**
 * The connection goes through a tunnel. Accepted as in the original; no check here needs it.
 */
#define SMTP_OPTION_TUNNEL 0x400

/**
 * INSECURE: do not check the server's certificate, and trust it all the same.
 */
#define SMTP_OPTION_TRUSTEDSITE 0x800

/**
 * Require TLS by STARTTLS.
 */
#define SMTP_OPTION_SECURE 0x1000

/**
 * TLS before the first octet of SMTP; the default port becomes 465.
 */
#define SMTP_OPTION_SECURE_IMPLICIT 0x2000

/**
 * Greet with HELO only: no extension is used, neither TLS by STARTTLS nor a login.
 */
#define SMTP_OPTION_BASIC 0x10000

/**
 * Speak LMTP instead of SMTP (RFC 2033), over TCP or a Unix socket; the default port becomes
 * 24. Each recipient has a reply of its own to the message.
 */
#define SMTP_OPTION_LMTP 0x20000

/**
 * Try the IPv6 addresses of a host first, whatever order the system gives.
 */
#define SMTP_OPTION_PREFER_IPV6 0x40000

/** @} */

/** @name SMTP_PORT
 *  Ports for SmtpConnect.
 *  @{ */

/**
 * LMTP, where no other port was agreed on.
 */
#define SMTP_PORT_LMTP 24

/**
 * SMTP between servers; STARTTLS where it is offered.
 */
#define SMTP_PORT_STANDARD 25

/**
 * Submission over TLS from the first octet (RFC 8314).
 */
#define SMTP_PORT_SECURE 465

/**
 * Submission, with STARTTLS (RFC 6409).
 */
#define SMTP_PORT_SUBMISSION 587

/** @} */

/** @name SMTP_DELIVERY
 *  Bits of SMTP_PROPERTY_DELIVERY_OPTIONS.
 *  @{ */

/**
 * No notification in any case. Excludes the other NOTIFY bits.
 */
#define SMTP_DELIVERY_NOTIFY_NEVER 0x8000

/**
 * A notification when the message has been delivered.
 */
#define SMTP_DELIVERY_NOTIFY_SUCCESS 0x10000

/**
 * A notification when it cannot be delivered.
 */
#define SMTP_DELIVERY_NOTIFY_FAILURE 0x20000

/**
 * A notification when its delivery is delayed.
 */
#define SMTP_DELIVERY_NOTIFY_DELAY 0x40000

/**
 * Notifications of failure bring the header back only.
 */
#define SMTP_DELIVERY_RETURN_HEADERS 0x80000

/**
 * Notifications of failure bring the whole message back.
 */
#define SMTP_DELIVERY_RETURN_MESSAGE 0x100000

/** @} */

/** @name SMTP_EXTOPT
 *  Bits of SMTP_PROPERTY_EXTENDED_OPTIONS: what the server offers.
 *  @{ */

/**
 * The server tells who is on a list: SmtpExpandAddress.
 */
#define SMTP_EXTOPT_EXPN 0x1

/**
 * The server tells whether an address is valid: SmtpVerifyAddress.
 */
#define SMTP_EXTOPT_VRFY 0x2

/**
 * Delivery status notifications (RFC 3461).
 */
#define SMTP_EXTOPT_DSN 0x4

/**
 * The length of a message is told in advance (RFC 1870).
 */
#define SMTP_EXTOPT_SIZE 0x8

/**
 * The server sends queued mail when asked: SmtpExtendedTurn (RFC 1985).
 */
#define SMTP_EXTOPT_ETRN 0x10

/**
 * Messages with octets beyond ASCII (RFC 6152).
 */
#define SMTP_EXTOPT_8BITMIME 0x20

/**
 * A login with the mechanism LOGIN.
 */
#define SMTP_EXTOPT_AUTHLOGIN 0x40

/**
 * TLS on request (RFC 3207).
 */
#define SMTP_EXTOPT_STARTTLS 0x80

/**
 * Commands that do not wait for each other (RFC 2920).
 */
#define SMTP_EXTOPT_PIPELINING 0x100

/**
 * Messages in pieces of known length (RFC 3030).
 */
#define SMTP_EXTOPT_CHUNKING 0x200

/**
 * Messages of any octets (RFC 3030).
 */
#define SMTP_EXTOPT_BINARYMIME 0x400

/**
 * Addresses and headers beyond ASCII (RFC 6531).
 */
#define SMTP_EXTOPT_SMTPUTF8 0x800

/**
 * Replies with codes such as 5.1.1 (RFC 2034).
 */
#define SMTP_EXTOPT_ENHANCEDSTATUSCODES 0x1000

/**
 * A time by which to deliver: SMTP_PROPERTY_DELIVER_BY (RFC 2852).
 */
#define SMTP_EXTOPT_DELIVERBY 0x2000

/**
 * Messages that are held: SMTP_PROPERTY_HOLD_FOR, SMTP_PROPERTY_HOLD_UNTIL (RFC 4865).
 */
#define SMTP_EXTOPT_FUTURERELEASE 0x4000

/**
 * Priorities: SMTP_PROPERTY_MT_PRIORITY (RFC 6710).
 */
#define SMTP_EXTOPT_MT_PRIORITY 0x8000

/**
 * TLS all the way: SMTP_PROPERTY_REQUIRE_TLS (RFC 8689).
 */
#define SMTP_EXTOPT_REQUIRETLS 0x10000

/**
 * How many messages and recipients the server takes (RFC 9422).
 */
#define SMTP_EXTOPT_LIMITS 0x20000

/**
 * The server explains itself: SmtpHelp.
 */
#define SMTP_EXTOPT_HELP 0x40000

/** @} */

/** @name SMTP_TLS
 *  Values of SMTP_PROPERTY_TLS_MODE.
 *  @{ */

/**
 * STARTTLS if the server offers it; the certificate need not be good, but then no password is
 * sent.
 */
#define SMTP_TLS_OPPORTUNISTIC 0

/**
 * No TLS.
 */
#define SMTP_TLS_NONE 1

/**
 * STARTTLS with a good certificate, or no session at all.
 */
#define SMTP_TLS_REQUIRED 2

/**
 * TLS with a good certificate before the first octet of SMTP.
 */
#define SMTP_TLS_IMPLICIT 3

/** @} */

/** @name SMTP_PROTOCOL
 *  Values of SmtpSecurityInfo: the version of TLS.
 *  @{ */

/**
 * No TLS.
 */
#define SMTP_PROTOCOL_NONE 0x0

/**
 * TLS 1.2 (RFC 5246).
 */
#define SMTP_PROTOCOL_TLS_1_2 0x303

/**
 * TLS 1.3 (RFC 8446).
 */
#define SMTP_PROTOCOL_TLS_1_3 0x304

/** @} */

/** @name SMTP_TLS_VERSION
 *  Values of SMTP_PROPERTY_TLS_MIN_VERSION and SMTP_PROPERTY_TLS_MAX_VERSION.
 *  @{ */

/**
 * TLS 1.2 (RFC 5246).
 */
#define SMTP_TLS_VERSION_1_2 771

/**
 * TLS 1.3 (RFC 8446).
 */
#define SMTP_TLS_VERSION_1_3 772

/** @} */

/** @name SMTP_AUTH
 *  Values of SMTP_PROPERTY_AUTH_TYPE: how to log in.
 *  @{ */

/**
 * The strongest that both sides have: OAUTHBEARER and XOAUTH2 if there is a token, then SCRAM
 * with channel binding, SCRAM, DIGEST-MD5, CRAM-MD5, NTLM, PLAIN, LOGIN; or the first of
 * SMTP_PROPERTY_AUTH_METHODS.
 */
#define SMTP_AUTH_AUTOMATIC (-1)

/**
 * User name and password, one after the other.
 */
#define SMTP_AUTH_LOGIN 0

/**
 * User name and password in one message (RFC 4616).
 */
#define SMTP_AUTH_PLAIN 1

/**
 * An OAuth token, in Google's and Microsoft's form.
 */
#define SMTP_AUTH_XOAUTH2 3

/**
 * An OAuth token: OAUTHBEARER (RFC 7628).
 */
#define SMTP_AUTH_BEARER 4

/**
 * A digest made with the password (RFC 2195); old.
 */
#define SMTP_AUTH_CRAM_MD5 5

/**
 * The server knows the client by other means (RFC 4422 appendix A); no password is needed.
 */
#define SMTP_AUTH_EXTERNAL 6

/**
 * Both sides prove that they know the password (RFC 5802).
 */
#define SMTP_AUTH_SCRAM_SHA_1 7

/**
 * The same with a stronger hash (RFC 7677).
 */
#define SMTP_AUTH_SCRAM_SHA_256 8

/**
 * The same with a stronger hash still.
 */
#define SMTP_AUTH_SCRAM_SHA_512 9

/**
 * SCRAM bound to the TLS connection, which has to be TLS 1.3 (RFC 9266).
 */
#define SMTP_AUTH_SCRAM_SHA_1_PLUS 10

/**
 * The same with a stronger hash.
 */
#define SMTP_AUTH_SCRAM_SHA_256_PLUS 11

/**
 * The same with a stronger hash still.
 */
#define SMTP_AUTH_SCRAM_SHA_512_PLUS 12

/**
 * Digests made with the password by both sides (RFC 2831); historic.
 */
#define SMTP_AUTH_DIGEST_MD5 13

/**
 * A digest made with the password (MS-NLMP, version 2); old. The user name may be domain\user.
 */
#define SMTP_AUTH_NTLM 14

/**
 * Nobody in particular (RFC 4505); the user name, if there is one, is told for the server's
 * records.
 */
#define SMTP_AUTH_ANONYMOUS 15

/**
 * Kerberos (RFC 4752), with the tickets that the user has, by the system's library.
 */
#define SMTP_AUTH_GSSAPI 16

/** @} */

/** @name SMTP_CERTIFICATE
 *  Values of SMTP_PROPERTY_CERTIFICATE_STATUS.
 *  @{ */

/**
 * The connection has no TLS, or there is none.
 */
#define SMTP_CERTIFICATE_NONE 0

/**
 * The certificate is good, and for this host.
 */
#define SMTP_CERTIFICATE_VALID 1

/**
 * It is for another host.
 */
#define SMTP_CERTIFICATE_NO_MATCH 2

/**
 * It has expired, or is not valid yet.
 */
#define SMTP_CERTIFICATE_EXPIRED 3

/**
 * Its authority has revoked it.
 */
#define SMTP_CERTIFICATE_REVOKED 4

/**
 * It was not issued by a trusted authority.
 */
#define SMTP_CERTIFICATE_UNTRUSTED 5

/**
 * It cannot be read, or another check failed.
 */
#define SMTP_CERTIFICATE_INVALID 6

/** @} */

/** @name SMTP_CHUNKING
 *  Values of SMTP_PROPERTY_CHUNKING: when to send with BDAT.
 *  @{ */

/**
 * Never; a message that needs it is an error.
 */
#define SMTP_CHUNKING_NEVER 0

/**
 * When the message needs it: SMTP_PROPERTY_BINARY.
 */
#define SMTP_CHUNKING_WHEN_NEEDED 1

/**
 * Whenever the server offers it, else DATA.
 */
#define SMTP_CHUNKING_ALWAYS 2

/** @} */

/** @name SMTP_FAMILY
 *  Values of SMTP_PROPERTY_ADDRESS_FAMILY.
 *  @{ */

/**
 * IPv4 and IPv6, whichever answers first (RFC 8305).
 */
#define SMTP_FAMILY_ANY 0

/**
 * IPv4 only.
 */
#define SMTP_FAMILY_IPV4 1

/**
 * IPv6 only.
 */
#define SMTP_FAMILY_IPV6 2

/** @} */

/** @name SMTP_OUTCOME
 *  Values of SMTP_PROPERTY_OUTCOME: what became of the last message.
 *  @{ */

/**
 * The end of the message did not leave this machine: the server cannot have taken it.
 */
#define SMTP_OUTCOME_NOT_SENT 0

/**
 * The server took the message, for at least one recipient.
 */
#define SMTP_OUTCOME_ACCEPTED 1

/**
 * The server refused it with a 4xx reply; a later try may succeed.
 */
#define SMTP_OUTCOME_REJECTED_TEMPORARY 2

/**
 * The server refused it with a 5xx reply.
 */
#define SMTP_OUTCOME_REJECTED_PERMANENT 3

/**
 * The end of the message was sent and no answer came: it may have been taken.
 */
#define SMTP_OUTCOME_UNKNOWN 4

/** @} */

/** @name SMTP_RECIPIENT
 *  States of SmtpRecipient: what became of the message for one recipient.
 *  @{ */

/**
 * The server was not asked, or nothing was completed for it.
 */
#define SMTP_RECIPIENT_NOT_TRIED 0

/**
 * The server took the message for it; while the message is under way, the address.
 */
#define SMTP_RECIPIENT_ACCEPTED 1

/**
 * The server refused it, or the message, with a 4xx reply; a later try may succeed.
 */
#define SMTP_RECIPIENT_REFUSED_TEMPORARY 2

/**
 * The server refused it, or the message, with a 5xx reply.
 */
#define SMTP_RECIPIENT_REFUSED_PERMANENT 3

/**
 * The end of the message was sent and no answer came: it may have been taken.
 */
#define SMTP_RECIPIENT_UNKNOWN 4

/** @} */

/** @name SMTP_RECIPIENT_TEXT
 *  Texts of SmtpGetRecipientString.
 *  @{ */

/**
 * The address, without brackets.
 */
#define SMTP_RECIPIENT_TEXT_ADDRESS 1

/**
 * The text of the reply that refused it, its lines joined by line feeds.
 */
#define SMTP_RECIPIENT_TEXT_REPLY 2

/** @} */

/** @name SMTP_EXPORT
 *  Options of SmtpMessageExport, SmtpMessageExportFile, SmtpMessageExportStream and SmtpMessageGetSize; bits.
 *  @{ */

/**
 * Header fields in the usual order, without Bcc, Received, Return-Path, Status and
 * X400-Received.
 */
#define SMTP_EXPORT_DEFAULT 0x0

/**
 * All header fields, Bcc included.
 */
#define SMTP_EXPORT_ALLHEADERS 0x1

/**
 * Header fields in the order in which they were set or loaded.
 */
#define SMTP_EXPORT_KEEPORDER 0x2

/** @} */

/** @name SMTP_MESSAGE
 *  Numbers of SmtpMessageSetInteger and SmtpMessageGetInteger.
 *  @{ */

/**
 * How urgent the message is: an SMTP_PRIORITY_ constant.
 */
#define SMTP_MESSAGE_PRIORITY 1

/**
 * 1 if paragraphs of the plain text may be wrapped by the reader's program (RFC 3676); else 0.
 */
#define SMTP_MESSAGE_FLOWED 2

/**
 * How texts are encoded: an SMTP_ENCODING_ constant.
 */
#define SMTP_MESSAGE_ENCODING 3

/** @} */

/** @name SMTP_ENCODING
 *  Values of SMTP_MESSAGE_ENCODING: how texts are encoded.
 *  @{ */

/**
 * 7bit if that is enough, else quoted-printable or base64, whichever is shorter.
 */
#define SMTP_ENCODING_AUTOMATIC 0

/**
 * Quoted-printable.
 */
#define SMTP_ENCODING_QUOTED 1

/**
 * Base64.
 */
#define SMTP_ENCODING_BASE64 2

/**
 * As they are, where the server offers 8BITMIME; else as automatic.
 */
#define SMTP_ENCODING_8BIT 3

/** @} */

/** @name SMTP_PRIORITY
 *  Values of SMTP_MESSAGE_PRIORITY: how urgent a message is.
 *  @{ */

/**
 * Nothing is said.
 */
#define SMTP_PRIORITY_NONE 0

/**
 * Most urgent.
 */
#define SMTP_PRIORITY_HIGHEST 1

/**
 * Urgent.
 */
#define SMTP_PRIORITY_HIGH 2

/**
 * Neither.
 */
#define SMTP_PRIORITY_NORMAL 3

/**
 * Can wait.
 */
#define SMTP_PRIORITY_LOW 4

/**
 * Can wait longest.
 */
#define SMTP_PRIORITY_LOWEST 5

/** @} */

/** @name SMTP_PART_TEXT
 *  Texts of SmtpMessageGetPartString.
 *  @{ */

/**
 * Its type in lower case, such as text/plain.
 */
#define SMTP_PART_TEXT_TYPE 1

/**
 * Its file name.
 */
#define SMTP_PART_TEXT_NAME 2

/**
 * attachment or inline, if it says so.
 */
#define SMTP_PART_TEXT_DISPOSITION 3

/**
 * Its content id, without brackets.
 */
#define SMTP_PART_TEXT_CONTENT_ID 4

/**
 * The character set that it says it has.
 */
#define SMTP_PART_TEXT_CHARSET 5

/**
 * Its transfer encoding.
 */
#define SMTP_PART_TEXT_ENCODING 6

/**
 * Its content as UTF-8, from its character set.
 */
#define SMTP_PART_TEXT_CONTENT 7

/** @} */

/** @name SMTP_BATCH_MODE
 *  Values of SMTP_PROPERTY_BATCH_MODE: how the messages of a batch followed on each other.
 *  @{ */

/**
 * Each when the one before was settled.
 */
#define SMTP_BATCH_MODE_ONE_BY_ONE 0

/**
 * The envelope of each right behind the end of the one before.
 */
#define SMTP_BATCH_MODE_PIPELINED 1

/**
 * Whole messages behind each other, with BDAT.
 */
#define SMTP_BATCH_MODE_IN_FLIGHT 2

/** @} */

/** @name SMTP_BATCH_TEXT
 *  Texts of SmtpBatchGetString.
 *  @{ */

/**
 * Why the message was not accepted, in one sentence; empty if it was.
 */
#define SMTP_BATCH_TEXT_ERROR 1

/**
 * The same with everything that is known, as one JSON object.
 */
#define SMTP_BATCH_TEXT_ERROR_JSON 2

/**
 * The text of the reply that decided it, its lines joined by line feeds.
 */
#define SMTP_BATCH_TEXT_REPLY 3

/**
 * The name that the server gave the message that it accepted, if it can be told.
 */
#define SMTP_BATCH_TEXT_QUEUE_ID 4

/** @} */

/** @name SMTP_EVENT
 *  Events of SmtpRegisterEvent; bits.
 *  @{ */

/**
 * The session was made: connected, greeted, and TLS up as configured.
 */
#define SMTP_EVENT_CONNECT 0x1

/**
 * The session is over.
 */
#define SMTP_EVENT_DISCONNECT 0x2

/**
 * A call ran out of time; error and text tell where.
 */
#define SMTP_EVENT_TIMEOUT 0x10

/**
 * A call was cancelled; error and text tell where.
 */
#define SMTP_EVENT_CANCEL 0x20

/**
 * A message is on its way; bytes_copied of bytes_total were taken from its source. Always told
 * at the beginning and at the end, and at most about a hundred times in between.
 */
#define SMTP_EVENT_PROGRESS 0x40

/**
 * A command was queued for sending; text is its line, secrets masked.
 */
#define SMTP_EVENT_COMMAND 0x80

/**
 * A reply came in; result_code and text are the server's, a login's challenges masked.
 */
#define SMTP_EVENT_REPLY 0x100

/**
 * A call failed; error and text tell why. Comes behind TIMEOUT and CANCEL too.
 */
#define SMTP_EVENT_ERROR 0x200

/**
 * The server answered for one recipient: text is the address, result_code the reply's, and
 * recipient, recipient_state and reply tell the rest.
 */
#define SMTP_EVENT_RECIPIENT 0x400

/**
 * What became of a message of a batch is known: message is its number and outcome its fate;
 * SmtpBatchGetResult tells the rest.
 */
#define SMTP_EVENT_MESSAGE 0x800

/** @} */

/** @name SMTP_POLL
 *  Directions in SmtpPollInfo; bits.
 *  @{ */

/**
 * Wait until the descriptor can be read.
 */
#define SMTP_POLL_READ 1

/**
 * Wait until the descriptor can be written.
 */
#define SMTP_POLL_WRITE 2

/** @} */

/** @name SMTP_POOL
 *  Properties of a pool that a client has not: SmtpPoolSetInteger, SmtpPoolGetInteger.
 *  @{ */

/**
 * Default 10, 1 to 10000. The most connections to one destination: one host, port, user and
 * password.
 */
#define SMTP_POOL_CONNECTIONS 265

/**
 * Default 100, 1 to 100000. The most connections of the pool to all destinations.
 */
#define SMTP_POOL_CONNECTIONS_TOTAL 266

/**
 * Default 100, 0 to 1000000000. After how many messages a connection is retired; 0 never.
 */
#define SMTP_POOL_MESSAGES_PER_CONNECTION 267

/**
 * Default 600000, 0 to 2147483647. The age in milliseconds at which a connection is retired,
 * once it is idle; 0 never.
 */
#define SMTP_POOL_MAX_AGE 268

/**
 * Default 30000, 0 to 2147483647. After how many milliseconds without a message a connection is
 * retired; 0 never.
 */
#define SMTP_POOL_IDLE_TIME 269

/**
 * Default 1000, 1 to 1000000000. The most messages that wait to be sent; SmtpPoolSubmit refuses
 * or waits beyond it.
 */
#define SMTP_POOL_QUEUE_LIMIT 270

/**
 * Default 67108864, 0 to 2147483647. The most octets of messages in memory that wait to be
 * sent; one message more is taken if none waits; 0 is no limit.
 */
#define SMTP_POOL_QUEUE_OCTETS 271

/**
 * Default 0, 0 to 100000. The most messages that are begun to one destination within any
 * SMTP_POOL_RATE_PERIOD; 0 is no limit.
 */
#define SMTP_POOL_RATE 272

/**
 * Default 60000, 1 to 86400000. The span of time of SMTP_POOL_RATE in milliseconds.
 */
#define SMTP_POOL_RATE_PERIOD 273

/**
 * Default 1000, 1 to 86400000. For how many milliseconds no connection is tried after one could
 * not be made; doubled with every further failure.
 */
#define SMTP_POOL_BACK_OFF 274

/**
 * Default 60000, 1 to 86400000. The most that this becomes, in milliseconds.
 */
#define SMTP_POOL_BACK_OFF_MAX 275

/**
 * Default 3, 1 to 1000. How many attempts in a row to connect must fail before the messages
 * that wait for the destination fail.
 */
#define SMTP_POOL_CONNECT_ATTEMPTS 276

/**
 * Default 0, 0 to 2147483647. How many milliseconds a message may wait in the pool before it
 * fails with SMTP_ERROR_TIMEOUT; 0 is no limit.
 */
#define SMTP_POOL_QUEUE_TIME 277

/** @} */

/** @name SMTP_POOL_TEXT
 *  Texts of SmtpPoolGetResultString.
 *  @{ */

/**
 * The error record as a JSON object; empty without an error.
 */
#define SMTP_POOL_TEXT_ERROR_JSON 1

/**
 * The recipients as a JSON array of objects.
 */
#define SMTP_POOL_TEXT_RECIPIENTS_JSON 2

/**
 * One sentence on what went wrong; empty if nothing did.
 */
#define SMTP_POOL_TEXT_ERROR 3

/**
 * Code and text of the reply to the end of the message.
 */
#define SMTP_POOL_TEXT_REPLY 4

/**
 * The server's name for the message.
 */
#define SMTP_POOL_TEXT_QUEUE_ID 5

/** @} */

/** @name SMTP_TRACE
 *  Bits of SMTP_PROPERTY_TRACE_FLAGS.
 *  @{ */

/**
 * Each record is followed by a dump of its octets in hexadecimal.
 */
#define SMTP_TRACE_HEX 0x4

/**
 * The content of messages is written; without it, one line tells how many octets there were.
 */
#define SMTP_TRACE_CONTENT 0x8

/** @} */

/** @name SMTP_DIRECTION
 *  Directions of SmtpTraceRecord.
 *  @{ */

/**
 * A command of the client's; text is its line, secrets masked.
 */
#define SMTP_DIRECTION_CLIENT 0

/**
 * A reply; result_code and text are the server's, a login's challenges masked.
 */
#define SMTP_DIRECTION_SERVER 1

/**
 * Content of a message: its octets with SMTP_TRACE_CONTENT, else a text that says how many.
 */
#define SMTP_DIRECTION_CONTENT 2

/**
 * A remark: connected, TLS is up, failed, disconnected.
 */
#define SMTP_DIRECTION_NOTE 3

/** @} */

/** @name SMTP_STATUS
 *  Values of SMTP_PROPERTY_STATE and SmtpGetStatus: what a client is doing.
 *  @{ */

/**
 * Not connected.
 */
#define SMTP_STATUS_UNUSED 0

/**
 * Connected, and no call runs.
 */
#define SMTP_STATUS_IDLE 1

/**
 * The name is looked up, or the TCP connection made.
 */
#define SMTP_STATUS_CONNECT 2

/**
 * A call waits for the server.
 */
#define SMTP_STATUS_READ 3

/**
 * A call sends.
 */
#define SMTP_STATUS_WRITE 4

/**
 * The client says good-bye.
 */
#define SMTP_STATUS_DISCONNECT 5

/** @} */

/** @name SMTP_CHECK
 *  What SmtpCheckMessage finds.
 *  @{ */

/**
 * The message is larger than the limit.
 */
#define SMTP_CHECK_OVERSIZE 1

/**
 * A NUL octet, which servers drop or refuse.
 */
#define SMTP_CHECK_NUL 2

/**
 * A line ends with a CR or LF alone; it becomes CRLF when it is sent.
 */
#define SMTP_CHECK_BARE_LINE_END 3

/**
 * A line has more than 998 octets, which servers cut or refuse.
 */
#define SMTP_CHECK_LINE_TOO_LONG 4

/**
 * A line has more than 78 characters.
 */
#define SMTP_CHECK_LINE_LONG 5

/**
 * A part has octets beyond ASCII and says so: it needs a server with 8BITMIME.
 */
#define SMTP_CHECK_EIGHT_BIT 6

/**
 * Octets beyond ASCII where the transfer encoding does not allow them.
 */
#define SMTP_CHECK_EIGHT_BIT_UNDECLARED 7

/**
 * A header field has characters beyond ASCII: it needs a server with SMTPUTF8.
 */
#define SMTP_CHECK_HEADER_EIGHT_BIT 8

/**
 * A header field has octets that are not UTF-8.
 */
#define SMTP_CHECK_HEADER_CHARSET 9

/**
 * A line of the header is no field.
 */
#define SMTP_CHECK_HEADER_LINE 10

/**
 * The name of a field is empty, or has a character that may not be there.
 */
#define SMTP_CHECK_HEADER_NAME 11

/**
 * A field that a message should have is not there.
 */
#define SMTP_CHECK_HEADER_MISSING 12

/**
 * A field that may be there once is there again.
 */
#define SMTP_CHECK_HEADER_REPEATED 13

/**
 * A field that needs a value has none.
 */
#define SMTP_CHECK_HEADER_EMPTY 14

/**
 * A field is too long to be looked at; many servers refuse it.
 */
#define SMTP_CHECK_HEADER_LONG 15

/**
 * It looks as if somebody had put a header field in by way of a value.
 */
#define SMTP_CHECK_INJECTION 16

/**
 * A continued line of a field has white space only; some take it for the header's end.
 */
#define SMTP_CHECK_BLANK_FOLD 17

/**
 * An address is not valid.
 */
#define SMTP_CHECK_ADDRESS 18

/**
 * An address mixes scripts, or could be taken for another in Latin letters.
 */
#define SMTP_CHECK_LOOK_ALIKE 19

/**
 * A name or an address has characters that cannot be seen, or that turn the direction of
 * writing.
 */
#define SMTP_CHECK_INVISIBLE 20

/**
 * The name before an address looks like another address.
 */
#define SMTP_CHECK_NAME_IS_ADDRESS 21

/**
 * Several authors, and no Sender field that says who sent it.
 */
#define SMTP_CHECK_SENDER_MISSING 22

/**
 * The Date field has no valid date.
 */
#define SMTP_CHECK_DATE 23

/**
 * The Message-ID field has no valid identifier.
 */
#define SMTP_CHECK_MESSAGE_ID 24

/**
 * A Bcc field, which would show the others to whoever reads the source.
 */
#define SMTP_CHECK_BCC 25

/**
 * A field that servers put in: the message was delivered or signed before.
 */
#define SMTP_CHECK_LEFTOVER 26

/**
 * A text part has no text.
 */
#define SMTP_CHECK_TEXT_EMPTY 27

/**
 * The Content-Type field cannot be read.
 */
#define SMTP_CHECK_CONTENT_TYPE 28

/**
 * A multipart type has no boundary, or one that may not be.
 */
#define SMTP_CHECK_BOUNDARY_MISSING 29

/**
 * The boundary of a multipart type never comes.
 */
#define SMTP_CHECK_BOUNDARY_UNUSED 30

/**
 * A multipart type does not end.
 */
#define SMTP_CHECK_BOUNDARY_OPEN 31

/**
 * The Content-Transfer-Encoding is not known, or not allowed for this type.
 */
#define SMTP_CHECK_TRANSFER_ENCODING 32

/**
 * A part is not what its transfer encoding says.
 */
#define SMTP_CHECK_ENCODED_BODY 33

/**
 * A part is binary: it needs a server with BINARYMIME and CHUNKING.
 */
#define SMTP_CHECK_BINARY 34

/**
 * Text beyond ASCII whose charset is not said, or is said to be ASCII.
 */
#define SMTP_CHECK_CHARSET 35

/**
 * List-Unsubscribe-Post without an https address in List-Unsubscribe (RFC 8058).
 */
#define SMTP_CHECK_UNSUBSCRIBE 36

/**
 * Parts within parts deeper than is looked at.
 */
#define SMTP_CHECK_TOO_DEEP 37

/** @} */

/** @name SMTP_SEVERITY
 *  How bad a finding of SmtpCheckMessage is.
 *  @{ */

/**
 * Worth knowing.
 */
#define SMTP_SEVERITY_HINT 1

/**
 * Some servers or readers take it amiss.
 */
#define SMTP_SEVERITY_WARNING 2

/**
 * Against the standards, or refused by many servers.
 */
#define SMTP_SEVERITY_ERROR 3

/** @} */

/** @name SMTP_FINDING_TEXT
 *  Texts of SmtpMessageGetFindingString.
 *  @{ */

/**
 * The name of what was found, such as BARE_LINE_END.
 */
#define SMTP_FINDING_TEXT_NAME 1

/**
 * The name of the header field, or nothing.
 */
#define SMTP_FINDING_TEXT_HEADER 2

/**
 * What was found, in words.
 */
#define SMTP_FINDING_TEXT_WHAT 3

/**
 * What to do about it.
 */
#define SMTP_FINDING_TEXT_REMEDY 4

/** @} */

/** @name SMTP_CLASS
 *  Values of SMTP_PROPERTY_ERROR_CLASS: who has to act.
 *  @{ */

/**
 * The program misused the library, or cancelled.
 */
#define SMTP_CLASS_CALLER 1

/**
 * The server refused, or broke the protocol.
 */
#define SMTP_CLASS_SERVER 2

/**
 * Name resolution, the network, TLS or time failed.
 */
#define SMTP_CLASS_WIRE 3

/**
 * A defect of the library.
 */
#define SMTP_CLASS_INTERNAL 4

/** @} */

/** @name SMTP_PHASE
 *  Values of SMTP_PROPERTY_ERROR_PHASE and SMTP_PROPERTY_PHASE: what was or is being done.
 *  @{ */

/**
 * While checking the arguments.
 */
#define SMTP_PHASE_ARGUMENT 0

/**
 * While looking up the host name.
 */
#define SMTP_PHASE_RESOLVE 1

/**
 * While connecting.
 */
#define SMTP_PHASE_CONNECT 2

/**
 * While waiting for the server's greeting.
 */
#define SMTP_PHASE_GREETING 3

/**
 * While greeting the server with EHLO.
 */
#define SMTP_PHASE_EHLO 4

/**
 * While asking for TLS with STARTTLS.
 */
#define SMTP_PHASE_STARTTLS 5

/**
 * While starting TLS.
 */
#define SMTP_PHASE_TLS 6

/**
 * While logging in.
 */
#define SMTP_PHASE_AUTH 7

/**
 * While waiting for the reply to MAIL.
 */
#define SMTP_PHASE_MAIL 8

/**
 * While waiting for the replies to RCPT.
 */
#define SMTP_PHASE_RCPT 9

/**
 * While waiting for the reply to DATA.
 */
#define SMTP_PHASE_DATA 10

/**
 * While sending the message.
 */
#define SMTP_PHASE_CONTENT 11

/**
 * While waiting for the reply to the end of the message.
 */
#define SMTP_PHASE_END 12

/**
 * While waiting for the reply to RSET.
 */
#define SMTP_PHASE_RESET 13

/**
 * While waiting for the reply to QUIT.
 */
#define SMTP_PHASE_QUIT 14

/**
 * While the connection was idle.
 */
#define SMTP_PHASE_IDLE 15

/**
 * While waiting for the reply to a command.
 */
#define SMTP_PHASE_COMMAND 16

/**
 * While asking the proxy for the connection.
 */
#define SMTP_PHASE_PROXY 17

/** @} */

/** @name SMTP_PROPERTY
 *  Properties. Text: SmtpSetString, SmtpGetString; integer: SmtpSetInteger, SmtpGetInteger.
 *  @{ */

/**
 * Text, default empty. The server's host name or address, for SmtpConnect without one. An IPv6
 * address may stand in brackets. A path that begins with a slash is a Unix socket.
 */
#define SMTP_PROPERTY_HOST 1

/**
 * Integer, default 0. The server's port, for SmtpConnect without one. 0 means 25, or 465 with
 * implicit TLS, or 24 with LMTP.
 */
#define SMTP_PROPERTY_PORT 2

/**
 * Text, default empty. The user name, for SmtpAuthenticate without one.
 */
#define SMTP_PROPERTY_USER 3

/**
 * Text, write only. The password, for SmtpAuthenticate without one. Can be set but not read;
 * wiped from memory on release.
 */
#define SMTP_PROPERTY_PASSWORD 4

/**
 * Integer, default 0. The SMTP_OPTION_ bits, for SmtpConnect without any.
 */
#define SMTP_PROPERTY_OPTIONS 5

/**
 * Integer, default 0. How to use TLS, one of the SMTP_TLS_ constants, unless the options of
 * SmtpConnect say otherwise (RFC 3207, RFC 8314).
 */
#define SMTP_PROPERTY_TLS_MODE 6

/**
 * Text, default empty. The path of a PEM file with the authorities to trust instead of the
 * system's. Empty, as CA_FOLDER and CA_DATA: the system's.
 */
#define SMTP_PROPERTY_CA_FILE 7

/**
 * Text, default empty. The name to greet the server with (EHLO), a domain name or address
 * literal. Empty: this machine's name if it is a full one, else the address of the connection
 * (RFC 5321 section 4.1.4).
 */
#define SMTP_PROPERTY_LOCAL_NAME 8

/**
 * Integer, default 0. INSECURE: 1 allows a password to be sent without TLS, or over TLS with a
 * certificate that was not verified. To a loopback address it is always allowed, unless a proxy
 * or a socket of the caller leads there.
 */
#define SMTP_PROPERTY_INSECURE_AUTH 9

/**
 * Integer, default 0. INSECURE: 1 switches the check of the server's certificate off and trusts
 * it all the same.
 */
#define SMTP_PROPERTY_INSECURE_SKIP_VERIFY 10

/**
 * Integer, default 0. 1 lets one refused recipient stop the message: then nothing is sent to
 * anyone. Costs a round trip, as DATA waits for every recipient's reply.
 */
#define SMTP_PROPERTY_ALL_OR_NOTHING 11

/**
 * Integer, default 0. Which notifications to ask for with every message, SMTP_DELIVERY_ bits
 * (DSN, RFC 3461); 0 leaves it to the servers.
 */
#define SMTP_PROPERTY_DELIVERY_OPTIONS 12

/**
 * Text, default empty. An identifier that notifications bring back (ENVID, RFC 3461 section
 * 4.4): printable ASCII, at most 100 characters.
 */
#define SMTP_PROPERTY_ENVELOPE_ID 13

/**
 * Integer, default 0. 1 has notifications, and other wishes that say so, left out where the
 * server does not offer them, instead of the message failing.
 */
#define SMTP_PROPERTY_LEAVE_OUT 14

/**
 * Text, default empty. Further parameters of MAIL as they stand on the line, separated by
 * blanks (RFC 5321 section 4.1.2); not compared with what the server offers.
 */
#define SMTP_PROPERTY_MAIL_PARAMETERS 15

/**
 * Integer, default 1. When to send with BDAT instead of DATA (RFC 3030), one of the
 * SMTP_CHUNKING_ constants: never, when the message needs it, or whenever the server offers it.
 */
#define SMTP_PROPERTY_CHUNKING 16

/**
 * Integer, default 0. 1 sends the message octet for octet, without any repair (BODY=BINARYMIME,
 * RFC 3030); an error before anything is sent where the server does not offer BINARYMIME and
 * CHUNKING.
 */
#define SMTP_PROPERTY_BINARY 17

/**
 * Integer, default 0. 1 refuses a message with a bare CR or LF (SMTP_ERROR_LINE_END, with the
 * line) instead of repairing it. In memory and in a file that is found before anything is sent;
 * from a reader, the connection is closed at that line.
 */
#define SMTP_PROPERTY_STRICT_LINE_ENDS 18

/**
 * Integer, default 0. 1 asks for SMTPUTF8 (RFC 6531) with every message. Not needed for
 * addresses, nor for a header that is in memory or within the first 64 KiB of a file: those are
 * looked at.
 */
#define SMTP_PROPERTY_SMTPUTF8 19

/**
 * Integer, default 0. The limit of one call as a whole, in milliseconds; 0 is none. Whichever
 * limit is nearer counts.
 */
#define SMTP_PROPERTY_TIMEOUT 20

/**
 * Integer, default 30000. The limit for looking the host name up, in milliseconds; 0 is none.
 */
#define SMTP_PROPERTY_TIMEOUT_RESOLVE 21

/**
 * Integer, default 30000. The limit for making the TCP connection, all addresses together, in
 * milliseconds; 0 is none.
 */
#define SMTP_PROPERTY_TIMEOUT_CONNECT 22

/**
 * Integer, default 30000. The limit for the TLS handshake, in milliseconds; 0 is none.
 */
#define SMTP_PROPERTY_TIMEOUT_TLS 23

/**
 * Integer, default 300000. The limit for the server's greeting, in milliseconds; 0 is none (RFC
 * 5321 section 4.5.3.2.1).
 */
#define SMTP_PROPERTY_TIMEOUT_GREETING 24

/**
 * Integer, default 300000. The limit for the replies to EHLO, HELO, STARTTLS, AUTH, RSET and
 * commands of one's own, in milliseconds; 0 is none.
 */
#define SMTP_PROPERTY_TIMEOUT_COMMAND 25

/**
 * Integer, default 300000. The limit for the reply to MAIL, in milliseconds; 0 is none (RFC
 * 5321 section 4.5.3.2.2).
 */
#define SMTP_PROPERTY_TIMEOUT_MAIL 26

/**
 * Integer, default 300000. The limit for the reply to each RCPT, in milliseconds; 0 is none
 * (RFC 5321 section 4.5.3.2.3).
 */
#define SMTP_PROPERTY_TIMEOUT_RCPT 27

/**
 * Integer, default 120000. The limit for the reply to DATA, in milliseconds; 0 is none (RFC
 * 5321 section 4.5.3.2.4).
 */
#define SMTP_PROPERTY_TIMEOUT_DATA 28

/**
 * Integer, default 180000. The longest time without progress while the message is sent, in
 * milliseconds; 0 is none (RFC 5321 section 4.5.3.2.5).
 */
#define SMTP_PROPERTY_TIMEOUT_CONTENT 29

/**
 * Integer, default 600000. The limit for the reply to the end of the message, in milliseconds;
 * 0 is none (RFC 5321 section 4.5.3.2.6).
 */
#define SMTP_PROPERTY_TIMEOUT_END 30

/**
 * Integer, default 2000. The limit for the reply to QUIT, in milliseconds; 0 is none.
 */
#define SMTP_PROPERTY_TIMEOUT_QUIT 31

/**
 * Text, default empty. When every message is to be delivered, seconds;mode (DELIVERBY, RFC 2852
 * section 4), such as 120;R or -5;NT: R has a late message returned, N has the sender told, T
 * has every relay report. Where it is not offered, N is left out with LEAVE_OUT; R is an error.
 * Empty: no wish.
 */
#define SMTP_PROPERTY_DELIVER_BY 40

/**
 * Integer, default 0. For how many seconds the server is to hold every message, 1 to 999999999
 * (FUTURERELEASE, RFC 4865); 0 is not at all. Excludes HOLD_UNTIL. Where it is not offered, or
 * not for so long, that is an error also with LEAVE_OUT.
 */
#define SMTP_PROPERTY_HOLD_FOR 41

/**
 * Text, default empty. Until when the server is to hold every message, a date and time of RFC
 * 3339 such as 2026-11-02T10:00:00Z (FUTURERELEASE, RFC 4865); sent in UTC and whole seconds.
 * Excludes HOLD_FOR. Empty: not at all. Else as HOLD_FOR.
 */
#define SMTP_PROPERTY_HOLD_UNTIL 42

/**
 * Integer, default 0. The priority of every message, -9 to 9 (MT-PRIORITY, RFC 6710); 0 asks
 * for nothing, which means the same. Left out with LEAVE_OUT where it is not offered.
 */
#define SMTP_PROPERTY_MT_PRIORITY 43

/**
 * Integer, default 0. 1 has every message travel over verified TLS to its end or come back
 * (REQUIRETLS, RFC 8689). An error before anything is sent, also with LEAVE_OUT, unless the
 * server offers it and this session has TLS with a verified certificate.
 */
#define SMTP_PROPERTY_REQUIRE_TLS 44

/**
 * Text, default empty. Who handed every message in at first, a mailbox, or <> if that is not
 * known (AUTH= of MAIL, RFC 4954 section 5). Empty: nothing is said. Left out with LEAVE_OUT
 * where the server offers no login.
 */
#define SMTP_PROPERTY_AUTH_SENDER 45

/**
 * Text, default empty. Extensions that are not to be used, keywords separated by blanks, such
 * as PIPELINING SIZE: treated as not offered from the next EHLO on.
 */
#define SMTP_PROPERTY_DISABLED_EXTENSIONS 50

/**
 * Text, default empty. The path of a file to which the conversation is appended as a
 * transcript, secrets masked; empty: none. Opened when it is set, and made so that only its
 * owner can read it. A write that fails later is left out and fails no call.
 */
#define SMTP_PROPERTY_TRACE_FILE 60

/**
 * Integer, default 0. How many of the last records of the conversation are kept for
 * SMTP_PROPERTY_TRACE_TEXT, at most 10000; of more than 16 MiB the oldest go first. 0 keeps
 * none.
 */
#define SMTP_PROPERTY_TRACE_KEEP 61

/**
 * Integer, default 0. What the trace has besides, SMTP_TRACE_ bits.
 */
#define SMTP_PROPERTY_TRACE_FLAGS 62

/**
 * Integer, default 0. INSECURE: 1 shows passwords in the trace and in events as they are sent.
 */
#define SMTP_PROPERTY_INSECURE_TRACE_SECRETS 63

/**
 * Integer, default 771. The least version of TLS, one of the SMTP_TLS_VERSION_ constants; above
 * TLS_MAX_VERSION, SmtpConnect refuses it.
 */
#define SMTP_PROPERTY_TLS_MIN_VERSION 64

/**
 * Integer, default 772. The highest version of TLS, one of the SMTP_TLS_VERSION_ constants.
 */
#define SMTP_PROPERTY_TLS_MAX_VERSION 65

/**
 * Text, default empty. The name that the server's certificate must be for, a host name or
 * address, also told to the server (SNI). Empty: the host that was connected to.
 */
#define SMTP_PROPERTY_TLS_SERVER_NAME 66

/**
 * Text, default empty. The path of a folder whose PEM files have the authorities to trust
 * instead of the system's. CA_FILE, CA_FOLDER and CA_DATA are taken together.
 */
#define SMTP_PROPERTY_CA_FOLDER 67

/**
 * Text, default empty. The authorities to trust instead of the system's, as the text of a PEM
 * file.
 */
#define SMTP_PROPERTY_CA_DATA 68

/**
 * Text, default empty. The path of a file with this client's certificate, for servers that ask
 * for one, and those of its issuers: PEM, DER or PKCS#12, told apart by what is in it. Empty:
 * none.
 */
#define SMTP_PROPERTY_CLIENT_CERTIFICATE 69

/**
 * Text, default empty. The path of a file with the key of that certificate: PEM or DER; PKCS#8
 * may be encrypted. Empty: it is in the same file.
 */
#define SMTP_PROPERTY_CLIENT_KEY 70

/**
 * Text, write only. The password of the key, or of the PKCS#12 file. Can be set but not read;
 * wiped from memory on release.
 */
#define SMTP_PROPERTY_CLIENT_KEY_PASSWORD 71

/**
 * Text, write only. What a file of CLIENT_CERTIFICATE would have in it, instead of one; DER and
 * PKCS#12 by SmtpSetData. Can be set but not read.
 */
#define SMTP_PROPERTY_CLIENT_CERTIFICATE_DATA 72

/**
 * Text, write only. What a file of CLIENT_KEY would have in it, instead of one; DER by
 * SmtpSetData. Can be set but not read; wiped from memory on release.
 */
#define SMTP_PROPERTY_CLIENT_KEY_DATA 73

/**
 * Text, default empty. The only certificates accepted, one a line: sha256: and the hexadecimal
 * digest of a certificate, or sha256// and the Base64 digest of a public key
 * (SubjectPublicKeyInfo). Compared with the server's own certificate in every mode, besides all
 * other checks. Empty: any.
 */
#define SMTP_PROPERTY_TLS_PINS 74

/**
 * Integer, default 1. 1 lets a connection resume the TLS session of an earlier one of this
 * process, if that was to the same server with the same settings, which saves time.
 */
#define SMTP_PROPERTY_TLS_RESUMPTION 75

/**
 * Text, default empty. The path of a file with revocation lists, PEM or DER, one at least of
 * the authority that issued the server's certificate: a certificate on a list is refused, and
 * one without a list too, with another error. Empty: revocation is not looked at.
 */
#define SMTP_PROPERTY_CRL_FILE 76

/**
 * Integer, default -1. How to log in, one of the SMTP_AUTH_ constants. What the server does not
 * offer is refused before anything is sent.
 */
#define SMTP_PROPERTY_AUTH_TYPE 80

/**
 * Text, write only. An OAuth 2.0 access token, for SmtpAuthenticate without a password where
 * the type takes a token; with SMTP_AUTH_AUTOMATIC it is preferred to a password. Can be set
 * but not read; wiped from memory on release.
 */
#define SMTP_PROPERTY_BEARER_TOKEN 81

/**
 * Text, default empty. Whom to act as, if not as the user who logs in (authorization identity,
 * RFC 4422). PLAIN, SCRAM, DIGEST-MD5, OAUTHBEARER, EXTERNAL and GSSAPI have a place for it; no
 * other method is used then.
 */
#define SMTP_PROPERTY_AUTH_IDENTITY 82

/**
 * Text, default empty. With SMTP_AUTH_AUTOMATIC, the login methods that may be used, the best
 * first, by their names on the wire separated by blanks, such as SCRAM-SHA-256 PLAIN; the first
 * that the server offers is taken. Empty: the usual order.
 */
#define SMTP_PROPERTY_AUTH_METHODS 83

/**
 * Text, default empty. The realm for DIGEST-MD5, where the server names several, and the domain
 * for NTLM, where the user name has none. Empty: the server's first, and no domain.
 */
#define SMTP_PROPERTY_AUTH_REALM 84

/**
 * Integer, read only. 1 while the client is connected, as far as it has noticed.
 */
#define SMTP_PROPERTY_IS_CONNECTED 100

/**
 * Integer, read only. 1 if the server accepted EHLO, 0 if only HELO.
 */
#define SMTP_PROPERTY_IS_EXTENDED 101

/**
 * Integer, read only. The three-digit code of the server's last reply; 0 if there was none.
 */
#define SMTP_PROPERTY_RESULT_CODE 102

/**
 * Text, read only. The text of the server's last reply, its lines joined by line feeds.
 */
#define SMTP_PROPERTY_RESULT_STRING 103

/**
 * Text, read only. The enhanced status code of the server's last reply, such as 5.1.1 (RFC
 * 3463); empty if it had none.
 */
#define SMTP_PROPERTY_ENHANCED_CODE 104

/**
 * Text, read only. The extensions that the server offers, as it wrote them, one a line.
 */
#define SMTP_PROPERTY_EXTENSIONS 105

/**
 * Text, read only. The login mechanisms that the server offers, separated by blanks.
 */
#define SMTP_PROPERTY_AUTH_MECHANISMS 106

/**
 * Text, read only. The mechanism that logged in; empty before.
 */
#define SMTP_PROPERTY_AUTH_MECHANISM 107

/**
 * Integer, read only. The largest message that the server accepts, in octets (RFC 1870); 0 if
 * it names no limit.
 */
#define SMTP_PROPERTY_SIZE_LIMIT 108

/**
 * Text, read only. The address and port of the server.
 */
#define SMTP_PROPERTY_PEER_ADDRESS 109

/**
 * Text, read only. The address and port of this end of the connection.
 */
#define SMTP_PROPERTY_LOCAL_ADDRESS 110

/**
 * Integer, read only. The known extensions that the server offers and that are not left out,
 * SMTP_EXTOPT_ bits.
 */
#define SMTP_PROPERTY_EXTENDED_OPTIONS 111

/**
 * Text, read only. The extensions that the server offers and that are not used, one a line:
 * keyword, colon, reason. They were switched off, or the server refused MAIL for the parameter
 * of an extension that it offers, and MAIL was repeated without; such a one is left out with
 * this server for the rest of the client's life.
 */
#define SMTP_PROPERTY_LEFT_OUT_EXTENSIONS 112

/**
 * Text, read only. The TLS version in use, such as TLS 1.3; empty without TLS.
 */
#define SMTP_PROPERTY_TLS_PROTOCOL 120

/**
 * Text, read only. The cipher suite in use by its IANA name; empty without TLS.
 */
#define SMTP_PROPERTY_TLS_CIPHER 121

/**
 * Integer, read only. 1 if the server's certificate was checked and is good.
 */
#define SMTP_PROPERTY_TLS_VERIFIED 122

/**
 * Text, read only. Why the certificate was not found good, where TLS is used all the same
 * (opportunistic, or checks switched off).
 */
#define SMTP_PROPERTY_TLS_OBJECTION 123

/**
 * Integer, read only. What the check of the server's certificate came to, one of the
 * SMTP_CERTIFICATE_ constants; also told where it changes nothing (opportunistic, or checks
 * switched off).
 */
#define SMTP_PROPERTY_CERTIFICATE_STATUS 124

/**
 * Text, read only. Whom the server's certificate was issued to, such as
 * CN=mail.example.com,O=Example,C=DE (RFC 4514).
 */
#define SMTP_PROPERTY_CERTIFICATE_SUBJECT 125

/**
 * Text, read only. Who issued the server's certificate, in the same form.
 */
#define SMTP_PROPERTY_CERTIFICATE_ISSUER 126

/**
 * Text, read only. From when the certificate is valid, such as 2026-01-31T00:00:00Z (RFC 3339,
 * UTC).
 */
#define SMTP_PROPERTY_CERTIFICATE_ISSUED 127

/**
 * Text, read only. Until when the certificate is valid, in the same form.
 */
#define SMTP_PROPERTY_CERTIFICATE_EXPIRES 128

/**
 * Text, read only. The SHA-256 digest of the certificate, 64 hexadecimal digits.
 */
#define SMTP_PROPERTY_CERTIFICATE_FINGERPRINT 129

/**
 * Text, read only. The names and addresses that the certificate is for (subjectAltName, RFC
 * 5280), one a line.
 */
#define SMTP_PROPERTY_CERTIFICATE_NAMES 130

/**
 * Integer, read only. The bits of the cipher's key, such as 256; 0 without TLS.
 */
#define SMTP_PROPERTY_CIPHER_STRENGTH 131

/**
 * Integer, read only. The bits of the cipher suite's hash, such as 384; 0 without TLS.
 */
#define SMTP_PROPERTY_HASH_STRENGTH 132

/**
 * Text, read only. The group of the key exchange by its IANA name, such as X25519; empty
 * without TLS.
 */
#define SMTP_PROPERTY_KEY_EXCHANGE 133

/**
 * Integer, read only. 1 while the client is connected with TLS.
 */
#define SMTP_PROPERTY_SECURE 134

/**
 * Integer, read only. What became of the last message, one of the SMTP_OUTCOME_ constants.
 */
#define SMTP_PROPERTY_OUTCOME 140

/**
 * Integer, read only. 1 if sending the last message again cannot deliver it twice.
 */
#define SMTP_PROPERTY_SAFE_TO_RETRY 141

/**
 * Integer, read only. How many recipients of the last message the server accepted.
 */
#define SMTP_PROPERTY_RECIPIENTS_ACCEPTED 142

/**
 * Integer, read only. How many recipients of the last message the server refused.
 */
#define SMTP_PROPERTY_RECIPIENTS_REFUSED 143

/**
 * Text, read only. The refused recipients of the last message, one a line: address, colon,
 * code, text.
 */
#define SMTP_PROPERTY_REFUSED_RECIPIENTS 144

/**
 * Text, read only. The server's reply to the end of the last message: code and text.
 */
#define SMTP_PROPERTY_FINAL_REPLY 145

/**
 * Text, read only. The id under which the server queued the last message, where its final reply
 * has a known form.
 */
#define SMTP_PROPERTY_QUEUE_ID 146

/**
 * Integer, default 0. The code of this client's last failure. A success leaves it; set it to 0
 * to clear it.
 */
#define SMTP_PROPERTY_LAST_ERROR 160

/**
 * Integer, read only. The family of the last failure, one of the SMTP_CLASS_ constants; 0 if
 * there was none.
 */
#define SMTP_PROPERTY_ERROR_CLASS 161

/**
 * Integer, read only. What was being done at the last failure, one of the SMTP_PHASE_
 * constants.
 */
#define SMTP_PROPERTY_ERROR_PHASE 162

/**
 * Integer, read only. The reply code that caused the last failure; 0 if no reply did.
 */
#define SMTP_PROPERTY_ERROR_RESULT_CODE 163

/**
 * Text, read only. The enhanced status code of that reply.
 */
#define SMTP_PROPERTY_ERROR_ENHANCED_CODE 164

/**
 * Text, read only. The text of that reply, its lines joined by line feeds.
 */
#define SMTP_PROPERTY_ERROR_REPLY 165

/**
 * Integer, read only. The operating system's error number of the last failure; 0 if it was not
 * the system's.
 */
#define SMTP_PROPERTY_ERROR_OS 166

/**
 * Text, read only. The TLS library's own reason for the last failure.
 */
#define SMTP_PROPERTY_ERROR_TLS_REASON 167

/**
 * Text, read only. The mail or network address that the last failure concerns.
 */
#define SMTP_PROPERTY_ERROR_ADDRESS 168

/**
 * Text, read only. What to do about the last failure, one sentence.
 */
#define SMTP_PROPERTY_ERROR_REMEDY 169

/**
 * Text, read only. The whole record of the last failure as a JSON object; empty if there was
 * none. Members: code, name, class, phase, what, remedy, and where they apply reply (code,
 * text, enhanced), command, os_error, tls_reason, address, attempts (address, error), offered
 * (names), skipped (name, reason), outcome, safe_to_retry.
 */
#define SMTP_PROPERTY_ERROR_JSON 170

/**
 * Text, read only. Where the last failure was that of a choice, what the server offered, one a
 * line: login mechanisms, or extensions.
 */
#define SMTP_PROPERTY_ERROR_OFFERED 171

/**
 * Text, read only. Where the last failure was that of a choice, what was passed over, one a
 * line: name, colon, reason.
 */
#define SMTP_PROPERTY_ERROR_SKIPPED 172

/**
 * Integer, read only. What became of the message whose sending failed last, one of the
 * SMTP_OUTCOME_ constants; -1 if the last failure was not of a message.
 */
#define SMTP_PROPERTY_ERROR_OUTCOME 173

/**
 * Integer, read only. 0 if doing again what failed last could deliver a message twice.
 */
#define SMTP_PROPERTY_ERROR_SAFE_TO_RETRY 174

/**
 * Text, read only. The verb of the command that the reply of the last failure answers, such as
 * RCPT; EHLO also for HELO, DATA also for the content. Empty if no reply was the cause.
 */
#define SMTP_PROPERTY_ERROR_COMMAND 175

/**
 * Text, read only. The last records of the conversation as a transcript, as many as
 * SMTP_PROPERTY_TRACE_KEEP says.
 */
#define SMTP_PROPERTY_TRACE_TEXT 180

/**
 * Integer, read only. What the client is doing just now, one of the SMTP_STATUS_ constants.
 */
#define SMTP_PROPERTY_STATE 181

/**
 * Integer, read only. What the running call is doing just now, one of the SMTP_PHASE_
 * constants; without a call SMTP_PHASE_IDLE, or SMTP_PHASE_ARGUMENT if the client is not
 * connected.
 */
#define SMTP_PROPERTY_PHASE 182

/**
 * Integer, read only. 1 while a call runs on the client.
 */
#define SMTP_PROPERTY_IS_BLOCKED 183

/**
 * Integer, read only. The milliseconds that the look-up of the host name took for the last
 * connection.
 */
#define SMTP_PROPERTY_TIME_RESOLVE 184

/**
 * Integer, read only. The milliseconds that the TCP connection took.
 */
#define SMTP_PROPERTY_TIME_CONNECT 185

/**
 * Integer, read only. The milliseconds that the TLS handshake took.
 */
#define SMTP_PROPERTY_TIME_TLS 186

/**
 * Integer, read only. The milliseconds from the connection to the last reply to EHLO, without
 * the TLS handshake.
 */
#define SMTP_PROPERTY_TIME_GREETING 187

/**
 * Integer, read only. The milliseconds that the last login took.
 */
#define SMTP_PROPERTY_TIME_AUTH 188

/**
 * Integer, read only. The milliseconds that MAIL, RCPT and DATA of the last message took.
 */
#define SMTP_PROPERTY_TIME_ENVELOPE 189

/**
 * Integer, read only. The milliseconds that the content of the last message took.
 */
#define SMTP_PROPERTY_TIME_CONTENT 190

/**
 * Integer, read only. The milliseconds that the reply to the end of the last message took.
 */
#define SMTP_PROPERTY_TIME_END 191

/**
 * Integer, read only. The milliseconds that the last call over the network took, waiting for
 * its turn left out.
 */
#define SMTP_PROPERTY_TIME_TOTAL 192

/**
 * Integer, read only. The octets sent over the last connection, without what TLS adds, as of
 * the end of the last call.
 */
#define SMTP_PROPERTY_BYTES_SENT 193

/**
 * Integer, read only. The octets received over the last connection, without what TLS adds, as
 * of the end of the last call.
 */
#define SMTP_PROPERTY_BYTES_RECEIVED 194

/**
 * Integer, read only. The octets of content taken from their source for the message under way,
 * or the last one.
 */
#define SMTP_PROPERTY_TRANSFER_BYTES 195

/**
 * Integer, read only. The milliseconds that the content of the last message took, the wait for
 * the reply left out.
 */
#define SMTP_PROPERTY_TRANSFER_TIME 196

/**
 * Integer, read only. SMTP_PROPERTY_TRANSFER_BYTES in a second; a time below a millisecond
 * counts as one.
 */
#define SMTP_PROPERTY_TRANSFER_RATE 197

/**
 * Text, read only. The version of the library that is loaded.
 */
#define SMTP_PROPERTY_VERSION 198

/**
 * Text, read only. The channel binding tls-exporter of the connection (RFC 9266), 64
 * hexadecimal digits; empty without TLS 1.3.
 */
#define SMTP_PROPERTY_CHANNEL_BINDING_EXPORTER 200

/**
 * Text, read only. The channel binding tls-server-end-point of the connection (RFC 5929),
 * hexadecimal digits; empty without TLS, or where the certificate's signature names no hash.
 */
#define SMTP_PROPERTY_CHANNEL_BINDING_END_POINT 201

/**
 * Integer, read only. 1 if the connection resumed the TLS session of an earlier one.
 */
#define SMTP_PROPERTY_TLS_RESUMED 202

/**
 * Integer, read only. How many certificates the server sent, its own and those of its issuers;
 * see SmtpGetCertificate.
 */
#define SMTP_PROPERTY_CERTIFICATE_COUNT 203

/**
 * Text, read only. The pin of the key of the server's certificate, as SMTP_PROPERTY_TLS_PINS
 * takes it: sha256// and Base64.
 */
#define SMTP_PROPERTY_CERTIFICATE_PIN 204

/**
 * Text, default empty. The proxy to connect through, such as socks5://user:password@host:1080,
 * socks4a://host:1080 or http://host:3128 (SOCKS 5: RFC 1928, RFC 1929; HTTP CONNECT: RFC
 * 9110); user and password with percent-encoding. The proxy looks host names up. Read back, the
 * password is masked. A Unix socket is connected to without it. Empty: none.
 */
#define SMTP_PROPERTY_PROXY 230

/**
 * Integer, default 60000. The limit for the proxy's answer, its own connection to the server
 * included, in milliseconds; 0 is none.
 */
#define SMTP_PROPERTY_TIMEOUT_PROXY 231

/**
 * Text, default empty. The IP address to connect to, or several separated by commas, instead of
 * looking the host up; the host stays the name that the certificate must be for. Excludes
 * PROXY. Empty: the host's.
 */
#define SMTP_PROPERTY_CONNECT_ADDRESS 232

/**
 * Integer, default 0. Which addresses may be connected to, one of the SMTP_FAMILY_ constants;
 * with a proxy, the proxy's.
 */
#define SMTP_PROPERTY_ADDRESS_FAMILY 233

/**
 * Text, default empty. The address of this machine to connect from, such as 192.0.2.7,
 * 192.0.2.7:5025 with a port; an IPv6 address with a port stands in brackets. Empty: the system
 * chooses.
 */
#define SMTP_PROPERTY_LOCAL_BIND_ADDRESS 234

/**
 * Text, default empty. The network interface to connect through, such as eth0 (SO_BINDTODEVICE;
 * Linux and Android only). Empty: the system chooses.
 */
#define SMTP_PROPERTY_LOCAL_INTERFACE 235

/**
 * Integer, default 0. After how many seconds of silence the system asks whether the server is
 * there, so that routers on the way remember the connection, 1 to 32767 (SO_KEEPALIVE,
 * TCP_KEEPIDLE); 0 never.
 */
#define SMTP_PROPERTY_KEEP_ALIVE 236

/**
 * Text, read only. Where no connection could be made, the addresses that were tried, one a
 * line: address, colon, reason.
 */
#define SMTP_PROPERTY_ERROR_ATTEMPTS 240

/**
 * Integer, read only. The milliseconds that the proxy took for the last connection.
 */
#define SMTP_PROPERTY_TIME_PROXY 241

/**
 * Integer, default 1. 0 lets no operation that follows wait: what cannot be done at once
 * returns SMTP_PENDING and is gone on with by SmtpProcess, when SmtpGetPollInfo says.
 */
#define SMTP_PROPERTY_BLOCKING 250

/**
 * Integer, default 32. How many messages of a batch may be in flight with BDAT; 1 or 0 sends
 * one by one, also with DATA.
 */
#define SMTP_PROPERTY_BATCH_MESSAGES 260

/**
 * Integer, default 262144. How many octets of content of a batch may be in flight with BDAT.
 */
#define SMTP_PROPERTY_BATCH_OCTETS 261

/**
 * Integer, read only. How the messages of the last batch followed on each other, one of the
 * SMTP_BATCH_MODE_ constants.
 */
#define SMTP_PROPERTY_BATCH_MODE 262

/** @} */

/** @name SMTP_ERROR
 *  Error codes: 0x8004 and a Winsock number, or one of the library's own.
 *  @{ */

/**
 * A parameter has a value that is not allowed. Correct the parameter that the message names.
 */
#define SMTP_ERROR_INVALID_PARAMETER ((int32_t)(-2147211482))  /* 0x80042726 */

/**
 * An earlier operation of the client is still under way. Go on with it by SmtpProcess until it
 * is over, or end it with SmtpCancel and SmtpProcess.
 */
#define SMTP_ERROR_OPERATION_IN_PROGRESS ((int32_t)(-2147211468))  /* 0x80042734 */

/**
 * The handle is not a live one of its type. Use the handle that the function that creates them
 * returned, and never after its release.
 */
#define SMTP_ERROR_INVALID_HANDLE ((int32_t)(-2147211466))  /* 0x80042736 */

/**
 * The address cannot be used from this machine. Check the host name, the port and the machine's
 * network set-up.
 */
#define SMTP_ERROR_ADDRESS_UNAVAILABLE ((int32_t)(-2147211455))  /* 0x80042741 */

/**
 * The network of the server cannot be reached. Check the machine's network connection and
 * routes.
 */
#define SMTP_ERROR_NETWORK_UNREACHABLE ((int32_t)(-2147211453))  /* 0x80042743 */

/**
 * The connection broke while it was in use. Connect again; look at the outcome before you send
 * the message again.
 */
#define SMTP_ERROR_CONNECTION_ABORTED ((int32_t)(-2147211451))  /* 0x80042745 */

/**
 * The server cut the connection off. Connect again; look at the outcome before you send the
 * message again.
 */
#define SMTP_ERROR_CONNECTION_RESET ((int32_t)(-2147211450))  /* 0x80042746 */

/**
 * The client is connected already. Disconnect first, or use a second client.
 */
#define SMTP_ERROR_ALREADY_CONNECTED ((int32_t)(-2147211448))  /* 0x80042748 */

/**
 * The client is not connected. Call SmtpConnect first.
 */
#define SMTP_ERROR_NOT_CONNECTED ((int32_t)(-2147211447))  /* 0x80042749 */

/**
 * The time allowed ran out. Check that the server is reachable, or allow more time.
 */
#define SMTP_ERROR_TIMEOUT ((int32_t)(-2147211444))  /* 0x8004274C */

/**
 * Nothing accepts connections at this address and port. Check the host name and the port (25
 * relay, 587 submission, 465 implicit TLS).
 */
#define SMTP_ERROR_CONNECTION_REFUSED ((int32_t)(-2147211443))  /* 0x8004274D */

/**
 * The server cannot be reached. Check the host name and the machine's network connection.
 */
#define SMTP_ERROR_HOST_UNREACHABLE ((int32_t)(-2147211439))  /* 0x80042751 */

/**
 * The operation was cancelled. Nothing to mend; connect again to go on.
 */
#define SMTP_ERROR_CANCELLED ((int32_t)(-2147211393))  /* 0x8004277F */

/**
 * The host name does not exist or has no address. Check the spelling of the host name.
 */
#define SMTP_ERROR_HOST_NOT_FOUND ((int32_t)(-2147210503))  /* 0x80042AF9 */

/**
 * The host name could not be looked up just now. Check the machine's name service, and try
 * again later.
 */
#define SMTP_ERROR_HOST_LOOKUP_FAILED ((int32_t)(-2147210502))  /* 0x80042AFA */

/**
 * A pointer that must not be null is null. Pass the parameter that the message names.
 */
#define SMTP_ERROR_NULL_POINTER ((int32_t)(-2147201023))  /* 0x80045001 */

/**
 * A string is not valid UTF-8. Convert the text to UTF-8 before the call.
 */
#define SMTP_ERROR_INVALID_UTF8 ((int32_t)(-2147201022))  /* 0x80045002 */

/**
 * An address is not a valid mailbox. Write it as local-part@domain (RFC 5321, section 4.1.2),
 * without a display name or line breaks.
 */
#define SMTP_ERROR_INVALID_ADDRESS ((int32_t)(-2147201021))  /* 0x80045003 */

/**
 * No recipient was given. Give at least one address.
 */
#define SMTP_ERROR_NO_RECIPIENTS ((int32_t)(-2147201020))  /* 0x80045004 */

/**
 * The buffer is too small for the text. Call again with a buffer of the length that was
 * returned.
 */
#define SMTP_ERROR_BUFFER_TOO_SMALL ((int32_t)(-2147201019))  /* 0x80045005 */

/**
 * There is no such property of this type. Use an SMTP_PROPERTY_ constant with the get or set
 * function of its type.
 */
#define SMTP_ERROR_UNKNOWN_PROPERTY ((int32_t)(-2147201018))  /* 0x80045006 */

/**
 * The property can only be read. Do not set it.
 */
#define SMTP_ERROR_READ_ONLY_PROPERTY ((int32_t)(-2147201017))  /* 0x80045007 */

/**
 * The client was called from within its own callback. Call it after the callback has returned;
 * only SmtpCancel and the getters may be called inside.
 */
#define SMTP_ERROR_REENTRANT ((int32_t)(-2147201016))  /* 0x80045008 */

/**
 * The client was released while the call was waiting or running. Let every call return before
 * SmtpClientRelease.
 */
#define SMTP_ERROR_RELEASED ((int32_t)(-2147201015))  /* 0x80045009 */

/**
 * The handle was made before this process was forked. Create a new client in the child process.
 */
#define SMTP_ERROR_FORKED ((int32_t)(-2147201014))  /* 0x8004500A */

/**
 * An earlier internal error made this client unusable. Release it and create a new one.
 */
#define SMTP_ERROR_HANDLE_POISONED ((int32_t)(-2147201013))  /* 0x8004500B */

/**
 * An address needs SMTPUTF8, which the server does not offer. Use an address whose local part
 * is ASCII, or a server that offers SMTPUTF8.
 */
#define SMTP_ERROR_SMTPUTF8_REQUIRED ((int32_t)(-2147201012))  /* 0x8004500C */

/**
 * A text is longer than the protocol allows. Shorten the text that the message names.
 */
#define SMTP_ERROR_TOO_LONG ((int32_t)(-2147201011))  /* 0x8004500D */

/**
 * The certificate authority file cannot be used. Give the path of a readable PEM file with at
 * least one certificate.
 */
#define SMTP_ERROR_CA_FILE ((int32_t)(-2147201010))  /* 0x8004500E */

/**
 * No user name or password was given. Pass both to SmtpAuthenticate, or set the properties.
 */
#define SMTP_ERROR_NO_CREDENTIALS ((int32_t)(-2147201009))  /* 0x8004500F */

/**
 * The password was not sent, since the connection does not protect it. Use TLS with a verified
 * certificate, or set SMTP_PROPERTY_INSECURE_AUTH.
 */
#define SMTP_ERROR_INSECURE_CREDENTIALS ((int32_t)(-2147201008))  /* 0x80045010 */

/**
 * No more clients can be created. Release the clients that are no longer used.
 */
#define SMTP_ERROR_TOO_MANY_HANDLES ((int32_t)(-2147201007))  /* 0x80045011 */

/**
 * The message is larger than the server accepts. Send a smaller message, or give a link instead
 * of an attachment.
 */
#define SMTP_ERROR_MESSAGE_TOO_LARGE ((int32_t)(-2147201006))  /* 0x80045012 */

/**
 * The property can only be set. Keep the value yourself; secrets are not given back.
 */
#define SMTP_ERROR_WRITE_ONLY_PROPERTY ((int32_t)(-2147201005))  /* 0x80045013 */

/**
 * The message file cannot be read. Check the path and the permissions of the file.
 */
#define SMTP_ERROR_FILE ((int32_t)(-2147201004))  /* 0x80045014 */

/**
 * The program's reader gave up. Look into the reader callback; the message was not completed.
 */
#define SMTP_ERROR_READER ((int32_t)(-2147201003))  /* 0x80045015 */

/**
 * The command would leave the session in an unknown state. Use the function that is made for
 * it.
 */
#define SMTP_ERROR_UNSUITABLE_COMMAND ((int32_t)(-2147201002))  /* 0x80045016 */

/**
 * The message asks for an extension that the server does not offer. Do not ask for it, or set
 * SMTP_PROPERTY_LEAVE_OUT to have it left out.
 */
#define SMTP_ERROR_EXTENSION_UNAVAILABLE ((int32_t)(-2147201001))  /* 0x80045017 */

/**
 * A message was begun and is not complete. Complete it with SmtpCloseMessage, or drop it with
 * SmtpReset.
 */
#define SMTP_ERROR_MESSAGE_OPEN ((int32_t)(-2147201000))  /* 0x80045018 */

/**
 * No message was begun. Call SmtpCreateMessage first.
 */
#define SMTP_ERROR_NO_MESSAGE_OPEN ((int32_t)(-2147200999))  /* 0x80045019 */

/**
 * The server does not take so many recipients at a time. Send the message from memory or from a
 * file, without SMTP_PROPERTY_ALL_OR_NOTHING, or to fewer recipients at a time.
 */
#define SMTP_ERROR_TOO_MANY_RECIPIENTS ((int32_t)(-2147200998))  /* 0x8004501A */

/**
 * The message has a line end that is not CRLF. Write every line end as CRLF, or clear
 * SMTP_PROPERTY_STRICT_LINE_ENDS to have them repaired.
 */
#define SMTP_ERROR_LINE_END ((int32_t)(-2147200997))  /* 0x8004501B */

/**
 * No operation is under way. Call SmtpProcess only while an operation is pending: its result is
 * told once.
 */
#define SMTP_ERROR_NO_OPERATION ((int32_t)(-2147200992))  /* 0x80045020 */

/**
 * The batch is being sent. Wait until the call that sends it has returned.
 */
#define SMTP_ERROR_BATCH_BUSY ((int32_t)(-2147200988))  /* 0x80045024 */

/**
 * The message was not begun, since the call that sends the batch had ended before. Connect
 * again and send the batch again: only what was not sent is sent then.
 */
#define SMTP_ERROR_BATCH_ENDED ((int32_t)(-2147200987))  /* 0x80045025 */

/**
 * The client is attached to a reactor. Leave its operations to the reactor, or detach it with
 * SmtpReactorDetach first.
 */
#define SMTP_ERROR_ATTACHED ((int32_t)(-2147200984))  /* 0x80045028 */

/**
 * The queue of the pool is full. Submit the message later, let SmtpPoolSubmit wait, or raise
 * SMTP_POOL_QUEUE_LIMIT or SMTP_POOL_QUEUE_OCTETS.
 */
#define SMTP_ERROR_QUEUE_FULL ((int32_t)(-2147200983))  /* 0x80045029 */

/**
 * The pool was drained or aborted. Release the pool and create a new one.
 */
#define SMTP_ERROR_POOL_CLOSED ((int32_t)(-2147200982))  /* 0x8004502A */

/**
 * The header field cannot be written. Correct the name or the value that the message tells of.
 */
#define SMTP_ERROR_HEADER ((int32_t)(-2147200976))  /* 0x80045030 */

/**
 * The attachment cannot be used. Check the file, its name and its type; the message says which.
 */
#define SMTP_ERROR_ATTACHMENT ((int32_t)(-2147200975))  /* 0x80045031 */

/**
 * The message has no such header field or part. Ask for the number of them first; they count
 * from 0.
 */
#define SMTP_ERROR_NOT_FOUND ((int32_t)(-2147200974))  /* 0x80045032 */

/**
 * What was to be loaded is not a message. Load header fields, an empty line and a body, as in
 * an .eml file.
 */
#define SMTP_ERROR_NOT_A_MESSAGE ((int32_t)(-2147200973))  /* 0x80045033 */

/**
 * What was to be written could not be written. Look into the writer callback, or check the path
 * and the room on the disk.
 */
#define SMTP_ERROR_WRITER ((int32_t)(-2147200972))  /* 0x80045034 */

/**
 * The message does not say whom it is from. Set the header field From.
 */
#define SMTP_ERROR_NO_SENDER ((int32_t)(-2147200971))  /* 0x80045035 */

/**
 * The part has no content of its own. Ask for the parts that are in it.
 */
#define SMTP_ERROR_NO_CONTENT ((int32_t)(-2147200970))  /* 0x80045036 */

/**
 * The body of a loaded message cannot be replaced. Empty the message with SmtpMessageClear, or
 * compose another one.
 */
#define SMTP_ERROR_LOADED_BODY ((int32_t)(-2147200969))  /* 0x80045037 */

/**
 * The DKIM key cannot be used. Give an RSA key of 2048 to 4096 bits or an Ed25519 key, in PEM
 * form or as the path of a file with it.
 */
#define SMTP_ERROR_DKIM_KEY ((int32_t)(-2147200960))  /* 0x80045040 */

/**
 * A setting of the DKIM signature is not allowed. Correct the domain, selector or option that
 * the message names.
 */
#define SMTP_ERROR_DKIM_SETTING ((int32_t)(-2147200959))  /* 0x80045041 */

/**
 * The message's header cannot be signed. Mend the header; SmtpCheckMessage finds what is wrong
 * with it.
 */
#define SMTP_ERROR_DKIM_HEADER ((int32_t)(-2147200958))  /* 0x80045042 */

/**
 * The message can be read only once, and checking or signing it takes one time more. Attach
 * from memory or a file, or with a rewind function.
 */
#define SMTP_ERROR_READ_ONCE ((int32_t)(-2147200957))  /* 0x80045043 */

/**
 * The server is closing the connection (421). Connect again later.
 */
#define SMTP_ERROR_SERVER_CLOSING ((int32_t)(-2147200767))  /* 0x80045101 */

/**
 * The server refuses the session. Read the server's own words in the message.
 */
#define SMTP_ERROR_SERVER_REFUSED ((int32_t)(-2147200766))  /* 0x80045102 */

/**
 * The server broke the SMTP protocol. Check that the host and port are those of a mail server;
 * if they are, the server is at fault.
 */
#define SMTP_ERROR_PROTOCOL ((int32_t)(-2147200765))  /* 0x80045103 */

/**
 * The server's reply is longer than the library accepts. Check that the host and port are those
 * of a mail server.
 */
#define SMTP_ERROR_REPLY_TOO_LONG ((int32_t)(-2147200764))  /* 0x80045104 */

/**
 * The server rejected the command. Read the server's own words in the message.
 */
#define SMTP_ERROR_COMMAND_REJECTED ((int32_t)(-2147200763))  /* 0x80045105 */

/**
 * The server did not accept the login. Check the user name and the password.
 */
#define SMTP_ERROR_AUTHENTICATION_FAILED ((int32_t)(-2147200762))  /* 0x80045106 */

/**
 * The server offers no login method that this client may use. Compare the methods that the
 * message lists; many servers offer them only after TLS.
 */
#define SMTP_ERROR_INVALID_AUTHENTICATION_TYPE ((int32_t)(-2147200761))  /* 0x80045107 */

/**
 * TLS is required but the server does not offer STARTTLS. Use implicit TLS (port 465) if the
 * server has it, or another server.
 */
#define SMTP_ERROR_STARTTLS_UNAVAILABLE ((int32_t)(-2147200760))  /* 0x80045108 */

/**
 * The server offered STARTTLS and then refused it. Try again later, or use implicit TLS (port
 * 465).
 */
#define SMTP_ERROR_STARTTLS_REJECTED ((int32_t)(-2147200759))  /* 0x80045109 */

/**
 * Text arrived behind the STARTTLS reply, before TLS. Somebody may be tampering with the
 * connection; do not send over this network.
 */
#define SMTP_ERROR_STARTTLS_INJECTION ((int32_t)(-2147200758))  /* 0x8004510A */

/**
 * The server refused the sender. Check the sender's address and whether the server wants a
 * login first.
 */
#define SMTP_ERROR_SENDER_REJECTED ((int32_t)(-2147200757))  /* 0x8004510B */

/**
 * The server refused every recipient. Check the addresses and whether the server wants a login
 * first.
 */
#define SMTP_ERROR_RECIPIENTS_REJECTED ((int32_t)(-2147200756))  /* 0x8004510C */

/**
 * The server did not want the message. Read the server's own words in the message.
 */
#define SMTP_ERROR_DATA_REJECTED ((int32_t)(-2147200755))  /* 0x8004510D */

/**
 * The server read the message and refused it. Read the server's own words in the message.
 */
#define SMTP_ERROR_MESSAGE_REJECTED ((int32_t)(-2147200754))  /* 0x8004510E */

/**
 * The server refused a recipient. Leave the refused recipient out; with
 * SMTP_PROPERTY_ALL_OR_NOTHING nothing is sent as long as one is refused.
 */
#define SMTP_ERROR_RECIPIENT_REJECTED ((int32_t)(-2147200753))  /* 0x8004510F */

/**
 * The server closed the connection without a reply. Connect again; look at the outcome before
 * you send the message again.
 */
#define SMTP_ERROR_CONNECTION_CLOSED ((int32_t)(-2147200511))  /* 0x80045201 */

/**
 * The operating system reports a network error. Look at the system's error in the message.
 */
#define SMTP_ERROR_NETWORK ((int32_t)(-2147200510))  /* 0x80045202 */

/**
 * The proxy refused to make the connection. Ask who runs the proxy whether it lets connections
 * to this host and port through, or use another.
 */
#define SMTP_ERROR_PROXY_REFUSED ((int32_t)(-2147200496))  /* 0x80045210 */

/**
 * The proxy could not reach the server. Check the server's host name and port; the proxy itself
 * works, and it is the proxy that looks the name up.
 */
#define SMTP_ERROR_PROXY_TARGET ((int32_t)(-2147200495))  /* 0x80045211 */

/**
 * The proxy did not accept the login. Check the user name and the password in
 * SMTP_PROPERTY_PROXY.
 */
#define SMTP_ERROR_PROXY_AUTHENTICATION ((int32_t)(-2147200494))  /* 0x80045212 */

/**
 * The proxy broke the protocol, or is not one. Check the protocol, the host and the port in
 * SMTP_PROPERTY_PROXY.
 */
#define SMTP_ERROR_PROXY_PROTOCOL ((int32_t)(-2147200493))  /* 0x80045213 */

/**
 * TLS could not be started. Read the reason in the message.
 */
#define SMTP_ERROR_TLS_HANDSHAKE ((int32_t)(-2147200255))  /* 0x80045301 */

/**
 * The server does not speak TLS on this port. This port speaks plain SMTP first: use STARTTLS
 * (port 587 or 25), or implicit TLS on port 465.
 */
#define SMTP_ERROR_TLS_NOT_TLS ((int32_t)(-2147200254))  /* 0x80045302 */

/**
 * The certificate is not for this host name. Connect by a name that the certificate has, or
 * have the certificate renewed with this name.
 */
#define SMTP_ERROR_TLS_CERTIFICATE_NAME ((int32_t)(-2147200253))  /* 0x80045303 */

/**
 * The certificate is expired or not yet valid. Have the certificate renewed, and check this
 * machine's clock.
 */
#define SMTP_ERROR_TLS_CERTIFICATE_EXPIRED ((int32_t)(-2147200252))  /* 0x80045304 */

/**
 * The certificate was not issued by a trusted authority. Name the authority's file with
 * SMTP_PROPERTY_CA_FILE, or have the certificate issued by a public authority.
 */
#define SMTP_ERROR_TLS_CERTIFICATE_UNTRUSTED ((int32_t)(-2147200251))  /* 0x80045305 */

/**
 * The certificate was revoked. Do not send to this server until it has a new certificate.
 */
#define SMTP_ERROR_TLS_CERTIFICATE_REVOKED ((int32_t)(-2147200250))  /* 0x80045306 */

/**
 * The certificate cannot be used for this server. Have the certificate replaced; the message
 * names the check that failed.
 */
#define SMTP_ERROR_TLS_CERTIFICATE_INVALID ((int32_t)(-2147200249))  /* 0x80045307 */

/**
 * The TLS connection broke. Connect again; look at the outcome before you send the message
 * again.
 */
#define SMTP_ERROR_TLS_BROKEN ((int32_t)(-2147200248))  /* 0x80045308 */

/**
 * The certificate is none of those that are pinned. If the server has a new key, as its
 * operator can tell, set SMTP_PROPERTY_TLS_PINS anew; else somebody may be in between.
 */
#define SMTP_ERROR_TLS_PIN_MISMATCH ((int32_t)(-2147200247))  /* 0x80045309 */

/**
 * Whether the certificate was revoked cannot be told. Get a current revocation list of the
 * certificate's authority, and name it with SMTP_PROPERTY_CRL_FILE.
 */
#define SMTP_ERROR_TLS_REVOCATION_UNKNOWN ((int32_t)(-2147200246))  /* 0x8004530A */

/**
 * The revocation list cannot be used. Give the path of a readable file with revocation lists,
 * in PEM or DER form.
 */
#define SMTP_ERROR_TLS_CRL_FILE ((int32_t)(-2147200245))  /* 0x8004530B */

/**
 * The client's own certificate or its key cannot be used. Check the file, the key that belongs
 * to it, and its password; the message says which.
 */
#define SMTP_ERROR_TLS_CLIENT_CERTIFICATE ((int32_t)(-2147200244))  /* 0x8004530C */

/**
 * The server wants a certificate of the client. Set SMTP_PROPERTY_CLIENT_CERTIFICATE and, if it
 * is not in the same file, SMTP_PROPERTY_CLIENT_KEY.
 */
#define SMTP_ERROR_TLS_CLIENT_CERTIFICATE_REQUIRED ((int32_t)(-2147200243))  /* 0x8004530D */

/**
 * The library has a defect. Please report it with the message; release this client and create a
 * new one.
 */
#define SMTP_ERROR_INTERNAL ((int32_t)(-2147197183))  /* 0x80045F01 */

/** @} */

#ifdef __cplusplus
extern "C" {
#endif


/**
 * A batch of messages. Made by SmtpBatchCreate, ended by SmtpBatchRelease; usable
 * from any thread. The pointer is a token: it does not point to anything.
 */
typedef struct SmtpBatch SmtpBatch;

/**
 * An SMTP client. Made by SmtpClientCreate, ended by SmtpClientRelease; usable
 * from any thread. The pointer is a token: it does not point to anything.
 */
typedef struct SmtpClient SmtpClient;

/**
 * A message to compose, load, read and send. Made by SmtpMessageCreate, ended by
 * SmtpMessageRelease; usable from any thread. The pointer is a token: it does not
 * point to anything.
 */
typedef struct SmtpMessage SmtpMessage;

/**
 * A pool of connections. Made by SmtpPoolCreate, ended by SmtpPoolRelease; usable from
 * any thread. The pointer is a token: it does not point to anything.
 */
typedef struct SmtpPool SmtpPool;

/**
 * An event thread. Made by SmtpReactorCreate, ended by SmtpReactorRelease; usable from
 * any thread. The pointer is a token: it does not point to anything.
 */
typedef struct SmtpReactor SmtpReactor;

/**
 * What a callback is told. Valid during the callback only.
 */
typedef struct SmtpEvent {
    /**
     * The size of this structure in octets; later versions append members.
     */
    uint32_t size;
    /**
     * One of the SMTP_EVENT_ constants.
     */
    uint32_t event;
    /**
     * The error code for SMTP_EVENT_ERROR, _TIMEOUT and _CANCEL; else 0.
     */
    int32_t error;
    /**
     * The server's reply code for SMTP_EVENT_REPLY; else 0.
     */
    int32_t result_code;
    /**
     * The text that belongs to the event, any octets, not NUL-terminated; never NULL.
     */
    const char *text;
    /**
     * The length of the text in octets.
     */
    size_t text_length;
    /**
     * For SMTP_EVENT_PROGRESS, how many octets of the message were taken from its source; else 0.
     */
    uint64_t bytes_copied;
    /**
     * For SMTP_EVENT_PROGRESS, the length of the message in octets, 0 if it is not known; else 0.
     */
    uint64_t bytes_total;
    /**
     * For SMTP_EVENT_RECIPIENT, the recipient's number, from 0; else 0.
     */
    uint32_t recipient;
    /**
     * For SMTP_EVENT_RECIPIENT, one of the SMTP_RECIPIENT_ constants; else 0.
     */
    uint32_t recipient_state;
    /**
     * For SMTP_EVENT_RECIPIENT, the text of the reply, its lines joined by line feeds,
     * any octets, not NUL-terminated; else empty; never NULL.
     */
    const char *reply;
    /**
     * The length of the reply in octets.
     */
    size_t reply_length;
    /**
     * For SMTP_EVENT_MESSAGE, the number of the message in its batch, from 0; else 0.
     */
    uint32_t message;
    /**
     * For SMTP_EVENT_MESSAGE, one of the SMTP_OUTCOME_ constants; else 0.
     */
    uint32_t outcome;
} SmtpEvent;

/**
 * A callback. Returns 0 to go on, anything else to cancel the running call.
 *
 * Called on the thread whose call caused the event, with no lock of the
 * library's held. In it, SmtpCancel and the getters may be called on the same
 * client; everything else gives SMTP_ERROR_REENTRANT. It must not throw or jump
 * out of the library.
 */
typedef int32_t (*SmtpEventCallback)(const struct SmtpEvent *event, void *user_data);

/**
 * Called once with the user data when the library has no more use for it.
 */
typedef void (*SmtpDestroyCallback)(void *user_data);

/**
 * Gives the next piece of a message: fills the buffer with up to capacity
 * octets and returns how many, 0 at the end, or a negative number to give up.
 *
 * Called on the thread of SmtpSendStream, with no lock of the library's held; on
 * the same client it may call SmtpCancel and the getters only. A reader that
 * waits cannot be interrupted; what it takes counts towards SMTP_PROPERTY_TIMEOUT,
 * looked at when it returns, and not towards the limits of the phases.
 */
typedef int64_t (*SmtpReadCallback)(void *buffer, size_t capacity, void *user_data);

/**
 * The message for SmtpSubmitMessage.
 */
typedef struct SmtpMessageInfo {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The sender, as for SmtpSendMessage.
     */
    const char *sender;
    /**
     * The recipients, as for SmtpSendMessage.
     */
    const char *recipients;
    /**
     * Header, empty line and body in memory; NULL if path is given.
     */
    const void *message;
    /**
     * The length of message in octets, or SMTP_NUL_TERMINATED.
     */
    size_t length;
    /**
     * The file that has the message, as for SmtpSendFile; NULL if message is given.
     */
    const char *path;
} SmtpMessageInfo;

/**
 * The server for SmtpSubmitMessage.
 */
typedef struct SmtpServerInfo {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * Port; 0 as for SmtpConnect.
     */
    uint32_t port;
    /**
     * Host name or address; NULL: SMTP_PROPERTY_HOST.
     */
    const char *host;
    /**
     * User name; NULL: SMTP_PROPERTY_USER. Without one, nobody logs in.
     */
    const char *user;
    /**
     * Password; NULL: SMTP_PROPERTY_PASSWORD.
     */
    const char *password;
    /**
     * Limit of the call as a whole in milliseconds; 0: SMTP_PROPERTY_TIMEOUT.
     */
    uint32_t timeout_ms;
    /**
     * SMTP_OPTION_ bits; 0: SMTP_PROPERTY_OPTIONS.
     */
    uint32_t options;
} SmtpServerInfo;

/**
 * What an event loop has to wait for.
 */
typedef struct SmtpPollInfo {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * SMTP_POLL_READ, SMTP_POLL_WRITE, both, or 0 where there is nothing to wait for.
     */
    uint32_t events;
    /**
     * The descriptor to wait on, for poll, epoll and their like; -1 if there is none.
     */
    int64_t descriptor;
    /**
     * The milliseconds after which SmtpProcess is due even if nothing happens; -1 is
     * never, 0 is now.
     */
    int64_t timeout_ms;
} SmtpPollInfo;

/**
 * Called when an operation of an attached client is over that had returned SMTP_PENDING:
 * result is 0 or the error code of the operation, of which SmtpGetLastError and its
 * like tell.
 *
 * Called on the reactor's thread, with no lock of the library's held, once for each
 * such operation. The client may be used for its next operation, and any other client
 * for anything; what takes long keeps every client of the reactor waiting. After
 * SmtpClientRelease the handle is stale already. It must not throw or jump out of the library.
 */
typedef void (*SmtpCompletionCallback)(struct SmtpClient *client, int32_t result, void *user_data);

/**
 * What became of a message of a pool.
 */
typedef struct SmtpPoolResult {
    /**
     * The size of this structure in octets, set by who makes it; later versions append members.
     */
    uint32_t size;
    /**
     * 0, or the error code.
     */
    int32_t code;
    /**
     * The number that SmtpPoolSubmit gave.
     */
    uint64_t id;
    /**
     * The tag that was given to SmtpPoolSubmit.
     */
    void *tag;
    /**
     * One of the SMTP_OUTCOME_ constants.
     */
    uint32_t outcome;
    /**
     * 1 if sending the message again cannot deliver it twice.
     */
    uint32_t safe_to_retry;
    /**
     * The code of the reply that decided on the message; 0 if none did.
     */
    int32_t reply_code;
    /**
     * The enhanced status code of that reply, its three numbers; else 0.
     */
    int32_t enhanced_class;
    /**
     * See enhanced_class.
     */
    int32_t enhanced_subject;
    /**
     * See enhanced_class.
     */
    int32_t enhanced_detail;
    /**
     * For how many recipients the message was accepted.
     */
    uint32_t accepted;
    /**
     * How many recipients were refused.
     */
    uint32_t refused;
    /**
     * How often the message was begun to be sent: 2 if the first time met a connection
     * that the server had ended before.
     */
    uint32_t attempts;
    /**
     * 0.
     */
    uint32_t reserved;
} SmtpPoolResult;

/**
 * Called with the result of a message. The structure is valid during the call only.
 *
 * Called on the pool's own thread, with no lock of the library's held; what takes long
 * keeps the pool waiting. SmtpPoolSubmit without waiting, the getters and
 * SmtpPoolGetResultString may be called. It must not throw or jump out of the library.
 */
typedef void (*SmtpPoolCallback)(struct SmtpPool *pool,
                                 const struct SmtpPoolResult *result,
                                 void *user_data);

/**
 * What a pool has done so far, and has to do.
 */
typedef struct SmtpPoolStatistics {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Messages that wait to be sent.
     */
    uint64_t queued;
    /**
     * Messages that are being sent.
     */
    uint64_t in_flight;
    /**
     * Messages that servers took, for at least one recipient.
     */
    uint64_t accepted;
    /**
     * Messages that servers refused.
     */
    uint64_t rejected;
    /**
     * Messages that may have been taken.
     */
    uint64_t unknown;
    /**
     * Messages that did not leave this machine.
     */
    uint64_t not_sent;
    /**
     * Results that SmtpPoolWait has not taken.
     */
    uint64_t results;
    /**
     * Connections, those being made or closed included.
     */
    uint64_t connections;
    /**
     * Connections that wait for a message.
     */
    uint64_t idle;
    /**
     * Connections that were made, login included.
     */
    uint64_t opened;
    /**
     * Connections that could not be made.
     */
    uint64_t failed;
    /**
     * Connections closed for their age.
     */
    uint64_t retired_age;
    /**
     * Connections closed for the number of their messages.
     */
    uint64_t retired_count;
    /**
     * Connections closed since they had nothing to send for a while.
     */
    uint64_t retired_idle;
    /**
     * Connections that the server ended with 421 while a message was under way.
     */
    uint64_t retired_closing;
    /**
     * Connections closed for new settings, for another destination, or at the end.
     */
    uint64_t retired_other;
    /**
     * Connections that broke while a message was under way.
     */
    uint64_t broken;
    /**
     * Idle connections that the server ended, which was noticed before they were used.
     */
    uint64_t hung_up;
    /**
     * Connections that a message found dead; it went over a new one.
     */
    uint64_t stale;
    /**
     * The octets sent over connections that are closed.
     */
    uint64_t bytes_sent;
    /**
     * The octets received over connections that are closed.
     */
    uint64_t bytes_received;
} SmtpPoolStatistics;

/**
 * What became of one recipient of the last message.
 */
typedef struct SmtpRecipient {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * One of the SMTP_RECIPIENT_ constants.
     */
    uint32_t state;
    /**
     * The code of the reply that refused it, or the message for it; else 0.
     */
    int32_t result_code;
    /**
     * The enhanced status code of that reply, its three numbers; else 0.
     */
    int32_t enhanced_class;
    /**
     * See enhanced_class.
     */
    int32_t enhanced_subject;
    /**
     * See enhanced_class.
     */
    int32_t enhanced_detail;
} SmtpRecipient;

/**
 * What became of one message of a batch.
 */
typedef struct SmtpBatchResult {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * 0, or the error code; SMTP_ERROR_BATCH_ENDED if the message was not begun.
     */
    int32_t code;
    /**
     * One of the SMTP_OUTCOME_ constants.
     */
    uint32_t outcome;
    /**
     * 1 if sending the message again cannot deliver it twice, else 0.
     */
    uint32_t safe_to_retry;
    /**
     * The code of the reply that decided it; 0 if there was none.
     */
    int32_t result_code;
    /**
     * The enhanced status code of that reply, its three numbers; else 0.
     */
    int32_t enhanced_class;
    /**
     * See enhanced_class.
     */
    int32_t enhanced_subject;
    /**
     * See enhanced_class.
     */
    int32_t enhanced_detail;
    /**
     * How many recipients the message has.
     */
    uint32_t recipients;
    /**
     * How many of them the server took it for.
     */
    uint32_t recipients_accepted;
    /**
     * How many of them the server refused.
     */
    uint32_t recipients_refused;
} SmtpBatchResult;

/**
 * Gives an OAuth 2.0 access token: writes it, without a NUL, into the buffer of
 * capacity octets, and returns its length, or a negative number to give up.
 * renew is 1 if the server has just refused the token that was given before, most
 * often because it has expired: then a kept one is of no use; else it is 0.
 *
 * Called on the thread whose call logs in, with no lock of the library's held; on
 * the same client it may call SmtpCancel and the getters only. It may take its
 * time, which counts towards no limit. The library wipes the buffer.
 */
typedef int64_t (*SmtpTokenCallback)(char *buffer, size_t capacity, uint32_t renew, void *user_data);

/**
 * One record of the conversation. Valid during the callback only.
 */
typedef struct SmtpTraceRecord {
    /**
     * The size of this structure in octets; later versions append members.
     */
    uint32_t size;
    /**
     * One of the SMTP_DIRECTION_ constants.
     */
    uint32_t direction;
    /**
     * When the record was made, in milliseconds since the beginning of 1970, UTC.
     */
    uint64_t time_ms;
    /**
     * The server's reply code for SMTP_DIRECTION_SERVER; else 0.
     */
    int32_t result_code;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * The text, any octets, without its last line end, not NUL-terminated; never NULL.
     */
    const char *text;
    /**
     * The length of the text in octets.
     */
    size_t text_length;
} SmtpTraceRecord;

/**
 * A callback for records. Returns 0 to go on, anything else to cancel the
 * running call. What SmtpEventCallback may do, it may do.
 */
typedef int32_t (*SmtpTraceCallback)(const struct SmtpTraceRecord *record, void *user_data);

/**
 * How far the content of a message is.
 */
typedef struct SmtpTransferStatus {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * 1 while the content is on its way, 0 if the members tell of the last message.
     */
    uint32_t active;
    /**
     * The length of the message in octets, 0 if it is not known.
     */
    uint64_t bytes_total;
    /**
     * How many octets were taken from its source.
     */
    uint64_t bytes_copied;
    /**
     * bytes_copied in a second; a time below a millisecond counts as one.
     */
    uint64_t bytes_per_second;
    /**
     * The milliseconds since the first octet was taken, or that the content took.
     */
    uint64_t time_elapsed_ms;
    /**
     * The milliseconds that it is likely to take yet; 0 if that cannot be told.
     */
    uint64_t time_estimated_ms;
} SmtpTransferStatus;

/**
 * What protects the connection. The texts about it are properties: SMTP_PROPERTY_TLS_CIPHER,
 * SMTP_PROPERTY_KEY_EXCHANGE, and the SMTP_PROPERTY_CERTIFICATE_ ones.
 */
typedef struct SmtpSecurityInfo {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * One of the SMTP_PROTOCOL_ constants; SMTP_PROTOCOL_NONE without TLS.
     */
    uint32_t protocol;
    /**
     * The bits of the cipher's key, such as 256; 0 without TLS.
     */
    uint32_t cipher_strength;
    /**
     * The bits of the cipher suite's hash, such as 384; 0 without TLS.
     */
    uint32_t hash_strength;
    /**
     * What the check of the certificate came to, one of the SMTP_CERTIFICATE_ constants.
     */
    uint32_t certificate_status;
    /**
     * 1 if the certificate was checked and is good, else 0.
     */
    uint32_t verified;
} SmtpSecurityInfo;

/**
 * Has a reader begin anew: 0 if it did, else a negative number.
 */
typedef int32_t (*SmtpRewindCallback)(void *user_data);

/**
 * One part of a message.
 */
typedef struct SmtpMessagePart {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * How many parts it is in.
     */
    uint32_t depth;
    /**
     * The number of the part that it is in; -1 for the outermost.
     */
    int64_t parent;
    /**
     * 1 if it has content of its own, 0 if it only holds other parts.
     */
    uint32_t has_content;
    /**
     * 1 if it says that it is an attachment.
     */
    uint32_t is_attachment;
} SmtpMessagePart;

/**
 * Takes the next piece of a message; 0 if it did, else a number to give up with.
 */
typedef int32_t (*SmtpWriteCallback)(const void *data, size_t length, void *user_data);

/**
 * What is wrong with a message, one of its findings.
 */
typedef struct SmtpFinding {
    /**
     * The size of this structure in octets, set by the caller; later versions append members.
     */
    uint32_t size;
    /**
     * One of the SMTP_CHECK_ constants.
     */
    uint32_t code;
    /**
     * One of the SMTP_SEVERITY_ constants.
     */
    uint32_t severity;
    /**
     * The part: 0 is the message's own header, parts follow as they begin.
     */
    uint32_t part;
    /**
     * The line where it is, or is first, from 1; 0 if it is of the message as a whole.
     */
    uint64_t line;
    /**
     * How often it is there.
     */
    uint64_t count;
} SmtpFinding;

/**
 * Registers a callback for events; it takes the place of the one before.
 *
 * @param client     the client
 * @param mask       SMTP_EVENT_ bits: which events to be told of
 * @param callback   the function; NULL removes the one before
 * @param user_data  passed to the callback
 * @param destroy    called with user_data when the callback is replaced or
 *                   removed, or the client's last call has ended after its
 *                   release; also if this call fails. May be NULL.
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if the mask has bits without a meaning
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpRegisterEvent(struct SmtpClient *client,
                          uint32_t mask,
                          SmtpEventCallback callback,
                          void *user_data,
                          SmtpDestroyCallback destroy);

/**
 * Removes the callback for events, as SmtpRegisterEvent does without one.
 *
 * @param client  the client
 * @return 0, or an error code
 *
 * Threads: any; waits for its turn. The callback is not running, and will not be
 * called again, when this returns. Since 0.1.
 */
int32_t SmtpDisableEvents(struct SmtpClient *client);

/**
 * The version of the library that is loaded, such as "0.1.0"; SMTP_VERSION_STRING
 * is that of the header.
 *
 * @return the version, never NULL; it belongs to the library and lives for ever
 *
 * Threads: any. Since 0.1.
 */
const char *SmtpGetVersion(void);

/**
 * The number of the interface of the library that is loaded. Bindings compare
 * it with SMTP_ABI_VERSION before they call anything else.
 *
 * @return the number
 *
 * Threads: any. Since 0.1.
 */
uint32_t SmtpGetAbiVersion(void);

/**
 * Creates a client that is not connected.
 *
 * Returns its handle, to be ended with SmtpClientRelease; NULL on failure
 * (SMTP_ERROR_TOO_MANY_HANDLES), of which SmtpGetLastError(NULL) tells.
 * Threads: any. A client opens one connection at most; calls on one client
 * from several threads queue up, calls on several clients run side by side.
 * After a fork a handle of the parent process gives SMTP_ERROR_FORKED.
 * Since 0.1.
 */
struct SmtpClient *SmtpClientCreate(void);

/**
 * Releases a client. Its connection is closed without QUIT, a call that runs on
 * it is cancelled, and calls that wait for their turn return
 * SMTP_ERROR_RELEASED. The memory goes with the last of them.
 *
 * @param client  the client; NULL is allowed and does nothing
 * @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a
 *         client; SMTP_ERROR_REENTRANT from within its own callback
 *
 * Threads: any; does not wait. Since 0.1.
 */
int32_t SmtpClientRelease(struct SmtpClient *client);

/**
 * Connects to a server: looks the name up, connects to the first address that
 * answers (RFC 8305), reads the greeting, says EHLO, or HELO if the server
 * does not know it (RFC 5321 section 3.2), and starts TLS as configured (RFC 3207,
 * RFC 8314).
 *
 * @param client      the client
 * @param host        host name or address, also the name that the certificate
 *                    must be for; NULL or empty: SMTP_PROPERTY_HOST
 * @param port        port; 0: SMTP_PROPERTY_PORT, and if that is 0 too, 25, or
 *                    465 with implicit TLS. Port 465 means implicit TLS unless
 *                    SMTP_PROPERTY_TLS_MODE or the options ask for something else.
 * @param timeout_ms  limit of this call as a whole in milliseconds; 0: SMTP_PROPERTY_TIMEOUT
 * @param options     SMTP_OPTION_ bits; 0: SMTP_PROPERTY_OPTIONS
 * @return 0, or an error code, for instance SMTP_ERROR_HOST_NOT_FOUND,
 *         SMTP_ERROR_CONNECTION_REFUSED, SMTP_ERROR_TIMEOUT,
 *         SMTP_ERROR_TLS_CERTIFICATE_NAME, SMTP_ERROR_ALREADY_CONNECTED
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. The strings are copied.
 * Since 0.1.
 */
int32_t SmtpConnect(struct SmtpClient *client,
                    const char *host,
                    uint32_t port,
                    uint32_t timeout_ms,
                    uint32_t options);

/**
 * Takes over a connection that the program has made, and does on it what
 * SmtpConnect does on its own: reads the greeting, says EHLO, starts TLS as configured.
 *
 * From success on the socket is the library's, which closes it; the program must not
 * use its number again. On failure it is still the program's to close, but of no
 * other use, and its modes may have been changed. Neither SMTP_PROPERTY_PROXY nor any other
 * property about the making of connections counts, but for SMTP_PROPERTY_KEEP_ALIVE; and no
 * password is sent in the clear even if the other end is on this machine, since
 * nobody knows where it leads. A server that takes only so many messages over a
 * connection (MAILMAX) cannot be given more.
 *
 * @param client   the client
 * @param socket   a connected stream socket: TCP, Unix, or one end of a pair
 * @param host     the name that the certificate must be for; NULL or empty: SMTP_PROPERTY_HOST
 * @param options  SMTP_OPTION_ bits; 0: SMTP_PROPERTY_OPTIONS. Port 465 counts for TLS only
 *                 if SMTP_PROPERTY_PORT says it.
 * @return 0, or an error code, for instance SMTP_ERROR_INVALID_PARAMETER if it is no
 *         connected stream socket, SMTP_ERROR_ALREADY_CONNECTED
 *
 * Threads: any; waits for its turn, up to SMTP_PROPERTY_TIMEOUT as a whole. SmtpCancel
 * ends it. The string is copied. Since 0.1.
 */
int32_t SmtpAttachSocket(struct SmtpClient *client,
                         intptr_t socket,
                         const char *host,
                         uint32_t options);

/**
 * Logs in on the open connection (RFC 4954), as SMTP_PROPERTY_AUTH_TYPE says: by
 * default with the strongest mechanism that both sides have.
 *
 * A password or token that a mechanism shows to who reads the wire (PLAIN, LOGIN,
 * XOAUTH2, OAUTHBEARER) leaves only over TLS with a verified certificate, to a
 * loopback address, or if SMTP_PROPERTY_INSECURE_AUTH allows it; otherwise another
 * mechanism is used, or the call fails with SMTP_ERROR_INSECURE_CREDENTIALS and
 * nothing is sent. A failed login leaves the connection open.
 *
 * @param client    the client
 * @param user      user name, UTF-8; NULL: SMTP_PROPERTY_USER
 * @param password  password, or with SMTP_AUTH_XOAUTH2 and SMTP_AUTH_BEARER the token,
 *                  UTF-8; NULL: SMTP_PROPERTY_PASSWORD, SMTP_PROPERTY_BEARER_TOKEN
 * @return 0, or an error code, for instance SMTP_ERROR_AUTHENTICATION_FAILED,
 *         SMTP_ERROR_INVALID_AUTHENTICATION_TYPE, SMTP_ERROR_NO_CREDENTIALS,
 *         SMTP_ERROR_NOT_CONNECTED
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. The strings are copied
 * and the copies wiped. Since 0.1.
 */
int32_t SmtpAuthenticate(struct SmtpClient *client, const char *user, const char *password);

/**
 * Says QUIT, waits for the answer up to SMTP_PROPERTY_TIMEOUT_QUIT, and closes the
 * connection. What the server answers changes nothing: once there is a
 * connection this cannot fail.
 *
 * @param client  the client, which can connect again afterwards
 * @return 0, or SMTP_ERROR_NOT_CONNECTED
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpDisconnect(struct SmtpClient *client);

/**
 * Sends RSET, which makes the server forget a transaction that was begun (RFC
 * 5321 section 4.1.1.5). Not needed between messages.
 *
 * @param client  the client
 * @return 0, or an error code, for instance SMTP_ERROR_NOT_CONNECTED
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpReset(struct SmtpClient *client);

/**
 * Cancels the call that runs on a client, in any phase; the call returns
 * SMTP_ERROR_CANCELLED within 100 ms, and the connection is closed by it. Does
 * nothing if no call runs, and does not touch calls that wait for their turn.
 *
 * @param client  the client
 * @return 0, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also from within a callback; never waits. Since 0.1.
 */
int32_t SmtpCancel(struct SmtpClient *client);

/**
 * What the server says of one extension in its reply to EHLO. All of them are in
 * SMTP_PROPERTY_EXTENSIONS, and the known ones as bits in SMTP_PROPERTY_EXTENDED_OPTIONS.
 *
 * @param client    the client
 * @param keyword   the extension, such as "SIZE", in any case
 * @param buffer    room for what stands behind the keyword, which may be nothing, and
 *                  its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0 if it is offered; SMTP_ERROR_EXTENSION_UNAVAILABLE if it is not, or is
 *         left out (SMTP_PROPERTY_LEFT_OUT_EXTENSIONS), or there is no connection;
 *         SMTP_ERROR_INVALID_PARAMETER if that is no keyword; SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any, also while a call runs and from within a callback. A failure
 * leaves the client's last error as it is. Since 0.1.
 */
int32_t SmtpGetCapability(const struct SmtpClient *client,
                          const char *keyword,
                          char *buffer,
                          size_t capacity,
                          size_t *length);

/**
 * The known extensions that the server offers: SMTP_PROPERTY_EXTENDED_OPTIONS.
 *
 * @param client   the client
 * @param options  set to SMTP_EXTOPT_ bits; 0 without a connection
 * @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetExtendedOptions(const struct SmtpClient *client, uint64_t *options);

/**
 * Sets a property to octets that need not be a text: SMTP_PROPERTY_CLIENT_CERTIFICATE_DATA,
 * SMTP_PROPERTY_CLIENT_KEY_DATA or SMTP_PROPERTY_CLIENT_KEY_PASSWORD.
 *
 * @param client    the client
 * @param property  one of these
 * @param data      the octets, copied; NULL with length 0 clears it
 * @param length    their number, or SMTP_NUL_TERMINATED
 * @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any; waits for its turn. Takes effect with the next connection. Since 0.1.
 */
int32_t SmtpSetData(struct SmtpClient *client, uint32_t property, const void *data, size_t length);

/**
 * One of the certificates that the server sent, in DER form (X.509). Their number
 * is SMTP_PROPERTY_CERTIFICATE_COUNT.
 *
 * @param client    the client
 * @param index     0 for the server's own, then those of its issuers as it sent them
 * @param buffer    room for it; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the certificate; may be NULL
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is none of this number;
 *         SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer untouched
 *
 * Threads: any, also while a call runs and from within a callback. A failure
 * leaves the client's last error as it is. Since 0.1.
 */
int32_t SmtpGetCertificate(const struct SmtpClient *client,
                           size_t index,
                           void *buffer,
                           size_t capacity,
                           size_t *length);

/**
 * What one of the certificates that the server sent says of itself.
 *
 * @param client    the client
 * @param index     0 for the server's own, then those of its issuers as it sent them
 * @param property  what to tell, one of SMTP_PROPERTY_CERTIFICATE_SUBJECT, _ISSUER, _ISSUED,
 *                  _EXPIRES, _FINGERPRINT, _NAMES and _PIN
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is none of this number;
 *         SMTP_ERROR_UNKNOWN_PROPERTY; SMTP_ERROR_BUFFER_TOO_SMALL, with the
 *         buffer filled with as much as fits and terminated
 *
 * Threads: any, also while a call runs and from within a callback. A failure
 * leaves the client's last error as it is. Since 0.1.
 */
int32_t SmtpGetCertificateString(const struct SmtpClient *client,
                                 size_t index,
                                 uint32_t property,
                                 char *buffer,
                                 size_t capacity,
                                 size_t *length);

/**
 * Sends a finished message to one or many recipients.
 *
 * The headers of the message are not read: the envelope is made of the
 * arguments alone, so an address in no header is a blind copy, and a Bcc header
 * left in the message is seen by everybody. Bare CR and bare LF become CRLF,
 * dots are stuffed (RFC 5321 section 4.5.2), and a line end is added if the last one
 * is missing; nothing else is changed.
 *
 * A refused recipient does not stop the message: the call succeeds if the
 * server took the message for at least one. SMTP_PROPERTY_RECIPIENTS_REFUSED and
 * SMTP_PROPERTY_REFUSED_RECIPIENTS tell of the others. SMTP_PROPERTY_OUTCOME says
 * what became of the message, whatever the call returned; after
 * SMTP_OUTCOME_UNKNOWN, sending it again may deliver it twice.
 *
 * A list that is longer than the server takes at a time (452 4.5.3, or LIMITS of
 * RFC 9422) is served in further transactions, if need be over a new connection, and
 * the report is one. If one of them fails, the call fails, and the report tells
 * who was served.
 *
 * @param client      the client
 * @param sender      the envelope's sender: user@example.com, Name <user@example.com>,
 *                    or <> for none
 * @param recipients  the recipients in the same forms, separated by commas
 * @param message     header, empty line and body; NULL only with length 0
 * @param length      its length in octets, or SMTP_NUL_TERMINATED
 * @return 0, or an error code, for instance SMTP_ERROR_INVALID_ADDRESS (nothing
 *         was sent), SMTP_ERROR_RECIPIENTS_REJECTED, SMTP_ERROR_MESSAGE_REJECTED,
 *         SMTP_ERROR_CONNECTION_RESET
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. The message is read in
 * place during the call and never changed. Since 0.1.
 */
int32_t SmtpSendMessage(struct SmtpClient *client,
                        const char *sender,
                        const char *recipients,
                        const void *message,
                        size_t length);

/**
 * Sends a finished message that is in a file, in constant memory. In all else
 * like SmtpSendMessage.
 *
 * @param client      the client
 * @param sender      as for SmtpSendMessage
 * @param recipients  as for SmtpSendMessage
 * @param path        the file, UTF-8, not a pipe or device; it is opened before
 *                    anything is sent, and must not change meanwhile
 * @return as SmtpSendMessage, and SMTP_ERROR_FILE if the file cannot be opened
 *         (nothing was sent) or read to its end (the message is not completed
 *         and the connection is closed)
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpSendFile(struct SmtpClient *client,
                     const char *sender,
                     const char *recipients,
                     const char *path);

/**
 * Sends a finished message that a function of the program's gives piece by
 * piece, in constant memory. In all else like SmtpSendMessage.
 *
 * @param client      the client
 * @param sender      as for SmtpSendMessage
 * @param recipients  as for SmtpSendMessage
 * @param size        the length of the message in octets, told to the server in
 *                    advance (RFC 1870) and not checked against what the reader
 *                    gives; SMTP_SIZE_UNKNOWN if it is not known
 * @param reader      the function; asked for the first time when the server
 *                    waits for the message
 * @param user_data   passed to it
 * @return as SmtpSendMessage, and SMTP_ERROR_READER if the reader gave up; the
 *         message is not completed then, and the connection is closed
 *
 * Threads: any; waits for its turn. SmtpCancel ends it, between two calls of
 * the reader. Since 0.1.
 */
int32_t SmtpSendStream(struct SmtpClient *client,
                       const char *sender,
                       const char *recipients,
                       uint64_t size,
                       SmtpReadCallback reader,
                       void *user_data);

/**
 * Begins a message with MAIL (RFC 5321 section 4.1.1.2). Add the recipients with
 * SmtpAddRecipient, then give the content with SmtpWrite, SmtpAppendMessage,
 * SmtpAppendFile or SmtpAppendStream, then end it with SmtpCloseMessage; SmtpReset
 * drops it as long as there is no content, SmtpDisconnect at any time.
 * SmtpSendMessage does all of this in one call and with fewer round trips.
 *
 * The properties of messages apply (SMTP_PROPERTY_DELIVERY_OPTIONS and the like),
 * except SMTP_PROPERTY_ALL_OR_NOTHING.
 *
 * @param client  the client
 * @param sender  as for SmtpSendMessage
 * @param size    the length of the message in octets, which the server may refuse
 *                at once (RFC 1870); 0 or SMTP_SIZE_UNKNOWN if it is not known
 * @return 0, or an error code, for instance SMTP_ERROR_INVALID_ADDRESS,
 *         SMTP_ERROR_MESSAGE_TOO_LARGE, SMTP_ERROR_MESSAGE_OPEN (nothing was sent), or
 *         SMTP_ERROR_SENDER_REJECTED
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpCreateMessage(struct SmtpClient *client, const char *sender, uint64_t size);

/**
 * Adds one recipient to the message that was begun, with RCPT (RFC 5321 section
 * 4.1.1.3).
 *
 * @param client   the client
 * @param address  one address, in the forms of SmtpSendMessage
 * @return 0 if the server accepted it; SMTP_ERROR_RECIPIENT_REJECTED if not, after
 *         which the message is still open and others can be added;
 *         SMTP_ERROR_NO_MESSAGE_OPEN before SmtpCreateMessage, SMTP_ERROR_MESSAGE_OPEN
 *         when content was given (nothing was sent), or another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpAddRecipient(struct SmtpClient *client, const char *address);

/**
 * Gives some octets of the message that was begun; the first time DATA is sent
 * before (RFC 5321 section 4.1.1.4). Line ends are repaired and dots stuffed across
 * calls, so the pieces may be cut anywhere. All octets are taken; a few may wait to
 * be sent along with those of the next call.
 *
 * @param client  the client
 * @param buffer  the octets; NULL only with length 0
 * @param length  how many, or SMTP_NUL_TERMINATED
 * @return 0; SMTP_ERROR_NO_MESSAGE_OPEN before SmtpCreateMessage, SMTP_ERROR_NO_RECIPIENTS
 *         as long as none was accepted, SMTP_ERROR_LINE_END (nothing of it was sent);
 *         SMTP_ERROR_DATA_REJECTED, after which the message is no longer open, or
 *         another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpWrite(struct SmtpClient *client, const void *buffer, size_t length);

/**
 * The same as SmtpWrite, under the name by which the original takes a message that
 * lies in memory.
 *
 * @param client   the client
 * @param message  the octets; NULL only with length 0
 * @param length   how many, or SMTP_NUL_TERMINATED
 * @return as SmtpWrite
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpAppendMessage(struct SmtpClient *client, const void *message, size_t length);

/**
 * Gives the octets of a file as content of the message that was begun, in
 * constant memory.
 *
 * @param client  the client
 * @param path    the file, as for SmtpSendFile
 * @return as SmtpWrite, and SMTP_ERROR_FILE if the file cannot be opened (nothing of
 *         it was sent) or read to its end (the connection is closed then)
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpAppendFile(struct SmtpClient *client, const char *path);

/**
 * Gives what a function of the program's gives piece by piece as content of the
 * message that was begun, in constant memory.
 *
 * @param client     the client
 * @param reader     the function, called until it gives nothing
 * @param user_data  passed to it
 * @return as SmtpWrite, and SMTP_ERROR_READER if the reader gave up; the connection is
 *         closed then
 *
 * Threads: any; waits for its turn. SmtpCancel ends it, between two calls of
 * the reader. Since 0.1.
 */
int32_t SmtpAppendStream(struct SmtpClient *client, SmtpReadCallback reader, void *user_data);

/**
 * Ends the message that was begun and reads what the server makes of it. Without
 * content before, the message is empty.
 *
 * @param client  the client
 * @return 0 if the server took the message; SMTP_ERROR_MESSAGE_REJECTED,
 *         SMTP_ERROR_NO_MESSAGE_OPEN, SMTP_ERROR_NO_RECIPIENTS, or another error code.
 *         SMTP_PROPERTY_OUTCOME says what became of the message.
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpCloseMessage(struct SmtpClient *client);

/**
 * Sends one message in one call: connects, logs in if there is a user name, sends,
 * and disconnects, whatever happened. Programs that send more than one message
 * at a time do better with SmtpConnect and SmtpSendMessage.
 *
 * @param client   the client, which must not be connected; its properties apply.
 *                 NULL: one made for this call, of whose failure SmtpGetLastError(NULL) tells
 * @param message  the message
 * @param server   the server
 * @return 0, or an error code of SmtpConnect, SmtpAuthenticate or SmtpSendMessage;
 *         SMTP_ERROR_INVALID_PARAMETER if the size of a structure is not one of it, or
 *         message and path are both given
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Everything is only read
 * during the call, and the copy of the password wiped. Since 0.1.
 */
int32_t SmtpSubmitMessage(struct SmtpClient *client,
                          const struct SmtpMessageInfo *message,
                          const struct SmtpServerInfo *server);

/**
 * Tells what the pending operation of a client waits for. To be asked after every
 * call that returned SMTP_PENDING, as the descriptor, the directions and the time
 * may be others each time; the descriptor is the library's and must not be read from,
 * written to or closed. An event loop that keeps descriptors registered (epoll, GLib,
 * libuv) compares the number with the one it has registered: the one told last is not
 * closed before this is asked again or the operation is over, so that another descriptor
 * always has another number. Then the old one is closed already, and what the loop has
 * registered for it is to be removed.
 *
 * @param client  the client
 * @param info    where to write; its member size says how large it is
 * @return 1 (SMTP_PENDING) if an operation is pending; 0 if none is: then descriptor is
 *         -1, events 0 and timeout_ms -1; or an error code: SMTP_ERROR_NULL_POINTER,
 *         SMTP_ERROR_INVALID_PARAMETER for a size that is too small, SMTP_ERROR_ATTACHED
 *         if a reactor goes on with it
 *
 * Threads: any; waits for its turn, which while an operation is pending is short.
 * Since 0.1.
 */
int32_t SmtpGetPollInfo(struct SmtpClient *client, struct SmtpPollInfo *info);

/**
 * Goes on with the pending operation of a client as far as it goes without waiting.
 * To be called when the descriptor of SmtpGetPollInfo is ready or its time is up;
 * calling it earlier does no harm.
 *
 * @param client  the client
 * @return 1 (SMTP_PENDING) if it still has to wait; 0 if the operation succeeded; the
 *         error code of the operation if it failed; SMTP_ERROR_NO_OPERATION if none is
 *         pending, SMTP_ERROR_ATTACHED if a reactor goes on with it. The result of an
 *         operation is told once.
 *
 * Threads: any; waits for its turn. The callbacks of the client are called on this
 * thread, during this call. SmtpCancel ends the operation: the descriptor becomes ready
 * and this returns SMTP_ERROR_CANCELLED. Since 0.1.
 */
int32_t SmtpProcess(struct SmtpClient *client);

/**
 * Creates a reactor: one thread that goes on with the operations of any number of clients.
 *
 * Returns its handle, to be ended with SmtpReactorRelease; NULL on failure
 * (SMTP_ERROR_TOO_MANY_HANDLES, SMTP_ERROR_NETWORK if there is no descriptor or thread
 * left), of which SmtpGetLastError(NULL) tells. The thread runs no signal handlers.
 * Threads: any. After a fork a handle of the parent process gives SMTP_ERROR_FORKED.
 * Since 0.1.
 */
struct SmtpReactor *SmtpReactorCreate(void);

/**
 * Attaches a client to a reactor and sets SMTP_PROPERTY_BLOCKING to 0: an operation that
 * is begun on it from now on and returns SMTP_PENDING is gone on with on the reactor's
 * thread, and its end is told by one call of the callback. That may come before the
 * function that began the operation has returned. An operation that is over at once
 * returns its result and is not told again. SmtpProcess and SmtpGetPollInfo give
 * SMTP_ERROR_ATTACHED.
 *
 * @param reactor    the reactor
 * @param client     the client, with no operation under way, attached to no reactor
 * @param callback   the function
 * @param user_data  passed to the callback
 * @param destroy    called once with user_data when the library has no more use for it:
 *                   after SmtpReactorDetach, SmtpClientRelease or SmtpReactorRelease, on the
 *                   reactor's thread; or if this call fails. May be NULL.
 * @return 0, or SMTP_ERROR_ATTACHED, SMTP_ERROR_OPERATION_IN_PROGRESS,
 *         SMTP_ERROR_NULL_POINTER, SMTP_ERROR_REENTRANT from a callback of the client
 *         that SmtpRegisterEvent or its like has set
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpReactorAttach(struct SmtpReactor *reactor,
                          struct SmtpClient *client,
                          SmtpCompletionCallback callback,
                          void *user_data,
                          SmtpDestroyCallback destroy);

/**
 * Detaches a client from its reactor. SMTP_PROPERTY_BLOCKING stays 0.
 *
 * @param client  the client, with no operation under way; without a reactor this does nothing
 * @return 0, or SMTP_ERROR_OPERATION_IN_PROGRESS: then SmtpCancel ends the operation, and
 *         the callback tells when
 *
 * Threads: any; waits until a call of the callback for this client has returned, unless it is
 * called from within one. After that the callback is not called again. Since 0.1.
 */
int32_t SmtpReactorDetach(struct SmtpClient *client);

/**
 * Releases a reactor: cancels the operations of its clients, each of which is told by
 * its callback, detaches the clients, and waits until the thread has ended. What a
 * callback begins meanwhile is cancelled at once, and says so by its result.
 *
 * @param reactor  the reactor; NULL is allowed and does nothing
 * @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a reactor;
 *         SMTP_ERROR_REENTRANT from within one of its callbacks
 *
 * Threads: any but the reactor's own; waits for the thread, and so for callbacks that
 * run. Since 0.1.
 */
int32_t SmtpReactorRelease(struct SmtpReactor *reactor);

/**
 * Creates a pool. Nothing is connected before there is a message.
 *
 * Returns its handle, to be ended with SmtpPoolRelease; NULL on failure
 * (SMTP_ERROR_TOO_MANY_HANDLES, SMTP_ERROR_NETWORK if there is no descriptor or thread
 * left), of which SmtpGetLastError(NULL) tells. One thread of the pool's own, which runs no
 * signal handlers, drives all its connections.
 * Threads: any. After a fork a handle of the parent process gives SMTP_ERROR_FORKED.
 * Since 0.1.
 */
struct SmtpPool *SmtpPoolCreate(void);

/**
 * Releases a pool: what SmtpPoolAbort does, then closes its connections and waits until
 * its thread has ended. Results that SmtpPoolWait has not taken are gone.
 *
 * @param pool  the pool; NULL is allowed and does nothing
 * @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a pool;
 *         SMTP_ERROR_REENTRANT from within its own callback
 *
 * Threads: any but the pool's own; waits for the thread, and so for a callback that
 * runs. Since 0.1.
 */
int32_t SmtpPoolRelease(struct SmtpPool *pool);

/**
 * Sets a text property of all connections of a pool: those of a client.
 *
 * @param pool      the pool
 * @param property  SMTP_PROPERTY_ constant of a text that can be written
 * @param value     the new value, UTF-8, copied; NULL is the same as empty
 * @return 0, or an error code of SmtpSetString
 *
 * Threads: any; does not wait. Connections that were made before are retired as soon as they are
 * idle; messages that were submitted before keep their host, port, user and password.
 * Since 0.1.
 */
int32_t SmtpPoolSetString(struct SmtpPool *pool, uint32_t property, const char *value);

/**
 * Sets an integer property of a pool, or of all its connections: SMTP_POOL_ constants take
 * effect at once, those of a client as SmtpPoolSetString.
 *
 * @param pool      the pool
 * @param property  SMTP_POOL_ constant, or SMTP_PROPERTY_ constant of an integer that can be
 *                  written, but for SMTP_PROPERTY_BLOCKING
 * @param value     the new value, in the property's unit and range
 * @return 0, or an error code of SmtpSetInteger
 *
 * Threads: any; does not wait. Since 0.1.
 */
int32_t SmtpPoolSetInteger(struct SmtpPool *pool, uint32_t property, int64_t value);

/**
 * Reads a text property of a pool's connections into the caller's buffer.
 *
 * @param pool      the pool
 * @param property  SMTP_PROPERTY_ constant of a text that can be set and read
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or an error code of SmtpGetString
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpPoolGetString(const struct SmtpPool *pool,
                          uint32_t property,
                          char *buffer,
                          size_t capacity,
                          size_t *length);

/**
 * Reads an integer property of a pool, or of its connections.
 *
 * @param pool      the pool
 * @param property  SMTP_POOL_ constant, or SMTP_PROPERTY_ constant of an integer
 * @param value     set to the value
 * @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpPoolGetInteger(const struct SmtpPool *pool, uint32_t property, int64_t *value);

/**
 * Has every result of a pool told by a callback instead of being kept for SmtpPoolWait. To
 * be set before the first message; it takes the place of the one before.
 *
 * @param pool       the pool
 * @param callback   the function; NULL: SmtpPoolWait gives the results
 * @param user_data  passed to the callback
 * @param destroy    called once with user_data when the callback is replaced and does not run
 *                   any more, or the pool is released; also if this call fails. May be NULL.
 * @return 0, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any; does not wait. Since 0.1.
 */
int32_t SmtpPoolSetCallback(struct SmtpPool *pool,
                            SmtpPoolCallback callback,
                            void *user_data,
                            SmtpDestroyCallback destroy);

/**
 * Gives a message to a pool, which sends it over one of its connections to the server, or
 * a new one. The message is copied, or read from its file when it is sent.
 *
 * A message is never sent twice: it is repeated, once, only if its connection turns out
 * to have ended before the server took note of the message. What fails any other way is told.
 *
 * @param pool     the pool
 * @param message  the message
 * @param server   the server; NULL, or what is not given in it: the pool's properties. Its
 *                 timeout_ms limits the connecting.
 * @param tag      given back with the result
 * @param wait_ms  how long to wait for room in the queue; 0: not at all
 * @param id       set to the number of the message, from 1; may be NULL
 * @return 0; SMTP_ERROR_QUEUE_FULL if there is no room; SMTP_ERROR_POOL_CLOSED after
 *         SmtpPoolDrain or SmtpPoolAbort; SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_NULL_POINTER.
 *         Whatever else is wrong with the message is told as its result.
 *
 * Threads: any, also the pool's callback with wait_ms 0. After this has returned 0 the result is
 * told exactly once. Since 0.1.
 */
int32_t SmtpPoolSubmit(struct SmtpPool *pool,
                       const struct SmtpMessageInfo *message,
                       const struct SmtpServerInfo *server,
                       void *tag,
                       uint32_t wait_ms,
                       uint64_t *id);

/**
 * Takes the next result of a pool without a callback.
 *
 * @param pool        the pool
 * @param timeout_ms  how long to wait for one; 0: not at all
 * @param result      filled in; its member size must be set before
 * @return 0; 1 (SMTP_PENDING) if there is none in time; SMTP_ERROR_POOL_CLOSED if the pool
 *         was drained or aborted and every result was taken; SMTP_ERROR_NULL_POINTER,
 *         SMTP_ERROR_INVALID_PARAMETER for a size that is too small
 *
 * Threads: any; each result goes to one of those that wait. Since 0.1.
 */
int32_t SmtpPoolWait(struct SmtpPool *pool, uint32_t timeout_ms, struct SmtpPoolResult *result);

/**
 * A text about the result that SmtpPoolWait gave this thread last, or that the callback
 * is just told.
 *
 * @param pool      the pool
 * @param id        the number of its message
 * @param which     one of the SMTP_POOL_TEXT_ constants
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL; SMTP_ERROR_INVALID_PARAMETER if this thread
 *         was last told of another message, or there is no such text
 *
 * Threads: the one that was told. Since 0.1.
 */
int32_t SmtpPoolGetResultString(const struct SmtpPool *pool,
                                uint64_t id,
                                uint32_t which,
                                char *buffer,
                                size_t capacity,
                                size_t *length);

/**
 * Has a pool take no more messages, and waits until all that it has are over and told.
 *
 * @param pool        the pool
 * @param timeout_ms  how long to wait; 0: as long as it takes
 * @return 0; 1 (SMTP_PENDING) if it takes longer: it goes on, and this can be called again;
 *         SMTP_ERROR_REENTRANT from within the pool's callback
 *
 * Threads: any but the pool's own. Since 0.1.
 */
int32_t SmtpPoolDrain(struct SmtpPool *pool, uint32_t timeout_ms);

/**
 * Has a pool take no more messages, cancels those that are not over, and waits until
 * each of them was told: those that were not begun as not sent, the others as far as they got.
 *
 * @param pool  the pool
 * @return 0; SMTP_ERROR_REENTRANT from within the pool's callback
 *
 * Threads: any but the pool's own. Results for SmtpPoolWait can still be taken. Since 0.1.
 */
int32_t SmtpPoolAbort(struct SmtpPool *pool);

/**
 * Tells what a pool has done so far, and has to do.
 *
 * @param pool        the pool
 * @param statistics  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_PARAMETER for a size that is
 *         too small
 *
 * Threads: any, at any time, also from within the callback. Since 0.1.
 */
int32_t SmtpPoolGetStatistics(const struct SmtpPool *pool, struct SmtpPoolStatistics *statistics);

/**
 * Asks for notifications about one address in the place of
 * SMTP_PROPERTY_DELIVERY_OPTIONS (DSN, RFC 3461), for every message from the next
 * one on that has it among its recipients. The domain is the same in any case; the
 * local part is not.
 *
 * @param client              the client
 * @param address             the recipient; NULL takes back what was set for any
 * @param options             SMTP_DELIVERY_NOTIFY_ bits; 0 is as SMTP_PROPERTY_DELIVERY_OPTIONS
 * @param original_recipient  the address that notifications are to name (ORCPT), such as
 *                            "jane@example.com" or "rfc822;jane@example.com", of at
 *                            most 500 octets as sent; NULL is the address itself. With
 *                            0 and NULL nothing is said of this recipient any more
 * @return 0, or SMTP_ERROR_INVALID_ADDRESS, SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_TOO_LONG
 *
 * Threads: any; waits for its turn. Takes effect with the next message. Since 0.1.
 */
int32_t SmtpSetRecipientDelivery(struct SmtpClient *client,
                                 const char *address,
                                 uint32_t options,
                                 const char *original_recipient);

/**
 * How many recipients the last message had; 0 while a message is being sent, and
 * after a call whose arguments were no good.
 *
 * @param client  the client
 * @param count   set to the number
 * @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetRecipientCount(const struct SmtpClient *client, size_t *count);

/**
 * What became of one recipient of the last message.
 *
 * @param client     the client
 * @param index      its number, from 0, in the order in which they were given
 * @param recipient  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such recipient or
 *         the size is not one of this structure
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetRecipient(const struct SmtpClient *client,
                         size_t index,
                         struct SmtpRecipient *recipient);

/**
 * A text about one recipient of the last message.
 *
 * @param client    the client
 * @param index     its number, from 0
 * @param which     SMTP_RECIPIENT_TEXT_ADDRESS, or SMTP_RECIPIENT_TEXT_REPLY, which
 *                  is empty unless the recipient was refused
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetRecipientString(const struct SmtpClient *client,
                               size_t index,
                               uint32_t which,
                               char *buffer,
                               size_t capacity,
                               size_t *length);

/**
 * Creates an empty batch, to which messages are added.
 *
 * @return the batch, or NULL; SmtpGetLastError(NULL) tells why
 *
 * Threads: any. Since 0.1.
 */
struct SmtpBatch *SmtpBatchCreate(void);

/**
 * Releases a batch. A call that is sending it goes on.
 *
 * @param batch  the batch; the handle is invalid from now on
 * @return 0, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpBatchRelease(struct SmtpBatch *batch);

/**
 * Adds a message, which is copied.
 *
 * @param batch       the batch
 * @param sender      as for SmtpSendMessage
 * @param recipients  as for SmtpSendMessage
 * @param message     header, empty line and body; NULL only with length 0
 * @param length      its length in octets, or SMTP_NUL_TERMINATED
 * @return 0, or an error code, for instance SMTP_ERROR_INVALID_ADDRESS,
 *         SMTP_ERROR_BATCH_BUSY while the batch is being sent; nothing is added then
 *
 * Threads: any. Allocates nothing in a batch that was cleared and held as much before.
 * Since 0.1.
 */
int32_t SmtpBatchAdd(struct SmtpBatch *batch,
                     const char *sender,
                     const char *recipients,
                     const void *message,
                     size_t length);

/**
 * Adds a message that is in a file.
 *
 * @param batch       the batch
 * @param sender      as for SmtpSendMessage
 * @param recipients  as for SmtpSendMessage
 * @param path        the file, UTF-8, not a pipe or device; opened when the message's
 *                    turn comes, and if that fails, SMTP_ERROR_FILE is the result of
 *                    this message alone; it must not change meanwhile
 * @return as SmtpBatchAdd
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpBatchAddFile(struct SmtpBatch *batch,
                         const char *sender,
                         const char *recipients,
                         const char *path);

/**
 * Forgets all messages and their results; the memory is kept for the next ones.
 *
 * @param batch  the batch
 * @return 0, or SMTP_ERROR_BATCH_BUSY while the batch is being sent
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpBatchClear(struct SmtpBatch *batch);

/**
 * How many messages a batch has.
 *
 * @param batch  the batch
 * @param count  set to the number
 * @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while it is being sent and from within a callback. Since 0.1.
 */
int32_t SmtpBatchGetCount(const struct SmtpBatch *batch, size_t *count);

/**
 * Sends the messages of a batch over the open connection, one behind the other and
 * with as little waiting as the server allows: with PIPELINING the next envelope goes
 * out behind the end of each message, with CHUNKING too whole messages are in flight,
 * up to SMTP_PROPERTY_BATCH_MESSAGES and SMTP_PROPERTY_BATCH_OCTETS, unless
 * SMTP_PROPERTY_CHUNKING forbids it. SMTP_PROPERTY_BATCH_MODE tells which it was.
 *
 * Each message has a result of its own (SmtpBatchGetResult), and a refused one does not
 * stop the others. What the properties wish of messages is wished of each. Only messages
 * whose outcome is SMTP_OUTCOME_NOT_SENT are sent, so that after a failure, or when
 * more were added, the same batch can be sent again, and none is sent twice: neither
 * one that was accepted or refused, nor one whose outcome is unknown.
 *
 * If the connection ends, so does the call. The messages that were not begun have the
 * code SMTP_ERROR_BATCH_ENDED. If it ends when for the first time something goes out
 * behind a message, the server is remembered for the client's life, and batches go to
 * it one by one.
 *
 * SMTP_PROPERTY_OUTCOME, SMTP_PROPERTY_FINAL_REPLY and the recipients of the last
 * message do not tell of batches. SMTP_PROPERTY_TIMEOUT limits the call as a whole.
 *
 * @param client  the client, which must be connected
 * @param batch   the batch; it cannot be changed or sent by another call meanwhile
 * @return 0 if the server has accepted every message for at least one recipient, also
 *         if there is none; else the error of the first that it has not, whose
 *         sentence tells how many there are
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. SMTP_EVENT_MESSAGE tells of each
 * message. Since 0.1.
 */
int32_t SmtpSendBatch(struct SmtpClient *client, struct SmtpBatch *batch);

/**
 * What became of one message.
 *
 * @param batch   the batch
 * @param index   its number, from 0, in the order in which they were added
 * @param result  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such message or the size is
 *         not one of this structure
 *
 * Threads: any, also while it is being sent and from within a callback. Since 0.1.
 */
int32_t SmtpBatchGetResult(const struct SmtpBatch *batch,
                           size_t index,
                           struct SmtpBatchResult *result);

/**
 * A text about one message.
 *
 * @param batch     the batch
 * @param index     its number, from 0
 * @param which     one of the SMTP_BATCH_TEXT_ constants
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any, also while it is being sent and from within a callback. Since 0.1.
 */
int32_t SmtpBatchGetString(const struct SmtpBatch *batch,
                           size_t index,
                           uint32_t which,
                           char *buffer,
                           size_t capacity,
                           size_t *length);

/**
 * What became of one recipient of one message.
 *
 * @param batch      the batch
 * @param index      the number of the message, from 0
 * @param number     the number of the recipient, from 0
 * @param recipient  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such message or recipient or
 *         the size is not one of this structure
 *
 * Threads: any, also while it is being sent and from within a callback. Since 0.1.
 */
int32_t SmtpBatchGetRecipient(const struct SmtpBatch *batch,
                              size_t index,
                              size_t number,
                              struct SmtpRecipient *recipient);

/**
 * A text about one recipient of one message.
 *
 * @param batch     the batch
 * @param index     the number of the message, from 0
 * @param number    the number of the recipient, from 0
 * @param which     SMTP_RECIPIENT_TEXT_ADDRESS, or SMTP_RECIPIENT_TEXT_REPLY, which
 *                  is empty unless the recipient was refused
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any, also while it is being sent and from within a callback. Since 0.1.
 */
int32_t SmtpBatchGetRecipientString(const struct SmtpBatch *batch,
                                    size_t index,
                                    size_t number,
                                    uint32_t which,
                                    char *buffer,
                                    size_t capacity,
                                    size_t *length);

/**
 * Sends a command that the library has no function for, and reads its reply
 * into SMTP_PROPERTY_RESULT_CODE and SMTP_PROPERTY_RESULT_STRING.
 *
 * Commands that the library has to keep track of (EHLO, STARTTLS, AUTH, MAIL,
 * RCPT, DATA, QUIT and their like) are refused with
 * SMTP_ERROR_UNSUITABLE_COMMAND, and nothing is sent.
 *
 * @param client      the client
 * @param command     the verb: letters, digits, hyphens
 * @param parameters  what follows it, ASCII without control characters; may be NULL
 * @return 0 if the reply begins with 2, SMTP_ERROR_COMMAND_REJECTED if with 4 or
 *         5, SMTP_ERROR_PROTOCOL if with 3 (the connection is closed then), or
 *         another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpCommand(struct SmtpClient *client, const char *command, const char *parameters);

/**
 * Sends NOOP (RFC 5321 section 4.1.1.9): asks whether the connection is alive.
 * Not needed before a message.
 *
 * @param client  the client
 * @return 0, or an error code, for instance SMTP_ERROR_NOT_CONNECTED,
 *         SMTP_ERROR_SERVER_CLOSING
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpNoop(struct SmtpClient *client);

/**
 * Asks the server whether an address is valid, with VRFY (RFC 5321 section
 * 4.1.1.6). Most public servers refuse, or answer 252: "cannot tell, will try". What
 * it says of the address is in SMTP_PROPERTY_RESULT_STRING.
 *
 * @param client   the client
 * @param address  a mailbox, or a user name alone; beyond ASCII it needs SMTPUTF8
 * @return 0 if the reply begins with 2; SMTP_PROPERTY_RESULT_CODE tells 250 from
 *         252. SMTP_ERROR_SMTPUTF8_REQUIRED before anything is sent,
 *         SMTP_ERROR_COMMAND_REJECTED, or another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpVerifyAddress(struct SmtpClient *client, const char *address);

/**
 * Asks the server who is on a mailing list, with EXPN (RFC 5321 section
 * 4.1.1.7). Most public servers refuse.
 *
 * @param client    the client
 * @param address   the list; beyond ASCII it needs SMTPUTF8
 * @param buffer    room for the members as the server wrote them, one a line
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0; SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much
 *         as fits and the whole in SMTP_PROPERTY_RESULT_STRING, until the next call;
 *         SMTP_ERROR_COMMAND_REJECTED, or another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpExpandAddress(struct SmtpClient *client,
                          const char *address,
                          char *buffer,
                          size_t capacity,
                          size_t *length);

/**
 * Asks the server to explain itself, with HELP (RFC 5321 section 4.1.1.8).
 *
 * @param client    the client
 * @param topic     what about, such as a command; NULL or empty is in general
 * @param buffer    room for the text as the server wrote it, its lines joined by line feeds
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0; SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much
 *         as fits and the whole in SMTP_PROPERTY_RESULT_STRING, until the next call;
 *         SMTP_ERROR_COMMAND_REJECTED, or another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpHelp(struct SmtpClient *client,
                 const char *topic,
                 char *buffer,
                 size_t capacity,
                 size_t *length);

/**
 * Has the server send the mail that it holds for a node, over connections of its
 * own, with ETRN (RFC 1985).
 *
 * @param client  the client
 * @param node    a domain; behind @, a domain and all below it; or behind #, the
 *                name of a queue
 * @return 0 if the server does so, or has nothing to send: SMTP_PROPERTY_RESULT_CODE
 *         is 250, 251 (nothing), 252 or 253 (so many messages);
 *         SMTP_ERROR_COMMAND_REJECTED if it does not (458, 459), or another error code
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
 */
int32_t SmtpExtendedTurn(struct SmtpClient *client, const char *node);

/**
 * The code of a client's last failure. A success leaves it as it was; set
 * SMTP_PROPERTY_LAST_ERROR to 0 to clear it.
 *
 * @param client  the client; NULL asks for this thread's last call instead,
 *                which a success clears
 * @return the code, 0 if there was no failure, SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetLastError(const struct SmtpClient *client);

/**
 * One sentence on a client's last failure: what happened, the server's own
 * words, what to do. UTF-8, without a line end; empty if there was no failure.
 *
 * @param client  the client; NULL asks for this thread's last call instead
 * @return the sentence, never NULL; it belongs to the library and lives until
 *         the same thread calls this function again or ends
 *
 * Threads: any, as SmtpGetLastError. Since 0.1.
 */
const char *SmtpGetLastErrorString(const struct SmtpClient *client);

/**
 * The same sentence, copied to the caller's buffer: for bindings.
 *
 * @param client    the client, or NULL
 * @param buffer    room for the text; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much as fits
 *
 * Threads: any, as SmtpGetLastError, whose answer it never changes. Since 0.1.
 */
int32_t SmtpCopyLastErrorString(const struct SmtpClient *client,
                                char *buffer,
                                size_t capacity,
                                size_t *length);

/**
 * What an error code means, and what to do about it, whoever met it. The
 * sentence of SmtpGetLastErrorString is better where there was a failure.
 *
 * @param code      one of the SMTP_ERROR_ constants
 * @param buffer    room for the text; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0; SMTP_ERROR_INVALID_PARAMETER if there is no such code;
 *         SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much as fits
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpGetErrorString(int32_t code, char *buffer, size_t capacity, size_t *length);

/**
 * Clears the last failure, so that a later look tells of a new one only.
 *
 * @param client  the client; NULL clears this thread's instead
 * @param code    0; failures are the library's to set
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any; with a client, waits for its turn. Since 0.1.
 */
int32_t SmtpSetLastError(struct SmtpClient *client, int32_t code);

/**
 * Sets a text property.
 *
 * @param client    the client
 * @param property  SMTP_PROPERTY_ constant of a text that can be written
 * @param value     the new value, UTF-8, copied; NULL is the same as empty
 * @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_READ_ONLY_PROPERTY,
 *         SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_INVALID_UTF8
 *
 * Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
 */
int32_t SmtpSetString(struct SmtpClient *client, uint32_t property, const char *value);

/**
 * Reads a text property into the caller's buffer.
 *
 * @param client    the client
 * @param property  SMTP_PROPERTY_ constant of a text that can be read
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as
 *         much as fits and terminated; SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_WRITE_ONLY_PROPERTY
 *
 * Threads: any, also while a call runs and from within a callback. A failure
 * leaves the client's last error as it is. Since 0.1.
 */
int32_t SmtpGetString(const struct SmtpClient *client,
                      uint32_t property,
                      char *buffer,
                      size_t capacity,
                      size_t *length);

/**
 * Sets an integer property.
 *
 * @param client    the client
 * @param property  SMTP_PROPERTY_ constant of an integer that can be written
 * @param value     the new value, in the property's unit and range
 * @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_READ_ONLY_PROPERTY,
 *         SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
 */
int32_t SmtpSetInteger(struct SmtpClient *client, uint32_t property, int64_t value);

/**
 * Reads an integer property.
 *
 * @param client    the client
 * @param property  SMTP_PROPERTY_ constant of an integer
 * @param value     set to the value
 * @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_NULL_POINTER
 *
 * Threads: any, also while a call runs and from within a callback. A failure
 * leaves the client's last error as it is. Since 0.1.
 */
int32_t SmtpGetInteger(const struct SmtpClient *client, uint32_t property, int64_t *value);

/**
 * Registers a callback that is asked for an OAuth token when a login takes one; it
 * takes the place of the one before. It is asked at every login by XOAUTH2 or
 * OAUTHBEARER that is given no token as the password: where SMTP_PROPERTY_AUTH_TYPE
 * says so, or with SMTP_AUTH_AUTOMATIC if the server offers one of them and
 * SMTP_PROPERTY_AUTH_METHODS allows it. What it gives goes before
 * SMTP_PROPERTY_BEARER_TOKEN. If the server refuses the token, it is asked once
 * more and the login is repeated once; not if the server says that the token
 * does not allow enough.
 *
 * @param client     the client
 * @param callback   the function; NULL removes the one before
 * @param user_data  passed to the callback
 * @param destroy    called with user_data when the callback is replaced or
 *                   removed, or the client's last call has ended after its
 *                   release; also if this call fails. May be NULL.
 * @return 0, or an error code. A login fails with SMTP_ERROR_NO_CREDENTIALS if the
 *         callback gives up or gives nothing
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpRegisterTokenProvider(struct SmtpClient *client,
                                  SmtpTokenCallback callback,
                                  void *user_data,
                                  SmtpDestroyCallback destroy);

/**
 * Registers a callback for the records of the conversation; it takes the place
 * of the one before. Passwords are masked, and the content of messages is only
 * counted, unless SMTP_PROPERTY_INSECURE_TRACE_SECRETS and SMTP_PROPERTY_TRACE_FLAGS
 * say otherwise. SMTP_PROPERTY_TRACE_FILE and SMTP_PROPERTY_TRACE_KEEP work besides.
 *
 * @param client     the client
 * @param callback   the function; NULL removes the one before
 * @param user_data  passed to the callback
 * @param destroy    called with user_data when the callback is replaced or
 *                   removed, or the client's last call has ended after its
 *                   release; also if this call fails. May be NULL.
 * @return 0, or an error code
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpRegisterTrace(struct SmtpClient *client,
                          SmtpTraceCallback callback,
                          void *user_data,
                          SmtpDestroyCallback destroy);

/**
 * Has the conversation appended to a file: SMTP_PROPERTY_TRACE_FILE and
 * SMTP_PROPERTY_TRACE_FLAGS in one call.
 *
 * @param client  the client; the original traced all of a thread instead
 * @param path    the file, UTF-8, made if it is not there; copied
 * @param flags   SMTP_TRACE_ bits
 * @return 0; SMTP_ERROR_FILE if the file cannot be opened; SMTP_ERROR_INVALID_PARAMETER
 *         if the path is empty or the flags have bits without a meaning; nothing is
 *         changed then
 *
 * Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
 */
int32_t SmtpEnableTrace(struct SmtpClient *client, const char *path, uint32_t flags);

/**
 * Ends the trace to a file: empties SMTP_PROPERTY_TRACE_FILE. A callback, and what
 * SMTP_PROPERTY_TRACE_KEEP keeps, are not concerned.
 *
 * @param client  the client
 * @return 0, or an error code
 *
 * Threads: any; waits for its turn. Since 0.1.
 */
int32_t SmtpDisableTrace(struct SmtpClient *client);

/**
 * How far the content of the message under way is, or of the last one. All
 * members are 0 before the first.
 *
 * @param client  the client
 * @param status  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if the size is not one of this structure
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetTransferStatus(const struct SmtpClient *client, struct SmtpTransferStatus *status);

/**
 * What the client is doing: SMTP_PROPERTY_STATE.
 *
 * @param client  the client
 * @return one of the SMTP_STATUS_ constants, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetStatus(const struct SmtpClient *client);

/**
 * Whether the client is connected, as far as it has noticed:
 * SMTP_PROPERTY_IS_CONNECTED.
 *
 * @param client  the client
 * @return 1 or 0, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpIsConnected(const struct SmtpClient *client);

/**
 * The three-digit code of the server's last reply: SMTP_PROPERTY_RESULT_CODE.
 *
 * @param client  the client
 * @return the code, 0 if there was no reply, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetResultCode(const struct SmtpClient *client);

/**
 * The text of the server's last reply, its lines joined by line feeds:
 * SMTP_PROPERTY_RESULT_STRING.
 *
 * @param client    the client
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as
 *         much as fits and terminated; SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetResultString(const struct SmtpClient *client,
                            char *buffer,
                            size_t capacity,
                            size_t *length);

/**
 * What protects the connection, all of one moment; all members but the size are 0
 * without TLS.
 *
 * @param client    the client
 * @param security  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if the size is not one of this structure
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetSecurityInformation(const struct SmtpClient *client,
                                   struct SmtpSecurityInfo *security);

/**
 * The limit of one call as a whole: SMTP_PROPERTY_TIMEOUT.
 *
 * In milliseconds, as every time in this library; the original's function of
 * this name has seconds.
 *
 * @param client  the client
 * @return the limit in milliseconds, 0 for none, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetTimeout(const struct SmtpClient *client);

/**
 * Sets the limit of one call as a whole: SMTP_PROPERTY_TIMEOUT.
 *
 * In milliseconds, as every time in this library; the original's function of
 * this name has seconds.
 *
 * @param client      the client
 * @param timeout_ms  the limit in milliseconds; 0 is none
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if it is more than 2147483647
 *
 * Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
 */
int32_t SmtpSetTimeout(struct SmtpClient *client, uint32_t timeout_ms);

/**
 * Which notifications are asked for: SMTP_PROPERTY_DELIVERY_OPTIONS.
 *
 * @param client  the client
 * @return the SMTP_DELIVERY_ bits, or SMTP_ERROR_INVALID_HANDLE
 *
 * Threads: any, also while a call runs and from within a callback. Since 0.1.
 */
int32_t SmtpGetDeliveryOptions(const struct SmtpClient *client);

/**
 * Sets which notifications to ask for with every message:
 * SMTP_PROPERTY_DELIVERY_OPTIONS.
 *
 * @param client   the client
 * @param options  SMTP_DELIVERY_ bits; 0 leaves it to the servers
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
 */
int32_t SmtpSetDeliveryOptions(struct SmtpClient *client, uint32_t options);

/**
 * The present date as a message's Date header has it (RFC 5322 section 3.3), such
 * as "Mon, 23 Nov 2026 18:30:00 +0100": in local time with its offset, or in UTC
 * if the system does not tell local time.
 *
 * @param buffer    room for the text and its NUL: 32 octets; NULL with capacity 0
 *                  asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as
 *         much as fits and terminated
 *
 * Threads: any; the environment variable TZ is read. Since 0.1.
 */
int32_t SmtpGetCurrentDate(char *buffer, size_t capacity, size_t *length);

/**
 * Creates an empty message.
 *
 * @return the message, to be ended with SmtpMessageRelease; NULL on failure, of
 *         which SmtpGetLastError(NULL) tells
 *
 * Threads: any. Since 0.1.
 */
struct SmtpMessage *SmtpMessageCreate(void);

/**
 * Releases a message. One that is being sent or exported is so to its end.
 *
 * @param message  the message; NULL is allowed and does nothing
 * @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a message
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageRelease(struct SmtpMessage *message);

/**
 * Empties a message: header fields, texts and attachments.
 *
 * @param message  the message
 * @return 0, or an error code
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageClear(struct SmtpMessage *message);

/**
 * Composes a message in one call; what was in it before is gone.
 *
 * Each list takes addresses such as user@example.com or Name <user@example.com>,
 * names in any script, separated by commas or semicolons, with groups and
 * comments (RFC 5322 section 3.4). A text alone makes a plain message, an HTML text
 * alone one of HTML, and both an alternative of which a reader shows the better. Date
 * and Message-ID are made when the message is first exported or sent, if they are
 * not set, and stay.
 *
 * @param message  the message
 * @param from     the author; any of these may be NULL to be left out
 * @param to       the recipients
 * @param cc       who gets a copy
 * @param bcc      who gets a copy that nobody else knows of
 * @param subject  the subject, without line ends
 * @param text     the plain text, with any line ends
 * @param html     the HTML text, with any line ends
 * @return 0, or SMTP_ERROR_INVALID_ADDRESS, SMTP_ERROR_HEADER, SMTP_ERROR_INVALID_UTF8;
 *         the message is unchanged then
 *
 * Threads: any. The strings are UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageCompose(struct SmtpMessage *message,
                           const char *from,
                           const char *to,
                           const char *cc,
                           const char *bcc,
                           const char *subject,
                           const char *text,
                           const char *html);

/**
 * Sets the plain text of a message.
 *
 * @param message  the message
 * @param text     the text, with any line ends; NULL removes it
 * @return 0, or SMTP_ERROR_LOADED_BODY if the message was loaded
 *
 * Threads: any. The string is UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageSetText(struct SmtpMessage *message, const char *text);

/**
 * Sets the HTML text of a message. Images that go with it are attached with a
 * content id, say logo, and shown by it: <img src="cid:logo">.
 *
 * @param message  the message
 * @param html     the text, with any line ends; NULL removes it
 * @return 0, or SMTP_ERROR_LOADED_BODY if the message was loaded
 *
 * Threads: any. The string is UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageSetHtml(struct SmtpMessage *message, const char *html);

/**
 * Adds a calendar to a message as an alternative to its texts, as invitations have
 * it (RFC 6047).
 *
 * @param message   the message
 * @param calendar  the calendar, from BEGIN:VCALENDAR to END:VCALENDAR (RFC 5545); NULL removes it
 * @param method    its method, such as REQUEST, CANCEL or REPLY, as it says itself; NULL: REQUEST
 * @return 0, or SMTP_ERROR_LOADED_BODY if the message was loaded, SMTP_ERROR_HEADER
 *
 * Threads: any. The strings are UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageSetCalendar(struct SmtpMessage *message,
                               const char *calendar,
                               const char *method);

/**
 * The plain text of a message that was composed or loaded: the first that is not attached.
 *
 * @param message   the message
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_NOT_FOUND if there is none, SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetText(const struct SmtpMessage *message,
                           char *buffer,
                           size_t capacity,
                           size_t *length);

/**
 * The HTML text of a message that was composed or loaded: the first that is not attached.
 *
 * @param message   the message
 * @param buffer    as for SmtpMessageGetText
 * @param capacity  as for SmtpMessageGetText
 * @param length    as for SmtpMessageGetText
 * @return as SmtpMessageGetText
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetHtml(const struct SmtpMessage *message,
                           char *buffer,
                           size_t capacity,
                           size_t *length);

/**
 * Sets a number about a message.
 *
 * @param message  the message
 * @param which    SMTP_MESSAGE_ constant
 * @param value    the value
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageSetInteger(struct SmtpMessage *message, uint32_t which, int64_t value);

/**
 * Reads a number about a message.
 *
 * @param message  the message
 * @param which    SMTP_MESSAGE_ constant
 * @param value    set to the value
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetInteger(const struct SmtpMessage *message, uint32_t which, int64_t *value);

/**
 * Says how to leave the mailing list that a message is for: sets List-Unsubscribe
 * (RFC 2369), and with one click List-Unsubscribe-Post (RFC 8058), which large
 * mailbox providers want of newsletters.
 *
 * @param message    the message
 * @param address    the mail address that takes the wish, perhaps with ?subject=...; may be NULL
 * @param page       the page that takes it, https://...; may be NULL
 * @param one_click  1 if the page takes a POST without asking back; else 0
 * @return 0, or SMTP_ERROR_HEADER, SMTP_ERROR_INVALID_ADDRESS
 *
 * Threads: any. The strings are copied. For one click the message must be signed
 * (DKIM) with both fields. Since 0.1.
 */
int32_t SmtpMessageSetUnsubscribe(struct SmtpMessage *message,
                                  const char *address,
                                  const char *page,
                                  uint32_t one_click);

/**
 * Asks the reader's program for a receipt when the message is read (RFC 8098): sets
 * Disposition-Notification-To.
 *
 * @param message  the message
 * @param address  who gets the receipt; NULL or empty: nobody
 * @return 0, or SMTP_ERROR_INVALID_ADDRESS
 *
 * Threads: any. The string is UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageSetReadReceipt(struct SmtpMessage *message, const char *address);

/**
 * Sets a header field of a message. If there are several of the name, the first
 * gets the value and the others are removed.
 *
 * From, To and the like take lists of addresses, as SmtpMessageCompose does.
 * Message-ID, References, Date and the like take ASCII. All others take text of any
 * script, which is encoded as it needs to be (RFC 2047). No value can make a second
 * field: one with a line end is refused. What tells of the content (Content-Type
 * and the like) is made by the library.
 *
 * @param message  the message
 * @param name     the name, such as Reply-To or X-Customer
 * @param value    the value
 * @return 0, or SMTP_ERROR_HEADER, SMTP_ERROR_INVALID_ADDRESS, SMTP_ERROR_INVALID_UTF8
 *
 * Threads: any. The strings are UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageSetHeader(struct SmtpMessage *message, const char *name, const char *value);

/**
 * Adds a header field to a message, behind all others, also if there are some of
 * the name already.
 *
 * @param message  the message
 * @param name     as for SmtpMessageSetHeader
 * @param value    as for SmtpMessageSetHeader
 * @return as SmtpMessageSetHeader
 *
 * Threads: any. The strings are UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageAddHeader(struct SmtpMessage *message, const char *name, const char *value);

/**
 * The value of a header field by its name, decoded.
 *
 * @param message     the message
 * @param name        the name, in any case
 * @param occurrence  which of the fields of this name, from 0
 * @param buffer      room for the value and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity    its size in octets
 * @param length      set to the length of the whole value without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetHeader(const struct SmtpMessage *message,
                             const char *name,
                             size_t occurrence,
                             char *buffer,
                             size_t capacity,
                             size_t *length);

/**
 * How many header fields a message has.
 *
 * @param message  the message
 * @param count    set to the number
 * @return 0, or SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetHeaderCount(const struct SmtpMessage *message, size_t *count);

/**
 * The name of a header field by its index.
 *
 * @param message   the message
 * @param index     its number, from 0
 * @param buffer    room for the name and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole name without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetHeaderName(const struct SmtpMessage *message,
                                 size_t index,
                                 char *buffer,
                                 size_t capacity,
                                 size_t *length);

/**
 * The value of a header field by its index, decoded.
 *
 * @param message   the message
 * @param index     its number, from 0
 * @param buffer    room for the value and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole value without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetHeaderValue(const struct SmtpMessage *message,
                                  size_t index,
                                  char *buffer,
                                  size_t capacity,
                                  size_t *length);

/**
 * Sets the value of a header field by its index.
 *
 * @param message  the message
 * @param index    its number, from 0
 * @param value    as for SmtpMessageSetHeader
 * @return 0, or SMTP_ERROR_NOT_FOUND, and as SmtpMessageSetHeader
 *
 * Threads: any. The string is UTF-8 and copied. Since 0.1.
 */
int32_t SmtpMessageSetHeaderValue(struct SmtpMessage *message, size_t index, const char *value);

/**
 * Removes all header fields of a name.
 *
 * @param message  the message
 * @param name     the name, in any case
 * @return 0, also if there was none
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageRemoveHeader(struct SmtpMessage *message, const char *name);

/**
 * Removes a header field by its index; those behind it move up.
 *
 * @param message  the message
 * @param index    its number, from 0
 * @return 0, or SMTP_ERROR_NOT_FOUND
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageRemoveHeaderAt(struct SmtpMessage *message, size_t index);

/**
 * Attaches octets in memory to a message.
 *
 * @param message     the message
 * @param name        the file name, in any script; NULL or empty: none
 * @param type        the type, such as application/pdf, perhaps with parameters; NULL: guessed from the name
 * @param content_id  for an image in the HTML text, the name by which that shows it as
 *                    cid:..., without brackets; NULL: an attachment
 * @param data        the octets
 * @param length      how many, or SMTP_NUL_TERMINATED
 * @return 0, or SMTP_ERROR_ATTACHMENT if name, type or content id cannot be written,
 *         SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. Everything is copied. Since 0.1.
 */
int32_t SmtpMessageAttach(struct SmtpMessage *message,
                          const char *name,
                          const char *type,
                          const char *content_id,
                          const void *data,
                          size_t length);

/**
 * Attaches a file to a message. It is read and encoded while the message is sent or
 * exported, so that its size costs no memory, and must not change until then.
 *
 * @param message     the message
 * @param path        the file, UTF-8, not a pipe or device
 * @param name        the name that the reader sees; NULL: that of the file
 * @param type        as for SmtpMessageAttach
 * @param content_id  as for SmtpMessageAttach
 * @return 0, or SMTP_ERROR_ATTACHMENT, also if the file cannot be opened
 *
 * Threads: any. The strings are copied. Since 0.1.
 */
int32_t SmtpMessageAttachFile(struct SmtpMessage *message,
                              const char *path,
                              const char *name,
                              const char *type,
                              const char *content_id);

/**
 * Attaches what a function of the program's gives. It is asked while the message is
 * sent or exported.
 *
 * @param message     the message
 * @param name        as for SmtpMessageAttach
 * @param type        as for SmtpMessageAttach
 * @param content_id  as for SmtpMessageAttach
 * @param size        how many octets it will give, exactly; SMTP_SIZE_UNKNOWN if it is not
 *                    known, and then the server is not told the size of the message
 * @param reader      the function
 * @param rewind      has it begin anew, for each time but the first that the content is needed;
 *                    NULL if it gives its content once
 * @param user_data   passed to the functions
 * @param destroy     called with user_data when the message no longer needs the functions, also
 *                    if this call fails; may be NULL
 * @return 0, or SMTP_ERROR_ATTACHMENT, SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. The strings are copied. The functions are called on the thread that
 * sends or exports, with no lock of the library's held but one for this attachment.
 * Since 0.1.
 */
int32_t SmtpMessageAttachReader(struct SmtpMessage *message,
                                const char *name,
                                const char *type,
                                const char *content_id,
                                uint64_t size,
                                SmtpReadCallback reader,
                                SmtpRewindCallback rewind,
                                void *user_data,
                                SmtpDestroyCallback destroy);

/**
 * Attaches a message to another one, as it is now, as in forwarding (message/rfc822).
 *
 * @param message   the message that gets it
 * @param attached  the message to attach; a change to it later changes nothing here
 * @param name      the file name, such as original.eml; NULL: none
 * @return 0, or SMTP_ERROR_ATTACHMENT if 20 messages are in each other already
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageAttachMessage(struct SmtpMessage *message,
                                 const struct SmtpMessage *attached,
                                 const char *name);

/**
 * How many parts a message has: texts, attachments, and those that hold others.
 *
 * @param message  the message, composed or loaded
 * @param count    set to the number
 * @return 0, or SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetPartCount(const struct SmtpMessage *message, size_t *count);

/**
 * Where a part of a message is among the others. The outermost is first, and each is
 * before those in it.
 *
 * @param message  the message
 * @param index    its number, from 0
 * @param part     filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetPart(const struct SmtpMessage *message,
                           size_t index,
                           struct SmtpMessagePart *part);

/**
 * A text about a part of a message.
 *
 * @param message   the message
 * @param index     the number of the part, from 0
 * @param which     SMTP_PART_TEXT_ constant
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_NOT_FOUND if there is no such part, or it does not have that;
 *         SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetPartString(const struct SmtpMessage *message,
                                 size_t index,
                                 uint32_t which,
                                 char *buffer,
                                 size_t capacity,
                                 size_t *length);

/**
 * The content of a part of a message, decoded.
 *
 * @param message   the message
 * @param index     the number of the part, from 0
 * @param buffer    room for the content; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole content; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL with the buffer as it was, SMTP_ERROR_NOT_FOUND,
 *         SMTP_ERROR_NO_CONTENT if it only holds other parts, and what reading a file
 *         or reader that was attached gives
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetPartContent(const struct SmtpMessage *message,
                                  size_t index,
                                  void *buffer,
                                  size_t capacity,
                                  size_t *length);

/**
 * Writes the content of a part of a message, decoded, to a file, which is made or
 * emptied. The name that the message gives the file is no path to be trusted.
 *
 * @param message  the message
 * @param index    the number of the part, from 0
 * @param path     the file, UTF-8
 * @return 0, or SMTP_ERROR_WRITER if the file cannot be written, and as SmtpMessageGetPartContent
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageSavePart(const struct SmtpMessage *message, size_t index, const char *path);

/**
 * Loads a finished message, such as the content of an .eml file; what was in the
 * message before is gone.
 *
 * Its header fields and parts can be read; fields can be changed and things be
 * attached, but its texts not be replaced. Line ends become CRLF. The whole is kept
 * in memory.
 *
 * @param message  the message
 * @param data     header fields, empty line and body
 * @param length   its length in octets, or SMTP_NUL_TERMINATED
 * @return 0, or SMTP_ERROR_NOT_A_MESSAGE, SMTP_ERROR_NULL_POINTER; the message is unchanged then
 *
 * Threads: any. The data is copied. Since 0.1.
 */
int32_t SmtpMessageLoad(struct SmtpMessage *message, const void *data, size_t length);

/**
 * Loads the message of a file, as SmtpMessageLoad does from memory.
 *
 * @param message  the message
 * @param path     the file, UTF-8
 * @return 0, or SMTP_ERROR_FILE, SMTP_ERROR_NOT_A_MESSAGE; the message is unchanged then
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageLoadFile(struct SmtpMessage *message, const char *path);

/**
 * Loads a message that a function of the program's gives, as SmtpMessageLoad does from memory.
 *
 * @param message    the message
 * @param reader     the function, called until it returns 0
 * @param user_data  passed to it
 * @return 0, or SMTP_ERROR_READER if the reader gave up, SMTP_ERROR_NOT_A_MESSAGE; the
 *         message is unchanged then
 *
 * Threads: any. The reader is called with no lock of the library's held. Since 0.1.
 */
int32_t SmtpMessageLoadStream(struct SmtpMessage *message,
                              SmtpReadCallback reader,
                              void *user_data);

/**
 * How many octets an export of the message has, with the same options.
 *
 * @param message  the message
 * @param options  SMTP_EXPORT_ bits
 * @param size     set to the number; SMTP_SIZE_UNKNOWN if a reader was attached without its size
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_NULL_POINTER
 *
 * Threads: any. Makes Date and Message-ID if they are missing. Since 0.1.
 */
int32_t SmtpMessageGetSize(struct SmtpMessage *message, uint32_t options, uint64_t *size);

/**
 * Writes a message to the caller's buffer: header fields, empty line and body.
 *
 * By default the fields are in the usual order, and Bcc, Received, Return-Path, Status
 * and X400-Received are left out. Texts that SMTP_ENCODING_8BIT was set for are 8bit.
 *
 * @param message   the message
 * @param options   SMTP_EXPORT_ bits
 * @param buffer    room for the message; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the message; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL with the buffer as it was, SMTP_ERROR_INVALID_PARAMETER,
 *         and what reading a file or reader that was attached gives
 *
 * Threads: any. Makes Date and Message-ID if they are missing. Since 0.1.
 */
int32_t SmtpMessageExport(struct SmtpMessage *message,
                          uint32_t options,
                          void *buffer,
                          size_t capacity,
                          size_t *length);

/**
 * Writes a message to a file, which is made or emptied, in constant memory. In all
 * else like SmtpMessageExport.
 *
 * @param message  the message
 * @param options  SMTP_EXPORT_ bits
 * @param path     the file, UTF-8
 * @return 0, or SMTP_ERROR_WRITER if the file cannot be written, and as SmtpMessageExport
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageExportFile(struct SmtpMessage *message, uint32_t options, const char *path);

/**
 * Gives a message to a function of the program's piece by piece, in constant memory.
 * In all else like SmtpMessageExport.
 *
 * @param message    the message
 * @param options    SMTP_EXPORT_ bits
 * @param writer     the function
 * @param user_data  passed to it
 * @return 0, or SMTP_ERROR_WRITER if the writer gave up, and as SmtpMessageExport
 *
 * Threads: any. The writer is called with no lock of the library's held. Since 0.1.
 */
int32_t SmtpMessageExportStream(struct SmtpMessage *message,
                                uint32_t options,
                                SmtpWriteCallback writer,
                                void *user_data);

/**
 * Sends a composed or loaded message. The sender of the envelope is the address of
 * its Sender field, or else the first one of From; the recipients are those of To,
 * Cc and Bcc, members of groups included, each once. Bcc is not sent.
 *
 * What is attached is read and encoded while it is sent, in constant memory, and the
 * size told to the server in advance is exact. All else is as for SmtpSendMessage.
 *
 * @param client   the client
 * @param message  the message, which may be changed or released meanwhile: it is sent as
 *                 it was when the client's turn came
 * @return as SmtpSendMessage, and SMTP_ERROR_NO_SENDER, SMTP_ERROR_NO_RECIPIENTS,
 *         SMTP_ERROR_ATTACHMENT, also if a file is not as long as when it was attached; the
 *         message is not completed then, and the connection is closed
 *
 * Threads: any; waits for its turn. SmtpCancel ends it. Makes Date and Message-ID if
 * they are missing. Since 0.1.
 */
int32_t SmtpSendComposed(struct SmtpClient *client, struct SmtpMessage *message);

/**
 * Looks for what is wrong with a message in memory, without a connection: missing and
 * repeated fields, bad addresses and look-alikes, traces of header injection, lines and
 * octets that servers refuse, parts that are not what they say.
 *
 * @param message   the message, its header included; it may be NULL if length is 0
 * @param length    its length in octets, or SMTP_NUL_TERMINATED
 * @param limit     the most octets that it may have, or 0
 * @param buffer    room for the findings and a NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param written   set to the length of the whole text without its NUL; may be NULL
 * @return 0, also if there are findings, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_NULL_POINTER
 *
 * The findings are one JSON object: the numbers "errors", "warnings", "hints" and "more" (how
 * many there were beyond the 100 that are kept), and "findings", a list of objects with "code" and
 * "name" (SMTP_CHECK_), "severity" (ERROR, WARNING or HINT), "line" (from 1, or 0), "part" (0 is the
 * message's own header, parts follow as they begin), "count", "header", "what" and "remedy".
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpCheckMessage(const void *message,
                         size_t length,
                         uint64_t limit,
                         char *buffer,
                         size_t capacity,
                         size_t *written);

/**
 * As SmtpCheckMessage, of a message in a file, of which little is in memory at a time.
 *
 * @param path      the path of the file
 * @param limit     the most octets that it may have, or 0
 * @param buffer    room for the findings and a NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param written   set to the length of the whole text without its NUL; may be NULL
 * @return 0, also if there are findings, or SMTP_ERROR_FILE, SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpCheckFile(const char *path,
                      uint64_t limit,
                      char *buffer,
                      size_t capacity,
                      size_t *written);

/**
 * Looks for what is wrong with a message as it would be sent, Bcc left out, before a
 * connection is made; see SmtpCheckMessage. It is not signed for this.
 *
 * @param message  the message
 * @param limit    the most octets that it may have, or 0
 * @param count    set to the number of findings; may be NULL
 * @return 0, also if there are findings; SMTP_ERROR_READ_ONCE if a reader was attached without
 *         a rewind function; and as SmtpMessageExport
 *
 * Threads: any. Makes Date and Message-ID if they are missing. The findings stay until the
 * next check of this message. Since 0.1.
 */
int32_t SmtpMessageCheck(struct SmtpMessage *message, uint64_t limit, size_t *count);

/**
 * A finding of the last SmtpMessageCheck.
 *
 * @param message  the message
 * @param index    its number, from 0
 * @param finding  filled in; its member size must be set before
 * @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such finding or the size is not
 *         one of this structure
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetFinding(const struct SmtpMessage *message,
                              size_t index,
                              struct SmtpFinding *finding);

/**
 * A text about a finding of the last SmtpMessageCheck.
 *
 * @param message   the message
 * @param index     its number, from 0
 * @param which     one of the SMTP_FINDING_TEXT_ constants
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetFindingString(const struct SmtpMessage *message,
                                    size_t index,
                                    uint32_t which,
                                    char *buffer,
                                    size_t capacity,
                                    size_t *length);

/**
 * All findings of the last SmtpMessageCheck, as one JSON object; see SmtpCheckMessage.
 *
 * @param message   the message
 * @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param length    set to the length of the whole text without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageGetFindings(const struct SmtpMessage *message,
                               char *buffer,
                               size_t capacity,
                               size_t *length);

/**
 * Makes a DKIM signature (RFC 6376) of a message in memory: the DKIM-Signature field that
 * is to be put in front of it, with its line end.
 *
 * @param message   the message, its header included; line ends count as they are sent, as CRLF
 * @param length    its length in octets, or SMTP_NUL_TERMINATED
 * @param domain    the domain that signs, such as example.com
 * @param selector  the name of the key in that domain's DNS
 * @param key       an RSA key of 2048 to 4096 bits (rsa-sha256) or an Ed25519 key (ed25519-sha256):
 *                  its text in PEM form, or the path of a file with it
 * @param password  the password of the key; NULL if it is not encrypted
 * @param options   tags as they stand in a signature, separated by semicolons; may be NULL. c: simple or
 *                  relaxed for header and body, as in relaxed/simple (relaxed/relaxed); h: the
 *                  fields to sign, separated by colons, a name as often as wanted; i: the
 *                  identity; t: when it was made, in seconds, or none; x: until when it is
 *                  good, or +seconds
 * @param buffer    room for the field and a NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param written   set to the length of the field without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_DKIM_KEY, SMTP_ERROR_DKIM_SETTING, SMTP_ERROR_DKIM_HEADER, SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Without h, the usual fields are signed, and names are given once more than there are fields
 * where nobody should put another in. 8192 octets are room enough for all but unusual fields.
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpSignMessage(const void *message,
                        size_t length,
                        const char *domain,
                        const char *selector,
                        const char *key,
                        const char *password,
                        const char *options,
                        char *buffer,
                        size_t capacity,
                        size_t *written);

/**
 * As SmtpSignMessage, of a message in a file, of which little is in memory at a time.
 *
 * @param path      the path of the file
 * @param domain    as for SmtpSignMessage
 * @param selector  as for SmtpSignMessage
 * @param key       as for SmtpSignMessage
 * @param password  as for SmtpSignMessage
 * @param options   as for SmtpSignMessage
 * @param buffer    room for the field and a NUL; NULL with capacity 0 asks for the length only
 * @param capacity  its size in octets
 * @param written   set to the length of the field without its NUL; may be NULL
 * @return 0, or SMTP_ERROR_FILE, SMTP_ERROR_DKIM_KEY, SMTP_ERROR_DKIM_SETTING, SMTP_ERROR_DKIM_HEADER,
 *         SMTP_ERROR_BUFFER_TOO_SMALL
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpSignFile(const char *path,
                     const char *domain,
                     const char *selector,
                     const char *key,
                     const char *password,
                     const char *options,
                     char *buffer,
                     size_t capacity,
                     size_t *written);

/**
 * Has a message signed with DKIM whenever it is sent or exported, besides other signatures.
 *
 * It is read twice then: once to make the signatures, once to be sent; what is attached
 * with a reader needs its rewind function. A loaded message is signed as it is sent, its
 * header fields in the usual order.
 *
 * @param message   the message
 * @param domain    the domain that signs, such as example.com
 * @param selector  the name of the key in that domain's DNS
 * @param key       as for SmtpSignMessage; it is read now
 * @param password  the password of the key; NULL if it is not encrypted
 * @param options   as for SmtpSignMessage; may be NULL
 * @return 0, or SMTP_ERROR_DKIM_KEY, SMTP_ERROR_DKIM_SETTING; the message is unchanged then
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageAddSignature(struct SmtpMessage *message,
                                const char *domain,
                                const char *selector,
                                const char *key,
                                const char *password,
                                const char *options);

/**
 * Has a message signed no more. SmtpMessageClear and the functions that load a message
 * do that too.
 *
 * @param message  the message
 * @return 0, or an error code
 *
 * Threads: any. Since 0.1.
 */
int32_t SmtpMessageClearSignatures(struct SmtpMessage *message);

#ifdef __cplusplus
}
#endif

#endif /* SMTPCLIENT_H */
