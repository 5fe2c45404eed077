//! The export's URL as text: where the moment is put in, and what of it may be shown.
//!
//! Text in, text out: a hash in a URL stays byte for byte, so nothing is parsed and written again.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Host and file: all of a URL that may be shown.
pub fn shown(url: &url::Url) -> String {
    let file = url
        .path_segments()
        .and_then(|mut parts| parts.rfind(|part| !part.is_empty()).map(str::to_owned))
        .unwrap_or_default();
    format!("`{}/…/{file}`", url.host_str().unwrap_or_default())
}

/// A moment on the shop's clock, as a query carries it. In the hour that October repeats it cannot say which one is
/// meant, so it steps back before it.
pub fn wall(moment: Timestamp, zone: &TimeZone) -> String {
    let mut wall = moment.to_zoned(zone.clone()).datetime();
    if zone.to_ambiguous_timestamp(wall).is_ambiguous() {
        wall = wall.checked_sub(jiff::Span::new().hours(1)).unwrap_or(wall);
    }
    wall.strftime("%Y-%m-%d%%20%H:%M:%S").to_string()
}

/// Shoptet's parameter: a copied link may carry a fixed one.
fn is_time_parameter(part: &str) -> bool {
    part.split('=')
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("updateTimeFrom"))
}

fn holds_since(text: &str) -> bool {
    text.contains("{since}") || text.contains("%7Bsince%7D")
}

/// Whether a URL can ask for changes since a moment.
pub fn takes_since(url: &str) -> bool {
    holds_since(url)
        || url
            .split_once('?')
            .is_some_and(|(_, query)| query.split('&').any(is_time_parameter))
}

/// The URL to ask: with the moment put in, or, for everything, without the parameter. All else stays byte for byte.
pub fn request_url(url: &str, moment: Option<&str>) -> String {
    let put = |text: &str, moment: &str| text.replace("{since}", moment).replace("%7Bsince%7D", moment);
    let url = url.split('#').next().unwrap_or(url);
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let mut request = put(path, moment.unwrap_or("2000-01-01%2000:00:00"));
    let Some(query) = query else {
        return request;
    };
    let mut written = false;
    let mut parts = Vec::new();
    for part in query.split('&') {
        let time = is_time_parameter(part);
        if !time && !holds_since(part) {
            parts.push(part.to_owned());
            continue;
        }
        let Some(moment) = moment else { continue };
        if time {
            // one of them, whatever was copied
            if !std::mem::replace(&mut written, true) {
                let name = part.split('=').next().unwrap_or(part);
                parts.push(format!("{name}={moment}"));
            }
        } else {
            parts.push(put(part, moment));
        }
    }
    if !parts.is_empty() {
        request.push('?');
        request.push_str(&parts.join("&"));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_put_in_and_the_hash_stays_byte_for_byte() {
        let url =
            "https://shop.example.cz/export/orders.xml?patternId=-11&hash=a+b/c==&updateTimeFrom={since}";
        assert_eq!(
            request_url(url, Some("2026-01-31%2010:00:00")),
            "https://shop.example.cz/export/orders.xml?patternId=-11&hash=a+b/c==&updateTimeFrom=2026-01-31%2010:00:00"
        );
        assert_eq!(
            request_url(url, None),
            "https://shop.example.cz/export/orders.xml?patternId=-11&hash=a+b/c=="
        );
        let parsed = url::Url::parse(&request_url(url, None)).unwrap();
        assert!(parsed.as_str().contains("hash=a+b/c=="));
    }

    #[test]
    fn a_copied_time_parameter_is_replaced_and_not_doubled() {
        let url = "https://shop.example.cz/o.xml?updateTimeFrom=2020-01-01&hash=x&updateTimeFrom={since}";
        assert!(takes_since(url));
        assert_eq!(
            request_url(url, Some("T")),
            "https://shop.example.cz/o.xml?updateTimeFrom=T&hash=x"
        );
        let copied = "https://shop.example.cz/o.xml?hash=x&updateTimeFrom=2020-01-01%2010:00:00";
        assert_eq!(
            request_url(copied, Some("T")),
            "https://shop.example.cz/o.xml?hash=x&updateTimeFrom=T"
        );
        assert!(!takes_since("https://shop.example.cz/o.xml?hash=x"));
    }

    #[test]
    fn the_repeated_hour_is_stepped_over() {
        let zone = TimeZone::get("Europe/Prague").unwrap();
        for (moment, meant) in [
            ("2026-07-01T10:00:00Z", "2026-07-01%2012:00:00"),
            // 02:30 comes twice on 25 October 2026
            ("2026-10-25T00:30:00Z", "2026-10-25%2001:30:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25%2001:30:00"),
            ("2026-10-25T02:30:00Z", "2026-10-25%2003:30:00"),
        ] {
            assert_eq!(wall(moment.parse().unwrap(), &zone), meant);
        }
    }

    #[test]
    fn only_host_and_file_are_shown() {
        let url = url::Url::parse("https://shop.example.cz/secret/export/orders.xml?hash=geheim").unwrap();
        assert_eq!(shown(&url), "`shop.example.cz/…/orders.xml`");
    }
}
