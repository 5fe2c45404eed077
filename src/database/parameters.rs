//! Finds `:name` in a merchant's SQL and turns it into the positional parameters that a driver binds.
//!
//! Values are never pasted into a statement. This room reads text only: it knows no driver and no connection.

use std::collections::HashMap;

/// Whose SQL it is: quotes, comments and placeholders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// A value to bind.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// A text to be found, whatever its column is: where it cannot be a value of the column it is found nowhere.
    Code(String),
    /// A whole number.
    Int(i64),
    /// Decimal text.
    Number(String),
    /// A wall clock without a zone.
    Local(jiff::civil::DateTime),
    /// A moment.
    Moment(jiff::Timestamp),
    /// A moment that is written as the shop's wall clock where the column has no zone.
    Wall(jiff::Timestamp, jiff::civil::DateTime),
    /// The smallest date there is, in whatever form the place wants.
    Smallest,
}

/// What stands for a name: one value or a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    /// `:since`
    One(Param),
    /// `:keys`, `:codes`
    List(Vec<Param>),
}

/// The values of a statement, by name.
pub type Binds = HashMap<String, Bind>;

/// A statement ready for a driver: positional placeholders and as many values.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The SQL.
    pub sql: String,
    /// The values, in the order of the placeholders.
    pub values: Vec<Param>,
}

impl Bound {
    /// A statement without parameters.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            values: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Name(String),
}

/// A merchant's statement, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    dialect: Dialect,
    parts: Vec<Part>,
    /// Where the trailing `ORDER BY` of the whole statement begins: index of the part and byte in it.
    order_by: Option<(usize, usize)>,
}

impl Template {
    /// Takes a statement apart. Comments go (optimizer hints and `/*! */` stay), and a trailing semicolon goes.
    pub fn parse(sql: &str, dialect: Dialect) -> Self {
        let mut scan = Scan {
            bytes: sql.as_bytes(),
            sql,
            at: 0,
            dialect,
            parts: Vec::new(),
            text: String::new(),
            depth: 0,
            order_by: None,
        };
        scan.run();
        let mut parts = scan.parts;
        if !scan.text.is_empty() {
            parts.push(Part::Text(scan.text));
        }
        if let Some(Part::Text(last)) = parts.last_mut() {
            let kept = last
                .trim_end_matches(|c: char| c.is_whitespace() || c == ';')
                .len();
            last.truncate(kept);
        }
        Self {
            dialect,
            parts,
            order_by: scan.order_by,
        }
    }

    /// The names in the order they stand, repetitions included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether the statement has this parameter.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// Replaces the names by placeholders.
    ///
    /// # Errors
    /// The first name that has no value.
    pub fn bind(&self, binds: &Binds) -> Result<Bound, String> {
        let mut bound = Bound::plain(String::new());
        self.bind_parts(&self.parts, binds, &mut bound)?;
        Ok(bound)
    }

    /// The statement as a derived table `q`, with a text behind it: `SELECT {select} FROM ({self}) q {tail}`.
    /// A trailing `ORDER BY` without a limit goes, so that a database can merge the two.
    ///
    /// # Errors
    /// The first name that has no value.
    pub fn wrap(&self, select: &str, tail: &Template, binds: &Binds) -> Result<Bound, String> {
        let mut inner = self.parts.clone();
        if let Some((part, byte)) = self.order_by {
            inner.truncate(part + 1);
            if let Some(Part::Text(text)) = inner.last_mut() {
                text.truncate(byte);
            }
        }
        let mut bound = Bound::plain(format!("SELECT {select} FROM (\n"));
        self.bind_parts(&inner, binds, &mut bound)?;
        bound.sql.push_str("\n) q ");
        self.bind_parts(&tail.parts, binds, &mut bound)?;
        Ok(bound)
    }

