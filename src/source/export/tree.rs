//! One record of an export as a tree, and as a value that templates can ask.
//!
//! What is absent is empty, at any depth: exports leave elements out. Whether a name exists at all in the file
//! is watched elsewhere.

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use std::fmt;
use std::sync::Arc;

/// One element, column or JSON value.
#[derive(Clone)]
pub enum Node {
    /// Text; numbers with a fraction too, as the file writes them.
    Text(Arc<str>),
    /// A whole number of JSON.
    Int(i64),
    /// A boolean of JSON.
    Bool(bool),
    /// `null` of JSON.
    Null,
    /// An element with children or attributes; a JSON object; a row.
    Tree(Arc<Tree>),
    /// A JSON array.
    List(Arc<[Node]>),
}

/// Named fields, in the file's order.
#[derive(Default)]
pub struct Tree {
    /// XML: the text beside the children.
    pub text: Option<Arc<str>>,
    /// The fields; attributes begin with `@`.
    pub fields: Vec<(Arc<str>, Node)>,
    /// Names are compared exactly (csv, json) or without case (xml).
    pub exact: bool,
}

impl fmt::Debug for Tree {
    /// Customers' data is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} fields)", self.fields.len())
    }
}

impl Tree {
    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let found = self.fields.iter().find(|(field, _)| self.is(field, name));
        found.map(|(_, node)| node)
    }

    fn is(&self, field: &str, name: &str) -> bool {
        if self.exact {
            field == name
        } else {
            field.eq_ignore_ascii_case(name)
        }
    }

    /// Every field of that name.
    pub fn all<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t Node> {
        self.fields
            .iter()
            .filter(move |(field, _)| self.is(field, name))
            .map(|(_, node)| node)
    }
}

impl Node {
    /// The node as a template sees it; `null` is absent.
    pub fn value(&self) -> Value {
        match self {
            Node::Text(text) => Value::from(Arc::clone(text)),
            Node::Int(number) => Value::from(*number),
            Node::Bool(flag) => Value::from(*flag),
            Node::Null => Value::UNDEFINED,
            Node::Tree(tree) => Value::from_dyn_object(Arc::clone(tree)),
            Node::List(nodes) => nodes.iter().map(Node::value).collect(),
        }
    }

    /// The node as text; nothing for what has none.
    pub fn text(&self) -> String {
        match self {
            Node::Text(text) => text.to_string(),
            Node::Int(number) => number.to_string(),
            Node::Bool(flag) => flag.to_string(),
            Node::Null | Node::List(_) => String::new(),
            Node::Tree(tree) => tree.text.as_deref().unwrap_or_default().to_owned(),
        }
    }

    /// Follows a path of names.
    pub fn at(&self, path: &[String]) -> Option<&Node> {
        let Some((name, rest)) = path.split_first() else {
            return Some(self);
        };
        match self {
            Node::Tree(tree) => tree.get(name)?.at(rest),
            _ => None,
        }
    }
}

/// Every element at a path below a tree, repeated elements and JSON arrays followed into each.
pub fn find(tree: &Arc<Tree>, path: &[String], found: &mut Vec<Arc<Tree>>) {
    let Some((name, rest)) = path.split_first() else {
        found.push(Arc::clone(tree));
        return;
    };
    for node in tree.all(name) {
        descend(node, rest, tree.exact, found);
    }
}

fn descend(node: &Node, rest: &[String], exact: bool, found: &mut Vec<Arc<Tree>>) {
    match node {
        Node::Tree(child) => find(child, rest, found),
        Node::List(nodes) => nodes.iter().for_each(|node| descend(node, rest, exact, found)),
        Node::Null => {}
        leaf if rest.is_empty() => found.push(Arc::new(Tree {
            text: Some(leaf.text().into()),
            fields: Vec::new(),
            exact,
        })),
        _ => {}
    }
}

impl Object for Tree {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?).map(Node::value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(
            self.fields
                .iter()
                .map(|(name, _)| Value::from(Arc::clone(name)))
                .collect(),
        )
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.fields.is_empty() || self.text.as_deref().is_some_and(|text| !text.trim().is_empty())
    }

    /// An element is printed as its text: `<PRICE currency="CZK">10</PRICE>` is `10`.
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_deref().unwrap_or_default())
    }
}

/// What a template is given: a record's fields as variables, and a few names of ours before them.
#[derive(Debug)]
pub struct Scope {
    /// The record (or the item).
    pub fields: Arc<Tree>,
    /// `order`, `items`, `item`.
    pub ours: Vec<(&'static str, Value)>,
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match self.ours.iter().find(|(ours, _)| *ours == name) {
            Some((_, value)) => Some(value.clone()),
            None => self.fields.get(name).map(Node::value),
        }
    }
}
