//! The queue id in the reply to the end of a message: no standard, but the
//! first thing a postmaster asks for.

/// The id by which the server will know the message, for the common forms of
/// Postfix, Exim, Sendmail, qmail, Exchange, Gmail, Dovecot and smtp-server.
#[must_use]
pub fn queue_id(text: &str) -> Option<&str> {
    let text = text.lines().next()?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    // "queued as 4F1B2" (Postfix, amavis), "Message queued as X" (smtp-server)
    if let Some(at) =
        words.windows(2).position(|pair| pair[0].eq_ignore_ascii_case("queued") && pair[1].eq_ignore_ascii_case("as"))
    {
        return words.get(at + 2).and_then(|word| plausible(word));
    }
    // "OK id=1abcDE-000123-AB" (Exim), "[InternalId=123, ...]" (Exchange)
    for key in ["id=", "InternalId="] {
        let found = words.iter().find_map(|word| word.trim_start_matches('[').strip_prefix(key));
        if let Some(id) = found {
            return plausible(id);
        }
    }
    let words = match words.as_slice() {
        [first, rest @ ..] if is_enhanced(first) => rest,
        all => all,
    };
    match words {
        // "44GJ... Message accepted for delivery" (Sendmail)
        [id, message, accepted, ..]
            if message.eq_ignore_ascii_case("message") && accepted.eq_ignore_ascii_case("accepted") =>
        {
            plausible(id)
        }
        // "ok 1700000000 qp 123" (qmail)
        [ok, _, qp, id, ..] if ok.eq_ignore_ascii_case("ok") && *qp == "qp" => plausible(id),
        // "OK  1700000000 a1-20020a...si123.456 - gsmtp" (Gmail)
        [ok, _, id, .., gsmtp] if ok.eq_ignore_ascii_case("ok") && *gsmtp == "gsmtp" => plausible(id),
        // "<alice@example.com> 6jbeE... Saved" (Dovecot)
        [_, id, saved] if saved.eq_ignore_ascii_case("saved") => plausible(id),
        _ => None,
    }
}

fn is_enhanced(word: &str) -> bool {
    word.split('.').count() == 3 && word.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// The word without punctuation around it, if anything of an id is left.
fn plausible(word: &str) -> Option<&str> {
    let id = word.trim_matches(['.', ',', ';', ':', ')', '(', '[', ']', '<', '>', '"', '\'']);
    (!id.is_empty() && id.len() <= 255).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::queue_id;

    #[test]
    fn the_common_forms() {
        let table = [
            ("2.0.0 Ok: queued as 4F1B2C3D4E", Some("4F1B2C3D4E")),
            ("2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as AB12", Some("AB12")),
            ("Message queued as 1a2b3c", Some("1a2b3c")),
            ("OK id=1r5Abc-0001Xy-2Z", Some("1r5Abc-0001Xy-2Z")),
            ("2.0.0 44GJxY012345 Message accepted for delivery", Some("44GJxY012345")),
            ("ok 1700000000 qp 12345", Some("12345")),
            ("2.0.0 OK  1700000000 a1-20020a05si123.456 - gsmtp", Some("a1-20020a05si123.456")),
            (
                "2.6.0 <m@x.example> [InternalId=123456789, Hostname=H.example] 1234 bytes Queued mail for delivery",
                Some("123456789"),
            ),
            ("2.0.0 <alice@example.com> 6jbeE1 Saved", Some("6jbeE1")),
            ("2.0.0 stored", None),
            ("OK", None),
            ("", None),
            ("queued as", None),
        ];
        for (text, id) in table {
            assert_eq!(queue_id(text), id, "{text}");
        }
    }
}