    fn bind_parts(&self, parts: &[Part], binds: &Binds, bound: &mut Bound) -> Result<(), String> {
        for part in parts {
            match part {
                Part::Text(text) => bound.sql.push_str(text),
                Part::Name(name) => match binds.get(name) {
                    None => return Err(name.clone()),
                    Some(Bind::One(value)) => self.place(value, bound),
                    Some(Bind::List(values)) if values.is_empty() => bound.sql.push_str("NULL"),
                    Some(Bind::List(values)) => {
                        for (index, value) in values.iter().enumerate() {
                            if index > 0 {
                                bound.sql.push(',');
                            }
                            self.place(value, bound);
                        }
                    }
                },
            }
        }
        Ok(())
    }

    fn place(&self, value: &Param, bound: &mut Bound) {
        bound.values.push(value.clone());
        let number = bound.values.len();
        match self.dialect {
            Dialect::Mysql => bound.sql.push('?'),
            // A number of its own for each place: PostgreSQL infers a type for each.
            Dialect::Postgres => bound.sql.push_str(&format!("${number}")),
            Dialect::Sqlite => bound.sql.push_str(&format!("?{number}")),
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    parts: Vec<Part>,
    text: String,
    depth: i32,
    order_by: Option<(usize, usize)>,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn before(&self) -> u8 {
        self.at
            .checked_sub(1)
            .and_then(|at| self.bytes.get(at))
            .copied()
            .unwrap_or(b' ')
    }

    /// Takes everything up to `end` over as it stands.
    fn take(&mut self, end: usize) {
        let mut end = end.min(self.bytes.len());
        while !self.sql.is_char_boundary(end) {
            end += 1;
        }
        self.text.push_str(&self.sql[self.at..end]);
        self.at = end;
    }

    fn skip(&mut self, end: usize) {
        self.at = end.min(self.bytes.len());
        self.text.push(' ');
    }

    fn run(&mut self) {
        let mysql = self.dialect == Dialect::Mysql;
        let postgres = self.dialect == Dialect::Postgres;
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\'' => {
                    let escaped = mysql || (postgres && self.is_escape_string());
                    self.quoted(b'\'', escaped);
                }
                b'"' => self.quoted(b'"', mysql),
                b'`' if !postgres => self.quoted(b'`', false),
                b'[' if self.dialect == Dialect::Sqlite => {
                    let end = self.find(b"]", self.at + 1);
                    self.take(end);
                }
                b'-' if self.peek(1) == b'-' && (!mysql || self.peek(2) <= b' ') => self.line_comment(),
                b'#' if mysql => self.line_comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                b'$' if postgres && !is_word(self.before()) => self.dollar(),
                b':' => self.colon(),
                b'(' => {
                    self.depth += 1;
                    self.take(self.at + 1);
                }
                b')' => {
                    self.depth -= 1;
                    self.take(self.at + 1);
                }
                byte if is_word(byte) => self.word(),
                _ => self.take(self.at + 1),
            }
        }
    }

    /// The place behind the next `needle`, or the end.
    fn find(&self, needle: &[u8], from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        rest.windows(needle.len())
            .position(|window| window == needle)
            .map_or(self.bytes.len(), |place| from + place + needle.len())
    }

    /// `E'…'`, but not `name'…'`.
    fn is_escape_string(&self) -> bool {
        let e = matches!(self.before(), b'e' | b'E');
        e && (self.at < 2 || !is_word(self.bytes[self.at - 2]))
    }

    fn quoted(&mut self, quote: u8, backslash: bool) {
        let mut end = self.at + 1;
        while end < self.bytes.len() {
            let byte = self.bytes[end];
            if byte == b'\\' && backslash {
                end += 2;
            } else if byte == quote {
                if self.bytes.get(end + 1) == Some(&quote) {
                    end += 2;
                } else {
                    end += 1;
                    break;
                }
            } else {
                end += 1;
            }
        }
        self.take(end);
    }

    fn line_comment(&mut self) {
        let end = self.find(b"\n", self.at);
        self.skip(end);
        self.text.push('\n');
    }

