//! Secrets: where one is to be found, and what was found, which nothing can print.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::path::PathBuf;

/// What was found. Its `Debug` prints stars; it has no `Display` and cannot be serialised.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a secret in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Hands the secret to the one who sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Where a secret is to be found. (Many keys take one, URLs included: a URL may hold a password or a hash.)
#[derive(Clone, Debug)]
pub enum SecretRef {
    /// Plain text in the file, for trying out.
    Plain(Secret),
    /// `{ credential = "name" }`: a systemd credential, `$CREDENTIALS_DIRECTORY/name` or `…/secret_name`; without
    /// systemd, the file `NAME.secrets/name` beside the configuration.
    Credential(String),
    /// `{ file = "path" }`
    File(PathBuf),
    /// `{ env = "NAME" }`
    Env(String),
}

/// What a secret may be written as; the list of known keys tells secrets by it.
pub(crate) const EXPECTED: &str =
    "text, { credential = \"name\" }, { file = \"path\" } or { env = \"NAME\" }";

impl SecretRef {
    /// Plain text that others should not read; a URL without a password is none.
    pub fn is_plain_secret(&self) -> bool {
        match self {
            SecretRef::Plain(secret) => {
                let text = secret.expose();
                !text.contains("://") || is_secret_url(text)
            }
            _ => false,
        }
    }
}

/// Whether a URL holds a secret: a password, or (an export's hash) a query string.
pub(crate) fn is_secret_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // a password may hold a slash that should have been escaped
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    let password = authority.rsplit_once('@').map_or(
        user.split('/').next().is_some_and(|first| first.contains(':')) && !user.is_empty(),
        |(user, _)| {
            user.split_once(':')
                .is_some_and(|(_, password)| !password.is_empty())
        },
    );
    let export = matches!(scheme, "http" | "https") && rest.contains('?');
    let parameter = rest.contains("password=") || rest.contains("sslpassword=");
    password || export || parameter
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    credential: Option<String>,
    file: Option<PathBuf>,
    env: Option<String>,
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretRef;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretRef, E> {
                Ok(SecretRef::Plain(Secret::new(text)))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                match (table.credential, table.file, table.env) {
                    (Some(name), None, None) => Ok(SecretRef::Credential(name)),
                    (None, Some(path), None) => Ok(SecretRef::File(path)),
                    (None, None, Some(name)) => Ok(SecretRef::Env(name)),
                    _ => Err(de::Error::custom(
                        "a secret has exactly one of `credential`, `file`, `env`",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
