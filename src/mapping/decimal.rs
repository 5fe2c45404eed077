//! Decimals as shops store them. No number passes through a binary float.
//!
//! Rounding is half-up (away from zero at the midpoint) and happens once, at the very end.

use crate::source::Value;
use rust_decimal::{Decimal, RoundingStrategy};

/// Money, weights and amounts above this are mistakes, and they would not fit the decimal places asked for.
const MAX: Decimal = Decimal::from_parts(0xd4a5_1000, 0xe8, 0, false, 0);

/// A value that is no decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDecimal;

/// Reads a value; `None` where it is NULL or empty.
pub(crate) fn parse(value: &Value) -> Result<Option<Decimal>, NotDecimal> {
    match value {
        _ if value.is_empty() => Ok(None),
        Value::Int(number) => Ok(Some(Decimal::from(*number))),
        Value::Number(text) | Value::Text(text) => parse_text(text).map(Some).ok_or(NotDecimal),
        _ => Err(NotDecimal),
    }
}

/// Reads plain decimal text: an optional sign, digits, a dot, digits, an exponent as float columns print it.
/// A decimal comma, a thousands separator or a unit is none of these: what they mean is a guess.
pub(crate) fn parse_text(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) if exponent.len() <= 5 => (mantissa, exponent.parse::<i64>().ok()?),
        Some(_) => return None,
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut number = if exponent == 0 {
        Decimal::from_str_radix(
            &format!("{}.{}", nothing_is_zero(whole), nothing_is_zero(fraction)),
            10,
        )
        .ok()?
    } else {
        shifted(whole, fraction, exponent)?
    };
    number.set_sign_negative(negative && !number.is_zero());
    Some(number)
}

fn nothing_is_zero(digits: &str) -> &str {
    if digits.is_empty() { "0" } else { digits }
}

/// Moves the decimal point by `exponent` places.
fn shifted(whole: &str, fraction: &str, exponent: i64) -> Option<Decimal> {
    let digits = format!("{whole}{fraction}");
    if digits.bytes().all(|byte| byte == b'0') {
        return Some(Decimal::ZERO);
    }
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let length = i64::try_from(digits.len()).ok()?;
    // Thirty places behind the point nothing is left of it, thirty before it nothing fits.
    let text = if point <= -60 {
        return Some(Decimal::ZERO);
    } else if point > length.max(60) {
        return None;
    } else if point <= 0 {
        format!("0.{}{digits}", "0".repeat(usize::try_from(-point).ok()?))
    } else if point >= length {
        format!("{digits}{}", "0".repeat(usize::try_from(point - length).ok()?))
    } else {
        let (before, behind) = digits.split_at(usize::try_from(point).ok()?);
        format!("{before}.{behind}")
    };
    Decimal::from_str_radix(&text, 10).ok()
}

/// Money: two places. `None` where it is beyond any order.
pub(crate) fn money(number: Decimal) -> Option<Decimal> {
    fixed(number, 2)
}

/// A weight in kilograms: three places.
pub(crate) fn weight(number: Decimal) -> Option<Decimal> {
    fixed(number, 3)
}

/// An amount or a rate: as it is, without trailing zeros and without what binary floats add far behind the point.
pub(crate) fn plain(number: Decimal) -> Option<Decimal> {
    Some(fixed(number, 6)?.normalize())
}

fn fixed(number: Decimal, places: u32) -> Option<Decimal> {
    if number.abs() > MAX {
        return None;
    }
    let mut rounded = number.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(places);
    if rounded.is_zero() {
        rounded.set_sign_positive(true); // no "-0.00"
    }
    Some(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: &str) -> Option<String> {
        parse_text(number).map(|n| n.to_string())
    }

    #[test]
    fn plain_decimals_are_read_exactly() {
        for (given, read) in [
            ("1234.50", "1234.50"),
            (" 12 ", "12.0"),
            ("-0.005", "-0.005"),
            ("+3", "3.0"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("2.5e1", "25"),
            ("0e99", "0"),
            ("1e-400", "0"),
            ("-0", "0.0"),
            ("00012.5", "12.5"),
        ] {
            let expected: Decimal = read.parse().unwrap();
            assert_eq!(parse_text(given), Some(expected), "{given}");
        }
    }

    #[test]
    fn long_fractions_of_floats_are_read() {
        assert_eq!(
            plain(parse_text("0.1000000000000000055511151231257827021181583404541015625").unwrap()),
            Some("0.1".parse().unwrap())
        );
    }

    #[test]
    fn what_needs_guessing_is_no_decimal() {
        for given in [
            "0,5 kg", "1 234,50", "1,234.50", "12 Kč", "abc", "NaN", "Infinity", "", "-", ".", "1e", "e5",
            "1.2.3", "--1", "1_000", "1e300", "0x10", "١٢", "1 2",
        ] {
            assert_eq!(text(given), None, "{given}");
        }
    }

    #[test]
    fn money_has_two_places_half_up() {
        for (given, written) in [
            ("0.005", "0.01"),
            ("-0.005", "-0.01"),
            ("1.005", "1.01"),
            ("2.675", "2.68"),
            ("100.9", "100.90"),
            ("-0.001", "0.00"),
            ("1000", "1000.00"),
            ("99.994999", "99.99"),
        ] {
            assert_eq!(
                money(parse_text(given).unwrap()).unwrap().to_string(),
                written,
                "{given}"
            );
        }
        assert_eq!(money(parse_text("1000000000001").unwrap()), None);
        assert_eq!(
            money(parse_text("1000000000000").unwrap()).unwrap().to_string(),
            "1000000000000.00"
        );
    }

    #[test]
    fn weights_have_three_places_and_amounts_none_too_many() {
        assert_eq!(
            weight(parse_text("0.4345").unwrap()).unwrap().to_string(),
            "0.435"
        );
        for (given, written) in [
            ("2.000", "2"),
            ("1.5000", "1.5"),
            ("100", "100"),
            ("0.30000000000000004", "0.3"),
        ] {
            assert_eq!(
                plain(parse_text(given).unwrap()).unwrap().to_string(),
                written,
                "{given}"
            );
        }
    }
}
