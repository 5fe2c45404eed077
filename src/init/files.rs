//! The shop's own configuration file: where its database is. PHP is taken apart into words, never run.

use crate::config::secret::Secret;
use std::path::{Path, PathBuf};

/// How a shop reaches its database.
#[derive(Clone, Debug)]
pub struct Access {
    /// The file it was read from.
    pub file: PathBuf,
    /// The server.
    pub host: String,
    /// Its port, where one is written.
    pub port: Option<u16>,
    /// A socket in place of host and port.
    pub socket: Option<PathBuf>,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The password; empty text is none.
    pub password: Option<Secret>,
    /// The prefix of the tables.
    pub prefix: String,
}

/// A piece of PHP.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    Text(String),
    Name(String),
    Sign(char),
    Arrow,
}

/// The files, below the shop's folder or one above it (WordPress allows that), and what their keys are called: host,
/// port, database, user, password, prefix.
const FILES: &[(&str, [&str; 6])] = &[
    (
        "wp-config.php",
        ["DB_HOST", "", "DB_NAME", "DB_USER", "DB_PASSWORD", "table_prefix"],
    ),
    (
        "app/config/parameters.php",
        [
            "database_host",
            "database_port",
            "database_name",
            "database_user",
            "database_password",
            "database_prefix",
        ],
    ),
    (
        "config/settings.inc.php",
        [
            "_DB_SERVER_",
            "",
            "_DB_NAME_",
            "_DB_USER_",
            "_DB_PASSWD_",
            "_DB_PREFIX_",
        ],
    ),
    (
        "app/etc/env.php",
        ["host", "port", "dbname", "username", "password", "table_prefix"],
    ),
    (
        "config.php",
        [
            "DB_HOSTNAME",
            "DB_PORT",
            "DB_DATABASE",
            "DB_USERNAME",
            "DB_PASSWORD",
            "DB_PREFIX",
        ],
    ),
];

/// Reads the shop's own configuration file.
///
/// # Errors
/// One sentence: there is none, it cannot be read, or a value in it is no plain text.
pub fn read(folder: &Path) -> Result<Access, String> {
    let above = folder.join("../wp-config.php");
    let candidates = FILES
        .iter()
        .map(|(name, keys)| (folder.join(name), keys))
        .chain(std::iter::once((above, &FILES[0].1)));
    for (file, keys) in candidates {
        if !file.is_file() {
            continue;
        }
        let text =
            std::fs::read(&file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
        return access(&file, &String::from_utf8_lossy(&text), keys);
    }
    let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    Err(format!(
        "`{}` holds none of {}",
        folder.display(),
        names.join(", ")
    ))
}

fn access(file: &Path, text: &str, keys: &[&str; 6]) -> Result<Access, String> {
    let words = words(text);
    let all = words.as_slice();
    // Magento's file has a host and a password for every service.
    let (connection, outer) = match file.ends_with("app/etc/env.php") {
        true => {
            let db = section(all, "db").unwrap_or(&[]);
            let connection = section(db, "connection").unwrap_or(&[]);
            (section(connection, "default").unwrap_or(&[]), db)
        }
        false => (all, all),
    };
    let needed = |key: &str| {
        value(connection, key).ok_or_else(|| format!("`{}` has no plain value for `{key}`", file.display()))
    };
    let written = needed(keys[0])?;
    let (host, mut port, socket) = place(&written);
    if let Some(number) = value(connection, keys[1]).and_then(|port| port.parse().ok()) {
        port = Some(number);
    }
    Ok(Access {
        file: file.to_owned(),
        host,
        port,
        socket,
        database: needed(keys[2])?,
        user: needed(keys[3])?,
        password: Some(needed(keys[4])?)
            .filter(|text| !text.is_empty())
            .map(Secret::new),
        prefix: value(outer, keys[5]).unwrap_or_default(),
    })
}

/// `host`, `host:port`, `[::1]:port`, `host:/socket`.
fn place(text: &str) -> (String, Option<u16>, Option<PathBuf>) {
    let (host, rest) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (format!("[{host}]"), rest.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, rest)) => (host.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        },
    };
    let host = match host.is_empty() {
        true => "localhost".to_owned(),
        false => host,
    };
    let rest = rest.unwrap_or_default();
    if rest.starts_with('/') {
        return (host, None, Some(PathBuf::from(rest)));
    }
    (host, rest.parse().ok(), None)
}

/// The text after `KEY =>`, `'KEY',` or `$KEY =`, where null is empty text; the last one counts, as in PHP.
fn value(words: &[Word], key: &str) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    words
        .windows(4)
        .filter_map(|four| match four {
            [Word::Text(name), Word::Arrow | Word::Sign(','), Word::Text(text), end]
            | [Word::Name(name), Word::Sign('='), Word::Text(text), end]
                // what goes on behind the text is an expression
                if name == key && matches!(end, Word::Sign(',' | ')' | ';' | ']')) =>
            {
                Some(text.clone())
            }
            [Word::Text(name), Word::Arrow | Word::Sign(','), Word::Name(null), _]
            | [Word::Name(name), Word::Sign('='), Word::Name(null), _]
                if name == key && null.eq_ignore_ascii_case("null") =>
            {
                Some(String::new())
            }
            _ => None,
        })
        .next_back()
}

