//! Strangers' text where people read it: nothing in it ends a line, moves a cursor or turns letters round.
//!
//! A code, a status or an answer may hold any character, and the terminal and the log obey some of them. This room
//! knows no log and no terminal; it changes nothing that is sent or kept.

use std::borrow::Cow;

/// Whether a character is obeyed rather than shown: controls, ends of lines, and marks of writing direction.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What may stay of what is obeyed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    Lines,
    LinesAndColours,
}

impl Kept {
    /// Whether the character that `rest` begins with stays.
    fn stays(self, rest: &str, c: char) -> bool {
        match c {
            '\n' | '\t' => self != Kept::Nothing,
            '\u{1b}' => self == Kept::LinesAndColours && is_colour(rest),
            c => !is_obeyed(c),
        }
    }
}

/// Whether a text begins with a sequence that changes the colour and nothing else.
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix("\u{1b}[").unwrap_or_default();
    digits
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
        .starts_with('m')
}

/// The text where nothing had to be changed is none.
fn escaped(text: &str, kept: Kept) -> Option<String> {
    let stays = |(at, c): (usize, char)| kept.stays(&text[at..], c);
    if text.char_indices().all(stays) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        match stays((at, c)) {
            true => out.push(c),
            false => out.extend(c.escape_default()),
        }
    }
    Some(out)
}

/// A text on one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, Kept::Nothing).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A text of several lines, with tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, Kept::Lines).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A text that begins on a line of its own: where it goes on below, it is set in, so that nothing in it can be taken
/// for another one.
pub fn paragraph(text: &str) -> Cow<'_, str> {
    set_in(text, Kept::Lines)
}

/// The same for a line of the log as its formatter hands it over, with the line end; `coloured` where it may hold
/// colours.
pub fn log_line(text: &str, coloured: bool) -> Cow<'_, str> {
    let kept = if coloured {
        Kept::LinesAndColours
    } else {
        Kept::Lines
    };
    match text.strip_suffix('\n') {
        None => set_in(text, kept),
        Some(inner) => match set_in(inner, kept) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(inner) => Cow::Owned(inner + "\n"),
        },
    }
}

/// A line of JSON: what is obeyed stands in its texts only, where JSON has an escape of its own.
pub fn json(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| is_obeyed(c) && c != '\n';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .fold(String::with_capacity(text.len() + 16), |mut out, c| {
                match obeyed(c) {
                    // None lies beyond the characters of four digits.
                    true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                    false => out.push(c),
                }
                out
            }),
    )
}

fn set_in(text: &str, kept: Kept) -> Cow<'_, str> {
    let clean = escaped(text, kept).map_or(Cow::Borrowed(text), Cow::Owned);
    if !clean.contains('\n') {
        return clean;
    }
    let mut lines = clean.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    Cow::Owned(lines.fold(first, |mut out, line| {
        out.push_str(if line.starts_with(' ') { "\n" } else { "\n    " });
        out.push_str(line);
        out
    }))
}

#[cfg(test)]
mod tests {
    use super::{json, line, lines, log_line, paragraph};
    use std::borrow::Cow;

    #[test]
    fn what_is_obeyed_is_shown_instead_and_all_else_stays() {
        let evil = "a\n\u{1b}[2Jb\r\u{202e}c\u{2066}\u{2028}\0\u{9b}\u{7f}\t";
        assert_eq!(
            line(evil),
            "a\\n\\u{1b}[2Jb\\r\\u{202e}c\\u{2066}\\u{2028}\\u{0}\\u{9b}\\u{7f}\\t"
        );
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
        let plain = "Žofie 👩‍🚀 مرحبا 王 \\n";
        assert!(matches!(line(plain), Cow::Borrowed(text) if text == plain));
    }

    #[test]
    fn a_paragraph_begins_no_other() {
        assert_eq!(paragraph("a\n  hint: b\nc"), "a\n  hint: b\n    c");
        assert!(matches!(paragraph("a\tb"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_of_the_log_begins_no_other_and_moves_no_cursor() {
        assert_eq!(log_line("INFO a\n", false), "INFO a\n");
        assert_eq!(
            log_line("INFO a\n2026 ERROR b\r\u{202e}\n", false),
            "INFO a\n    2026 ERROR b\\r\\u{202e}\n"
        );
        let coloured = "\u{1b}[2mINFO\u{1b}[0m a\u{1b}[2J\n";
        assert_eq!(log_line(coloured, true), "\u{1b}[2mINFO\u{1b}[0m a\\u{1b}[2J\n");
        assert_eq!(
            log_line(coloured, false),
            "\\u{1b}[2mINFO\\u{1b}[0m a\\u{1b}[2J\n"
        );
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let told = serde_json::json!({ "code": "a\u{1b}[2J\u{9b}\u{7f}\u{202e}ž\n" });
        let line = format!("{told}\n");
        let shown = json(&line);
        assert!(!shown.contains(['\u{9b}', '\u{7f}', '\u{202e}']), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), told);
        assert!(shown.ends_with("\n"));
    }
}
