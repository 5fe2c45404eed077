//! Countries: whatever a shop calls one, to its ISO 3166-1 alpha-2 code.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Every country: its two letters and its three letters in one word.
const CODES: &str = "\
    ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW AXALA AZAZE \
    BABIH BBBRB BDBGD BEBEL BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN BOBOL BQBES BRBRA BSBHS \
    BTBTN BVBVT BWBWA BYBLR BZBLZ CACAN CCCCK CDCOD CFCAF CGCOG CHCHE CICIV CKCOK CLCHL CMCMR CNCHN \
    COCOL CRCRI CUCUB CVCPV CWCUW CXCXR CYCYP CZCZE DEDEU DJDJI DKDNK DMDMA DODOM DZDZA ECECU EEEST \
    EGEGY EHESH ERERI ESESP ETETH FIFIN FJFJI FKFLK FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF \
    GGGGY GHGHA GIGIB GLGRL GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD \
    HNHND HRHRV HTHTI HUHUN IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN ISISL ITITA JEJEY JMJAM \
    JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO LBLBN LCLCA \
    LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE MFMAF MGMDG MHMHL MKMKD \
    MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM \
    NCNCL NENER NFNFK NGNGA NINIC NLNLD NONOR NPNPL NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG \
    PHPHL PKPAK PLPOL PMSPM PNPCN PRPRI PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA \
    SASAU SBSLB SCSYC SDSDN SESWE SGSGP SHSHN SISVN SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD \
    STSTP SVSLV SXSXM SYSYR SZSWZ TCTCA TDTCD TFATF TGTGO THTHA TJTJK TKTKL TLTLS TMTKM TNTUN TOTON \
    TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY UZUZB VAVAT VCVCT VEVEN VGVGB VIVIR \
    VNVNM VUVUT WFWLF WSWSM YEYEM YTMYT ZAZAF ZMZMB ZWZWE \
";

