//! Which extensions servers have been found not to understand, although they
//! offer them: remembered for the client's life.

use crate::proto::Withheld;

/// Servers come and go; the ones longest known are forgotten.
const MOST: usize = 256;

/// What is remembered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<(String, u16, Withheld)>);

impl LeftOut {
    pub(super) fn add(&mut self, host: &str, port: u16, extension: Withheld) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((host.to_owned(), port, extension));
    }

    /// What is known of a server.
    pub(super) fn of(&self, host: &str, port: u16) -> impl Iterator<Item = Withheld> {
        let known = self.0.iter().filter(move |(name, number, _)| name.eq_ignore_ascii_case(host) && *number == port);
        known.map(|(_, _, extension)| extension.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_server_and_bounded() {
        let mut left_out = LeftOut::default();
        let extension = |number: usize| Withheld { keyword: format!("X{number}"), reason: String::new() };
        for number in 0..MOST {
            left_out.add("a.example", 25, extension(number));
        }
        left_out.add("b.example", 25, extension(MOST));
        assert_eq!(left_out.of("A.example", 25).count(), MOST - 1);
        assert_eq!(left_out.of("b.example", 25).next(), Some(extension(MOST)));
        assert_eq!(left_out.of("b.example", 587).count(), 0);
    }
}
