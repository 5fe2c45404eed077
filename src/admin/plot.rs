//! A day's throughput as a drawing inside the page: two bars an hour, no script.

use super::html::Esc;
use crate::health::Hour;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

const WIDTH: i64 = 480;
const HEIGHT: i64 = 150;
const LEFT: i64 = 34;
const TOP: i64 = 10;
const BOTTOM: i64 = 20;
const BASE: i64 = HEIGHT - BOTTOM;
/// Hours between two labels.
const LABEL_EVERY: usize = 4;

pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) sent: &'static str,
    pub(super) applied: &'static str,
}

/// The next round number: the top of the scale.
fn scale(most: i64) -> i64 {
    let mut unit: i64 = 1;
    loop {
        for step in [1, 2, 4, 5, 8, 10] {
            let top = unit.saturating_mul(step);
            if top >= most && top >= 4 {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

pub(super) fn draw(out: &mut String, hours: &[Hour], zone: &TimeZone, words: &Words) {
    let most = hours
        .iter()
        .map(|hour| hour.sent.max(hour.applied))
        .max()
        .unwrap_or(0);
    let top = scale(most);
    let slot = (WIDTH - LEFT) / i64::try_from(hours.len().max(1)).unwrap_or(1);
    let bar = (slot - 4).max(2) / 2;
    let tall = BASE - TOP;
    let up = |count: i64| {
        i64::try_from(i128::from(count.max(0)) * i128::from(tall) / i128::from(top)).unwrap_or(tall)
    };
    let (sent, applied): (i64, i64) = hours.iter().fold((0, 0), |(sent, applied), hour| {
        (sent + hour.sent, applied + hour.applied)
    });
    let _ = write!(
        out,
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"plot\">\n<title id=\"plot\">{}: {} {sent}, {} {applied}</title>\n",
        Esc(words.title),
        Esc(words.sent),
        Esc(words.applied)
    );
    for part in [top, top / 2] {
        let y = BASE - up(part);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{WIDTH}\" y2=\"{y}\"/><text class=\"y\" x=\"{}\" y=\"{}\">{part}</text>",
            LEFT - 5,
            y + 4
        );
    }
    for (at, hour) in hours.iter().enumerate() {
        let x = LEFT + slot * i64::try_from(at).unwrap_or(0);
        let local = hour.from.to_zoned(zone.clone()).strftime("%-H:%M").to_string();
        let _ = write!(
            out,
            "<g><title>{local} · {} {}, {} {}</title><rect class=\"slot\" x=\"{x}\" y=\"{TOP}\" width=\"{slot}\" height=\"{tall}\"/>",
            Esc(words.sent),
            hour.sent,
            Esc(words.applied),
            hour.applied
        );
        for (class, shift, count) in [("sent", 2, hour.sent), ("applied", 2 + bar, hour.applied)] {
            if count > 0 {
                let high = up(count).max(1);
                let _ = write!(
                    out,
                    "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{bar}\" height=\"{high}\"/>",
                    x + shift,
                    BASE - high
                );
            }
        }
        out.push_str("</g>\n");
        if at % LABEL_EVERY == 0 {
            let _ = writeln!(
                out,
                "<text class=\"x\" x=\"{x}\" y=\"{}\">{local}</text>",
                HEIGHT - 4
            );
        }
    }
    let _ = write!(
        out,
        "<line class=\"base\" x1=\"{LEFT}\" y1=\"{BASE}\" x2=\"{WIDTH}\" y2=\"{BASE}\"/>\n</svg>\n<figcaption><span class=\"key sent\"></span>{}: <b>{sent}</b> <span class=\"key applied\"></span>{}: <b>{applied}</b></figcaption>\n</figure>\n",
        Esc(words.sent),
        Esc(words.applied)
    );
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn top_of_the_scale_is_round_and_high_enough() {
        assert_eq!(
            [0, 3, 9, 11, 41, 100, 101].map(scale),
            [4, 4, 10, 20, 50, 100, 200]
        );
    }
}
