//! Plain text whose paragraphs the reader's program wraps (RFC 3676).

/// Lines are wrapped before this many characters (section 4.2 wants at most 78).
const WIDTH: usize = 72;

/// A text as format=flowed: each line of it a paragraph. Lines that begin with > are
/// quoted, and stay so.
pub(super) fn flow(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 20);
    let mut lines = text.split("\r\n").peekable();
    while let Some(line) = lines.next() {
        flow_line(line, &mut out);
        if lines.peek().is_some() {
            out.push_str("\r\n");
        }
    }
    out
}

fn flow_line(line: &str, out: &mut String) {
    if line == "-- " {
        // A signature follows; its blank does not flow (section 4.3).
        return out.push_str(line);
    }
    let depth = line.bytes().take_while(|octet| *octet == b'>').count();
    let (quotes, content) = line.split_at(depth);
    // A blank before the end would make the next line part of this one.
    let mut rest = content.trim_end_matches(' ');
    loop {
        out.push_str(quotes);
        let stuffed = rest.starts_with([' ', '>']) || rest.starts_with("From ") || depth > 0 && !rest.is_empty();
        if stuffed {
            out.push(' ');
        }
        let room = WIDTH.saturating_sub(depth + usize::from(stuffed));
        let Some(end) = break_at(rest, room) else {
            return out.push_str(rest);
        };
        let (now, behind) = rest.split_at(end);
        out.push_str(now);
        out.push_str("\r\n");
        rest = behind;
    }
}

/// Where to break: behind a blank that is followed by something.
fn break_at(text: &str, room: usize) -> Option<usize> {
    if text.chars().count() <= room {
        return None;
    }
    let mut best = None;
    for (count, (at, c)) in text.char_indices().enumerate() {
        if c != ' ' || text[at + 1..].starts_with(' ') || at + 1 == text.len() {
            continue;
        }
        if count < room || best.is_none() {
            best = Some(at + 1);
        }
        if count >= room {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader makes of it (section 4.5).
    fn unflow(text: &str) -> String {
        let mut out = String::new();
        let mut open: Option<String> = None;
        let lines: Vec<_> = text.split("\r\n").collect();
        for (at, line) in lines.iter().enumerate() {
            let depth = line.bytes().take_while(|octet| *octet == b'>').count();
            let (quotes, content) = line.split_at(depth);
            let content = content.strip_prefix(' ').unwrap_or(content);
            if open.as_deref() != Some(quotes) {
                out.push_str(quotes);
            }
            out.push_str(content);
            if content.ends_with(' ') && content != "-- " {
                open = Some(quotes.to_owned());
            } else {
                open = None;
                if at + 1 < lines.len() {
                    out.push_str("\r\n");
                }
            }
        }
        out
    }

    #[test]
    fn paragraphs_are_wrapped() {
        let long = "word ".repeat(40) + "end";
        let flowed = flow(&format!("{long}\r\n\r\n> quoted\r\n-- \r\nFrom me"));
        assert!(flowed.split("\r\n").all(|line| line.len() <= 74), "{flowed}");
        assert!(flowed.ends_with("end\r\n\r\n>  quoted\r\n-- \r\n From me"), "{flowed}");
        assert_eq!(unflow(&flowed), format!("{long}\r\n\r\n> quoted\r\n-- \r\nFrom me"));
    }

    proptest! {
        #[test]
        fn it_reads_back(text in "([a-z>]{1,9}| |\r\n|\u{e9}){0,200}") {
            let expected: Vec<_> = text.split("\r\n").map(|line| line.trim_end_matches(' ')).collect();
            prop_assert_eq!(unflow(&flow(&text)), expected.join("\r\n"));
        }
    }
}
