//! The text of a DKIM-Signature field: tags, in lines of reasonable length.

/// What a line should not go beyond (RFC 5322 section 2.1.1).
const WIDTH: usize = 76;

/// A field that grows by tags.
pub(super) struct Tags {
    text: String,
    column: usize,
}

impl Tags {
    pub(super) fn new() -> Self {
        let text = "DKIM-Signature: v=1;".to_owned();
        Self { column: text.len(), text }
    }

    /// Appends a piece that no line end may divide; `gap` says whether a space stands before it.
    fn piece(&mut self, piece: &str, gap: bool) {
        if self.column + usize::from(gap) + piece.len() > WIDTH {
            self.text.push_str("\r\n\t");
            self.column = 1;
        } else if gap {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(piece);
        self.column += piece.len();
    }

    /// Appends a tag.
    pub(super) fn tag(&mut self, name: &str, value: &str) {
        self.piece(&format!("{name}={value};"), true);
    }

    /// Appends the names of fields.
    pub(super) fn names(&mut self, names: &[String]) {
        for (number, name) in names.iter().enumerate() {
            let before = if number == 0 { "h=" } else { "" };
            let behind = if number + 1 == names.len() { ';' } else { ':' };
            self.piece(&format!("{before}{name}{behind}"), number == 0);
        }
    }

    /// The field with a signature that is empty yet: what is signed.
    pub(super) fn unsigned(mut self) -> Self {
        self.piece("b=", true);
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The field with its signature and line end.
    pub(super) fn signed(mut self, base64: &str) -> String {
        let mut rest = base64;
        while !rest.is_empty() {
            let room = WIDTH.saturating_sub(self.column).max(1);
            let (line, more) = rest.split_at(room.min(rest.len()));
            self.text.push_str(line);
            self.column += line.len();
            rest = more;
            if !rest.is_empty() {
                self.text.push_str("\r\n\t");
                self.column = 1;
            }
        }
        self.text + "\r\n"
    }
}
