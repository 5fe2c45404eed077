//! The words of an explanation, English and Czech.
//!
//! Sections of lines without mark-up; who shows them escapes them.

use super::plain::{distance, moment, pick, problem, short, whose};
use super::{Beside, Explanation, Live, Picked, Story, Told};
use crate::config::Language;
use crate::ledger::extras;
use crate::ledger::orders::{ParkedBy, State};
use crate::mapping::extras::Kind;
use jiff::Timestamp;

/// Lines under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// Sentences.
    pub lines: Vec<String>,
}

impl Explanation {
    /// The story under headings. Empty sections are left out.
    pub fn sections(&self, language: Language) -> Vec<Section> {
        let words = Words { told: self, language };
        let sections = [
            Section {
                title: pick(language, "Where it stands", "Jak na tom je"),
                lines: words.standing(),
            },
            Section {
                title: pick(language, "What to mend", "Co opravit"),
                lines: words.problems(),
            },
            Section {
                title: pick(language, "In the shop now", "Teď v e-shopu"),
                lines: words.live(),
            },
            Section {
                title: pick(language, "Sending", "Odesílání"),
                lines: words.sending(),
            },
            Section {
                title: pick(language, "Its status on both sides", "Stav na obou stranách"),
                lines: words.status(),
            },
            Section {
                title: pick(language, "Beside the order", "Vedle objednávky"),
                lines: words.beside(),
            },
            Section {
                title: pick(language, "Picked", "Vychystáno"),
                lines: words.picked(),
            },
            Section {
                title: pick(language, "Whose code it is", "Čí je to číslo"),
                lines: words.claims(),
            },
            Section {
                title: pick(language, "What Brani said", "Co hlásilo Brani"),
                lines: words.events(),
            },
        ];
        sections
            .into_iter()
            .filter(|section| !section.lines.is_empty())
            .collect()
    }

