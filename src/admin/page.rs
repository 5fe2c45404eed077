//! The pages: small, self-contained, readable on a phone, without a script.
//!
//! What waits, what is parked, why, and whose it is to mend; the last passes and a day's throughput.

use super::Desk;
use super::html::{Esc, Page, Sentence};
use super::plot;
use super::sheet::{Place, Sheet, short_code, thousands};
use crate::explain::{Explanation, length, pick, problem, whose};
use crate::health::{self, Health, ParkedLine};
use crate::types::OrderCode;
use jiff::Timestamp;
use std::fmt::Write as _;

/// What needs an eye, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mood {
    Good,
    Look,
    Act,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Mood::Good => "good",
            Mood::Look => "look",
            Mood::Act => "act",
        }
    }
}

fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The first page.
pub(super) fn home(desk: &Desk, health: &Health) -> Page {
    let nonce = nonce();
    let title = desk.state.shop.clone();
    let mut sheet = Sheet::open(desk, Place::Home, &nonce, &title, "");
    sheet.mood(health);
    sheet.tiles(health);
    sheet.troubles(health);
    sheet.parked(health);
    sheet.claims(health);
    sheet.waiting(health);
    sheet.passes(health);
    sheet.day(health);
    sheet.events(health);
    sheet.close(health.at, nonce)
}

/// An order's story.
pub(super) fn order(desk: &Desk, place: Place, story: &Explanation, others: &[OrderCode]) -> Page {
    let nonce = nonce();
    let code = short_code(&story.code);
    let mut sheet = Sheet::open(desk, place, &nonce, &code, story.code.as_str());
    let title = sheet.pick("Order", "Objednávka");
    let _ = writeln!(
        sheet.out,
        "<h2 class=\"order\">{title} <code>{}</code></h2>",
        Esc(&code)
    );
    for section in story.sections(desk.language) {
        let _ = writeln!(sheet.out, "<section>\n<h3>{}</h3>\n<ul>", Esc(section.title));
        for line in section.lines {
            let class = if line.starts_with('→') {
                " class=\"hint\""
            } else {
                ""
            };
            let _ = writeln!(sheet.out, "<li{class}>{}</li>", Sentence(line));
        }
        sheet.out.push_str("</ul>\n</section>\n");
    }
    if !others.is_empty() {
        let title = sheet.pick("Other orders that end so", "Jiné objednávky se stejným koncem");
        let _ = writeln!(sheet.out, "<section>\n<h3>{title}</h3>");
        sheet.codes(others);
        sheet.out.push_str("</section>\n");
    }
    sheet.close(story.at, nonce)
}

/// Several orders end so.
pub(super) fn found(desk: &Desk, place: Place, ending: &str, codes: &[OrderCode]) -> Page {
    let nonce = nonce();
    let mut sheet = Sheet::open(desk, place, &nonce, ending, ending);
    let title = sheet.pick("Orders that end so", "Objednávky s tímto koncem");
    sheet.heading(title);
    sheet.codes(codes);
    if codes.len() >= crate::explain::FOUND_MAX - 1 {
        let more = sheet.pick(
            "There may be more; give more of the number.",
            "Může jich být víc; napište z čísla víc.",
        );
        let _ = writeln!(sheet.out, "<p class=\"quiet\">{more}</p>");
    }
    let now = desk.state.clock.now();
    sheet.close(now, nonce)
}