/// What shops write in place of a code, in Czech, Slovak, English, German and each country's own words;
/// compared without case, diacritics and punctuation.
const NAMES: &[(&str, &[&str])] = &[
    (
        "AT",
        &["Rakousko", "Rakúsko", "Austria", "Österreich", "Oesterreich"],
    ),
    ("AU", &["Austrálie", "Austrália", "Australia", "Australien"]),
    (
        "BA",
        &[
            "Bosna a Hercegovina",
            "Bosnia and Herzegovina",
            "Bosnien und Herzegowina",
        ],
    ),
    (
        "BE",
        &["Belgie", "Belgicko", "Belgium", "Belgien", "Belgique", "België"],
    ),
    ("BG", &["Bulharsko", "Bulgaria", "Bulgarien"]),
    ("BR", &["Brazílie", "Brazília", "Brazil", "Brasilien"]),
    ("BY", &["Bělorusko", "Bielorusko", "Belarus"]),
    ("CA", &["Kanada", "Canada"]),
    (
        "CH",
        &[
            "Švýcarsko",
            "Švajčiarsko",
            "Switzerland",
            "Schweiz",
            "Suisse",
            "Svizzera",
        ],
    ),
    (
        "CN",
        &[
            "Čína",
            "China",
            "Čínská lidová republika",
            "Čínska ľudová republika",
        ],
    ),
    ("CY", &["Kypr", "Cyprus", "Zypern"]),
    (
        "CZ",
        &[
            "Česko",
            "Česká republika",
            "Czech Republic",
            "Czechia",
            "Tschechien",
            "Tschechische Republik",
            "Čechy",
            "ČR",
        ],
    ),
    (
        "DE",
        &[
            "Německo",
            "Nemecko",
            "Germany",
            "Deutschland",
            "Spolková republika Německo",
            "SRN",
        ],
    ),
    ("DK", &["Dánsko", "Denmark", "Dänemark", "Daenemark", "Danmark"]),
    ("EE", &["Estonsko", "Estónsko", "Estonia", "Estland", "Eesti"]),
    ("ES", &["Španělsko", "Španielsko", "Spain", "Spanien", "España"]),
    ("FI", &["Finsko", "Fínsko", "Finland", "Finnland", "Suomi"]),
    ("FR", &["Francie", "Francúzsko", "France", "Frankreich"]),
    (
        "GB",
        &[
            "UK",
            "Velká Británie",
            "Veľká Británia",
            "Great Britain",
            "United Kingdom",
            "Großbritannien",
            "Vereinigtes Königreich",
            "Spojené království",
            "Spojené kráľovstvo",
            "Anglie",
            "Anglicko",
            "England",
            "Scotland",
            "Wales",
            "United Kingdom (UK)",
        ],
    ),
    (
        "GR",
        &["EL", "Řecko", "Grécko", "Greece", "Griechenland", "Hellas"],
    ),
    ("HK", &["Hongkong", "Hong Kong"]),
    (
        "HR",
        &["Chorvatsko", "Chorvátsko", "Croatia", "Kroatien", "Hrvatska"],
    ),
    ("HU", &["Maďarsko", "Hungary", "Ungarn", "Magyarország"]),
    ("IE", &["Irsko", "Írsko", "Ireland", "Irland", "Éire"]),
    ("IL", &["Izrael", "Israel"]),
    ("IN", &["Indie", "India", "Indien"]),
    ("IS", &["Island", "Iceland", "Ísland"]),
    ("IT", &["Itálie", "Taliansko", "Italy", "Italien", "Italia"]),
    ("JP", &["Japonsko", "Japan"]),
    ("KR", &["Jižní Korea", "Južná Kórea", "South Korea", "Südkorea"]),
    ("LI", &["Lichtenštejnsko", "Liechtenstein"]),
    ("LT", &["Litva", "Lithuania", "Litauen", "Lietuva"]),
    ("LU", &["Lucembursko", "Luxembursko", "Luxembourg", "Luxemburg"]),
    ("LV", &["Lotyšsko", "Latvia", "Lettland", "Latvija"]),
    ("MC", &["Monako", "Monaco"]),
    ("MD", &["Moldavsko", "Moldova", "Moldawien"]),
    ("ME", &["Černá Hora", "Čierna Hora", "Montenegro"]),
    (
        "MK",
        &[
            "Severní Makedonie",
            "Severné Macedónsko",
            "North Macedonia",
            "Nordmazedonien",
            "Makedonie",
        ],
    ),
    ("MT", &["Malta"]),
    ("MX", &["Mexiko", "Mexico"]),
    (
        "NL",
        &[
            "Nizozemsko",
            "Nizozemí",
            "Holandsko",
            "Netherlands",
            "The Netherlands",
            "Niederlande",
            "Nederland",
            "Holland",
        ],
    ),
    ("NO", &["Norsko", "Nórsko", "Norway", "Norwegen", "Norge"]),
    ("NZ", &["Nový Zéland", "New Zealand", "Neuseeland"]),
    ("PL", &["Polsko", "Poľsko", "Poland", "Polen", "Polska"]),
    ("PT", &["Portugalsko", "Portugal"]),
    ("RO", &["Rumunsko", "Romania", "Rumänien", "Rumaenien", "România"]),
    ("RS", &["Srbsko", "Serbia", "Serbien"]),
    (
        "RU",
        &["Rusko", "Russia", "Russian Federation", "Russland", "Rußland"],
    ),
    ("SE", &["Švédsko", "Sweden", "Schweden", "Sverige"]),
    ("SG", &["Singapur", "Singapore"]),
    ("SI", &["Slovinsko", "Slovenia", "Slowenien", "Slovenija"]),
    (
        "SK",
        &[
            "Slovensko",
            "Slovenská republika",
            "Slovakia",
            "Slovak Republic",
            "Slowakei",
            "Slowakische Republik",
            "SR",
        ],
    ),
    ("TH", &["Thajsko", "Thailand"]),
    ("TR", &["Turecko", "Turkey", "Türkiye", "Türkei", "Tuerkei"]),
    ("TW", &["Tchaj-wan", "Taiwan"]),
    ("UA", &["Ukrajina", "Ukraine"]),
    (
        "US",
        &[
            "USA",
            "Spojené státy",
            "Spojené státy americké",
            "Spojené štáty",
            "Spojené štáty americké",
            "United States",
            "United States of America",
            "United States (US)",
            "Vereinigte Staaten",
            "Vereinigte Staaten von Amerika",
        ],
    ),
    ("VN", &["Vietnam"]),
    (
        "ZA",
        &[
            "Jihoafrická republika",
            "Južná Afrika",
            "South Africa",
            "Südafrika",
        ],
    ),
];