    fn block_comment(&mut self) {
        let hint = matches!(self.peek(2), b'+' | b'!') || (self.peek(2) == b'M' && self.peek(3) == b'!');
        let mut end = self.at + 2;
        if self.dialect == Dialect::Postgres {
            // They nest.
            let mut depth = 1;
            while depth > 0 && end < self.bytes.len() {
                match &self.bytes[end..self.bytes.len().min(end + 2)] {
                    b"/*" => {
                        depth += 1;
                        end += 2;
                    }
                    b"*/" => {
                        depth -= 1;
                        end += 2;
                    }
                    _ => end += 1,
                }
            }
        } else {
            end = self.find(b"*/", end);
        }
        if hint {
            self.take(end);
        } else {
            self.skip(end);
        }
    }

    fn dollar(&mut self) {
        let mut end = self.at + 1;
        while end < self.bytes.len() && is_word(self.bytes[end]) && self.bytes[end] != b'$' {
            end += 1;
        }
        let numbered = self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit);
        if self.bytes.get(end) == Some(&b'$') && !numbered {
            let tag = self.bytes[self.at..=end].to_vec();
            let close = self.find(&tag, end + 1);
            self.take(close);
        } else {
            self.take(end);
        }
    }

    fn colon(&mut self) {
        let next = self.peek(1);
        if next == b':' || next == b'=' {
            return self.take(self.at + 2);
        }
        let starts = next.is_ascii_alphabetic() || next == b'_';
        // `a[lo:hi]` is a slice, not a parameter.
        let glued = is_word(self.before()) || matches!(self.before(), b']' | b')');
        if !starts || glued {
            return self.take(self.at + 1);
        }
        let mut end = self.at + 1;
        while end < self.bytes.len() && (self.bytes[end].is_ascii_alphanumeric() || self.bytes[end] == b'_') {
            end += 1;
        }
        let name = self.sql[self.at + 1..end].to_owned();
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
        self.parts.push(Part::Name(name));
        self.at = end;
    }

    fn word(&mut self) {
        let mut end = self.at;
        while end < self.bytes.len() && is_word(self.bytes[end]) {
            end += 1;
        }
        if self.depth == 0 {
            let word = self.sql[self.at..end].to_ascii_lowercase();
            let rest = self.sql[end..].trim_start().to_ascii_lowercase_prefix();
            match word.as_str() {
                "order" if rest.starts_with("by") => {
                    self.order_by = Some((self.parts.len(), self.text.len()));
                }
                // The order matters to these, and a second SELECT means that the order was not the whole's.
                "limit" | "fetch" | "offset" | "for" | "union" | "except" | "intersect" | "select"
                | "procedure" => self.order_by = None,
                _ => {}
            }
        }
        self.take(end);
    }
}

trait Prefix {
    fn to_ascii_lowercase_prefix(&self) -> String;
}

