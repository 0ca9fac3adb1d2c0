//! Header fields in lines (RFC 5322 section 2.2.3).

/// Lines end before this many characters where they can (RFC 2047 section 2 wants no more).
pub(super) const LINE: usize = 76;

/// Writes one header field, folded at blanks.
pub(super) struct Folder<'a> {
    out: &'a mut Vec<u8>,
    column: usize,
}

impl<'a> Folder<'a> {
    /// Begins a field: its name and colon.
    pub(super) fn begin(name: &str, out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        Self { out, column: name.len() + 1 }
    }

    /// Appends a blank, where the line may end, and a word.
    pub(super) fn word(&mut self, blank: &str, word: &str) {
        let width = blank.len() + word.len();
        if self.column + width > LINE && !blank.is_empty() && self.column > 0 {
            self.out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        self.out.extend_from_slice(blank.as_bytes());
        self.out.extend_from_slice(word.as_bytes());
        self.column += width;
    }

    /// What fits on the line behind a blank.
    pub(super) fn room(&self) -> usize {
        LINE.saturating_sub(self.column + 1)
    }

    /// Ends the field.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The blanks and words of a text: each word with what stands before it.
pub(super) fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_blank = |c: char| c == ' ' || c == '\t';
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        let end = rest[start..].find(is_blank).map_or(rest.len(), |at| start + at);
        let found = (&rest[..start], &rest[start..end]);
        rest = &rest[end..];
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_folded_at_blanks() {
        let mut out = Vec::new();
        let mut folder = Folder::begin("X", &mut out);
        for _ in 0..30 {
            folder.word(" ", "word");
        }
        folder.word("", &"y".repeat(100));
        folder.end();
        let text = String::from_utf8(out).expect("ASCII");
        assert!(text.starts_with("X: word word") && text.lines().count() == 3, "{text}");
        assert_eq!(text.replace("\r\n", ""), format!("X:{}{}", " word".repeat(30), "y".repeat(100)));
    }

    #[test]
    fn words_keep_their_blanks() {
        assert_eq!(words("a  b\tc ").collect::<Vec<_>>(), [("", "a"), ("  ", "b"), ("\t", "c"), (" ", "")]);
    }
}
