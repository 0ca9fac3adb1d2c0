//! Holding a message back until its time has come (RFC 4865).

use crate::error::{Code, Error, Result};

/// Until when a message is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `HOLDFOR`: for so many seconds.
    For(u32),
    /// `HOLDUNTIL`: until this moment.
    Until(DateTime),
}

/// The most that fits into the grammar's nine digits.
pub const MAX_HOLD: u32 = 999_999_999;

impl Hold {
    /// Appends the parameter of MAIL, a blank in front.
    pub(super) fn write_to(self, out: &mut Vec<u8>) {
        let text = match self {
            Self::For(seconds) => format!(" HOLDFOR={seconds}"),
            Self::Until(moment) => format!(" HOLDUNTIL={moment}"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// What a server says of holding: `FUTURERELEASE max-interval max-datetime`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutureRelease {
    /// The longest time in seconds, if it made sense.
    pub max_interval: Option<u32>,
    /// The last moment, if it made sense.
    pub max_moment: Option<DateTime>,
}

impl FutureRelease {
    /// Whether the server takes it; what it says in a form that is not known is no limit.
    #[must_use]
    pub fn allows(&self, hold: Hold) -> bool {
        match hold {
            Hold::For(seconds) => self.max_interval.is_none_or(|most| seconds <= most),
            Hold::Until(moment) => self.max_moment.is_none_or(|last| moment <= last),
        }
    }
}

/// A moment to the second: the seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(i64);

impl DateTime {
    /// Takes a `date-time` of RFC 3339 section 5.6, such as
    /// `2026-11-02T10:00:00Z` or `2026-11-02T11:00:00.5+01:00`. Fractions of a
    /// second are dropped.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text.as_bytes()).ok_or_else(|| {
            let what = format!(
                "\"{}\" is not a date and time of RFC 3339, such as 2026-11-02T10:00:00Z",
                text.chars().take(100).collect::<String>().escape_debug()
            );
            Error::caller(Code::INVALID_PARAMETER, what)
        })
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.split_at_checked(9)?;
        let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
        let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..])?);
        let separators = [date[4], date[7], time[0].to_ascii_uppercase(), time[3], time[6]] == *b"--T::";
        // The 60th second is a leap second's.
        let in_range = (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 60;
        if !separators || !in_range {
            return None;
        }
        let offset = offset(without_fraction(rest)?)?;
        let days = days_before(year) + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1;
        let moment = ((days - days_before(1970)) * 24 + hour) * 3600 + minute * 60 + second - offset;
        // What the offset moves out of the years that can be written is none.
        let first = -days_before(1970) * 86_400;
        let last = (days_before(10_000) - days_before(1970)) * 86_400;
        (first..last).contains(&moment).then_some(Self(moment))
    }
}

/// The form that every server knows: UTC, whole seconds.
impl std::fmt::Display for DateTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut days = self.0.div_euclid(86_400) + days_before(1970);
        let second = self.0.rem_euclid(86_400);
        let mut year = days / 366;
        while days_before(year + 1) <= days {
            year += 1;
        }
        days -= days_before(year);
        let mut month = 1;
        while days_of(year, month) <= days {
            days -= days_of(year, month);
            month += 1;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn without_fraction(rest: &[u8]) -> Option<&[u8]> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some(rest) };
    let digits = fraction.iter().take_while(|octet| octet.is_ascii_digit()).count();
    (digits > 0).then(|| &fraction[digits..])
}

/// Seconds east of Greenwich: `Z`, `+01:00`, `-05:30`.
fn offset(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*m1, *m2])?);
            let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from the beginning of the year 0 to that of another.
fn days_before(year: i64) -> i64 {
    let leap_years = (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    year * 365 + leap_years
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_utc() {
        for (text, utc) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2026-11-02t10:00:00z", "2026-11-02T10:00:00Z"),
            ("2026-11-02T11:00:00.123456789+01:00", "2026-11-02T10:00:00Z"),
            ("2026-12-31T23:30:00-05:30", "2027-01-01T05:00:00Z"),
            ("2024-02-29T00:00:00+00:01", "2024-02-28T23:59:00Z"),
            ("2000-02-29T23:59:60Z", "2000-03-01T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(DateTime::parse(text).expect(text).to_string(), utc);
        }
        assert_eq!(DateTime::parse("2001-09-09T01:46:40Z").expect("good"), DateTime(1_000_000_000));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-11-02",
            "2026-11-02T10:00:00",
            "2026-11-02 10:00:00Z",
            "2026-13-02T10:00:00Z",
            "2026-02-29T10:00:00Z",
            "1900-02-29T10:00:00Z",
            "2026-11-00T10:00:00Z",
            "2026-11-02T24:00:00Z",
            "2026-11-02T10:60:00Z",
            "2026-11-02T10:00:61Z",
            "2026-11-02T10:00:00.Z",
            "2026-11-02T10:00:00+1:00",
            "2026-11-02T10:00:00+24:00",
            "2026-11-02T10:00:00+0100",
            "2026-11-02T10:00:00Z\r\nRSET",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "+026-11-02T10:00:00Z",
            "\u{e9}026-11-02T10:00:0Z",
        ] {
            assert_eq!(DateTime::parse(text).expect_err(text).code, Code::INVALID_PARAMETER);
        }
    }

    #[test]
    fn the_servers_limits() {
        let moment = |text| DateTime::parse(text).expect(text);
        let offered = FutureRelease { max_interval: Some(60), max_moment: Some(moment("2026-11-02T10:00:00Z")) };
        assert!(offered.allows(Hold::For(60)) && !offered.allows(Hold::For(61)));
        assert!(offered.allows(Hold::Until(moment("2026-11-02T11:00:00+01:00"))));
        assert!(!offered.allows(Hold::Until(moment("2026-11-02T10:00:01Z"))));
        assert!(FutureRelease::default().allows(Hold::For(MAX_HOLD)));
    }
}
