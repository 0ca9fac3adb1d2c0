//! Whether a Date field has a date (RFC 5322 section 3.3).

use super::injection::without_comments;

/// Whether a text is a date, with what is obsolete but in use.
#[inline(never)]
pub(super) fn is_date(text: &str) -> bool {
    let text = without_comments(text);
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    if let Some(first) = words.first()
        && let Some((day, rest)) = first.split_once(',')
    {
        if !["mon", "tue", "wed", "thu", "fri", "sat", "sun"].contains(&day.to_ascii_lowercase().as_str()) {
            return false;
        }
        if rest.is_empty() {
            words.remove(0);
        } else {
            words[0] = rest;
        }
    }
    let [day, month, year, time, zone] = words.as_slice() else { return false };
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        let fits = lengths.contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
        fits.then(|| text.parse::<u32>().ok()).flatten()
    };
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let Some(month) = MONTHS.iter().position(|name| month.eq_ignore_ascii_case(name)) else { return false };
    let Some(year) = number(year, 4..=4) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 => 28 + u32::from(leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    let day_fits = number(day, 1..=2).is_some_and(|day| (1..=days).contains(&day));
    let times: Vec<&str> = time.split(':').collect();
    let time_fits = (2..=3).contains(&times.len())
        && times.iter().zip([23, 59, 60]).all(|(part, most)| number(part, 2..=2).is_some_and(|found| found <= most));
    let zone_fits = match zone.strip_prefix(['+', '-']) {
        Some(digits) => number(digits, 4..=4).is_some_and(|offset| offset % 100 < 60),
        None => ["UT", "GMT", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "Z"].contains(zone),
    };
    year >= 1900 && day_fits && time_fits && zone_fits
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn dates() {
        for good in [
            "Mon, 02 Nov 2026 10:00:00 +0100",
            "2 Nov 2026 10:00 GMT",
            " Thu, 29 Feb 2024 23:59:60 -0730 (PDT) ",
            "Fri,11 Jul 2003 21:00:37 -0700",
        ] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "2026-11-02T10:00:00Z",
            "Mon, 02 Nov 26 10:00:00 +0100",
            "Mon, 31 Nov 2026 10:00:00 +0100",
            "Xyz, 02 Nov 2026 10:00:00 +0100",
            "Mon, 02 Nov 2026 24:00:00 +0100",
            "Mon, 02 Nov 2026 10:00:00",
            "Mon, 02 Nov 2026 10:00:00 +01:00",
            "Thu, 29 Feb 2023 10:00:00 +0000",
            "Mon, 02 Nov 2026 10:00:00 Paris",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
