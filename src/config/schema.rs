//! The list of known keys, read off the structures themselves.
//!
//! A deserializer that holds no data but writes down what a structure asks for: field names, and the kind of
//! each value. So the list cannot fall behind the structures. This module knows no key by name.

use serde::de::{self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// What may stand at one place of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A table with these keys and no others.
    Struct(Vec<(&'static str, Node)>),
    /// A table whose keys the merchant chooses.
    Map(Box<Node>),
    /// A list.
    Seq(Box<Node>),
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// Text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A secret, or where it is found.
    Secret,
    /// Something that says itself what it takes: this sentence.
    Any(String),
}

impl Node {
    /// The node below this one; in a list, any index will do.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Struct(fields) => fields.iter().find(|(name, _)| *name == key).map(|(_, node)| node),
            Node::Map(inner) => Some(inner),
            Node::Seq(inner) => Some(inner),
            _ => None,
        }
    }

    /// All keys, `[]` for a list's entries and `*` for keys that the merchant chooses.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        match self {
            Node::Struct(fields) => {
                for (name, node) in fields {
                    let path = if path.is_empty() {
                        (*name).to_owned()
                    } else {
                        format!("{path}.{name}")
                    };
                    node.collect(&path, paths);
                }
            }
            Node::Map(inner) if matches!(**inner, Node::Struct(_)) => {
                inner.collect(&format!("{path}.*"), paths);
            }
            Node::Seq(inner) if matches!(**inner, Node::Struct(_)) => {
                inner.collect(&format!("{path}[]"), paths);
            }
            _ => paths.push(path.to_owned()),
        }
    }
}

/// The schema of a structure.
pub fn of<T: DeserializeOwned>() -> Node {
    explore::<T>(&mut Vec::new())
}

fn explore<T: DeserializeOwned>(path: &mut Vec<&'static str>) -> Node {
    let mut found = None;
    // the recorder always ends with an error; what it learned is in `found`
    let _ = T::deserialize(Recorder {
        path: path.as_slice(),
        found: &mut found,
    });
    let mut below = |step: &'static str| {
        path.push(step);
        let node = explore::<T>(path);
        path.pop();
        node
    };
    match found {
        Some(Found::Struct(fields)) => Node::Struct(fields.iter().map(|name| (*name, below(name))).collect()),
        Some(Found::Map) => Node::Map(Box::new(below("*"))),
        Some(Found::Seq) => Node::Seq(Box::new(below("[]"))),
        Some(Found::Leaf(node)) => node,
        None => Node::Any(String::new()),
    }
}

enum Found {
    Struct(&'static [&'static str]),
    Map,
    Seq,
    Leaf(Node),
}

/// Walks along `path` and records what is asked for at its end.
struct Recorder<'a> {
    path: &'a [&'static str],
    found: &'a mut Option<Found>,
}

/// The end of a walk: no failure, and nobody sees it.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recorded")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stop
    }
}

impl Recorder<'_> {
    fn leaf<T>(self, node: Node) -> Result<T, Stop> {
        *self.found = Some(Found::Leaf(node));
        Err(Stop)
    }
}

macro_rules! leaves {
    ($($method:ident => $node:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            self.leaf($node)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Recorder<'_> {
    type Error = Stop;

    leaves! {
        deserialize_bool => Node::Bool;
        deserialize_i8 => Node::Integer;
        deserialize_i16 => Node::Integer;
        deserialize_i32 => Node::Integer;
        deserialize_i64 => Node::Integer;
        deserialize_u8 => Node::Integer;
        deserialize_u16 => Node::Integer;
        deserialize_u32 => Node::Integer;
        deserialize_u64 => Node::Integer;
        deserialize_f32 => Node::Float;
        deserialize_f64 => Node::Float;
        deserialize_char => Node::Text;
        deserialize_str => Node::Text;
        deserialize_string => Node::Text;
        deserialize_bytes => Node::Text;
        deserialize_byte_buf => Node::Text;
        deserialize_unit => Node::Any(String::new());
        deserialize_identifier => Node::Text;
        deserialize_ignored_any => Node::Any(String::new());
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let expected = (&visitor as &dyn Expected).to_string();
        self.leaf(if expected == super::secret::EXPECTED {
            Node::Secret
        } else {
            Node::Any(expected)
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Stop> {
        self.leaf(Node::Any(String::new()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.path.is_empty() {
            *self.found = Some(Found::Seq);
            return Err(Stop);
        }
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.path.is_empty() {
            *self.found = Some(Found::Map);
            return Err(Stop);
        }
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if self.path.is_empty() {
            *self.found = Some(Found::Struct(fields));
            return Err(Stop);
        }
        visitor.visit_map(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        self.leaf(Node::Choice(variants))
    }
}

impl<'de> de::MapAccess<'de> for Recorder<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        let name: &'static str = self.path[0];
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        seed.deserialize(Recorder {
            path: &self.path[1..],
            found: self.found,
        })
    }
}

impl<'de> de::SeqAccess<'de> for Recorder<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        seed.deserialize(Recorder {
            path: &self.path[1..],
            found: self.found,
        })
        .map(Some)
    }
}

/// The known name nearest to a misspelt one, if any is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let unique: BTreeSet<&str> = known.into_iter().collect();
    let lower = name.to_lowercase().replace('-', "_");
    unique
        .into_iter()
        .map(|candidate| {
            let last = candidate.rsplit('.').next().unwrap_or(candidate);
            let near = strsim::jaro_winkler(&lower, candidate).max(strsim::jaro_winkler(&lower, last));
            (candidate, near)
        })
        .filter(|(_, near)| *near >= 0.75)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}
