//! Text into HTML and into addresses: everything from outside passes through here.

use super::sheet::Place;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::fmt::{self, Write as _};

/// A text, escaped for an element's content or a quoted attribute.
pub(crate) struct Esc<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Esc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.as_ref().chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // HTML has no place for them.
                control if control.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A sentence of ours: escaped, and what stands between backticks is set as code.
pub(crate) struct Sentence<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Sentence<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_ref();
        while let Some((before, after)) = rest.split_once('`') {
            let Some((code, after)) = after.split_once('`') else {
                break;
            };
            write!(f, "{}<code>{}</code>", Esc(before), Esc(code))?;
            rest = after;
        }
        write!(f, "{}", Esc(rest))
    }
}

/// Browsers take these for steps in a path, encoded or not.
pub(crate) fn is_dots(code: &str) -> bool {
    matches!(code, "." | "..")
}

/// The address of an order's story, as seen from a page.
pub(crate) fn order_link(from: Place, code: &str) -> String {
    let mut link = from.root();
    link.push_str(if is_dots(code) { "order?code=" } else { "order/" });
    for byte in code.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            link.push(char::from(byte));
        } else {
            let _ = write!(link, "%{byte:02X}");
        }
    }
    link
}

/// A page and its one style sheet.
pub(crate) struct Page {
    pub(crate) text: String,
    /// Only a style that carries it is obeyed.
    pub(crate) nonce: String,
}

/// A page as an answer: nothing but its own style is obeyed, nothing is loaded, nobody frames it.
pub(crate) fn answer(status: StatusCode, page: Page) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        page.nonce
    );
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    let mut answer = (status, fixed, page.text).into_response();
    // A nonce is hexadecimal digits.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        answer
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::{Esc, Place, Sentence, order_link};

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(
            Esc("<a href=\"x\" b='&'>\0").to_string(),
            "&lt;a href=&quot;x&quot; b=&#39;&amp;&#39;&gt;\u{fffd}"
        );
        assert_eq!(
            Sentence("a `<b>` c ` d").to_string(),
            "a <code>&lt;b&gt;</code> c ` d"
        );
    }

    #[test]
    fn code_stays_one_segment_of_the_address() {
        assert_eq!(order_link(Place::Home, "2025/č 1?"), "order/2025%2F%C4%8D%201%3F");
        assert_eq!(order_link(Place::Order(1), "a"), "../order/a");
        assert_eq!(order_link(Place::Order(2), "a"), "../../order/a");
        assert_eq!(order_link(Place::Home, ".."), "order?code=..");
    }
}