    /// The story as text for a terminal.
    pub fn text(&self, language: Language) -> String {
        let mut text = String::new();
        for section in self.sections(language) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(section.title);
            text.push('\n');
            for line in section.lines {
                text.push_str("  ");
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

struct Words<'a> {
    told: &'a Explanation,
    language: Language,
}

impl Words<'_> {
    fn pick<T>(&self, en: T, cs: T) -> T {
        pick(self.language, en, cs)
    }

    fn when(&self, at: Timestamp) -> String {
        let moment = moment(at, &self.told.zone, self.language);
        format!("{moment} ({})", distance(at, self.told.at, self.language))
    }

    /// When something is tried next: a moment, or at once.
    fn soon(&self, at: Option<Timestamp>) -> String {
        match at.filter(|at| *at > self.told.at) {
            Some(at) => self.when(at),
            None => self.pick("at once", "hned").to_owned(),
        }
    }

    fn standing(&self) -> Vec<String> {
        let code = short(self.told.code.as_str());
        let Some(order) = &self.told.order else {
            return self.unknown(&code);
        };
        let mut lines = vec![match (order.state, order.at_brani) {
            (State::Waiting, false) => self.pick(
                format!("Order `{code}` waits to be sent to Brani for the first time."),
                format!("Objednávka `{code}` čeká na první odeslání do Brani."),
            ),
            (State::Waiting, true) => self.pick(
                format!("Brani has order `{code}`; something newer about it waits to be sent."),
                format!("Objednávku `{code}` Brani má; čeká na odeslání něco novějšího."),
            ),
            (State::Sent, _) => self.pick(
                format!("Brani has order `{code}` as it was last read in the shop."),
                format!("Brani má objednávku `{code}` tak, jak byla naposledy přečtena v e-shopu."),
            ),
            (State::Parked, false) => self.pick(
                format!("Order `{code}` is parked: it is not sent until it is mended."),
                format!("Objednávka `{code}` je odstavená: neodešle se, dokud se neopraví."),
            ),
            (State::Parked, true) => self.pick(
                format!("Order `{code}` is parked, and Brani has an older version: the packer would pack that one."),
                format!("Objednávka `{code}` je odstavená a Brani má její starší podobu: balič by zabalil tu."),
            ),
            (State::Deleted, _) => self.pick(
                format!("Order `{code}` was deleted at Brani. It is sent again if it comes back in the shop."),
                format!("Objednávka `{code}` byla v Brani smazána. Vrátí-li se v e-shopu, odešle se znovu."),
            ),
        }];
        if order.parked_by == Some(ParkedBy::Person) {
            lines.push(self.pick(
                "A person said to leave it alone; `brani-sync orders retry` takes that back.".to_owned(),
                "Odložil ji člověk; `brani-sync orders retry` to vrátí.".to_owned(),
            ));
        }
        self.leaving(order, &mut lines);
        lines
    }

    fn unknown(&self, code: &str) -> Vec<String> {
        if self.told.forgotten {
            return vec![self.pick(
                format!("Order `{code}` was forgotten because a person asked for it; it is not sent again."),
                format!("Objednávka `{code}` byla na přání člověka zapomenuta; znovu se neodešle."),
            )];
        }
        let mut lines = vec![self.pick(
            format!("Nothing is known of order `{code}`: it was not sent to Brani and does not wait."),
            format!("O objednávce `{code}` není nic známo: do Brani neodešla a nečeká."),
        )];
        // A look into the shop says which of these it is.
        if self.told.live.as_ref().is_none_or(|live| live.in_shop.is_none()) {
            lines.push(self.pick(
                "It may not be in the shop, have no items yet, have changed just now, or be in a status that is not in `send_when`.".to_owned(),
                "Možná v e-shopu není, ještě nemá položky, právě se změnila, nebo je ve stavu, který není v `send_when`.".to_owned(),
            ));
            if let Some(history) = self.told.history {
                let history = moment(history, &self.told.zone, self.language);
                lines.push(self.pick(
                    format!("Orders created before {history} are never sent first."),
                    format!("Objednávky založené před {history} se poprvé neodesílají."),
                ));
            }
        }
        lines
    }

    /// What is known of its end.
    fn leaving(&self, order: &Story, lines: &mut Vec<String>) {
        if order.row_gone {
            lines.push(self.pick(
                "The shop says that it is withdrawn.".to_owned(),
                "E-shop říká, že je stažená (v koši).".to_owned(),
            ));
        }
        if let Some(since) = order.missing_since {
            let since = self.when(since);
            lines.push(self.pick(
                format!("Its row has been missing in the shop since {since}."),
                format!("Její řádek v e-shopu chybí od {since}."),
            ));
        }
        if order.delete_wanted && order.state == State::Deleted {
            lines.push(self.pick(
                "A request for it was not answered and may land late: it is deleted at Brani once more.".to_owned(),
                "Jeden požadavek zůstal bez odpovědi a může dorazit pozdě: v Brani bude smazána ještě jednou.".to_owned(),
            ));
        } else if order.delete_wanted {
            lines.push(self.pick(
                "It is about to be deleted at Brani.".to_owned(),
                "Bude v Brani smazána.".to_owned(),
            ));
        }
    }

    fn problems(&self) -> Vec<String> {
        let Some(order) = &self.told.order else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for found in &order.problems {
            let (what, hint) = problem(found, self.language);
            lines.push(what);
            let owner = whose(found.owner.into(), self.language);
            lines.push(format!("→ {owner}: {hint}"));
        }
        lines
    }

    fn live(&self) -> Vec<String> {
        let Some(Live {
            in_shop,
            why_not_sent,
            differing_fields,
        }) = &self.told.live
        else {
            return Vec::new();
        };
        let mut lines = vec![
            match in_shop {
                Some(true) => self.pick("The order is in the shop.", "Objednávka v e-shopu je."),
                Some(false) => self.pick("The order is not in the shop.", "Objednávka v e-shopu není."),
                None => self.pick("The shop could not be asked.", "E-shopu se nešlo zeptat."),
            }
            .to_owned(),
        ];
        if let Some(why) = why_not_sent {
            let why = short(why);
            lines.push(self.pick(format!("It is not sent: {why}"), format!("Neodesílá se: {why}")));
        }
        if !differing_fields.is_empty() {
            let mut fields: Vec<String> = differing_fields
                .iter()
                .take(40)
                .map(|field| format!("`{}`", short(field)))
                .collect();
            if differing_fields.len() > fields.len() {
                fields.push("…".to_owned());
            }
            let fields = fields.join(", ");
            lines.push(self.pick(
                format!("Fields that differ from what Brani has: {fields}."),
                format!("Pole, která se liší od toho, co má Brani: {fields}."),
            ));
        }
        lines
    }

    fn sending(&self) -> Vec<String> {
        let Some(order) = &self.told.order else {
            return Vec::new();
        };
        let (created, key) = (self.when(order.created), short(order.key.as_str()));
        let mut lines = vec![self.pick(
            format!("Created {created}; its id in the shop is `{key}`."),
            format!("Založena {created}; v e-shopu má id `{key}`."),
        )];
        if let Some(at) = order.sent_at {
            let at = self.when(at);
            lines.push(self.pick(format!("Last sent {at}."), format!("Naposledy odeslána {at}.")));
        }
        if let Some(answer) = &order.answer {
            let answer = short(answer);
            lines.push(self.pick(
                format!("Last answer: {answer}."),
                format!("Poslední odpověď: {answer}."),
            ));
        }
        if order.attempts > 0 {
            let attempts = order.attempts;
            let since = order.failing_since.map(|at| self.when(at));
            let since = match since {
                Some(since) => self.pick(format!(", since {since}"), format!(", od {since}")),
                None => String::new(),
            };
            lines.push(self.pick(
                format!("Failed attempts in a row: {attempts}{since}."),
                format!("Nezdařené pokusy po sobě: {attempts}{since}."),
            ));
        }
        if order.unanswered {
            lines.push(self.pick(
                "A request went unanswered and may still arrive; the order is sent once more after its next success.".to_owned(),
                "Jeden požadavek zůstal bez odpovědi a ještě může dorazit; po dalším úspěchu se objednávka pošle ještě jednou.".to_owned(),
            ));
        }
        if let Some(next) = order.next_attempt {
            lines.push(self.next(order, next));
        }
        lines
    }

    fn next(&self, order: &Story, next: Timestamp) -> String {
        let lane = match order.lane {
            "new" => self.pick("new orders, which go first", "nové objednávky, ty jdou první"),
            "update" => self.pick("changes", "změny"),
            "resend" => self.pick(
                "orders sent again because a mapping changed; when there are many, they wait for `brani-sync orders resend --yes`",
                "objednávky posílané znovu kvůli změně převodu; je-li jich mnoho, čekají na `brani-sync orders resend --yes`",
            ),
            _ => self.pick("older orders, newest first", "starší objednávky, od nejnovější"),
        };
        if next > self.told.at {
            let next = self.when(next);
            self.pick(
                format!("Next attempt {next}, among {lane}."),
                format!("Další pokus {next}; fronta: {lane}."),
            )
        } else {
            self.pick(
                format!("Next attempt: as soon as its turn comes, among {lane}."),
                format!("Další pokus: jakmile přijde na řadu; fronta: {lane}."),
            )
        }
    }

    fn status(&self) -> Vec<String> {
        let Some(order) = &self.told.order else {
            return Vec::new();
        };
        let none = self.pick("none", "žádný");
        let quoted =
            |text: Option<&str>| text.map_or_else(|| none.to_owned(), |text| format!("`{}`", short(text)));
        let mut lines = Vec::new();
        let row = quoted(order.row_status.as_ref().map(|status| status.as_str()));
        lines.push(self.pick(
            format!("In the shop, as last read: {row}."),
            format!("V e-shopu naposledy přečteno: {row}."),
        ));
        if order.at_brani {
            let shop = quoted(order.shop_status.as_ref().map(|status| status.as_str()));
            let brani = order
                .brani_status
                .map_or_else(|| none.to_owned(), |id| format!("`{id}`"));
            lines.push(self.pick(
                format!("Last agreed: {shop} in the shop, {brani} at Brani."),
                format!("Naposledy shoda: {shop} v e-shopu, {brani} v Brani."),
            ));
        }
        if let Some(writing) = &order.writing {
            let writing = short(writing.as_str());
            lines.push(self.pick(
                format!("`{writing}` is being written into the shop."),
                format!("Do e-shopu se zapisuje `{writing}`."),
            ));
        }
        if order.owed {
            lines.push(self.pick(
                "Brani must hear its own status again.".to_owned(),
                "Brani má znovu slyšet svůj vlastní stav.".to_owned(),
            ));
        }
        if order.unconfirmed {
            lines.push(self.pick(
                "Brani's events have not been read since the last request.".to_owned(),
                "Od posledního požadavku se události Brani ještě nečetly.".to_owned(),
            ));
        }
        lines
    }

    fn beside(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for extra in &self.told.extras {
            let kind = self.extra_kind(extra.kind);
            lines.push(format!("{kind}: {}", self.extra_state(extra)));
            if let Some(found) = &extra.problem {
                let (what, hint) = problem(found, self.language);
                let owner = whose(found.owner.into(), self.language);
                lines.push(what);
                lines.push(format!("→ {owner}: {hint}"));
            }
            if let Some(note) = &extra.note {
                let note = short(note);
                lines.push(if extra.attempts > 0 {
                    self.pick(
                        format!("last answer: {note}"),
                        format!("poslední odpověď: {note}"),
                    )
                } else {
                    self.pick(
                        format!("Brani remarks: {note}"),
                        format!("Brani podotýká: {note}"),
                    )
                });
            }
        }
        lines
    }

    fn extra_kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Priority => self.pick("priority", "priorita"),
            Kind::Ordering => self.pick("ordering", "pořadí"),
            Kind::Tags => self.pick("tags", "štítky"),
            Kind::Customs => self.pick("customs", "celní údaje"),
            Kind::Attributes => self.pick("carrier attributes", "atributy dopravce"),
            Kind::Invoice => self.pick("invoice", "faktura"),
            Kind::Remark => self.pick("remark", "poznámka e-shopu"),
            Kind::Tracking => self.pick("parcel", "zásilka"),
        }
    }

    fn extra_state(&self, extra: &Beside) -> String {
        if extra.kind == Kind::Tracking {
            return self.parcel(extra);
        }
        let done = extra.done.map(|at| self.when(at)).unwrap_or_default();
        match extra.state {
            extras::State::Sent if extra.kind == Kind::Invoice && !extra.at_brani => {
                self.pick("none is wanted", "žádná není potřeba").to_owned()
            }
            extras::State::Sent => self.pick(
                format!("Brani has it since {done}"),
                format!("Brani to má od {done}"),
            ),
            extras::State::Missing => match extra.next {
                Some(next) => {
                    let next = self.soon(Some(next));
                    self.pick(
                        format!("not there yet; looked for again {next}"),
                        format!("zatím není k nalezení; hledá se znovu {next}"),
                    )
                }
                None => self
                    .pick(
                        "it never appeared, and is no longer looked for",
                        "neobjevila se a už se nehledá",
                    )
                    .to_owned(),
            },
            extras::State::Parked => self
                .pick(
                    "parked; the order itself goes on",
                    "odstaveno; samotná objednávka běží dál",
                )
                .to_owned(),
            extras::State::Waiting if extra.attempts > 0 => {
                let (attempts, next) = (extra.attempts, self.soon(extra.next));
                self.pick(
                    format!("{attempts} attempts failed, next {next}"),
                    format!("nezdařené pokusy: {attempts}, další {next}"),
                )
            }
            extras::State::Waiting => self
                .pick(
                    "waits to be told to Brani, after the order",
                    "čeká na odeslání do Brani, po objednávce",
                )
                .to_owned(),
        }
    }

    fn parcel(&self, extra: &Beside) -> String {
        let state = match &extra.parcel {
            None => self
                .pick("nothing is known yet", "zatím není nic známo")
                .to_owned(),
            Some(parcel) => {
                let word = match parcel.state.as_str() {
                    "-1" => self.pick("ordered", "objednána"),
                    "0.1" => self.pick("held up by the carrier", "potíž na straně dopravce"),
                    "0.2" => self.pick("held up by the recipient", "potíž na straně příjemce"),
                    "0.3" => self.pick("held up by the sender", "potíž na straně odesílatele"),
                    "1.1" => self.pick("picked up", "vyzvednuta"),
                    "1.2" => self.pick("delivered", "doručena"),
                    "2.1" => self.pick("collected from the sender", "převzata od odesílatele"),
                    "2.2" => self.pick("in transit", "na cestě"),
                    "2.3" => self.pick("ready for pickup", "připravena k vyzvednutí"),
                    "2.4" => self.pick("returning", "vrací se"),
                    "2.5" => self.pick("with the last-mile carrier", "u koncového dopravce"),
                    "3.1" => self.pick("cancelled by the carrier", "zrušena dopravcem"),
                    "3.2" => self.pick("cancelled by the recipient", "zrušena příjemcem"),
                    "3.3" => self.pick("cancelled by the sender", "zrušena odesílatelem"),
                    "4" => self.pick("returned", "vrácena"),
                    "5" => self.pick("cash on delivery credited", "dobírka připsána"),
                    _ => self.pick("in a state without a name here", "ve stavu, který tu nemá jméno"),
                };
                format!(
                    "{word} ({}, {}, {})",
                    short(&parcel.name),
                    short(&parcel.state),
                    short(&parcel.at)
                )
            }
        };
        match (extra.state, extra.next) {
            (extras::State::Sent, _) => state,
            (_, Some(next)) => {
                let next = self.soon(Some(next));
                self.pick(
                    format!("{state}; asked again {next}"),
                    format!("{state}; další dotaz {next}"),
                )
            }
            (_, None) => self.pick(
                format!("{state}; not asked for any more"),
                format!("{state}; už se nezjišťuje"),
            ),
        }
    }

    /// The contract does not say what an item holds: what is no list is told as it is named.
    fn picked(&self) -> Vec<String> {
        match &self.told.picked {
            None => Vec::new(),
            Some(Picked::Unknown(why)) => {
                let why = short(why);
                vec![self.pick(
                    format!("Brani could not be asked: {why}"),
                    format!("Brani se nešlo zeptat: {why}"),
                )]
            }
            Some(Picked::Items(items)) if items.is_empty() => {
                vec![
                    self.pick("Nothing is picked yet.", "Zatím není nic vychystáno.")
                        .to_owned(),
                ]
            }
            Some(Picked::Items(items)) => items.iter().take(200).map(item).collect(),
        }
    }

    fn claims(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for claim in &self.told.claims {
            let (key, created) = (short(claim.key.as_str()), self.when(claim.created));
            lines.push(self.pick(
                format!("Another order of the shop, with id `{key}`, created {created}, claims this code and is not sent."),
                format!("Toto číslo si nárokuje i jiná objednávka e-shopu, id `{key}`, založená {created}; ta se neodesílá."),
            ));
        }
        if !lines.is_empty() {
            lines.push(self.pick(
                "→ give one of them another code, or let the newcomer have it with `brani-sync orders adopt`".to_owned(),
                "→ dejte jedné z nich jiné číslo, nebo ho novější nechte příkazem `brani-sync orders adopt`".to_owned(),
            ));
        }
        lines
    }

    fn events(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.told.events_left_out > 0 {
            let count = self.told.events_left_out;
            lines.push(self.pick(
                format!("{count} earlier events are not listed."),
                format!("Starších událostí, které tu nejsou: {count}."),
            ));
        }
        lines.extend(self.told.events.iter().map(|event| self.event(event)));
        lines
    }

    fn event(&self, event: &Told) -> String {
        let at = moment(event.at, &self.told.zone, self.language);
        format!("{at} · {} — {}", self.kind(event), self.became(event))
    }

    fn kind(&self, event: &Told) -> String {
        let plain = match event.kind.as_str() {
            "status_change" => {
                let id = event.status.map_or_else(|| "?".to_owned(), |id| id.to_string());
                return self.pick(format!("status {id}"), format!("stav {id}"));
            }
            "package_number" => {
                let number = short(event.package_number.as_deref().unwrap_or("?"));
                return self.pick(
                    format!("parcel number {number}"),
                    format!("číslo zásilky {number}"),
                );
            }
            "balic_packed" => self.pick("packed", "zabaleno"),
            "balic_picked" => self.pick("picked", "vychystáno"),
            "order_history" => self.pick("a line of its history", "řádek historie"),
            "added_to_cart" => self.pick("added to a cart", "přidáno do vozíku"),
            "shipping_change" => self.pick("shipping changed", "změna dopravy"),
            "personal_pickup_stored" => self.pick("ready for pickup", "připraveno k vyzvednutí"),
            "personal_pickup_issued" => self.pick("picked up", "vyzvednuto"),
            "delivery_state" => self.pick("the parcel's state changed", "zásilka změnila stav"),
            other => return format!("`{}`", short(other)),
        };
        plain.to_owned()
    }

    fn became(&self, event: &Told) -> String {
        let reason = event
            .reason
            .as_deref()
            .map(|reason| format!(" ({})", short(reason)))
            .unwrap_or_default();
        let attempts = event.attempts;
        match event.state.as_str() {
            "new" if attempts > 0 => {
                let next = self.soon(event.next_attempt);
                self.pick(
                    format!("not written into the shop yet: {attempts} attempts failed{reason}, next {next}"),
                    format!(
                        "zatím není zapsáno v e-shopu: nezdařené pokusy {attempts}{reason}, další {next}"
                    ),
                )
            }
            "stuck" => {
                let next = self.soon(event.next_attempt);
                self.pick(
                    format!("stuck after {attempts} attempts{reason}; tried slowly, next {next}; see `brani-sync events list --stuck`"),
                    format!("uvázlo po {attempts} pokusech{reason}; zkouší se zvolna, další {next}; viz `brani-sync events list --stuck`"),
                )
            }
            "new" => self
                .pick("waits to be written into the shop", "čeká na zápis do e-shopu")
                .to_owned(),
            "applied" => self.pick("written into the shop", "zapsáno v e-shopu").to_owned(),
            "superseded" => self.pick(
                format!("not written: a newer word counts{reason}"),
                format!("nezapsáno: platí novější{reason}"),
            ),
            "echo" => self
                .pick("our own change coming back", "ozvěna naší vlastní změny")
                .to_owned(),
            "unmatched" => self
                .pick("the shop has no such order", "e-shop takovou objednávku nemá")
                .to_owned(),
            "unmapped" => self.pick(
                format!("nothing written: this status has no value in the shop{reason}"),
                format!("nic nezapsáno: tento stav nemá v e-shopu hodnotu{reason}"),
            ),
            "protected" => self.pick(
                format!("the shop's status is protected and was kept{reason}"),
                format!("stav v e-shopu je chráněný a zůstal{reason}"),
            ),
            "skipped" => self.pick("dropped by a person", "zahozeno člověkem").to_owned(),
            "seen" => self.pick(
                format!("known; nothing was to be written{reason}"),
                format!("vzato na vědomí; nebylo co zapsat{reason}"),
            ),
            other => short(other),
        }
    }
}

/// One picked item in a line: its fields by their names, lists inside in brackets.
fn item(item: &serde_json::Value) -> String {
    fn told(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| match value {
                    serde_json::Value::Object(_) | serde_json::Value::Array(_) => {
                        format!("{name} [{}]", told(value))
                    }
                    value => format!("{name} {}", told(value)),
                })
                .collect::<Vec<_>>()
                .join(", "),
            serde_json::Value::Array(list) => list.iter().map(told).collect::<Vec<_>>().join("; "),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
    short(&told(item))
}