impl Sheet<'_> {
    fn codes(&mut self, codes: &[OrderCode]) {
        self.out.push_str("<ul class=\"codes\">\n");
        for code in codes {
            let link = self.order(code);
            let _ = writeln!(self.out, "<li>{link}</li>");
        }
        self.out.push_str("</ul>\n");
    }

    /// One sentence above everything: is all well, and if not, what is needed.
    fn mood(&mut self, health: &Health) {
        let mut found: Vec<(Mood, String)> = Vec::new();
        let mut add = |count: i64, mood: Mood, text: &str| {
            if count > 0 {
                found.push((mood, format!("{text}: {count}")));
            }
        };
        let language = self.desk.language;
        let say = |en, cs| pick(language, en, cs);
        add(
            health.parked.at_brani,
            Mood::Act,
            say(
                "parked while Brani has an older version",
                "odstavené, ale Brani má starší podobu",
            ),
        );
        add(
            health.gone,
            Mood::Act,
            say(
                "gone from the shop, still at Brani",
                "v e-shopu už nejsou, v Brani ano",
            ),
        );
        add(
            health.deletes_held,
            Mood::Act,
            say(
                "deletes that wait for a person",
                "mazání, která čekají na člověka",
            ),
        );
        add(health.stuck, Mood::Act, say("events stuck", "uvázlé události"));
        add(
            health.claims.total,
            Mood::Act,
            say(
                "codes claimed by two orders",
                "čísla, o která se hlásí dvě objednávky",
            ),
        );
        add(
            health.parked.total - health.parked.at_brani,
            Mood::Look,
            say("orders parked", "odstavené objednávky"),
        );
        add(
            health.resends_held,
            Mood::Look,
            say(
                "re-sends that wait for a person",
                "opakovaná odeslání, která čekají na člověka",
            ),
        );
        let troubles = i64::try_from(self.desk.state.troubles.list().len()).unwrap_or(i64::MAX);
        add(
            troubles,
            Mood::Look,
            say("troubles at the moment", "potíže právě teď"),
        );
        if !(self.desk.state.turning)() {
            found.push((
                Mood::Act,
                say("a loop stands still", "jedna ze smyček stojí").to_owned(),
            ));
        }
        if !health::unready(health, &self.desk.state.expected).is_empty() {
            found.push((
                Mood::Look,
                say("the last good pass is old", "poslední dobrý průchod je starý").to_owned(),
            ));
        }
        let mood = found.iter().map(|(mood, _)| *mood).max().unwrap_or(Mood::Good);
        let head = match mood {
            Mood::Good => say("All is well.", "Vše je v pořádku."),
            Mood::Look => say("It runs; have a look.", "Běží to; stojí za pohled."),
            Mood::Act => say("A person is needed.", "Je potřeba člověk."),
        };
        let _ = write!(
            self.out,
            "<div class=\"mood {}\" role=\"status\"><b>{head}</b>",
            mood.class()
        );
        if !found.is_empty() {
            self.out.push_str("<ul>");
            for (_, text) in found {
                let _ = write!(self.out, "<li>{}</li>", Esc(text));
            }
            self.out.push_str("</ul>");
        }
        if let Some(contact) = self.desk.contact.as_deref().filter(|_| mood == Mood::Act) {
            let _ = write!(self.out, "<p>{}</p>", Esc(contact));
        }
        self.out.push_str("</div>\n");
    }

    fn tiles(&mut self, health: &Health) {
        let orders = &health.orders;
        let names = self.pick(
            ["waiting", "sent", "parked", "deleted"],
            ["čeká", "odesláno", "odstaveno", "smazáno"],
        );
        self.out.push_str("<div class=\"tiles\">\n");
        for (name, (state, count)) in names.into_iter().zip(health::by_state(orders)) {
            let _ = writeln!(
                self.out,
                "<div class=\"tile {state}\"><b>{}</b><span>{name}</span></div>",
                thousands(count)
            );
        }
        self.out.push_str("</div>\n");
    }

    fn troubles(&mut self, health: &Health) {
        let troubles = self.desk.state.troubles.list();
        if troubles.is_empty() {
            return;
        }
        self.heading(self.pick("Wrong at the moment", "Potíže právě teď"));
        self.out.push_str("<ul class=\"cards\">\n");
        for (event, text, since) in troubles {
            let since = self.ago(since, health.at);
            let _ = writeln!(
                self.out,
                "<li>{}<p class=\"quiet\"><code>{}</code> · {since}</p></li>",
                Sentence(text),
                Esc(event)
            );
        }
        self.out.push_str("</ul>\n");
    }

    fn parked(&mut self, health: &Health) {
        let parked = &health.parked;
        if parked.total == 0 {
            return;
        }
        let title = self.pick("Parked, and whose it is to mend", "Odstavené, a kdo to opraví");
        self.heading(&format!("{title} ({})", parked.total));
        self.out.push_str("<ul class=\"cards\">\n");
        for line in &parked.first {
            self.parked_line(line, health.at);
        }
        self.out.push_str("</ul>\n");
        let listed = i64::try_from(parked.first.len()).unwrap_or(i64::MAX);
        if parked.total > listed {
            let more = parked.total - listed;
            let text = self.pick(
                format!("And {more} more: `brani-sync orders list --state parked`."),
                format!("A dalších {more}: `brani-sync orders list --state parked`."),
            );
            let _ = writeln!(self.out, "<p class=\"quiet\">{}</p>", Sentence(text));
        }
    }

    fn parked_line(&mut self, line: &ParkedLine, now: Timestamp) {
        let order = self.order(&line.code);
        let owner = whose(line.owner, self.desk.language);
        let created = self.ago(line.created, now);
        let created = self.pick(format!("created {created}"), format!("založena {created}"));
        let at_brani = if line.at_brani {
            let text = self.pick("Brani has an older version", "Brani má starší podobu");
            format!("<span class=\"badge act\">{text}</span>")
        } else {
            String::new()
        };
        let _ = write!(
            self.out,
            "<li><p class=\"top\">{order} <span class=\"badge\">{owner}</span>{at_brani} <span class=\"quiet\">{created}</span></p>"
        );
        const SHOWN: usize = 3;
        for found in line.problems.iter().take(SHOWN) {
            let (what, hint) = problem(found, self.desk.language);
            let _ = write!(
                self.out,
                "<p>{}</p><p class=\"hint\">→ {}</p>",
                Sentence(what),
                Sentence(hint)
            );
        }
        if line.problems.len() > SHOWN {
            let more = line.problems.len() - SHOWN;
            let more = self.pick(format!("and {more} more"), format!("a další: {more}"));
            let _ = write!(self.out, "<p class=\"quiet\">{more}</p>");
        }
        self.out.push_str("</li>\n");
    }

    fn claims(&mut self, health: &Health) {
        let claims = &health.claims;
        if claims.total == 0 {
            return;
        }
        let title = self.pick("Two orders with one number", "Dvě objednávky s jedním číslem");
        self.heading(&format!("{title} ({})", claims.total));
        self.out.push_str("<ul class=\"cards\">\n");
        for claim in claims.first.iter().take(20) {
            let order = self.order(&claim.code);
            let (key, seen) = (
                short_code(&OrderCode(claim.key.0.clone())),
                self.ago(claim.seen, health.at),
            );
            let text = self.pick(
                format!("the order with id `{key}` claims it, too, and is not sent; met {seen}"),
                format!("hlásí se o něj i objednávka s id `{key}`, ta se neodesílá; nalezeno {seen}"),
            );
            let _ = writeln!(self.out, "<li>{order} {}</li>", Sentence(text));
        }
        self.out.push_str("</ul>\n");
    }

    fn waiting(&mut self, health: &Health) {
        self.heading(self.pick("What waits", "Co čeká"));
        if health.orders.waiting == 0 {
            let text = self.pick("Nothing: Brani has everything.", "Nic: Brani má všechno.");
            let _ = writeln!(self.out, "<p>{text}</p>");
            return;
        }
        let lanes = &health.waiting_by_lane;
        let names = self.pick(
            [
                "New orders",
                "Changes",
                "Older orders",
                "Sent again for a new mapping",
                "Sent, and said once more in a few minutes",
            ],
            [
                "Nové objednávky",
                "Změny",
                "Starší objednávky",
                "Znovu kvůli změně převodu",
                "Odeslané, za pár minut se pro jistotu zopakují",
            ],
        );
        let counts = [lanes.new, lanes.update, lanes.backlog, lanes.resend, lanes.again];
        let mut facts: Vec<(&str, String)> = names
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(name, n)| (name, thousands(n)))
            .collect();
        if health.failing > 0 {
            facts.push((
                self.pick("Last attempt failed", "Poslední pokus se nezdařil"),
                thousands(health.failing),
            ));
        }
        if let Some(oldest) = health.oldest_waiting {
            let text = format!("{} ({})", self.moment(oldest), self.ago(oldest, health.at));
            facts.push((
                self.pick("The oldest never sent", "Nejstarší ještě neodeslaná"),
                text,
            ));
        }
        if let Some(estimate) = health.estimate {
            let text = length(estimate.as_secs().max(1));
            facts.push((self.pick("Done in about", "Hotovo asi za"), text));
        }
        self.facts(&facts);
    }

    fn passes(&mut self, health: &Health) {
        self.heading(self.pick("Last good passes", "Poslední dobré průchody"));
        let names = self.pick(
            [
                "Read from the shop",
                "Sent to Brani",
                "Read from Brani",
                "Everything compared",
            ],
            [
                "Přečteno z e-shopu",
                "Odesláno do Brani",
                "Přečteno z Brani",
                "Vše porovnáno",
            ],
        );
        let moments = [
            health.last_poll,
            health.last_sent,
            health.last_drain,
            health.last_sweep,
        ];
        let drains = self.desk.state.expected.drain.is_some();
        let mut facts = Vec::new();
        for (at, (name, last)) in names.into_iter().zip(moments).enumerate() {
            let text = match last {
                Some(last) => format!("{} ({})", self.moment(last), self.ago(last, health.at)),
                // Without webhooks nothing is read from Brani.
                None if at == 2 && !drains => continue,
                None => self.pick("not yet", "zatím ne").to_owned(),
            };
            facts.push((name, text));
        }
        self.facts(&facts);
    }

    fn day(&mut self, health: &Health) {
        self.heading(self.pick("The last 24 hours", "Posledních 24 hodin"));
        let words = self.pick(
            plot::Words {
                title: "Orders and packing results by the hour",
                sent: "orders sent",
                applied: "results written into the shop",
            },
            plot::Words {
                title: "Objednávky a výsledky balení po hodinách",
                sent: "odeslané objednávky",
                applied: "výsledky zapsané do e-shopu",
            },
        );
        plot::draw(&mut self.out, &health.today, &self.desk.state.rules.zone, &words);
    }

    fn events(&mut self, health: &Health) {
        let names = [
            ("new", "wait to be written", "čekají na zápis"),
            ("applied", "written into the shop", "zapsáno v e-shopu"),
            ("stuck", "stuck", "uvázlo"),
            (
                "unmatched",
                "the shop has no such order",
                "e-shop takovou objednávku nemá",
            ),
            (
                "unmapped",
                "a status without a value in the shop",
                "stav bez hodnoty v e-shopu",
            ),
            ("protected", "the shop's status was kept", "stav e-shopu zůstal"),
            ("superseded", "a newer word counted", "platilo novější"),
            ("echo", "our own changes", "naše vlastní změny"),
            ("skipped", "dropped by a person", "zahozeno člověkem"),
            ("seen", "nothing was to be written", "nebylo co zapsat"),
        ];
        let facts: Vec<(&str, String)> = names
            .into_iter()
            .filter_map(|(state, en, cs)| {
                let count = health.events.get(state).copied().filter(|count| *count > 0)?;
                Some((self.pick(en, cs), thousands(count)))
            })
            .collect();
        if facts.is_empty() {
            return;
        }
        self.heading(self.pick("Brani's events", "Události z Brani"));
        self.facts(&facts);
    }
}
