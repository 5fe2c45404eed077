//! The mapping's words in Czech. It speaks English, and the ledger keeps what it said; a text that is not listed here
//! is told in English. A test keeps the list from going stale.

const RULES: &[(&str, &str)] = &[
    ("is longer than 64 KiB", "je delší než 64 KiB"),
    ("is not a decimal number", "není desetinné číslo"),
    ("is too large", "je příliš velké"),
    ("is not a whole number", "není celé číslo"),
    ("is neither true nor false", "není ano ani ne"),
    ("is not JSON", "není JSON"),
    ("is used twice in this order", "je v objednávce dvakrát"),
    (
        "is empty, and so are the code and the id",
        "je prázdné, a kód i id také",
    ),
    ("is negative", "je záporné"),
    ("is no type of item", "není druh položky"),
    ("is missing", "chybí"),
    ("is not above zero", "není větší než nula"),
    ("is not a JSON object", "není objekt JSON"),
    ("is not a list of surcharges", "není seznam příplatků"),
    ("is empty", "je prázdné"),
    ("is longer than 255 bytes", "je delší než 255 bajtů"),
    ("contains control characters", "obsahuje řídicí znaky"),
    ("is not a date and time", "není datum a čas"),
    ("is no way of paying", "není způsob platby"),
    ("is neither a GUID nor a number", "není GUID ani číslo"),
    ("is not a currency code", "není kód měny"),
    ("is no country", "není země"),
];

const HINTS: &[(&str, &str)] = &[
    ("give 1 or 0", "uveďte 1 nebo 0"),
    (
        "give kilograms with a dot and no unit",
        "uveďte kilogramy s desetinnou tečkou a bez jednotky",
    ),
    (
        "give a plain number with a dot, without spaces and currency",
        "uveďte prosté číslo s desetinnou tečkou, bez mezer a měny",
    ),
    ("give the line a name or a code", "dejte řádku název nebo kód"),
    (
        "give per cent as a plain number, e.g. 21",
        "uveďte procenta jako prosté číslo, např. 21",
    ),
    (
        "give how many pieces, a number above zero",
        "uveďte počet kusů, číslo větší než nula",
    ),
    (
        "give kilograms, not grams (divide by 1000 in the query), or raise `shop.max_weight`",
        "uveďte kilogramy, ne gramy (v dotazu vydělte tisícem), nebo zvyšte `shop.max_weight`",
    ),
    (
        "give the order number as the shop shows it",
        "uveďte číslo objednávky tak, jak ho ukazuje e-shop",
    ),
    (
        "give a date and time column, text like 2025-11-03 09:15:12, or seconds of the epoch",
        "uveďte sloupec s datem a časem, text jako 2025-11-03 09:15:12, nebo sekundy od roku 1970",
    ),
    (
        "give the order's total with VAT",
        "uveďte celkovou cenu objednávky s DPH",
    ),
    (
        "leave credit notes out of the query, or give the total of what is sent",
        "vynechte z dotazu dobropisy, nebo uveďte cenu toho, co se posílá",
    ),
    (
        "give the three letters of the currency, e.g. CZK",
        "uveďte tři písmena měny, např. CZK",
    ),
    (
        "give the two letters of the country, e.g. CZ",
        "uveďte dvě písmena země, např. CZ",
    ),
    (
        "give the name of the person or the company the parcel goes to",
        "uveďte jméno člověka nebo firmy, kam zásilka jde",
    ),
    (
        "mend the field in the shop or in its query; it is tried again when its row changes and at each sweep",
        "opravte pole v e-shopu nebo v dotazu; zkusí se znovu, jakmile se řádek změní, a při každém úplném porovnání",
    ),
    (
        "ask Brani's support about this order, then `brani-sync orders retry`",
        "zeptejte se na tuto objednávku podpory Brani, pak `brani-sync orders retry`",
    ),
];

/// Texts that carry a word or a number at their end.
const BEGINNINGS: &[(&str, &str)] = &[
    ("was refused by Brani (", "odmítlo Brani ("),
    (
        "has failed for a day while others get through: ",
        "se nedaří už den, zatímco jiné projdou: ",
    ),
    ("was refused: ", "bylo odmítnuto: "),
];

fn listed(list: &[(&'static str, &'static str)], text: &str) -> Option<&'static str> {
    list.iter()
        .find(|(english, _)| *english == text)
        .map(|(_, czech)| *czech)
}

/// What is wrong with a value.
pub(super) fn rule(text: &str) -> String {
    if let Some(czech) = listed(RULES, text) {
        return czech.to_owned();
    }
    for (english, czech) in BEGINNINGS {
        if let Some(rest) = text.strip_prefix(english) {
            return format!("{czech}{rest}");
        }
    }
    if let Some(kilograms) = text
        .strip_prefix("is more than ")
        .and_then(|rest| rest.strip_suffix(" kilograms a piece"))
    {
        return format!("je víc než {kilograms} kg za kus");
    }
    if text.starts_with("is a") && text.ends_with(" that is not listed") {
        return "není v seznamu".to_owned();
    }
    text.to_owned()
}

/// What to do.
pub(super) fn hint(text: &str) -> String {
    if let Some(czech) = listed(HINTS, text) {
        return czech.to_owned();
    }
    let section = text
        .strip_prefix("add `[[eshop_info.")
        .and_then(|rest| rest.split_once("]]`"))
        .filter(|_| text.ends_with("or set `eshop_info.unknown = \"omit\"`"));
    match section {
        Some((section, _)) => format!(
            "doplňte `[[eshop_info.{section}]]` s touto hodnotou v `shop` a s názvem, nebo nastavte `eshop_info.unknown = \"omit\"`"
        ),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{BEGINNINGS, HINTS, RULES, hint, rule};

    #[test]
    fn every_listed_text_is_still_said() {
        let said = [
            include_str!("../mapping/fields.rs"),
            include_str!("../mapping/item.rs"),
            include_str!("../mapping/order.rs"),
            include_str!("../outbound/send/mark.rs"),
        ]
        .concat();
        for (english, _) in RULES.iter().chain(HINTS).chain(BEGINNINGS) {
            assert!(said.contains(english), "nobody says {english:?} any more");
        }
        for part in [
            "is more than {}",
            "that is not listed",
            "add `[[eshop_info.{section}]]`",
        ] {
            assert!(said.contains(part), "{part:?}");
        }
    }

    #[test]
    fn texts_with_a_value_keep_it_and_unknown_ones_stay() {
        assert_eq!(
            rule("is more than 100 kilograms a piece"),
            "je víc než 100 kg za kus"
        );
        assert_eq!(rule("was refused by Brani (missing)"), "odmítlo Brani (missing)");
        assert_eq!(rule("is a shipping method that is not listed"), "není v seznamu");
        assert_eq!(rule("is odd"), "is odd");
        let english = "add `[[eshop_info.payments]]` with this value as `shop`, a `method` and a name, or set `eshop_info.unknown = \"omit\"`";
        assert!(hint(english).starts_with("doplňte `[[eshop_info.payments]]` s touto"));
    }
}
