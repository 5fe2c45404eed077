//! Small words that explanations and pages share: moments, distances, owners, problems.

use super::czech;
use crate::config::Language;
use crate::health::Whose;
use crate::mapping::Problem;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A text from outside is told no longer than this.
const TEXT_MAX: usize = 200;

/// One of two texts.
pub(crate) fn pick<T>(language: Language, en: T, cs: T) -> T {
    match language {
        Language::En => en,
        Language::Cs => cs,
    }
}

/// A text from outside: one line, no control characters, bounded.
pub(crate) fn short(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(TEXT_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        short.push('…');
    }
    short
}

/// A moment as people of that language write it.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone, language: Language) -> String {
    let form = pick(language, "%Y-%m-%d %H:%M:%S", "%-d. %-m. %Y %H:%M:%S");
    at.to_zoned(zone.clone()).strftime(form).to_string()
}

/// How long ago, or how soon: `3 min ago`, `in 2 h`.
pub(crate) fn distance(at: Timestamp, now: Timestamp, language: Language) -> String {
    let seconds = now.duration_since(at).as_secs();
    let length = length(seconds.unsigned_abs());
    match (seconds >= 0, language) {
        (true, Language::En) => format!("{length} ago"),
        (true, Language::Cs) => format!("před {length}"),
        (false, Language::En) => format!("in {length}"),
        (false, Language::Cs) => format!("za {length}"),
    }
}

/// `40 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn length(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Whose it is to mend.
pub(crate) fn whose(owner: Whose, language: Language) -> &'static str {
    match owner {
        Whose::Shop => pick(language, "the order in the shop", "objednávka v e-shopu"),
        Whose::Settings => pick(language, "brani-sync's configuration", "nastavení brani-sync"),
        Whose::Brani => pick(language, "Brani's answer", "odpověď Brani"),
        Whose::Person => pick(language, "left alone by a person", "odložena člověkem"),
    }
}

/// A problem in one line, and what to do.
pub(crate) fn problem(problem: &Problem, language: Language) -> (String, String) {
    let (rule, hint) = match language {
        Language::En => (problem.rule.clone(), problem.hint.clone()),
        Language::Cs => (czech::rule(&problem.rule), czech::hint(&problem.hint)),
    };
    let told = Problem {
        rule: short(&rule),
        field: short(&problem.field),
        found: problem.found.as_deref().map(short),
        ..problem.clone()
    };
    (told.to_string(), short(&hint))
}
