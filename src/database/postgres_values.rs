//! PostgreSQL's values: parameters as text, which the server reads in the type it infers; results from its binary
//! form, decimals without a float.

use super::parameters::Param;
use super::{Class, float_value, local_text, text_value, utc};
use crate::source::Value;
use bytes::BytesMut;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use std::error::Error;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type};

/// A parameter in the server's own text form.
#[derive(Debug)]
pub(super) struct Text<'a>(pub &'a Param);

impl ToSql for Text<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match text(self.0, base(kind)) {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(kind, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

/// The type below a domain.
fn base(kind: &Type) -> &Type {
    match kind.kind() {
        Kind::Domain(inner) => base(inner),
        _ => kind,
    }
}

fn is_number(kind: &Type) -> bool {
    [
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::NUMERIC,
        Type::FLOAT4,
        Type::FLOAT8,
    ]
    .contains(kind)
}

fn text(value: &Param, kind: &Type) -> Option<String> {
    let wall = |moment: Timestamp, local: DateTime| match *kind {
        Type::TIMESTAMPTZ => moment.to_string(),
        Type::DATE => local.date().to_string(),
        Type::TIME => local.time().to_string(),
        _ if is_number(kind) => moment.as_second().to_string(),
        _ => local_text(local),
    };
    Some(match value {
        Param::Null => return None,
        Param::Code(text) => {
            let impossible = text.contains('\0')
                || (is_number(kind) && text.parse::<i64>().is_err())
                || (*kind == Type::UUID && uuid::Uuid::parse_str(text).is_err());
            if impossible {
                return None;
            }
            text.clone()
        }
        Param::Text(text) | Param::Number(text) => text.clone(),
        Param::Int(number) => number.to_string(),
        Param::Local(local) => local_text(*local),
        Param::Moment(moment) => wall(*moment, utc(*moment)),
        Param::Wall(moment, local) => wall(*moment, *local),
        Param::Smallest if is_number(kind) => "0".into(),
        Param::Smallest if [Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::DATE].contains(kind) => {
            "0001-01-01".into()
        }
        Param::Smallest => String::new(),
    })
}

/// Any value, as the bytes that came.
pub(super) struct Raw<'a>(pub Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The kind of a type.
pub(super) fn class(kind: &Type) -> Class {
    let kind = base(kind);
    match *kind {
        Type::TIMESTAMP | Type::DATE => Class::Local,
        Type::TIMESTAMPTZ => Class::Moment,
        Type::INT2 | Type::INT4 | Type::INT8 => Class::Integer,
        Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => Class::Number,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => Class::Text,
        _ if kind.name() == "citext" => Class::Text,
        _ => Class::Unknown,
    }
}

/// Decodes a value.
///
/// # Errors
/// A sentence that names the column and says how to select it.
pub(super) fn value(
    raw: Option<&[u8]>,
    kind: &Type,
    column: &str,
    damaged: &mut Vec<String>,
) -> Result<Value, String> {
    let Some(raw) = raw else {
        return Ok(Value::Null);
    };
    let kind = base(kind);
    let unreadable = || {
        format!(
            "the column `{column}` has the type `{}`, which cannot be read; select it as text, e.g. `{column}::text`",
            kind.name()
        )
    };
    let int = |raw: &[u8]| match raw.len() {
        2 => raw.try_into().ok().map(|raw| i64::from(i16::from_be_bytes(raw))),
        4 => raw.try_into().ok().map(|raw| i64::from(i32::from_be_bytes(raw))),
        8 => raw.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    };
    let decoded = match *kind {
        Type::BOOL => raw.first().map(|byte| Value::Bool(*byte != 0)),
        Type::INT2 | Type::INT4 | Type::INT8 => int(raw).map(Value::Int),
        Type::OID => raw
            .try_into()
            .ok()
            .map(|raw| Value::Int(i64::from(u32::from_be_bytes(raw)))),
        Type::FLOAT4 => raw.try_into().ok().map(|raw| {
            let number = f32::from_be_bytes(raw);
            float_value(f64::from(number), number.to_string())
        }),
        Type::FLOAT8 => raw.try_into().ok().map(|raw| {
            let number = f64::from_be_bytes(raw);
            float_value(number, number.to_string())
        }),
        Type::NUMERIC => numeric(raw),
        Type::TIMESTAMP => int(raw).map(|micros| local(micros).map_or(Value::Null, Value::Local)),
        Type::TIMESTAMPTZ => int(raw).map(|micros| {
            local(micros)
                .and_then(|time| jiff::tz::Offset::UTC.to_timestamp(time).ok())
                .map_or(Value::Null, Value::Time)
        }),
        Type::DATE => int(raw).map(|days| {
            let micros = days.checked_mul(86_400_000_000);
            micros.and_then(local).map_or(Value::Null, Value::Local)
        }),
        Type::TIME => int(raw).map(|micros| {
            let seconds = micros / 1_000_000;
            Value::Text(format!(
                "{:02}:{:02}:{:02}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60
            ))
        }),
        Type::UUID => uuid::Uuid::from_slice(raw)
            .ok()
            .map(|uuid| Value::Text(uuid.to_string())),
        // One byte that says the version goes before the text.
        Type::JSONB => raw.get(1..).map(|raw| text_value(raw, column, damaged)),
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::JSON
        | Type::XML
        | Type::CHAR => Some(text_value(raw, column, damaged)),
        _ if kind.name() == "citext" || matches!(kind.kind(), Kind::Enum(_)) => {
            Some(text_value(raw, column, damaged))
        }
        _ => None,
    };
    decoded.ok_or_else(unreadable)
}

/// Microseconds since 2000 as a date; none for the infinities.
fn local(micros: i64) -> Option<DateTime> {
    DateTime::constant(2000, 1, 1, 0, 0, 0, 0)
        .checked_add(SignedDuration::from_micros(micros))
        .ok()
}

/// `numeric`: digits to the base of ten thousand, a weight, a sign and the number of decimals to show.
fn numeric(raw: &[u8]) -> Option<Value> {
    let word = |at: usize| {
        let pair: [u8; 2] = raw.get(at * 2..at * 2 + 2)?.try_into().ok()?;
        Some(i16::from_be_bytes(pair))
    };
    let count = usize::try_from(word(0)?).ok()?;
    let weight = i32::from(word(1)?);
    let sign = word(2)?.cast_unsigned();
    let decimals = usize::try_from(word(3)?).ok()?;
    match sign {
        0x0000 | 0x4000 => {}
        // Not a number, and the infinities.
        _ => return Some(Value::Null),
    }
    let digit = |place: i32| {
        let index = weight - place;
        match usize::try_from(index) {
            Ok(index) if index < count => word(4 + index),
            _ => Some(0),
        }
    };
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    } else {
        text.push_str(&digit(weight)?.to_string());
        for place in (0..weight).rev() {
            text.push_str(&format!("{:04}", digit(place)?));
        }
    }
    if decimals > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < decimals {
            fraction.push_str(&format!("{:04}", digit(place)?));
            place -= 1;
        }
        fraction.truncate(decimals);
        text.push('.');
        text.push_str(&fraction);
    }
    Some(Value::Number(text))
}
