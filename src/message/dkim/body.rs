//! The body's hash, canonical on the way (RFC 6376 section 3.4).

use memchr::{memchr, memchr3};
use ring::digest::{Context, SHA256};

/// How much may change between signing and verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// Next to nothing.
    Simple,
    /// White space and, in the header, the case of names.
    Relaxed,
}

impl Canonical {
    /// The name in a signature.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }
}

/// Hashes a body that comes in any pieces, its line ends CRLF and nothing else.
pub struct BodyHash {
    canonical: Canonical,
    digest: Context,
    /// Of a piece, what is hashed: many small pieces would cost more.
    kept: Vec<u8>,
    /// Line ends that count only if something comes behind them.
    line_ends: u64,
    /// White space that counts only if something comes behind it in its line.
    space: bool,
    any: bool,
}

impl BodyHash {
    /// The hash of an empty body so far.
    #[must_use]
    pub fn new(canonical: Canonical) -> Self {
        let digest = Context::new(&SHA256);
        Self { canonical, digest, kept: Vec::new(), line_ends: 0, space: false, any: false }
    }

    /// Takes the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(first) = piece.first() {
            match first {
                // It belongs to the CR before it.
                b'\n' => piece = &piece[1..],
                b'\r' => {
                    self.line_ends += 1;
                    self.space = false;
                    piece = &piece[1..];
                }
                b' ' | b'\t' if self.canonical == Canonical::Relaxed => {
                    self.space = true;
                    piece = &piece[1..];
                }
                _ => {
                    let found = match self.canonical {
                        Canonical::Simple => memchr(b'\r', piece),
                        Canonical::Relaxed => memchr3(b' ', b'\t', b'\r', piece),
                    };
                    let (run, rest) = piece.split_at(found.unwrap_or(piece.len()));
                    self.release();
                    self.kept.extend_from_slice(run);
                    piece = rest;
                }
            }
        }
        self.flush();
    }

    /// Hashes what was held back.
    fn release(&mut self) {
        while self.line_ends > 0 {
            self.kept.extend_from_slice(b"\r\n");
            self.line_ends -= 1;
            if self.kept.len() > 0x1_0000 {
                self.flush();
            }
        }
        if std::mem::take(&mut self.space) {
            self.kept.push(b' ');
        }
        self.any = true;
    }

    fn flush(&mut self) {
        self.digest.update(&self.kept);
        self.kept.clear();
    }

    /// The hash.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        // Of the line ends at its end one remains; simple gives an empty body one.
        if self.any || self.canonical == Canonical::Simple {
            self.digest.update(b"\r\n");
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(self.digest.finish().as_ref());
        hash
    }
}

impl std::fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyHash").field("canonical", &self.canonical).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use proptest::prelude::*;

    fn hash(canonical: Canonical, pieces: &[&[u8]]) -> String {
        let mut hash = BodyHash::new(canonical);
        pieces.iter().for_each(|piece| hash.push(piece));
        BASE64_STANDARD.encode(hash.finish())
    }

    /// The rules again, over the whole body.
    fn whole(canonical: Canonical, body: &str) -> String {
        let mut lines: Vec<String> = body.split("\r\n").map(str::to_owned).collect();
        if canonical == Canonical::Relaxed {
            for line in &mut lines {
                let leads = line.starts_with([' ', '\t']);
                let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
                let space = if leads && !words.is_empty() { " " } else { "" };
                *line = format!("{space}{}", words.join(" "));
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let mut text = lines.join("\r\n");
        if !text.is_empty() || canonical == Canonical::Simple {
            text.push_str("\r\n");
        }
        BASE64_STANDARD.encode(ring::digest::digest(&SHA256, text.as_bytes()))
    }

    /// RFC 6376 sections 3.4.3 and 3.4.4.
    #[test]
    fn empty_bodies() {
        for body in [&b""[..], b"\r\n", b"\r\n\r\n\r\n"] {
            assert_eq!(hash(Canonical::Simple, &[body]), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
            assert_eq!(hash(Canonical::Relaxed, &[body]), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        }
        assert_eq!(hash(Canonical::Relaxed, &[b" \t\r\n \r\n"]), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    /// RFC 6376 section 3.4.5.
    #[test]
    fn the_example_of_the_standard() {
        let body = b" C \r\nD \t E\r\n\r\n\r\n";
        let digest = |text: &[u8]| BASE64_STANDARD.encode(ring::digest::digest(&SHA256, text));
        assert_eq!(hash(Canonical::Relaxed, &[body]), digest(b" C\r\nD E\r\n"));
        assert_eq!(hash(Canonical::Simple, &[body]), digest(b" C \r\nD \t E\r\n"));
    }

    proptest! {
        #[test]
        fn any_pieces_and_the_rules_agree(body in "([a ]|\t|\r\n){0,40}", cuts in proptest::collection::vec(0_usize..80, 0..6)) {
            let body = body + "\r\n";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).chain([0, body.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &body.as_bytes()[ends[0]..ends[1]]).collect();
            for canonical in [Canonical::Simple, Canonical::Relaxed] {
                prop_assert_eq!(hash(canonical, &pieces), whole(canonical, &body));
            }
        }
    }
}
