//! Scripts, and letters that look like Latin ones: a small table of our own, not
//! all of Unicode's (UTS 39): what is commonest, for little room in the library.

/// A script that names are written in; all others are `Other`, and one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Digits, hyphens, marks: with any script.
    Common,
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Hebrew,
    Arabic,
    Georgian,
    Hangul,
    Kana,
    Bopomofo,
    Han,
    /// By the block, of 128 characters, so that two are not taken for one.
    Other(u32),
}

/// In order; what is in none of them is `Other` if it is a letter.
const RANGES: [(u32, u32, Script); 36] = [
    (0x41, 0x5A, Script::Latin),
    (0x61, 0x7A, Script::Latin),
    (0xAA, 0xAA, Script::Latin),
    (0xBA, 0xBA, Script::Latin),
    (0xC0, 0xD6, Script::Latin),
    (0xD8, 0xF6, Script::Latin),
    (0xF8, 0x2AF, Script::Latin),
    (0x370, 0x3FF, Script::Greek),
    (0x400, 0x52F, Script::Cyrillic),
    (0x531, 0x58F, Script::Armenian),
    (0x591, 0x5F4, Script::Hebrew),
    (0x600, 0x6FF, Script::Arabic),
    (0x750, 0x77F, Script::Arabic),
    (0x8A0, 0x8FF, Script::Arabic),
    (0x10A0, 0x10FF, Script::Georgian),
    (0x1100, 0x11FF, Script::Hangul),
    (0x1C80, 0x1C8F, Script::Cyrillic),
    (0x1C90, 0x1CBF, Script::Georgian),
    (0x1D00, 0x1D25, Script::Latin),
    (0x1E00, 0x1EFF, Script::Latin),
    (0x1F00, 0x1FFF, Script::Greek),
    (0x2C60, 0x2C7F, Script::Latin),
    (0x2D00, 0x2D2F, Script::Georgian),
    (0x2DE0, 0x2DFF, Script::Cyrillic),
    (0x2E80, 0x2FDF, Script::Han),
    (0x3005, 0x3007, Script::Han),
    (0x3041, 0x30FF, Script::Kana),
    (0x3105, 0x312F, Script::Bopomofo),
    (0x3131, 0x318E, Script::Hangul),
    (0x3400, 0x9FFF, Script::Han),
    (0xA640, 0xA69F, Script::Cyrillic),
    (0xA720, 0xA7FF, Script::Latin),
    (0xAC00, 0xD7FF, Script::Hangul),
    (0xF900, 0xFAFF, Script::Han),
    (0xFB50, 0xFDFF, Script::Arabic),
    (0x2_0000, 0x3_FFFF, Script::Han),
];

pub(super) fn script(c: char) -> Script {
    let number = u32::from(c);
    let at = RANGES.partition_point(|(_, last, _)| *last < number);
    match RANGES.get(at) {
        Some((first, _, script)) if *first <= number => *script,
        _ if number < 0x370 || !c.is_alphabetic() => Script::Common,
        _ => Script::Other(number / 128),
    }
}

/// Whether a reader sees nothing of it, or it turns the direction of what follows.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}'
            | '\u{34F}'
            | '\u{61C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{180B}'..='\u{180E}'
            | '\u{200B}'
            | '\u{200E}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}'
    )
}

/// Letters of other scripts that look like a Latin one in most typefaces.
const LOOK_ALIKES: &str = "\u{430}a\u{435}e\u{43E}o\u{440}p\u{441}c\u{443}y\u{445}x\u{455}s\u{456}i\u{457}i\u{458}j\u{501}d\
\u{51B}q\u{51D}w\u{4BB}h\u{4CF}l\u{4C0}l\u{475}v\u{43A}k\u{43C}m\u{442}t\u{432}b\u{43D}h\u{491}r\u{433}r\u{4E5}n\u{4BD}e\u{437}3\
\u{3B1}a\u{3BF}o\u{3C1}p\u{3BD}v\u{3B9}i\u{3BA}k\u{3C5}u\u{3C7}x\u{3C9}w\u{3F2}c\u{3F3}j\u{3B3}y\u{3B7}n\u{3C4}t\u{3B5}e\u{3C3}o\
\u{585}o\u{57D}u\u{570}h\u{578}n\u{581}g\u{584}p\u{575}j\u{561}w\u{566}q\u{56C}l\
\u{251}a\u{261}g\u{131}i\u{1D04}c\u{1D0F}o\u{1D1C}u\u{1D20}v\u{1D21}w\u{1D22}z";