/// What stands between the brackets after `'KEY' =>`.
fn section<'a>(words: &'a [Word], key: &str) -> Option<&'a [Word]> {
    let at = words
        .windows(2)
        .position(|two| matches!(two, [Word::Text(name), Word::Arrow] if name == key))?;
    let inside = &words[at + 2..];
    let mut depth = 0usize;
    let mut start = None;
    for (place, word) in inside.iter().enumerate() {
        match word {
            Word::Sign('[' | '(') => {
                depth += 1;
                start = start.or(Some(place + 1));
            }
            Word::Sign(']' | ')') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return inside.get(start?..=place);
                }
            }
            _ => {}
        }
    }
    None
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut star = false;
                for c in rest.by_ref() {
                    if star && c == '/' {
                        break;
                    }
                    star = c == '*';
                }
            }
            '\'' | '"' => {
                let mut piece = String::new();
                let mut plain = true;
                while let Some(inner) = rest.next() {
                    if inner == c {
                        break;
                    }
                    if inner == '$' && c == '"' {
                        plain = false;
                    }
                    if inner != '\\' {
                        piece.push(inner);
                        continue;
                    }
                    match rest.next() {
                        Some(next) if next == c || next == '\\' => piece.push(next),
                        Some('$') if c == '"' => piece.push('$'),
                        Some('n') if c == '"' => piece.push('\n'),
                        Some(next) => piece.extend(['\\', next]),
                        None => {}
                    }
                }
                words.push(match plain {
                    true => Word::Text(piece),
                    false => Word::Sign('"'),
                });
            }
            '=' if rest.next_if_eq(&'>').is_some() => words.push(Word::Arrow),
            c if c.is_ascii_alphanumeric() || c == '_' => {
                let mut piece = String::from(c);
                while let Some(next) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    piece.push(next);
                }
                words.push(match piece.bytes().all(|byte| byte.is_ascii_digit()) {
                    true => Word::Text(piece),
                    false => Word::Name(piece),
                });
            }
            '$' => {}
            c if c.is_whitespace() => {}
            c => words.push(Word::Sign(c)),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(name: &str, text: &str) -> Result<Access, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        read(folder.path())
    }

    fn facts(access: &Access) -> String {
        format!(
            "{}@{}:{:?}/{} {} {}",
            access.user,
            access.host,
            access.port,
            access.database,
            access.prefix,
            access.password.as_ref().map_or("-", |password| password.expose())
        )
    }

    #[test]
    fn each_shops_file_is_read() {
        let woo = shop(
            "wp-config.php",
            "<?php\n// define('DB_NAME', 'old');\n/* define('DB_USER', 'x'); */\ndefine( 'DB_NAME', 'shop' );\ndefine('DB_USER', \"wp\");\n\
             define('DB_PASSWORD', 'it\\'s #1 // \\\\');\ndefine('DB_HOST', 'db.example.cz:3307');\n$table_prefix = 'x_';\n",
        )
        .unwrap();
        assert_eq!(facts(&woo), "wp@db.example.cz:Some(3307)/shop x_ it's #1 // \\");
        let presta = shop(
            "app/config/parameters.php",
            "<?php return array ( 'parameters' => array ( 'database_host' => '127.0.0.1', 'database_port' => '', 'database_name' => 'ps',\n\
             'database_user' => 'u', 'database_password' => '', 'database_prefix' => 'ps_', ), );",
        )
        .unwrap();
        assert_eq!(facts(&presta), "u@127.0.0.1:None/ps ps_ -");
        let empty = shop(
            "app/config/parameters.php",
            "<?php return ['parameters' => ['database_host' => 'localhost', 'database_port' => NULL, 'database_name' => 'ps',\n\
             'database_user' => 'u', 'database_password' => null, 'database_prefix' => 'ps_']];",
        )
        .unwrap();
        assert_eq!(facts(&empty), "u@localhost:None/ps ps_ -");
        let older = shop(
            "config/settings.inc.php",
            "<?php\ndefine('_DB_SERVER_', 'localhost:3307');\ndefine('_DB_NAME_', 'ps'); define('_DB_USER_', 'u');\n\
             define('_DB_PASSWD_', 'p\"$'); define('_DB_PREFIX_', 'x_'); define('_MYSQL_ENGINE_', 'InnoDB');",
        )
        .unwrap();
        assert_eq!(facts(&older), "u@localhost:Some(3307)/ps x_ p\"$");
        let cart = shop(
            "config.php",
            "<?php define('DB_HOSTNAME', 'localhost'); define('DB_USERNAME', 'u'); define('DB_PASSWORD', 'p'); define('DB_DATABASE', 'oc'); \
             define('DB_PORT', '3306'); define('DB_PREFIX', 'oc_');",
        )
        .unwrap();
        assert_eq!(facts(&cart), "u@localhost:Some(3306)/oc oc_ p");
        let magento = shop(
            "app/etc/env.php",
            "<?php return ['queue' => ['amqp' => ['host' => 'mq', 'password' => 'no']], 'db' => ['table_prefix' => 'm_', 'connection' => ['default' => [\n\
             'host' => 'localhost:/run/mysqld.sock', 'dbname' => 'm', 'username' => 'u', 'password' => 'p', 'active' => '1']]], 'x' => ['password' => 'no']];",
        )
        .unwrap();
        assert_eq!(facts(&magento), "u@localhost:None/m m_ p");
        assert_eq!(magento.socket.as_deref(), Some(Path::new("/run/mysqld.sock")));
    }

    #[test]
    fn a_value_that_is_computed_is_told() {
        let error = shop(
            "wp-config.php",
            "<?php define('DB_HOST', 'localhost'); define('DB_NAME', getenv('NAME')); define('DB_USER', 'u'); define('DB_PASSWORD', 'p');",
        )
        .unwrap_err();
        assert!(error.contains("`DB_NAME`"), "{error}");
        assert!(read(Path::new("/nowhere")).unwrap_err().contains("wp-config.php"));
    }
}
