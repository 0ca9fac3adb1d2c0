//! The time by which a message is to be delivered (RFC 2852).

use crate::error::{Code, Error, Result};

/// The value of `BY`, such as `120;R`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverBy {
    seconds: i32,
    returns: bool,
    trace: bool,
}

impl DeliverBy {
    /// Takes `seconds;mode` (RFC 2852 section 4): at most nine digits with a sign
    /// or without, then `R` (return the message if it is late) or `N` (tell the
    /// sender), and `T` if every relay is to report.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            let what = format!("\"{}\" is not a time to deliver by: {why}", text.escape_debug());
            Error::caller(Code::INVALID_PARAMETER, what)
        };
        let (time, mode) = text.split_once(';').ok_or_else(|| bad("write seconds;mode, such as 120;R"))?;
        let digits = time.strip_prefix(['+', '-']).unwrap_or(time);
        if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(bad("the seconds are one to nine digits, with a sign or without"));
        }
        let magnitude: i32 = digits.parse().map_err(|_| bad("the seconds are not a number"))?;
        let seconds = if time.starts_with('-') { -magnitude } else { magnitude };
        let (returns, trace) = match mode.to_ascii_uppercase().as_str() {
            "N" => (false, false),
            "NT" => (false, true),
            "R" => (true, false),
            "RT" => (true, true),
            _ => return Err(bad("the mode is N or R, with a T behind it or without")),
        };
        if returns && seconds <= 0 {
            return Err(bad("with the mode R the seconds must be more than 0"));
        }
        Ok(Self { seconds, returns, trace })
    }

    /// Whether a late message is to come back. Such a message must not be given
    /// to a server that knows nothing of it (RFC 2852 section 4.2).
    #[must_use]
    pub fn returns(self) -> bool {
        self.returns
    }

    /// The seconds.
    #[must_use]
    pub fn seconds(self) -> i32 {
        self.seconds
    }

    /// Whether a server with this minimum takes it: that counts for the mode R
    /// only (RFC 2852 section 3).
    #[must_use]
    pub fn is_enough(self, minimum: u32) -> bool {
        !self.returns || u32::try_from(self.seconds).is_ok_and(|seconds| seconds >= minimum)
    }

    /// Appends the parameter of MAIL, a blank in front.
    pub(super) fn write_to(self, out: &mut Vec<u8>) {
        let mode = if self.returns { 'R' } else { 'N' };
        let trace = if self.trace { "T" } else { "" };
        out.extend_from_slice(format!(" BY={};{mode}{trace}", self.seconds).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        DeliverBy::parse(text).expect(text).write_to(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn times_and_modes() {
        for (text, wire) in [
            ("120;R", " BY=120;R"),
            ("+120;rt", " BY=120;RT"),
            ("-5;NT", " BY=-5;NT"),
            ("0;N", " BY=0;N"),
            ("999999999;N", " BY=999999999;N"),
            ("-999999999;n", " BY=-999999999;N"),
        ] {
            assert_eq!(written(text), wire);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "120",
            ";R",
            "120;",
            "120;X",
            "120;TR",
            "120;R ",
            " 120;R",
            "0;R",
            "-1;RT",
            "1000000000;N",
            "--1;N",
            "1 ;N",
            "1;R;T",
            "+;N",
            "1\u{661};N",
            "120;R\r\nRSET",
        ] {
            assert_eq!(DeliverBy::parse(text).expect_err(text).code, Code::INVALID_PARAMETER);
        }
    }

    #[test]
    fn the_servers_minimum_counts_for_returning_only() {
        let enough = |text: &str, minimum| DeliverBy::parse(text).expect(text).is_enough(minimum);
        assert!(enough("60;R", 60) && enough("1;R", 0) && enough("-5;N", 60));
        assert!(!enough("59;R", 60) && !enough("59;RT", u32::MAX));
    }
}
