//! What is wrong with a configuration, told to the person who wrote it: every problem at once, each with its
//! file, its line and what to do. A line that holds a secret is shown with stars in its place.

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Severity};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// One problem (or, in [`crate::config::Loaded::warnings`], one warning).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Problem {
    /// The key, `shop.source.batch`; empty where it is the whole file's.
    pub path: String,
    /// The value found; `None` where there is none, and for secrets.
    pub found: Option<String>,
    /// What is wrong with it, e.g. `is not a duration`.
    pub rule: String,
    /// What to do.
    pub hint: String,
    /// The file it stands in (where a key is missing: the file it belongs into).
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The environment variable that the value comes from.
    pub variable: Option<String>,
    /// The place in the file, to be shown.
    #[serde(skip)]
    pub(crate) snippet: Option<Snippet>,
}

/// A place in a file whose secrets are already stars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snippet {
    pub name: String,
    pub text: Arc<str>,
    pub span: Range<usize>,
}

impl Problem {
    /// A problem that does not know its place yet.
    pub fn new(
        path: impl Into<String>,
        found: Option<String>,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            found,
            rule: rule.into(),
            hint: hint.into(),
            file: None,
            line: None,
            variable: None,
            snippet: None,
        }
    }

    /// One sentence: the key, what was found, what is wrong.
    pub fn sentence(&self) -> String {
        let mut text = String::new();
        if let Some(variable) = &self.variable {
            text.push_str(&format!("environment variable `{variable}`: "));
        }
        if !self.path.is_empty() {
            text.push_str(&format!("`{}`: ", self.path));
        }
        if let Some(found) = &self.found {
            text.push_str(&format!("`{found}` "));
        }
        text.push_str(&self.rule);
        text
    }

    fn render(&self, to: &mut dyn fmt::Write, colour: bool, severity: Severity) -> fmt::Result {
        let mut diagnostic = MietteDiagnostic::new(self.sentence()).with_severity(severity);
        if !self.hint.is_empty() {
            diagnostic = diagnostic.with_help(self.hint.clone());
        }
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_context_lines(1)
            .with_width(110);
        let mut text = String::new();
        match &self.snippet {
            Some(snippet) => {
                let label = if self.rule.len() < 60 {
                    self.rule.clone()
                } else {
                    "here".to_owned()
                };
                diagnostic =
                    diagnostic.with_label(LabeledSpan::new_with_span(Some(label), snippet.span.clone()));
                let source = NamedSource::new(&snippet.name, snippet.text.to_string());
                let report = miette::Report::new(diagnostic).with_source_code(source);
                handler.render_report(&mut text, report.as_ref())?;
            }
            None => handler.render_report(&mut text, &diagnostic)?,
        }
        writeln!(to, "{}", text.trim_end())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.sentence())?;
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Every problem of a configuration; never empty.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    /// The configuration's file.
    pub path: PathBuf,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// All problems, each with the line it stands on; `colour` for terminals.
    pub fn render(&self, colour: bool) -> String {
        let mut text = match self.problems.len() {
            1 => format!("{} has a problem\n", self.path.display()),
            count => format!("{} has {count} problems\n", self.path.display()),
        };
        for problem in &self.problems {
            text.push('\n');
            // writing into a String cannot fail
            let _ = problem.render(&mut text, colour, Severity::Error);
        }
        text
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for ConfigErrors {}

/// Warnings as text, each with the line it stands on.
pub fn render_warnings(warnings: &[Problem], colour: bool) -> String {
    let mut text = String::new();
    for warning in warnings {
        let _ = warning.render(&mut text, colour, Severity::Warning);
    }
    text
}
