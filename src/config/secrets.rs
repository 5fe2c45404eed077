//! Finding secrets: systemd's credentials, files, the environment. What is found leaves this room as [`Secret`]
//! only; the errors name the secret and the places looked at, never its value.

use super::load::{command, stem};
use super::secret::{Secret, SecretRef};
use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Finds the secrets of one configuration.
#[derive(Clone)]
pub struct Secrets {
    config_folder: PathBuf,
    folder: PathBuf,
    credentials: Option<PathBuf>,
    environment: HashMap<String, String>,
    command: String,
    /// Looked at before this process gave up the right to read them.
    remembered: Arc<Mutex<HashMap<String, Result<Secret, SecretError>>>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the environment may hold secrets
        f.debug_struct("Secrets")
            .field("folder", &self.folder)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Why a secret was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.what(), self.hint())]
pub struct SecretError {
    /// The secret's name: of the credential, the file or the variable.
    pub name: String,
    /// Where it was looked for.
    pub places: Vec<PathBuf>,
    /// `is missing`, `is empty`, or the system's words.
    pub reason: String,
    kind: Kind,
    /// The command that means this configuration.
    command: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Credential,
    File,
    Variable,
    Plain,
}

impl SecretError {
    /// What is wrong.
    pub fn what(&self) -> String {
        let places: Vec<_> = self
            .places
            .iter()
            .map(|place| format!("`{}`", place.display()))
            .collect();
        match self.kind {
            Kind::Credential => {
                format!(
                    "the secret `{}` {} (looked at {})",
                    self.name,
                    self.reason,
                    places.join(", ")
                )
            }
            Kind::File => format!("the secret's file {} {}", places.join(", "), self.reason),
            Kind::Variable => format!("the environment variable `{}` {}", self.name, self.reason),
            Kind::Plain => format!("the secret {}", self.reason),
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        let set = format!("{} secret set", self.command);
        match self.kind {
            Kind::Credential => format!("store it: {set} {}", self.name),
            Kind::File => format!(
                "write the secret into this file, readable by the service's user only, or keep it as a credential: {set} NAME"
            ),
            Kind::Variable => format!("set {}, or keep it as a credential: {set} NAME", self.name),
            Kind::Plain => format!("write it, or keep it as a credential: {set} NAME"),
        }
    }
}

impl Secrets {
    /// For the configuration in this file, with this environment.
    pub fn new(config: &Path, environment: &[(String, String)]) -> Self {
        let folder = config.parent().unwrap_or(Path::new("")).to_owned();
        let environment: HashMap<_, _> = environment.iter().cloned().collect();
        let credentials = environment
            .get("CREDENTIALS_DIRECTORY")
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from);
        Self {
            folder: folder.join(format!("{}.secrets", stem(config))),
            config_folder: folder,
            credentials,
            environment,
            command: command(config),
            remembered: Arc::default(),
        }
    }

    /// Reads secrets now and keeps what came of it: for a process started by root that is about to become the service's
    /// user, to whom a missing one would look like a forbidden one.
    pub(super) fn remember<'a>(&self, references: impl Iterator<Item = &'a SecretRef>) {
        for reference in references {
            let found = self.resolve(reference);
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.insert(name_of(reference), found);
        }
    }

    /// The folder where `secret set` stores secrets: `NAME.secrets` beside the configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Finds a secret; a trailing newline is cut.
    ///
    /// # Errors
    /// Where it is missing, empty or unreadable.
    pub fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        match reference {
            SecretRef::Plain(secret) if secret.expose().is_empty() => {
                Err(self.error(reference, "is empty".into()))
            }
            SecretRef::Plain(secret) => Ok(secret.clone()),
            SecretRef::Env(name) => match self.environment.get(name).map(|text| cut(text)) {
                None => Err(self.error(reference, "is not set".into())),
                Some("") => Err(self.error(reference, "is empty".into())),
                Some(text) => Ok(Secret::new(text)),
            },
            SecretRef::Credential(name) if !is_name(name) => Err(self.error(
                reference,
                "is no name of a secret (letters, digits, `-`, `_` and `.`)".into(),
            )),
            SecretRef::Credential(_) | SecretRef::File(_) => {
                let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(found) = remembered.get(&name_of(reference)) {
                    return found.clone();
                }
                drop(remembered);
                for place in self.places(reference) {
                    match std::fs::read_to_string(&place) {
                        Ok(text) if cut(&text).is_empty() => {
                            return Err(self.error(reference, "is empty".into()));
                        }
                        Ok(text) => return Ok(Secret::new(cut(&text))),
                        Err(error)
                            if matches!(
                                error.kind(),
                                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                            ) => {}
                        Err(error) => {
                            return Err(self.error(reference, format!("cannot be read: {error}")));
                        }
                    }
                }
                Err(self.error(reference, "is missing".into()))
            }
        }
    }

    /// The secret's file, where it is one that group or others may read. (systemd guards its own.)
    pub fn readable_by_others(&self, reference: &SecretRef) -> Option<PathBuf> {
        if matches!(reference, SecretRef::Credential(_)) && self.credentials.is_some() {
            return None;
        }
        let place = self.places(reference).into_iter().find(|place| place.exists())?;
        others_can_read(&place).then_some(place)
    }

    fn places(&self, reference: &SecretRef) -> Vec<PathBuf> {
        match reference {
            SecretRef::Credential(name) => match &self.credentials {
                Some(folder) => vec![folder.join(name), folder.join(format!("secret_{name}"))],
                None => vec![self.folder.join(name)],
            },
            SecretRef::File(path) => vec![self.config_folder.join(path)],
            SecretRef::Plain(_) | SecretRef::Env(_) => Vec::new(),
        }
    }

    fn error(&self, reference: &SecretRef, reason: String) -> SecretError {
        let (name, kind) = match reference {
            SecretRef::Credential(name) => (name.clone(), Kind::Credential),
            SecretRef::File(path) => (path.display().to_string(), Kind::File),
            SecretRef::Env(name) => (name.clone(), Kind::Variable),
            SecretRef::Plain(_) => (String::new(), Kind::Plain),
        };
        SecretError {
            name,
            places: self.places(reference),
            reason,
            kind,
            command: self.command.clone(),
        }
    }
}

/// Tells a reference from others.
fn name_of(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Plain(_) => String::new(),
        SecretRef::Credential(name) => format!("credential {name}"),
        SecretRef::File(path) => format!("file {}", path.display()),
        SecretRef::Env(name) => format!("env {name}"),
    }
}

/// Whether group or others may read a file.
pub(crate) fn others_can_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o044 != 0)
}

/// A credential's name is a file's name and no path.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn cut(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