/// The Latin letter, or the digit, that a letter of another script looks like.
fn looks_like(c: char) -> Option<char> {
    let mut pairs = LOOK_ALIKES.chars();
    while let (Some(letter), Some(latin)) = (pairs.next(), pairs.next()) {
        if letter == c {
            return Some(latin);
        }
    }
    // Wide letters, and those of mathematics, are Latin ones in another dress.
    match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0),
        0x1_D400..=0x1_D7FF => Some('?'),
        _ => None,
    }
}

/// What is suspicious about a word, such as a label of a domain; `None` if nothing is.
pub(super) fn suspicion(word: &str) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    let mut scripts: Vec<Script> = Vec::new();
    for found in word.chars().map(script) {
        if found != Script::Common && !scripts.contains(&found) {
            scripts.push(found);
        }
    }
    // The ways of writing Chinese, Japanese and Korean, each with Latin letters (UTS 39
    // section 5.2, "highly restrictive").
    let together: [&[Script]; 3] = [
        &[Script::Latin, Script::Han, Script::Kana],
        &[Script::Latin, Script::Han, Script::Bopomofo],
        &[Script::Latin, Script::Han, Script::Hangul],
    ];
    let others = |script: &&Script| !matches!(script, Script::Other(_));
    let mixed = scripts.len() > 1 && !together.iter().any(|set| scripts.iter().all(|script| set.contains(script)));
    if mixed && (scripts.iter().filter(others).count() > 1 || scripts.contains(&Script::Latin)) {
        return Some("mixes letters of different scripts".to_owned());
    }
    let latin: String = word.chars().map(|c| if c.is_ascii() { c } else { looks_like(c).unwrap_or('\0') }).collect();
    (!latin.contains('\0')).then(|| format!("looks like \"{latin}\", and is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_in_order() {
        for pair in RANGES.windows(2) {
            assert!(pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0, "{pair:?}");
        }
        assert_eq!(LOOK_ALIKES.chars().count() % 2, 0);
        let pairs: Vec<char> = LOOK_ALIKES.chars().collect();
        for pair in pairs.chunks(2) {
            assert!(!pair[0].is_ascii() && pair[1].is_ascii(), "{pair:?}");
        }
    }

    #[test]
    fn names_of_the_world_are_not_suspicious() {
        for word in [
            "example",
            "b\u{fc}cher",
            "\u{3c0}\u{3b1}\u{3c1}\u{3ac}\u{3b4}\u{3b5}\u{3b9}\u{3b3}\u{3bc}\u{3b1}",
            "\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}",
            "\u{5d3}\u{5d5}\u{5d2}\u{5de}\u{5d4}",
            "\u{645}\u{62b}\u{627}\u{644}",
            "\u{4f8b}\u{3048}",
            "\u{30c6}\u{30b9}\u{30c8}1",
            "\u{4f8b}a",
            "\u{d14c}\u{c2a4}\u{d2b8}",
            "\u{92a}\u{930}\u{940}\u{915}\u{94d}\u{937}\u{93e}",
            "\u{e15}\u{e31}\u{e27}",
            "stra\u{df}e-24",
            "\u{142}\u{f3}d\u{17a}",
        ] {
            assert_eq!(suspicion(word), None, "{word}");
        }
    }

    #[test]
    fn look_alikes_are() {
        // Latin with Cyrillic; all Cyrillic; Greek; wide; mathematics; script a.
        for word in [
            "p\u{430}ypal",
            "\u{430}\u{440}\u{440}\u{4cf}\u{435}",
            "\u{3bf}\u{3bf}",
            "g\u{3bf}ogle",
            "\u{ff50}ay",
            "\u{1d4d0}\u{1d4d1}",
            "b\u{251}nk",
            "\u{43f}\u{4f8b}",
        ] {
            assert!(suspicion(word).is_some(), "{word}");
        }
    }
}