impl Prefix for str {
    fn to_ascii_lowercase_prefix(&self) -> String {
        self.chars().take(2).collect::<String>().to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(sql: &str, dialect: Dialect) -> Vec<String> {
        Template::parse(sql, dialect).names().map(str::to_owned).collect()
    }

    fn bound(sql: &str, dialect: Dialect) -> String {
        let binds = Binds::from([
            ("since".to_owned(), Bind::One(Param::Int(1))),
            ("a".to_owned(), Bind::One(Param::Int(1))),
            (
                "keys".to_owned(),
                Bind::List(vec![Param::Int(1), Param::Int(2), Param::Int(3)]),
            ),
            ("codes".to_owned(), Bind::List(Vec::new())),
        ]);
        Template::parse(sql, dialect).bind(&binds).unwrap().sql
    }

    #[test]
    fn names_become_the_placeholders_of_the_dialect() {
        let sql = "SELECT 1 FROM t WHERE a >= :since AND k IN (:keys) AND c IN (:codes)";
        assert_eq!(
            bound(sql, Dialect::Mysql),
            "SELECT 1 FROM t WHERE a >= ? AND k IN (?,?,?) AND c IN (NULL)"
        );
        assert_eq!(
            bound(sql, Dialect::Postgres),
            "SELECT 1 FROM t WHERE a >= $1 AND k IN ($2,$3,$4) AND c IN (NULL)"
        );
        assert_eq!(
            bound(sql, Dialect::Sqlite),
            "SELECT 1 FROM t WHERE a >= ?1 AND k IN (?2,?3,?4) AND c IN (NULL)"
        );
    }

    #[test]
    fn names_inside_quotes_comments_and_casts_are_left_alone() {
        for (sql, dialect) in [
            ("SELECT ':a', 'it''s :a'", Dialect::Sqlite),
            ("SELECT 'it\\'s :a', \":a\", `:a`", Dialect::Mysql),
            ("SELECT 1 -- :a\n", Dialect::Postgres),
            ("SELECT 1 # :a", Dialect::Mysql),
            ("SELECT 1 /* :a /* :b */ :a */", Dialect::Postgres),
            (
                "SELECT x::text, $$ :a $$, $tag$ ' :a $$ $tag$, E'\\' :a'",
                Dialect::Postgres,
            ),
            ("SELECT a[1:2], a[lo:hi]", Dialect::Postgres),
            ("SET @x := 1", Dialect::Mysql),
            ("SELECT [a :a]", Dialect::Sqlite),
            ("SELECT \":a\"", Dialect::Postgres),
        ]
        .map(|(sql, dialect)| (sql.to_owned(), dialect))
        {
            assert_eq!(names(&sql, dialect), Vec::<String>::new(), "{sql}");
        }
    }

    #[test]
    fn names_after_tricky_text_are_found() {
        for (sql, dialect) in [
            (r"SELECT 'a\\', :a", Dialect::Mysql),
            (r"SELECT 'a\', :a", Dialect::Postgres),
            ("SELECT :a::text", Dialect::Postgres),
            ("SELECT 1--1, :a", Dialect::Mysql),
            ("SELECT 5 # 3, :a", Dialect::Postgres),
            ("SELECT /*+ HINT */ :a", Dialect::Mysql),
            ("SELECT 'ž':: text, :a", Dialect::Postgres),
            ("SELECT name'x\\', :a", Dialect::Postgres),
        ] {
            assert_eq!(names(sql, dialect), ["a"], "{sql}");
        }
    }

    #[test]
    fn a_wrapped_query_loses_its_trailing_order_and_semicolon() {
        let tail = Template::parse("WHERE q.code IN (:keys)", Dialect::Mysql);
        let binds = Binds::from([("keys".to_owned(), Bind::List(vec![Param::Int(1)]))]);
        let wrap = |sql: &str| {
            Template::parse(sql, Dialect::Mysql)
                .wrap("*", &tail, &binds)
                .unwrap()
                .sql
        };
        assert_eq!(
            wrap("SELECT a FROM t ORDER BY a, b; -- end\n"),
            "SELECT * FROM (\nSELECT a FROM t \n) q WHERE q.code IN (?)"
        );
        assert!(wrap("SELECT a FROM t ORDER BY a LIMIT 5;").contains("LIMIT 5\n)"));
        assert!(wrap("SELECT (SELECT 1 ORDER BY 1) FROM t").contains("ORDER BY 1"));
        assert!(wrap("(SELECT 1 ORDER BY 1) UNION SELECT 2").contains("UNION SELECT 2"));
    }

    #[test]
    fn a_name_without_a_value_is_named() {
        let template = Template::parse("SELECT :nothing", Dialect::Mysql);
        assert_eq!(template.bind(&Binds::new()), Err("nothing".to_owned()));
    }

    /// Pieces of a statement by what they are: text that is kept, a comment that goes, a parameter.
    #[derive(Clone, Debug)]
    enum Piece {
        Kept(String),
        Gone(String),
        Name(&'static str),
    }

    /// What a dialect can hold between two spaces, with anything inside that it may hold.
    fn piece(dialect: Dialect) -> impl Strategy<Value = Piece> {
        let inner = "[-:'\"`$#/*a-z0-9\\\\\\[\\]() \nž;?]{0,12}(:a|:keys|--|\\*/|'')?";
        (0..9, inner).prop_map(move |(kind, inner)| {
            let mysql = dialect == Dialect::Mysql;
            let postgres = dialect == Dialect::Postgres;
            let slashes = |text: &str| match mysql {
                true => text.replace('\\', "\\\\"),
                false => text.to_owned(),
            };
            match kind {
                0 => Piece::Name("a"),
                1 => Piece::Name("keys"),
                2 if mysql => Piece::Kept(format!("'{}'", slashes(&inner).replace('\'', "\\'"))),
                2 => Piece::Kept(format!("'{}'", inner.replace('\'', "''"))),
                3 => Piece::Kept(format!("\"{}\"", slashes(&inner).replace('"', "\"\""))),
                4 => Piece::Gone(format!(
                    "/* {} */",
                    inner.replace("*/", "").replace("/*", "").replace('*', "")
                )),
                5 => Piece::Gone(format!("-- {}\n", inner.replace('\n', ""))),
                6 if mysql => Piece::Gone(format!("# {}\n", inner.replace('\n', ""))),
                6 if postgres => Piece::Kept(format!("$t$ {} $t$", inner.replace("$t$", ""))),
                6 => Piece::Kept(format!("[{}]", inner.replace(']', ""))),
                7 if postgres => Piece::Kept("x::text, y[1:2], E'\\' :a'".into()),
                7 => Piece::Kept(format!("`{}`", inner.replace('`', "``"))),
                _ => Piece::Kept("x <> (1 - 2) / 3,".into()),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn exactly_the_names_outside_of_texts_and_comments_are_bound(
            which in 0..3_usize,
            pieces in [Dialect::Mysql, Dialect::Postgres, Dialect::Sqlite]
                .map(|dialect| proptest::collection::vec(piece(dialect), 1..8)),
        ) {
            let dialect = [Dialect::Mysql, Dialect::Postgres, Dialect::Sqlite][which];
            let mut sql = String::from("SELECT");
            let mut wanted = String::from("SELECT");
            let (mut expected, mut count) = (Vec::new(), 0);
            let mut placeholder = || {
                count += 1;
                match dialect {
                    Dialect::Mysql => "?".to_owned(),
                    Dialect::Postgres => format!("${count}"),
                    Dialect::Sqlite => format!("?{count}"),
                }
            };
            for piece in &pieces[which] {
                sql.push(' ');
                wanted.push(' ');
                match piece {
                    Piece::Kept(text) => {
                        sql.push_str(text);
                        wanted.push_str(text);
                    }
                    Piece::Gone(text) => sql.push_str(text),
                    Piece::Name(name) => {
                        sql.push_str(&format!(":{name}"));
                        expected.push(*name);
                        wanted.push_str(&match *name {
                            "a" => placeholder(),
                            _ => format!("{},{}", placeholder(), placeholder()),
                        });
                    }
                }
            }
            sql.push_str(" END");
            wanted.push_str(" END");
            prop_assert_eq!(names(&sql, dialect), expected, "{}", sql);
            let binds = Binds::from([
                ("a".to_owned(), Bind::One(Param::Text("' OR 1 --".into()))),
                ("keys".to_owned(), Bind::List(vec![Param::Int(1), Param::Int(2)])),
            ]);
            let bound = Template::parse(&sql, dialect).bind(&binds).unwrap();
            prop_assert_eq!(bound.values.len(), count);
            // Where a comment stood there are blanks.
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&bound.sql), words(&wanted), "{}", sql);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(sql in "[-:'\"`$#/*a-zA-Z0-9\\\\\\[\\]() \nž;]{0,60}") {
            for dialect in [Dialect::Mysql, Dialect::Postgres, Dialect::Sqlite] {
                let template = Template::parse(&sql, dialect);
                let binds: Binds = template.names().map(|n| (n.to_owned(), Bind::One(Param::Null))).collect();
                let count = template.names().count();
                prop_assert_eq!(template.bind(&binds).unwrap().values.len(), count);
                let _ = template.wrap("*", &Template::parse("", dialect), &binds).unwrap();
            }
        }

        #[test]
        fn a_quoted_text_hides_whatever_is_in_it(inner in "[^\\\\]{0,30}") {
            for dialect in [Dialect::Mysql, Dialect::Postgres, Dialect::Sqlite] {
                let sql = format!("SELECT '{}' = :a", inner.replace('\'', "''"));
                prop_assert_eq!(names(&sql, dialect), vec!["a".to_owned()]);
            }
        }
    }
}