/// The names as they are compared, folded once.
static FOLDED_NAMES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let both = NAMES
        .iter()
        .flat_map(|(code, names)| names.iter().map(|name| (folded(name), *code)));
    both.collect()
});

/// The code of a country, whatever it is called; `None` where nobody is meant by that name.
pub(crate) fn code(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.len() == 2 || text.len() == 3 {
        let upper = text.to_ascii_uppercase();
        let found = CODES.split_ascii_whitespace().find(|both| match upper.len() {
            2 => both[..2] == upper,
            _ => both[2..] == upper,
        });
        if let Some(both) = found {
            return Some(&both[..2]);
        }
    }
    let wanted = folded(text);
    if wanted.is_empty() {
        return None;
    }
    FOLDED_NAMES.get(wanted.as_str()).copied()
}

/// Letters and digits only, lower case, without diacritics.
pub(crate) fn folded(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        match unaccented(letter) {
            Some(base) => plain.push_str(base),
            None if letter.is_alphanumeric() => plain.push(letter),
            None => {}
        }
    }
    plain
}

fn unaccented(letter: char) -> Option<&'static str> {
    Some(match letter {
        'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' | 'ą' | 'ă' => "a",
        'č' | 'ć' | 'ç' => "c",
        'ď' | 'đ' => "d",
        'é' | 'è' | 'ê' | 'ë' | 'ě' | 'ę' => "e",
        'í' | 'ì' | 'î' | 'ï' => "i",
        'ľ' | 'ĺ' | 'ł' => "l",
        'ň' | 'ñ' | 'ń' => "n",
        'ó' | 'ò' | 'ô' | 'ö' | 'õ' | 'ő' | 'ø' => "o",
        'ř' | 'ŕ' => "r",
        'š' | 'ś' | 'ș' | 'ş' => "s",
        'ß' => "ss",
        'ť' | 'ț' | 'ţ' => "t",
        'ú' | 'ù' | 'û' | 'ü' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ž' | 'ź' | 'ż' => "z",
        'æ' => "ae",
        'œ' => "oe",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_country_is_listed_once() {
        let all: Vec<&str> = CODES.split_ascii_whitespace().collect();
        assert_eq!(all.len(), 249);
        let two: std::collections::BTreeSet<&str> = all.iter().map(|both| &both[..2]).collect();
        let three: std::collections::BTreeSet<&str> = all.iter().map(|both| &both[2..]).collect();
        assert_eq!((two.len(), three.len()), (249, 249));
        assert!(all.iter().all(|both| both.len() == 5));
        assert!(NAMES.iter().all(|(code, _)| two.contains(code)));
    }

    #[test]
    fn no_name_means_two_countries() {
        let mut seen = std::collections::BTreeMap::new();
        for (code, names) in NAMES {
            for name in *names {
                assert_eq!(*seen.entry(folded(name)).or_insert(*code), *code, "{name}");
            }
        }
    }

    #[test]
    fn what_shops_write_becomes_a_code() {
        for (given, expected) in [
            ("CZ", "CZ"),
            ("cz", "CZ"),
            (" sk ", "SK"),
            ("CZE", "CZ"),
            ("deu", "DE"),
            ("Česká republika", "CZ"),
            ("Ceska republika", "CZ"),
            ("ČESKÁ REPUBLIKA", "CZ"),
            ("Česko", "CZ"),
            ("Czech Republic", "CZ"),
            ("Slovensko", "SK"),
            ("Slovenská republika", "SK"),
            ("Deutschland", "DE"),
            ("Německo", "DE"),
            ("Rakousko", "AT"),
            ("Österreich", "AT"),
            ("Oesterreich", "AT"),
            ("Polsko", "PL"),
            ("Maďarsko", "HU"),
            ("UK", "GB"),
            ("EL", "GR"),
            ("USA", "US"),
            ("Großbritannien", "GB"),
            ("Grossbritannien", "GB"),
            ("United States (US)", "US"),
            ("Švýcarsko", "CH"),
            ("Türkiye", "TR"),
            ("Čína", "CN"),
        ] {
            assert_eq!(code(given), Some(expected), "{given}");
        }
    }

    #[test]
    fn what_is_no_country_is_unknown() {
        for given in ["", " ", "XX", "ZZZ", "Atlantida", "C", "42", "中", "é", "🇨🇿"] {
            assert_eq!(code(given), None, "{given}");
        }
    }

    /// A name as a careless shop writes it: other case, no diacritics, other punctuation, each as the dice say.
    fn careless(name: &str, dice: &[u8]) -> String {
        let mut dice = dice.iter().copied().cycle();
        let mut throw = || dice.next().unwrap_or(0);
        let mut out = String::from(["", " ", "\t", "\u{a0}"][usize::from(throw() % 4)]);
        for letter in name.chars() {
            let lower = || letter.to_lowercase().collect::<String>();
            match throw() % 6 {
                0 => out.extend(letter.to_uppercase()),
                1 => out += &lower(),
                2 => {
                    out += &lower()
                        .chars()
                        .map(|c| unaccented(c).map_or(c.to_string(), str::to_owned))
                        .collect::<String>()
                }
                3 if !letter.is_alphanumeric() => {
                    out.push_str(["", ".", " - ", "  "][usize::from(throw() % 4)])
                }
                4 => {
                    out.push(letter);
                    out.push_str(["", ".", "'", "-"][usize::from(throw() % 4)]);
                }
                _ => out.push(letter),
            }
        }
        out + ["", " ", "."][usize::from(throw() % 3)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn a_country_is_known_however_carelessly_it_is_written(
            which in any::<proptest::sample::Index>(),
            dice in proptest::collection::vec(any::<u8>(), 64),
        ) {
            let all: Vec<(&str, &str)> = NAMES
                .iter()
                .flat_map(|(code, names)| names.iter().map(|name| (*code, *name)))
                .collect();
            let (wanted, name) = *which.get(&all);
            let written = careless(name, &dice);
            // Two or three letters may be somebody's code.
            prop_assume!(name.len() > 3);
            prop_assert_eq!(code(&written), Some(wanted), "{:?}", written);
        }

        #[test]
        fn codes_mean_themselves_in_any_case(which in any::<proptest::sample::Index>(), up in any::<[bool; 3]>()) {
            let all: Vec<&str> = CODES.split_ascii_whitespace().collect();
            let both = *which.get(&all);
            let cased = |text: &str| -> String {
                text.chars().zip(up).map(|(c, up)| if up { c } else { c.to_ascii_lowercase() }).collect()
            };
            prop_assert_eq!(code(&cased(&both[..2])), Some(&both[..2]));
            prop_assert_eq!(code(&format!(" {}\n", cased(&both[2..]))), Some(&both[..2]));
        }

        #[test]
        fn any_text_is_a_listed_country_or_none(text in any::<String>(), short in "\\PC{0,3}") {
            for text in [text, short] {
                let found = code(&text);
                prop_assert!(found.is_none_or(|found| CODES.split_ascii_whitespace().any(|both| both[..2] == *found)));
            }
        }
    }
}
