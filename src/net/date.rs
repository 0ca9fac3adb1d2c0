//! Dates as texts.

use super::clock::wall_millis;
use super::sys::local_offset;

/// The parts of a time of which only the clock's millisecond is given.
struct Parts {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    seconds: i64,
}

impl Parts {
    fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        // The calendar repeats every 400 years of 146,097 days; counted from the
        // first of March of the year 0, leap days are at the end of a year.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: usize::try_from(month).unwrap_or(1),
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
            seconds: seconds.rem_euclid(86_400),
        }
    }

    fn time(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60)
    }
}

/// The present date as a message's Date header has it (RFC 5322 section 3.3), in
/// local time.
#[must_use]
pub fn current_date() -> String {
    let seconds = i64::try_from(wall_millis() / 1000).unwrap_or(i64::MAX);
    message_date(seconds, local_offset(seconds).unwrap_or(0))
}

fn message_date(seconds: i64, offset: i32) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // The header has no seconds of the offset, so the time must do without them.
    let minutes = offset / 60;
    let parts = Parts::of(seconds.saturating_add(i64::from(minutes) * 60));
    let (weekday, month) = (DAYS[parts.weekday], MONTHS[parts.month - 1]);
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("{weekday}, {:02} {month} {:04} {} {sign}{hours:02}{minutes:02}", parts.day, parts.year, parts.time())
}

/// A time in milliseconds since 1970 as RFC 3339 has it, in UTC.
#[must_use]
pub fn stamp(millis: u64) -> String {
    let parts = Parts::of(i64::try_from(millis / 1000).unwrap_or(i64::MAX / 2));
    format!("{:04}-{:02}-{:02}T{}.{:03}Z", parts.year, parts.month, parts.day, parts.time(), millis % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(message_date(0, 0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(message_date(951_782_399, 0), "Mon, 28 Feb 2000 23:59:59 +0000");
        assert_eq!(message_date(951_782_400, 0), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(message_date(1_795_478_399, 5 * 3600 + 1800), "Tue, 24 Nov 2026 05:29:59 +0530");
        assert_eq!(message_date(1_704_067_200, -3 * 3600 - 1800), "Sun, 31 Dec 2023 20:30:00 -0330");
        assert_eq!(message_date(4_107_542_399, -59), "Sun, 28 Feb 2100 23:59:59 +0000");
        assert_eq!(message_date(4_107_542_400, 0), "Mon, 01 Mar 2100 00:00:00 +0000");
        assert_eq!(stamp(1_795_478_399_007), "2026-11-23T23:59:59.007Z");
        assert_eq!(stamp(u64::MAX).len(), "584556019-04-03T14:25:51.615Z".len());
    }

    #[test]
    fn the_present_date_has_its_length() {
        assert_eq!(current_date().len(), "Thu, 01 Jan 1970 00:00:00 +0000".len());
    }
}
