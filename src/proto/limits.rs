//! How much the network may make the client hold. Each limit cites its reason.

/// The longest reply line accepted, without its line end.
///
/// RFC 5321 section 4.5.3.1.5 allows 512 octets; RFC 4954 section 4 makes an
/// authentication challenge as long as 12,288 octets. 16 KiB covers both.
pub const MAX_REPLY_LINE: usize = 16 * 1024;

/// The most lines accepted in one reply.
///
/// No EHLO reply in use has 100 lines; EXPN of a list has one for every member.
pub const MAX_REPLY_LINES: usize = 16 * 1024;

/// The most octets accepted in one reply, so that many long lines cannot add up.
///
/// A reply is kept as the last one, in an error record and in the sentence made
/// of it; with this limit all of them together stay below 1 MiB. EHLO replies
/// have 1 KiB, and a list of 4,000 members still fits into one of EXPN.
pub const MAX_REPLY_BYTES: usize = 128 * 1024;

/// The most login mechanisms kept of an EHLO reply.
///
/// Servers offer about ten. Each is compared with those before it, so that a reply
/// full of them would cost seconds.
pub(super) const MAX_MECHANISMS: usize = 64;

/// The most octets kept of the texts that refused a message's recipients, as long as
/// each may be kept whole. 1,000 ordinary ones fit in.
pub(super) const MAX_REFUSAL_TEXTS: usize = 256 * 1024;

/// The most octets kept of each beyond that: four lines of the longest that RFC 5321
/// section 4.5.3.1.5 allows.
pub(super) const MAX_REFUSAL_TEXT: usize = 2048;

/// The longest command line sent without its line end, RFC 5321 section 4.5.3.1.4
/// (512 octets with the line end). An AUTH command that would be longer goes
/// without its initial response (RFC 4954 section 4).
pub(super) const MAX_COMMAND_LINE: usize = 510;

/// The longest line sent in an authentication exchange, RFC 4954 section 4.
pub(super) const MAX_AUTH_LINE: usize = 12_288;

/// Commands are queued ahead of the server up to this many octets, and content
/// is taken from its source while fewer than this are waiting to be sent. 64 KiB
/// makes large writes without holding a message in memory.
pub const OUTPUT_CHUNK: usize = 64 * 1024;

/// What an idle client keeps of its output buffer.
pub(super) const OUTPUT_KEPT: usize = 16 * 1024;

/// The longest local part, domain and host name, RFC 5321 section 4.5.3.1 and RFC 1035 section 2.3.4.
pub(super) const MAX_LOCAL_PART: usize = 64;
/// See [`MAX_LOCAL_PART`].
pub(super) const MAX_DOMAIN: usize = 255;
/// See [`MAX_LOCAL_PART`].
pub(super) const MAX_LABEL: usize = 63;
