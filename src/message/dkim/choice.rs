//! Which fields are signed, and how often their names are given (RFC 6376 section 5.4).

use super::HeaderFields;

/// Names given once more than there are fields, so that none can be put in.
const CLOSED: [&str; 8] =
    ["From", "Reply-To", "To", "Cc", "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

/// The same if there is one; a server may put in one that is missing.
const CLOSED_IF_THERE: [&str; 3] = ["Date", "Message-ID", "Sender"];

/// Names given as often as there are fields; a list may put in its own.
const AS_THEY_ARE: [&str; 16] = [
    "In-Reply-To",
    "References",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Date",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
];

/// The names for a header if the caller has made no choice.
pub(super) fn usual(fields: &HeaderFields) -> Vec<String> {
    let mut names = Vec::new();
    let mut give = |name: &str, times: usize| names.extend(std::iter::repeat_n(name.to_owned(), times));
    for name in CLOSED {
        give(name, fields.count(name) + 1);
    }
    for name in CLOSED_IF_THERE {
        match fields.count(name) {
            0 => {}
            there => give(name, there + 1),
        }
    }
    for name in AS_THEY_ARE {
        give(name, fields.count(name));
    }
    names
}
