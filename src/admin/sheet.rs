//! The frame that every page stands in: heading, search box, contact, and small helpers of its sections.

use super::Desk;
use super::html::{Esc, Page, order_link};
use crate::explain::{distance, moment, pick};
use crate::types::OrderCode;
use jiff::Timestamp;
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");

/// Where a page lies, for links that hold behind a proxy's prefix, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/`
    Home,
    /// `/order?code=…`
    Search,
    /// `/order/CODE`, so many segments deep.
    Order(usize),
}

impl Place {
    /// The way to the first page.
    pub(crate) fn root(self) -> String {
        match self {
            Place::Home | Place::Search => String::new(),
            Place::Order(depth) => "../".repeat(depth),
        }
    }
}

/// A page being written.
pub(super) struct Sheet<'a> {
    pub(super) desk: &'a Desk,
    pub(super) place: Place,
    pub(super) out: String,
}

impl<'a> Sheet<'a> {
    pub(super) fn open(desk: &'a Desk, place: Place, nonce: &str, title: &str, search: &str) -> Self {
        let mut sheet = Self {
            desk,
            place,
            out: String::with_capacity(16 * 1024),
        };
        let root = place.root();
        let shop = Esc(&desk.state.shop);
        let lang = sheet.pick("en", "cs");
        let home = if root.is_empty() { "./" } else { &root };
        let (label, button) = sheet.pick(
            ("Order number, or how it ends", "Find"),
            ("Číslo objednávky nebo jeho konec", "Najít"),
        );
        let _ = write!(
            sheet.out,
            "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"robots\" content=\"noindex\">\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>{title} · brani-sync</title>\n<style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1><a href=\"{home}\">brani-sync</a> <span>{shop}</span></h1>\n\
             <form method=\"get\" action=\"{root}order\" role=\"search\">\
             <label for=\"code\">{label}</label>\
             <div><input id=\"code\" name=\"code\" type=\"search\" required maxlength=\"255\" autocomplete=\"off\" \
             autocapitalize=\"characters\" spellcheck=\"false\" value=\"{search}\"><button>{button}</button></div></form>\n\
             </header>\n<main>\n",
            title = Esc(title),
            search = Esc(search),
        );
        sheet
    }

    pub(super) fn pick<T>(&self, en: T, cs: T) -> T {
        pick(self.desk.language, en, cs)
    }

    pub(super) fn close(mut self, at: Timestamp, nonce: String) -> Page {
        let time = self.moment(at);
        let made = self.pick("As of", "Stav k");
        self.out.push_str("</main>\n<footer>\n");
        if let Some(contact) = &self.desk.contact {
            let help = self.pick("Where a person is needed", "Když je potřeba člověk");
            let _ = writeln!(
                self.out,
                "<p class=\"contact\">{help}: <b>{}</b></p>",
                Esc(contact)
            );
        }
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(
            self.out,
            "<p>{made} {time} · brani-sync {version}</p>\n</footer>\n</body>\n</html>\n"
        );
        Page {
            text: self.out,
            nonce,
        }
    }

    pub(super) fn moment(&self, at: Timestamp) -> String {
        moment(at, &self.desk.state.rules.zone, self.desk.language)
    }

    pub(super) fn ago(&self, at: Timestamp, now: Timestamp) -> String {
        distance(at, now, self.desk.language)
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.out, "<h2>{}</h2>", Esc(text));
    }

    pub(super) fn order(&self, code: &OrderCode) -> String {
        let link = order_link(self.place, code.as_str());
        format!(
            "<a class=\"code\" href=\"{}\"><code>{}</code></a>",
            Esc(link),
            Esc(short_code(code))
        )
    }

    pub(super) fn facts(&mut self, facts: &[(&str, String)]) {
        self.out.push_str("<dl>\n");
        for (name, value) in facts {
            let _ = writeln!(
                self.out,
                "<div><dt>{}</dt><dd>{}</dd></div>",
                Esc(name),
                Esc(value)
            );
        }
        self.out.push_str("</dl>\n");
    }
}

/// A code is told whole up to a length that no phone could show anyway.
pub(super) fn short_code(code: &OrderCode) -> String {
    let mut short: String = code.as_str().chars().take(60).collect();
    if code.as_str().chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// `12 345`, with spaces that do not break.
pub(super) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    if number < 0 {
        out.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1\u{a0}234\u{a0}567");
    }
}
