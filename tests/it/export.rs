//! Exports: what a merchant's file says, and what hostile and half-written files must not do.

use brani_sync::clock::{Clock, SystemClock};
use brani_sync::config::secret::Secret;
use brani_sync::config::{Cursor, Records, SourceKind};
use brani_sync::source::export::{ExportSource, Setup};
use brani_sync::source::{Known, Read, ReadEnd, Record, Source, SourceError};
use brani_sync::types::{OrderCode, RowHash};
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// A source over a URL, as a test wants it.
struct Shop {
    setup: Setup,
    _state: tempfile::TempDir,
}

const XML_MAP: &[(&str, &str)] = &[
    ("code", "{{ CODE }}"),
    ("creationTime", "{{ DATE | date }}"),
    ("_status", "{{ STATUS }}"),
    ("price.withVat", "{{ TOTAL_PRICE.WITH_VAT | money }}"),
    ("deliveryAddress.fullName", "{{ CUSTOMER.SHIPPING_ADDRESS.NAME }}"),
    ("items.code", "{{ CODE }}"),
    ("items.amount", "{{ AMOUNT | decimal }}"),
];

const CSV_MAP: &[(&str, &str)] = &[
    ("code", "{{ code }}"),
    ("price.withVat", "{{ totalPriceWithVat | money }}"),
    ("deliveryAddress.fullName", "{{ deliveryFullName }}"),
    ("items.code", "{{ orderItemCode }}"),
    ("items.name", "{{ orderItemName }}"),
];

fn shop(kind: SourceKind, url: &str, map: &[(&str, &str)]) -> Shop {
    let state = tempfile::tempdir().unwrap();
    let records = match kind {
        SourceKind::Xml => Records {
            order: Some("ORDERS/ORDER".into()),
            item: Some("ORDER_ITEMS/ITEM".into()),
            ..Records::default()
        },
        SourceKind::Csv => Records {
            group: Some("code".into()),
            ..Records::default()
        },
        _ => Records {
            item: Some("items".into()),
            ..Records::default()
        },
    };
    let map: IndexMap<String, String> = map
        .iter()
        .map(|(key, template)| ((*key).to_owned(), (*template).to_owned()))
        .collect();
    Shop {
        setup: Setup {
            kind,
            url: Secret::new(url),
            headers: Vec::new(),
            records,
            map,
            options: toml::Table::new(),
            cursor: Cursor::Auto,
            zone: TimeZone::get("Europe/Prague").unwrap(),
            shop_zone: TimeZone::get("Europe/Prague").unwrap(),
            batch: 2,
            state: state.path().to_owned(),
        },
        _state: state,
    }
}

/// An open source; its folder lives as long.
struct Open {
    source: ExportSource,
    _state: tempfile::TempDir,
}

impl std::ops::Deref for Open {
    type Target = ExportSource;
    fn deref(&self) -> &ExportSource {
        &self.source
    }
}

impl Shop {
    fn open(self) -> Open {
        self.try_open().unwrap()
    }

    fn try_open(self) -> Result<Open, SourceError> {
        Ok(Open {
            source: ExportSource::new(self.setup, Arc::new(SystemClock))?,
            _state: self._state,
        })
    }
}

/// Writes a file that looks as if nobody had touched it for a while.
fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    age(&path, 60);
    path
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file's age is told by the machine's clock"
)]
fn age(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

async fn read_since(
    source: &ExportSource,
    since: Option<jiff::Timestamp>,
) -> (Vec<Record>, Result<ReadEnd, SourceError>) {
    let (sender, mut batches) = mpsc::channel(2);
    let collect = async {
        let mut records = Vec::new();
        while let Some(batch) = batches.recv().await {
            records.extend(batch);
        }
        records
    };
    let (end, records) = tokio::join!(source.read(Read { since }, sender), collect);
    (records, end)
}

/// Knows these orders in whatever form; remembers what it was asked for.
struct Knows(Vec<&'static str>, std::sync::Mutex<Vec<(OrderCode, RowHash)>>);

impl Known for Knows {
    fn known(&self, sealed: &[(OrderCode, RowHash)]) -> Vec<bool> {
        self.1.lock().unwrap().extend_from_slice(sealed);
        sealed
            .iter()
            .map(|(code, _)| self.0.contains(&code.as_str()))
            .collect()
    }
}

/// What is handed over to somebody who knows these orders, and what he was asked.
async fn read_knowing(
    source: &ExportSource,
    known: &[&'static str],
) -> (Vec<Record>, ReadEnd, Vec<(OrderCode, RowHash)>) {
    let knows = Arc::new(Knows(known.to_vec(), std::sync::Mutex::default()));
    let (sender, mut batches) = mpsc::channel(2);
    let collect = async {
        let mut records = Vec::new();
        while let Some(batch) = batches.recv().await {
            records.extend(batch);
        }
        records
    };
    let asking = Arc::clone(&knows) as Arc<dyn Known>;
    let (end, records) = tokio::join!(source.read_unknown(Read { since: None }, asking, sender), collect);
    let asked = knows.1.lock().unwrap().clone();
    (records, end.unwrap(), asked)
}

#[tokio::test]
async fn a_known_record_is_counted_and_not_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "a.xml", xml(&["1", "2", "3"]));
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let (records, end, asked) = read_knowing(&source, &["1", "3"]).await;
    assert_eq!(codes(&records), ["2"]);
    assert_eq!(end.records, 3);
    assert_eq!(asked.len(), 3);
    assert_eq!(records[0].seal, Some(asked[1].1));
    let (all, _) = read(&source).await;
    assert_eq!(codes(&all), ["1", "2", "3"]);
    let looked_up = source.lookup(&["2".into()]).await.unwrap();
    assert_eq!(looked_up[0].seal, records[0].seal);
}

#[tokio::test]
async fn an_order_that_stands_twice_is_handed_over_twice_though_one_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "a.xml", xml(&["1", "2", "1"]));
    let (records, end, _) =
        read_knowing(&shop(SourceKind::Xml, &url(&path), XML_MAP).open(), &["1", "2"]).await;
    assert_eq!(codes(&records), ["1", "1"]);
    assert_eq!(end.records, 3);
}

#[tokio::test]
async fn any_change_of_a_record_changes_its_seal_and_a_neighbour_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let before = put(folder.path(), "a.xml", xml(&["1", "2"]));
    let (_, _, before) = read_knowing(&shop(SourceKind::Xml, &url(&before), XML_MAP).open(), &[]).await;
    for (old, new) in [
        ("1 234,50", "1 234,60"),
        ("1.500", "1.600"),
        ("<CODE/>", "<CODE>x</CODE>"),
        ("<ORDER_ID>1</ORDER_ID>", "<ORDER_ID>1</ORDER_ID><NEW/>"),
        ("<TYPE>product</TYPE>", "<TYPE x=\"1\">product</TYPE>"),
    ] {
        let changed = xml(&["1", "2"]).replacen(old, new, 1);
        let path = put(folder.path(), "b.xml", changed);
        let (_, _, after) = read_knowing(&shop(SourceKind::Xml, &url(&path), XML_MAP).open(), &[]).await;
        assert_ne!(after[0].1, before[0].1, "{new}");
        assert_eq!(after[1].1, before[1].1, "{new}");
    }
}

#[tokio::test]
async fn an_item_row_of_a_csv_changes_the_seal_of_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut seals = Vec::new();
    for amount in ["1", "2"] {
        let text = format!("code;price;itemCode;itemAmount\n1;10;A;1\n1;10;B;{amount}\n");
        let path = put(folder.path(), "a.csv", text);
        let map = [
            ("code", "{{ code }}"),
            ("items.code", "{{ itemCode }}"),
            ("items.amount", "{{ itemAmount }}"),
        ];
        let shop = shop(SourceKind::Csv, &url(&path), &map);
        let (_, _, asked) = read_knowing(&shop.open(), &[]).await;
        seals.push(asked[0].1);
    }
    assert_ne!(seals[0], seals[1]);
}

async fn read(source: &ExportSource) -> (Vec<Record>, Result<ReadEnd, SourceError>) {
    read_since(source, None).await
}

fn codes(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.code.as_str()).collect()
}

fn field(record: &Record, name: &str) -> String {
    record
        .order
        .get(name)
        .unwrap_or_else(|| panic!("no column {name}"))
        .to_text()
}

fn item(record: &Record, place: usize, name: &str) -> String {
    record.items[place].get(name).unwrap().to_text()
}

fn xml_order(code: &str) -> String {
    format!(
        "<ORDER><ORDER_ID>1</ORDER_ID><CODE>{code}</CODE><DATE>2025-11-03 09:15:12</DATE><STATUS>Nevyřízená</STATUS>\
         <CUSTOMER><SHIPPING_ADDRESS><NAME>Jana Příkladová</NAME></SHIPPING_ADDRESS></CUSTOMER>\
         <TOTAL_PRICE><WITH_VAT>1 234,50</WITH_VAT></TOTAL_PRICE>\
         <ORDER_ITEMS><ITEM><TYPE>product</TYPE><CODE>A-1</CODE><AMOUNT>1.500</AMOUNT></ITEM>\
         <ITEM><TYPE>shipping</TYPE><CODE/><AMOUNT>1</AMOUNT></ITEM></ORDER_ITEMS></ORDER>"
    )
}

fn xml(codes: &[&str]) -> String {
    let orders: String = codes.iter().map(|code| xml_order(code)).collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ORDERS>{orders}</ORDERS>\n")
}

async fn read_xml(bytes: impl AsRef<[u8]>) -> (Vec<Record>, Result<ReadEnd, SourceError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", bytes);
    read(&shop(SourceKind::Xml, &url(&path), XML_MAP).open()).await
}

#[tokio::test]
async fn orders_of_an_xml_file_come_with_their_items() {
    let (records, end) = read_xml(xml(&["2025-1", "2025-2", "2025-3"])).await;
    assert_eq!(codes(&records), ["2025-1", "2025-2", "2025-3"]);
    let end = end.unwrap();
    assert_eq!(
        (end.records, end.listed.is_some(), end.unchanged),
        (3, false, false)
    );
    let first = &records[0];
    assert_eq!(field(first, "creationTime"), "2025-11-03 09:15:12");
    assert_eq!(field(first, "price.withVat"), "1234.50");
    assert_eq!(field(first, "deliveryAddress.fullName"), "Jana Příkladová");
    assert_eq!(first.status.as_ref().unwrap().as_str(), "Nevyřízená");
    assert_eq!(first.items.len(), 2);
    assert_eq!(item(first, 0, "code"), "A-1");
    assert_eq!(item(first, 0, "amount"), "1.500");
    assert_eq!(first.order.get("_problem"), None);
}

#[tokio::test]
async fn lookup_finds_codes_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", xml(&["a", "b", "c"]));
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let found = source
        .lookup(&[OrderCode::from("c"), OrderCode::from("x"), OrderCode::from("a")])
        .await
        .unwrap();
    assert_eq!(codes(&found), ["c", "a"]);
    assert!(!source.is_live());
}

#[tokio::test]
async fn a_torn_xml_file_is_unavailable_wherever_it_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let whole = xml(&["2025-1", "2025-2", "2025-3", "2025-4", "2025-5", "2025-6"]);
    let path = folder.path().join("orders.xml");
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let end = whole.trim_end().len();
    for cut in (0..end).step_by(37).chain(end - 12..end) {
        put(folder.path(), "orders.xml", &whole.as_bytes()[..cut]);
        let (records, result) = read(&source).await;
        assert!(
            matches!(result, Err(SourceError::Unavailable { .. })),
            "cut at {cut}: {result:?}"
        );
        assert!(records.len() <= 6);
    }
}

#[tokio::test]
async fn a_byte_order_mark_and_declared_encodings_are_understood() {
    let body = xml(&["ž-1"]).replace("encoding=\"utf-8\"", "encoding=\"ENC\"");
    for (label, encoding) in [
        ("windows-1250", encoding_rs::WINDOWS_1250),
        ("ISO-8859-2", encoding_rs::ISO_8859_2),
        ("utf-8", encoding_rs::UTF_8),
    ] {
        let text = body.replace("ENC", label);
        let (bytes, _, lossy) = encoding.encode(&text);
        assert!(!lossy);
        let (records, end) = read_xml(&bytes).await;
        end.unwrap();
        assert_eq!(codes(&records), ["ž-1"], "{label}");
        assert_eq!(field(&records[0], "deliveryAddress.fullName"), "Jana Příkladová");
    }
    let marked = [b"\xef\xbb\xbf".as_slice(), xml(&["1"]).as_bytes()].concat();
    let (records, end) = read_xml(marked).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1"]);
    let wide: Vec<u8> = "\u{feff}<ORDERS><ORDER><CODE>ž</CODE></ORDER></ORDERS>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let (records, end) = read_xml(wide).await;
    end.unwrap();
    assert_eq!(codes(&records), ["ž"]);
}

#[tokio::test]
async fn a_configured_encoding_holds_where_nothing_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let text = "<ORDERS><ORDER><CODE>café</CODE></ORDER></ORDERS>";
    let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(text);
    let path = put(folder.path(), "orders.xml", &bytes);
    let mut western = shop(SourceKind::Xml, &url(&path), XML_MAP);
    western.setup.records.encoding = Some("cp1252".into());
    let (records, end) = read(&western.open()).await;
    end.unwrap();
    assert_eq!(codes(&records), ["café"]);

    let mut wrong = shop(SourceKind::Xml, &url(&path), XML_MAP);
    wrong.setup.records.encoding = Some("cestina".into());
    let error = wrong.try_open().err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("shop.source.records.encoding: `cestina`"),
        "{error}"
    );
}

#[tokio::test]
async fn bytes_that_cannot_be_decoded_spoil_their_order_only() {
    let text = xml(&["1", "2", "3"]);
    let mut bytes = text.into_bytes();
    let second = bytes.windows(14).position(|w| w == b"<CODE>2</CODE>").unwrap();
    let name = second + bytes[second..].windows(4).position(|w| w == b"Jana").unwrap();
    bytes[name] = 0xff;
    let (records, end) = read_xml(bytes).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1", "2", "3"]);
    assert!(records[0].order.get("_problem").is_none());
    assert!(
        field(&records[1], "_problem").contains("`NAME` holds bytes that are not in the file's encoding")
    );
    // an amount that is no number parks the order, and says why
    assert!(field(&records[1], "price.withVat").starts_with("unreadable in the export: "));
    assert_eq!(field(&records[2], "price.withVat"), "1234.50");
}

#[tokio::test]
async fn a_fragment_without_root_or_declaration_is_read() {
    let text = format!("{}\n{}", xml_order("1"), xml_order("2"));
    let (records, end) = read_xml(text).await;
    assert!(end.unwrap().listed.is_none());
    assert_eq!(codes(&records), ["1", "2"]);
}

#[tokio::test]
async fn names_are_compared_without_case_and_attributes_are_fields() {
    let text = "<orders><order id='7'><code>1</code><Total_Price cur='CZK'>5</Total_Price><order_items><item \
                ean='8&amp;9'><code>x</code></item></order_items></order></orders>";
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", text);
    let map = [
        ("code", "{{ CODE }}"),
        ("externalCode", "{{ order['@id'] }}"),
        ("price.withVat", "{{ TOTAL_PRICE }}"),
        ("price.currencyCode", "{{ TOTAL_PRICE['@cur'] }}"),
        ("items.ean", "{{ item['@ean'] }}"),
    ];
    let (records, end) = read(&shop(SourceKind::Xml, &url(&path), &map).open()).await;
    end.unwrap();
    assert_eq!(field(&records[0], "externalCode"), "7");
    assert_eq!(field(&records[0], "price.withVat"), "5");
    assert_eq!(field(&records[0], "price.currencyCode"), "CZK");
    assert_eq!(item(&records[0], 0, "ean"), "8&9");
}

#[tokio::test]
async fn entities_of_xml_and_cdata_are_text_and_others_are_refused() {
    let text = "<ORDERS><ORDER><CODE>a&amp;b &lt;&#382;&gt; <![CDATA[<c> & d]]></CODE></ORDER>\
                <ORDER><CODE>2</CODE><STATUS>x&nbsp;y</STATUS></ORDER><ORDER><CODE>R & B</CODE></ORDER></ORDERS>";
    let (records, end) = read_xml(text).await;
    end.unwrap();
    assert_eq!(codes(&records), ["a&b <ž> <c> & d", "2", "R & B"]);
    assert!(field(&records[1], "_problem").contains("entity"));
}

#[tokio::test]
async fn hostile_xml_is_refused_at_once() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><ORDERS><ORDER><CODE>&b;</CODE></ORDER></ORDERS>";
    let (records, end) = read_xml(laughs).await;
    assert!(records.is_empty());
    assert!(end.unwrap_err().to_string().contains("DOCTYPE"));

    let deep = format!("<ORDERS><ORDER>{}", "<a>".repeat(100_000));
    let (_, end) = read_xml(deep).await;
    assert!(end.unwrap_err().to_string().contains("nest deeper than 64"));

    let outside = format!("<ORDERS>{}", "<a>".repeat(100_000));
    let (_, end) = read_xml(outside).await;
    assert!(end.unwrap_err().to_string().contains("nest deeper than 64"));

    let endless = format!("<ORDERS><ORDER><CODE>{}", "x".repeat(40 << 20));
    let (_, end) = read_xml(endless).await;
    assert!(end.unwrap_err().to_string().contains("longer than 16 MiB"));

    let (records, end) = read_xml("<rss><channel>Novinky</channel></rss>").await;
    assert!(records.is_empty());
    let error = end.unwrap_err();
    assert!(error.to_string().contains("root element is `rss`"), "{error}");
    assert!(error.hint().unwrap().contains("ORDERS/ORDER"));
}

#[tokio::test]
async fn an_element_that_nobody_closes_is_told_as_such_and_what_stood_before_it_is_handed_over() {
    let good = xml_order("1") + &xml_order("2");
    let after: String = (4..2_000).map(|number| xml_order(&number.to_string())).collect();
    for (bad, handed) in [
        ("<ORDER><CODE>3</CODE><NOTE>volat</ORDER>", 2),
        ("<ORDER><CODE>3</CODE><NOTE>volat</NOTA></ORDER>", 2),
        ("<ORDER><CODE>3</NOTE></ORDER>", 2),
        ("<ORDER><CODE>3</CODE></ORDER></ITEM>", 3),
    ] {
        let (records, end) = read_xml(format!("<ORDERS>{good}{bad}{after}</ORDERS>")).await;
        let error = end.unwrap_err().to_string();
        assert!(
            error.contains("an element is closed that was not open"),
            "{bad}: {error}"
        );
        assert_eq!(codes(&records), ["1", "2", "3"][..handed], "{bad}");
    }
}

#[tokio::test]
async fn an_order_ends_at_its_own_closing_tag_and_not_at_what_looks_like_it() {
    let alike = [
        "<NOTE><![CDATA[an </ORDER> in a note]]></NOTE>",
        "<!-- </ORDER> -->",
        "<?note </ORDER> ?>",
        "<LINKED><ORDER><CODE>other</CODE></ORDER></LINKED>",
        "<LINKED><ORDER note=\"a &gt; b\"/></LINKED>",
        "<ORDERS></ORDERS>",
        "<NOTE>&lt;/ORDER&gt;</NOTE>",
    ];
    for within in alike {
        let order = |code: &str| {
            let order = xml_order(code);
            let (before, after) = order.split_at(order.find("<ORDER_ITEMS>").unwrap());
            format!("{before}{within}{}", after.replace("</ORDER>", "</ORDER >"))
        };
        let text = format!("<ORDERS>{}{}</ORDERS>", order("1"), order("2"));
        let (records, end) = read_xml(text).await;
        assert_eq!(end.unwrap().records, 2, "{within}");
        assert_eq!(codes(&records), ["1", "2"], "{within}");
        assert!(records.iter().all(|record| record.items.len() == 2), "{within}");
    }
}

#[tokio::test]
async fn orders_are_whole_wherever_the_part_in_memory_ends() {
    // Three bytes a letter, and lengths that no size of a buffer divides.
    let orders: Vec<String> = (0..4_000)
        .map(|number| xml_order(&format!("{number}{}", "漢".repeat(number % 7))))
        .collect();
    let text = format!("<ORDERS>{}</ORDERS>", orders.join("<!-- <ORDER> -->\n  "));
    assert!(text.len() > 1 << 20);
    let (records, end) = read_xml(&text).await;
    assert_eq!(end.unwrap().records, 4_000);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(
            record.code.as_str(),
            format!("{number}{}", "漢".repeat(number % 7))
        );
        assert_eq!(item(record, 0, "amount"), "1.500");
        assert_eq!(field(record, "deliveryAddress.fullName"), "Jana Příkladová");
    }
}

#[tokio::test]
async fn what_keeps_an_order_from_being_read_is_told_of_orders_that_are_passed_over_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let bad = "<ORDER><CODE>2</CODE><STATUS>&nbsp;</STATUS></ORDER>";
    let path = put(
        folder.path(),
        "a.xml",
        format!("<ORDERS>{}{bad}</ORDERS>", xml_order("1")),
    );
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let (records, _, _) = read_knowing(&source, &["1"]).await;
    assert_eq!(codes(&records), ["2"]);
    assert!(field(&records[0], "_problem").contains("entity"));
    let (records, end, _) = read_knowing(&source, &["1", "2"]).await;
    assert!(records.is_empty());
    assert_eq!(end.records, 2);
}

#[tokio::test]
async fn a_field_or_order_that_is_too_large_spoils_its_order_only() {
    let long = format!("<STATUS>{}</STATUS>", "x".repeat(2 << 20));
    let many: String = "<ORDER_ITEMS>".to_owned() + &"<ITEM/>".repeat(10_001) + "</ORDER_ITEMS>";
    let parts = "<A>".to_owned() + &"y".repeat(1 << 19) + "</A>";
    let text = format!(
        "<ORDERS><ORDER><CODE>1</CODE>{long}</ORDER><ORDER><CODE>2</CODE>{many}</ORDER>\
         <ORDER><CODE>3</CODE>{}</ORDER><ORDER><CODE>4</CODE></ORDER></ORDERS>",
        parts.repeat(40)
    );
    let (records, end) = read_xml(text).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1", "2", "3", "4"]);
    for (place, words) in [
        (0, "longer than 1 MiB"),
        (1, "more than 10000 items"),
        (2, "larger than 16 MiB"),
    ] {
        let problem = field(&records[place], "_problem");
        assert!(problem.contains(words), "{problem}");
    }
    assert!(records[3].order.get("_problem").is_none());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_known_by_its_magic_and_a_torn_one_is_unavailable() {
    let packed = gzip(xml(&["1", "2"]).as_bytes());
    let (records, end) = read_xml(&packed).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1", "2"]);
    // without its trailer the text is whole, and still nothing proves that it is
    for cut in [packed.len() - 8, packed.len() - 1, packed.len() / 2] {
        let (_, end) = read_xml(&packed[..cut]).await;
        assert!(matches!(end, Err(SourceError::Unavailable { .. })), "{end:?}");
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"<ORDERS>").unwrap();
    let blank = vec![b' '; 1 << 20];
    for _ in 0..80 {
        encoder.write_all(&blank).unwrap();
        encoder.write_all(b"<!-- -->").unwrap();
    }
    let (_, end) = read_xml(encoder.finish().unwrap()).await;
    let error = end.unwrap_err();
    assert!(error.to_string().contains("200 times its size"), "{error}");
}

#[tokio::test]
async fn a_template_that_fails_spoils_its_order_only_and_names_itself() {
    let text = "<ORDERS><ORDER><CODE>1</CODE><TOTAL_PRICE><WITH_VAT>zdarma</WITH_VAT></TOTAL_PRICE></ORDER>\
                <ORDER><STATUS>x</STATUS></ORDER><ORDER><CODE>3</CODE></ORDER></ORDERS>";
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", text);
    let mut shop = shop(SourceKind::Xml, &url(&path), XML_MAP);
    shop.setup.records.complete = true;
    let (records, end) = read(&shop.open()).await;
    // one record could not be told by name: absence proves nothing
    assert!(end.unwrap().listed.is_none());
    assert_eq!(codes(&records), ["1", "3"]);
    let problem = field(&records[0], "_problem");
    assert!(
        problem.contains("template shop.source.map.\"price.withVat\""),
        "{problem}"
    );
    assert!(problem.contains("filter `money`"), "{problem}");
}

#[test]
fn templates_that_can_never_work_are_refused_at_the_start() {
    for (template, words) in [
        ("{{ CODE | moneyy }}", "moneyy"),
        ("{{ CODE ", "cannot be used"),
        ("{{ nothing(CODE) }}", "cannot be used"),
    ] {
        let map = [
            ("code", "{{ CODE }}"),
            ("email", template),
            ("items.code", "{{ CODE }}"),
        ];
        let error = shop(SourceKind::Xml, "file:///srv/orders.xml", &map)
            .try_open()
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(
            text.contains("shop.source.map.\"email\"") && text.contains(words),
            "{text}"
        );
    }
}

#[tokio::test]
async fn check_names_what_no_order_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", xml(&["1"]));
    let map = [
        ("code", "{{ CODE }}"),
        ("email", "{{ EMAILL }}"),
        ("phone", "{{ order.PHONE }}"),
        ("items.code", "{{ CODE }}"),
    ];
    let findings = shop(SourceKind::Xml, &url(&path), &map).open().check().await;
    assert_eq!(findings[0].ok, Some(true), "{findings:?}");
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[1].text.contains("`email` names `EMAILL`"));
}

#[tokio::test]
async fn a_declared_complete_export_is_complete_only_at_its_proper_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", xml(&["1"]));
    let mut shop = shop(SourceKind::Xml, &url(&path), XML_MAP);
    shop.setup.records.complete = true;
    let source = shop.open();
    assert!(read(&source).await.1.unwrap().listed.is_some());
    put(
        folder.path(),
        "orders.xml",
        format!("{}{}", xml_order("1"), xml_order("2")),
    );
    assert!(read(&source).await.1.unwrap().listed.is_none());
}

#[tokio::test]
async fn of_a_globs_files_the_last_says_what_stands_and_nothing_older_is_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "2026-01.xml", xml(&["1", "2"]));
    put(
        folder.path(),
        "2026-02.xml",
        xml(&["2", "3", "2"]).replace("Nevyřízená", "Vyřízena"),
    );
    put(folder.path(), "other.txt", "no export");
    let source = shop(
        SourceKind::Xml,
        &format!("file://{}/*.xml", folder.path().display()),
        XML_MAP,
    )
    .open();
    let (records, end) = read(&source).await;
    end.unwrap();
    assert_eq!(codes(&records), ["2", "3", "2", "1"]);
    assert_eq!(records[2].status.as_ref().unwrap().as_str(), "Vyřízena");
    let found = source.lookup(&[OrderCode::from("2")]).await.unwrap();
    assert_eq!(found[0].status.as_ref().unwrap().as_str(), "Vyřízena");
    let nothing = shop(
        SourceKind::Xml,
        &format!("file://{}/*.json", folder.path().display()),
        XML_MAP,
    )
    .open();
    let (_, end) = read(&nothing).await;
    assert!(matches!(end, Err(SourceError::Unavailable { .. })));
}

#[tokio::test]
async fn a_file_that_grows_is_unavailable() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.xml");
    std::fs::write(&path, xml(&["1"])).unwrap();
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            for _ in 0..8 {
                std::thread::sleep(Duration::from_millis(300));
                let mut file = std::fs::File::options().append(true).open(&path).unwrap();
                file.write_all(b"\n").unwrap();
            }
        }
    });
    let (_, end) = read(&source).await;
    assert!(matches!(end, Err(SourceError::Unavailable { .. })), "{end:?}");
    writer.join().unwrap();
    let (records, end) = read(&source).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1"]);
}

#[tokio::test]
async fn a_file_changed_while_it_is_read_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let path = put(folder.path(), "orders.xml", xml(&many));
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let (sender, mut batches) = mpsc::channel(1);
    let reading = async {
        let first = batches.recv().await;
        age(&path, 30);
        while batches.recv().await.is_some() {}
        first
    };
    let (end, first) = tokio::join!(source.read(Read { since: None }, sender), reading);
    assert!(first.is_some());
    assert!(matches!(end, Err(SourceError::Unavailable { .. })), "{end:?}");
}

#[tokio::test]
async fn an_unchanged_file_is_not_read_twice_and_a_sweep_reads_it_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", xml(&["1"]));
    let source = shop(SourceKind::Xml, &url(&path), XML_MAP).open();
    let (_, end) = read(&source).await;
    let started = end.unwrap().started;
    let (records, end) = read_since(&source, Some(started)).await;
    assert!(records.is_empty() && end.unwrap().unchanged);
    let (records, end) = read(&source).await;
    assert!(records.len() == 1 && !end.unwrap().unchanged);
    put(folder.path(), "orders.xml", xml(&["1", "2"]));
    let (records, _) = read_since(&source, Some(started)).await;
    assert_eq!(records.len(), 2);
}

// ---- csv ----

const CSV: &str = "code;date;totalPriceWithVat;deliveryFullName;amountPaid;orderItemCode;orderItemName\r\n\
    1;2025-11-03 09:15:12;1 234,50;Jana Příkladová;;A;\"Váza \"\"velká\"\"; modrá\"\r\n\
    1;2025-11-03 09:15:12;1 234,50;Jana Příkladová;;B;\"dva\nřádky\"\r\n\
    2;2025-11-03 09:15:12;25,00;Karel Vzorný;;C;Mísa\r\n";

async fn read_csv(bytes: impl AsRef<[u8]>) -> (Vec<Record>, Result<ReadEnd, SourceError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.csv", bytes);
    let mut shop = shop(SourceKind::Csv, &url(&path), CSV_MAP);
    shop.setup.records.complete = true;
    read(&shop.open()).await
}

#[tokio::test]
async fn rows_of_one_order_are_grouped_whatever_the_separator_and_encoding() {
    for separator in [";", ",", "\t"] {
        let text = match separator {
            "," => CSV
                .replace("1 234,50", "\"1 234,50\"")
                .replace("25,00", "\"25,00\""),
            _ => CSV.to_owned(),
        };
        let text = text.replace(';', separator);
        let (cp1250, _, _) = encoding_rs::WINDOWS_1250.encode(&text);
        let marked = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
        for bytes in [text.as_bytes(), &cp1250, &marked] {
            let (records, end) = read_csv(bytes).await;
            assert!(end.unwrap().listed.is_some());
            assert_eq!(codes(&records), ["1", "2"]);
            assert_eq!(field(&records[0], "price.withVat"), "1234.50");
            assert_eq!(field(&records[0], "deliveryAddress.fullName"), "Jana Příkladová");
            assert_eq!(
                item(&records[0], 0, "name"),
                format!("Váza \"velká\"{separator} modrá")
            );
            assert_eq!(item(&records[0], 1, "name"), "dva\nřádky");
            assert_eq!(records[1].items.len(), 1);
        }
    }
}

#[tokio::test]
async fn rows_that_come_back_later_join_their_order() {
    let text = format!("{CSV}1;x;1 234,50;Jana Příkladová;;D;Talíř\r\n3;x;1;X;;E;Hrnek\r\n");
    let (records, end) = read_csv(text).await;
    end.unwrap();
    let mut found = codes(&records);
    found.sort_unstable();
    assert_eq!(found, ["1", "2", "3"]);
    let first = records.iter().find(|record| record.code.as_str() == "1").unwrap();
    assert_eq!(first.items.len(), 3);
}

#[tokio::test]
async fn a_torn_csv_is_unavailable_and_hands_nothing_over() {
    let quoted = CSV.find("dva").unwrap() + 2;
    for cut in [0, quoted, CSV.find("1 234").unwrap()] {
        let (records, end) = read_csv(&CSV[..cut]).await;
        assert!(
            matches!(end, Err(SourceError::Unavailable { .. })),
            "{cut}: {end:?}"
        );
        assert!(records.is_empty());
    }
    // a last line without its end may be whole; it proves nothing
    let (records, end) = read_csv(CSV.trim_end()).await;
    assert_eq!(records.len(), 2);
    assert!(end.unwrap().listed.is_none());
}

#[tokio::test]
async fn a_csv_without_item_columns_is_refused_clearly() {
    let (_, end) = read_csv("code;date;totalPriceWithVat;deliveryFullName\n1;x;1;X\n").await;
    let error = end.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`orderItemCode`, which is not a column"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("export individual items"));
    // whole names, never parts
    let (_, end) =
        read_csv("orderCode;totalPriceWithVat;deliveryFullName;orderItemCode;orderItemName\n1;1;X;A;B\n")
            .await;
    assert!(end.unwrap_err().to_string().contains("it has no column `code`"));
}

#[tokio::test]
async fn a_row_of_another_width_spoils_its_order_only() {
    let text = format!("{CSV}3;x;1;X\r\n4;x;5;Y;;E;Hrnek\r\n");
    let (records, end) = read_csv(text).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1", "2", "3", "4"]);
    assert!(field(&records[2], "_problem").contains("4 fields where the header has 7"));
    assert!(records[3].order.get("_problem").is_none());
}

#[tokio::test]
async fn a_configured_encoding_of_csv_spoils_only_the_order_that_breaks_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = CSV.as_bytes().to_vec();
    let place = bytes.windows(5).position(|w| w == b"Karel").unwrap();
    bytes[place] = 0xff;
    let path = put(folder.path(), "orders.csv", &bytes);
    let mut shop = shop(SourceKind::Csv, &url(&path), CSV_MAP);
    shop.setup.records.encoding = Some("utf-8".into());
    let (records, end) = read(&shop.open()).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1", "2"]);
    assert!(records[0].order.get("_problem").is_none());
    assert!(field(&records[1], "_problem").contains("column `deliveryFullName`"));
}

// ---- json ----

const JSON_MAP: &[(&str, &str)] = &[
    ("code", "{{ number }}"),
    ("price.withVat", "{{ total }}"),
    ("paid", "{{ paid }}"),
    ("items.code", "{{ sku }}"),
    ("items.amount", "{{ qty }}"),
];

fn json_order(number: u32) -> String {
    format!(
        "{{\"number\":\"{number}\",\"total\":0.10000000000000000001,\"paid\":true,\"note\":null,\
         \"items\":[{{\"sku\":\"\\u017e\\ud83d\\ude00\",\"qty\":2}}]}}"
    )
}

async fn read_json(text: &str, path: Option<&str>) -> (Vec<Record>, Result<ReadEnd, SourceError>) {
    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "orders.json", text);
    let mut shop = shop(SourceKind::Json, &url(&file), JSON_MAP);
    shop.setup.records.order = path.map(str::to_owned);
    read(&shop.open()).await
}

#[tokio::test]
async fn json_is_read_as_a_list_an_object_and_lines() {
    let (one, two) = (json_order(1), json_order(2));
    for (text, path) in [
        (format!(" [{one} , {two}]\n"), None),
        (
            format!(
                "{{\"meta\":{{\"a\":[1,{{}}]}},\"data\":{{\"x\":1,\"orders\":[{one},{two}],\"y\":[]}},\"z\":\"\"}}"
            ),
            Some("data.orders"),
        ),
        (format!("{one}\n{two}\n"), None),
    ] {
        let (records, end) = read_json(&text, path).await;
        end.unwrap();
        assert_eq!(codes(&records), ["1", "2"], "{path:?}");
        // no number passes through a binary float
        assert_eq!(field(&records[0], "price.withVat"), "0.10000000000000000001");
        assert_eq!(field(&records[0], "paid"), "true");
        assert_eq!(item(&records[0], 0, "code"), "ž😀");
        assert_eq!(item(&records[0], 0, "amount"), "2");
    }
}

#[tokio::test]
async fn a_torn_json_is_unavailable_wherever_it_breaks_off() {
    let text = format!(
        "{{\"data\":{{\"orders\":[{},{}]}},\"next\":null}}",
        json_order(1),
        json_order(2)
    );
    for cut in (0..text.len()).step_by(7).chain(text.len() - 12..text.len()) {
        let (_, end) = read_json(&text[..cut], Some("data.orders")).await;
        assert!(
            matches!(end, Err(SourceError::Unavailable { .. })),
            "cut at {cut}: {end:?}"
        );
    }
    let (_, end) = read_json("{\"error\":\"no\"}", Some("data.orders")).await;
    assert!(end.unwrap_err().to_string().contains("no list `data.orders`"));
    let deep = format!("[{{\"number\":{}", "[".repeat(100_000));
    let (_, end) = read_json(&deep, None).await;
    assert!(end.unwrap_err().to_string().contains("nest deeper than 64"));
}

#[tokio::test]
async fn a_web_page_in_place_of_an_export_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    for page in [
        "<!DOCTYPE html>\n<html><body>Přihlášení</body></html>",
        "\u{feff}  <HTML><body/></HTML>",
    ] {
        let path = put(folder.path(), "page", page);
        for (kind, map) in [
            (SourceKind::Xml, XML_MAP),
            (SourceKind::Csv, CSV_MAP),
            (SourceKind::Json, JSON_MAP),
        ] {
            let error = read(&shop(kind, &url(&path), map).open()).await.1.unwrap_err();
            assert!(error.to_string().contains("a web page, not an export"), "{error}");
            assert!(error.hint().unwrap().contains("expired"));
        }
    }
}

#[tokio::test]
async fn sixteen_bit_xml_is_known_without_a_mark_and_a_false_claim_of_it_is_seen_through() {
    let text = xml(&["1"]).replace("UTF-8", "utf-16").replace("utf-8", "utf-16");
    assert!(text.contains("utf-16"), "{}", &text[..80]);
    let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    for bytes in [
        wide(u16::to_le_bytes),
        wide(u16::to_be_bytes),
        text.clone().into_bytes(),
    ] {
        let (records, end) = read_xml(bytes).await;
        end.unwrap();
        assert_eq!(field(&records[0], "_status"), "Nevyřízená");
    }
}

#[tokio::test]
async fn text_that_is_no_xml_at_all_is_not_waited_for() {
    let error = read_xml("[{\"code\":\"1\"}]").await.1.unwrap_err();
    assert!(matches!(error, SourceError::Query { .. }), "{error:?}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn the_line_that_names_the_separator_and_old_line_ends_are_understood() {
    let rows = "code;totalPriceWithVat;deliveryFullName;orderItemCode;orderItemName\n1;10,50;Eva, Jan;A;\"a\nb\"\n2;9;Jan;B;c\n";
    for text in [
        format!("sep=;\n{rows}"),
        format!("\u{feff}SEP=;\r\n{}", rows.replace(";c\n", ";c\r\n")),
        rows.replace('\n', "\r"),
        format!("sep=;\r{}", rows.replace('\n', "\r")),
        format!("sep=\t\n{}", rows.replace(';', "\t")),
    ] {
        let (records, end) = read_csv(&text).await;
        assert!(end.unwrap().listed.is_some(), "{text:?}");
        assert_eq!(codes(&records), ["1", "2"], "{text:?}");
        assert_eq!(field(&records[0], "price.withVat"), "10.50");
        assert_eq!(item(&records[0], 0, "name").replace('\r', "\n"), "a\nb");
    }
}

#[tokio::test]
async fn a_bare_name_that_two_columns_have_is_refused_and_the_first_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "a.csv", "code;price;price;item\n1;10;20;A\n");
    let map = |template| {
        [
            ("code", "{{ code }}"),
            ("price.withVat", template),
            ("items.code", "{{ item.item }}"),
        ]
    };
    let error = read(&shop(SourceKind::Csv, &url(&path), &map("{{ price }}")).open())
        .await
        .1
        .unwrap_err();
    assert!(error.to_string().contains("2 columns"), "{error}");
    assert!(error.hint().unwrap().contains("order.price"), "{error:?}");
    let (records, _) = read(&shop(SourceKind::Csv, &url(&path), &map("{{ order.price }}")).open()).await;
    assert_eq!(field(&records[0], "price.withVat"), "10");
}

#[tokio::test]
async fn of_json_members_with_one_name_the_last_stands_and_a_number_that_is_none_spoils_its_order_only() {
    let order = |code: &str, total: &str| {
        format!("{{\"number\":\"{code}\",\"total\":{total},\"items\":[{{\"sku\":\"A\"}}]}}")
    };
    let text = [
        order("1", "1,\"total\":2"),
        order("2", "NaN"),
        order("3", "1e400"),
        order("4", "-Infinity"),
        order("5", "1.5e2"),
    ]
    .join(",");
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "a.json", format!("[{text}]"));
    let map = [
        ("code", "{{ number }}"),
        ("price.withVat", "{{ total | money }}"),
        ("items.code", "{{ sku }}"),
    ];
    let (records, end) = read(&shop(SourceKind::Json, &url(&path), &map).open()).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1", "2", "3", "4", "5"]);
    assert_eq!(field(&records[0], "price.withVat"), "2");
    assert_eq!(field(&records[4], "price.withVat"), "150");
    for spoilt in &records[1..4] {
        assert!(field(spoilt, "_problem").contains("money"), "{}", spoilt.code);
    }
}

#[tokio::test]
async fn what_is_no_file_is_no_export_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe.xml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    std::fs::create_dir(at("folder.xml")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.xml")).unwrap();
    std::os::unix::fs::symlink(at("loop.xml"), at("loop.xml")).unwrap();
    std::os::unix::fs::symlink(at("pipe.xml"), at("to-pipe.xml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("zeros.xml")).unwrap();
    let patterns = ["pipe", "folder", "socket", "loop", "to-pipe", "zeros", "*"];
    let paths = patterns.map(|name| url(&at(&format!("{name}.xml"))));
    for path in paths
        .iter()
        .map(String::as_str)
        .chain(["/dev/zero", "/dev/full", "/proc/self/mem"])
    {
        let source = shop(SourceKind::Xml, path, XML_MAP).open();
        let read = tokio::time::timeout(Duration::from_secs(120), read(&source));
        let (records, end) = read.await.unwrap_or_else(|_| panic!("somebody waits for {path}"));
        assert!(records.is_empty());
        let error = end.expect_err(path);
        assert!(
            matches!(error, SourceError::Unavailable { .. }),
            "{path}: {error:?}"
        );
    }
    // Beside them an export is read as ever.
    put(folder.path(), "orders.xml", xml(&["1"]));
    let source = shop(SourceKind::Xml, &url(&at("o*.xml")), XML_MAP).open();
    assert_eq!(codes(&read(&source).await.0), ["1"]);
}

#[tokio::test]
async fn a_link_to_nowhere_in_a_folder_of_exports_is_no_export() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.xml", xml(&["1"]));
    std::os::unix::fs::symlink("/nowhere/b.xml", folder.path().join("b.xml")).unwrap();
    let pattern = url(&folder.path().join("*.xml"));
    let (records, end) = read(&shop(SourceKind::Xml, &pattern, XML_MAP).open()).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1"]);
}

// ---- downloads ----

/// An export server that remembers what it was asked.
#[derive(Default)]
struct Server {
    body: Vec<u8>,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Announces more bytes than it sends.
    short: bool,
    status: Option<u16>,
    retry_after: Option<String>,
    redirect: Option<String>,
    asked: Vec<(String, axum::http::HeaderMap)>,
}

type Shared = Arc<std::sync::Mutex<Server>>;

async fn serve(server: Server) -> (Shared, String) {
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse, Response};
    async fn answer(State(server): State<Shared>, request: Request) -> Response {
        let mut server = server.lock().unwrap();
        let asked = request.uri().to_string();
        let headers = request.headers().clone();
        server.asked.push((asked.clone(), headers.clone()));
        if let Some(place) = server.redirect.clone()
            && asked.starts_with("/export/")
        {
            return (axum::http::StatusCode::FOUND, [("location", place)]).into_response();
        }
        if let Some(status) = server.status {
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            return match server.retry_after.clone() {
                Some(wait) => (status, [("retry-after", wait)]).into_response(),
                None => status.into_response(),
            };
        }
        let known = headers.get("if-none-match").and_then(|etag| etag.to_str().ok());
        if server.etag.is_some() && known == server.etag.as_deref() {
            return axum::http::StatusCode::NOT_MODIFIED.into_response();
        }
        let mut response = Response::builder().header("date", "Mon, 03 Nov 2025 09:00:00 GMT");
        if let Some(etag) = &server.etag {
            response = response.header("etag", etag);
        }
        if let Some(time) = &server.last_modified {
            response = response.header("last-modified", time);
        }
        if server.short {
            // a body that ends before its announced length closes the connection
            let half = axum::body::Bytes::from(server.body[..server.body.len() / 2].to_vec());
            let broken =
                futures_util::stream::iter([Ok(half), Err(std::io::Error::other("the server fell over"))]);
            return response
                .header("content-length", server.body.len())
                .body(axum::body::Body::from_stream(broken))
                .unwrap();
        }
        response
            .body(axum::body::Body::from(server.body.clone()))
            .unwrap()
    }
    let shared: Shared = Arc::new(std::sync::Mutex::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&shared));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (shared, format!("http://{address}"))
}

fn of(body: &str) -> Server {
    Server {
        body: body.as_bytes().to_vec(),
        ..Server::default()
    }
}

fn asked(server: &Shared) -> Vec<String> {
    let server = server.lock().unwrap();
    server.asked.iter().map(|(uri, _)| uri.clone()).collect()
}

fn moment(text: &str) -> Option<jiff::Timestamp> {
    Some(text.parse().unwrap())
}

#[tokio::test]
async fn an_unchanged_download_costs_one_conditional_request() {
    let (server, base) = serve(Server {
        etag: Some("\"v1\"".into()),
        ..of(&xml(&["1", "2"]))
    })
    .await;
    let shop = shop(
        SourceKind::Xml,
        &format!("{base}/export/orders.xml?hash=a+b/c=="),
        XML_MAP,
    );
    let state = shop._state.path().to_owned();
    let source = ExportSource::new(shop.setup, Arc::new(SystemClock)).unwrap();
    let (records, end) = read(&source).await;
    let end = end.unwrap();
    assert_eq!(codes(&records), ["1", "2"]);
    // the server's clock, less what its first word took
    let date: jiff::Timestamp = "2025-11-03T09:00:00Z".parse().unwrap();
    assert!(end.started <= date && date.duration_since(end.started).as_secs() < 30);
    let (records, end) = read_since(&source, moment("2025-11-03T08:00:00Z")).await;
    assert!(records.is_empty() && end.unwrap().unchanged);
    // a sweep reads the kept copy
    let (records, _) = read(&source).await;
    assert_eq!(codes(&records), ["1", "2"]);
    let found = source.lookup(&[OrderCode::from("2")]).await.unwrap();
    assert_eq!(codes(&found), ["2"]);
    assert_eq!(asked(&server), ["/export/orders.xml?hash=a+b/c=="; 3]);
    {
        let server = server.lock().unwrap();
        assert!(server.asked[0].1.get("if-none-match").is_none());
        assert_eq!(server.asked[1].1["if-none-match"], "\"v1\"");
    }
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(&state).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// How old a record's export is, and whether the export told.
fn age_of(record: &Record) -> (i64, bool) {
    let made = record.made.expect("an export has an age");
    (SystemClock.now().duration_since(made.by).as_secs(), made.told)
}

#[tokio::test]
async fn a_file_is_as_old_as_its_time_says_each_of_several_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "a.xml", xml(&["1", "2"]));
    age(&first, 7200);
    put(folder.path(), "b.xml", xml(&["2", "3"]));
    let source = shop(SourceKind::Xml, &url(&folder.path().join("*.xml")), XML_MAP).open();
    let (records, end) = read(&source).await;
    end.unwrap();
    let found = source
        .lookup(&["1", "2", "3"].map(OrderCode::from))
        .await
        .unwrap();
    for records in [records, found] {
        for record in &records {
            let (old, told) = age_of(record);
            let expected = if record.code.as_str() == "1" { 7200 } else { 60 };
            assert!(told && (expected..expected + 50).contains(&old), "{record:?}");
        }
        assert_eq!(records.len(), 3);
    }
}

#[tokio::test]
async fn a_download_is_as_old_as_the_server_says_by_our_own_clock_also_after_a_restart() {
    // an hour before what the server takes for now
    let (server, base) = serve(Server {
        etag: Some("\"v1\"".into()),
        last_modified: Some("Mon, 03 Nov 2025 08:00:00 GMT".into()),
        ..of(&xml(&["1"]))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    for _start in 0..2 {
        let mut shop = shop(SourceKind::Xml, &format!("{base}/export/orders.xml"), XML_MAP);
        shop.setup.state = folder.path().join("export");
        let source = shop.open();
        let (records, _) = read(&source).await;
        let found = source.lookup(&[OrderCode::from("1")]).await.unwrap();
        for record in records.iter().chain(&found) {
            let (old, told) = age_of(record);
            assert!(told && (3595..3660).contains(&old), "{old} s, told: {told}");
        }
        assert_eq!((records.len(), found.len()), (1, 1));
    }
    assert_eq!(server.lock().unwrap().asked.len(), 2);
}

#[tokio::test]
async fn a_download_without_a_time_of_its_own_is_as_old_as_our_copy() {
    let (_server, base) = serve(of(&xml(&["1"]))).await;
    let source = shop(SourceKind::Xml, &format!("{base}/export/orders.xml"), XML_MAP).open();
    let before = SystemClock.now();
    let (records, _) = read(&source).await;
    let made = records[0].made.unwrap();
    assert!(
        !made.told && made.by >= before - jiff::SignedDuration::from_secs(1) && made.by <= SystemClock.now()
    );
    let kept = source.lookup(&[OrderCode::from("1")]).await.unwrap();
    assert_eq!(kept[0].made.unwrap(), made);
}

#[tokio::test]
async fn a_restart_reads_the_kept_copy_again_without_a_download() {
    let (server, base) = serve(Server {
        etag: Some("\"v1\"".into()),
        ..of(&xml(&["1"]))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut shop = shop(SourceKind::Xml, &format!("{base}/export/orders.xml"), XML_MAP);
        shop.setup.state = folder.path().join("export");
        shop.open()
    };
    read(&open()).await.1.unwrap();
    let again = open();
    // what was read before the start may never have reached the ledger
    let (records, end) = read_since(&again, moment("2025-11-03T08:00:00Z")).await;
    assert!(!end.unwrap().unchanged);
    assert_eq!(codes(&records), ["1"]);
    assert_eq!(server.lock().unwrap().asked[1].1["if-none-match"], "\"v1\"");
}

#[tokio::test]
async fn a_download_that_breaks_off_is_unavailable_and_the_kept_copy_stays() {
    let (server, base) = serve(of(&xml(&["1", "2"]))).await;
    let source = shop(
        SourceKind::Xml,
        &format!("{base}/export/orders.xml?hash=geheim"),
        XML_MAP,
    )
    .open();
    read(&source).await.1.unwrap();
    server.lock().unwrap().short = true;
    let (records, end) = read(&source).await;
    assert!(records.is_empty());
    let error = end.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error:?}");
    assert!(!error.to_string().contains("geheim"), "{error}");
    {
        // a whole answer whose file is not whole
        let mut server = server.lock().unwrap();
        server.short = false;
        let half = server.body.len() / 2;
        server.body.truncate(half);
    }
    let error = read(&source).await.1.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }));
    assert!(error.to_string().contains("orders.xml` is not whole"), "{error}");
    let found = source.lookup(&[OrderCode::from("2")]).await.unwrap();
    assert_eq!(codes(&found), ["2"]);
}

#[tokio::test]
async fn nothing_is_fetched_more_often_than_min_interval() {
    let (server, base) = serve(of(&xml(&["1"]))).await;
    let mut shop = shop(SourceKind::Xml, &format!("{base}/export/orders.xml"), XML_MAP);
    shop.setup.records.min_interval = Some(Duration::from_secs(900));
    let source = shop.open();
    read(&source).await.1.unwrap();
    let (_, end) = read_since(&source, moment("2025-11-03T08:00:00Z")).await;
    assert!(end.unwrap().unchanged);
    let (records, _) = read(&source).await;
    assert_eq!(codes(&records), ["1"]);
    assert_eq!(asked(&server).len(), 1);
}

#[tokio::test]
async fn changes_are_asked_for_since_the_moment_and_laid_over_the_whole_export() {
    let (server, base) = serve(of(&xml(&["1", "2"]))).await;
    let source = shop(
        SourceKind::Xml,
        &format!("{base}/export/orders.xml?updateTimeFrom=2020-01-01&hash=x&updateTimeFrom={{since}}"),
        XML_MAP,
    )
    .open();
    read(&source).await.1.unwrap();
    server.lock().unwrap().body = xml(&["2", "3"]).replace("Nevyřízená", "Vyřízena").into_bytes();
    let (records, end) = read_since(&source, moment("2025-11-03T08:00:00Z")).await;
    assert_eq!(codes(&records), ["2", "3"]);
    assert!(end.unwrap().listed.is_none());
    server.lock().unwrap().body = b"<ORDERS></ORDERS>".to_vec();
    let (records, end) = read_since(&source, moment("2025-11-03T08:30:00Z")).await;
    assert!(records.is_empty());
    end.unwrap();
    assert_eq!(
        asked(&server),
        [
            "/export/orders.xml?hash=x",
            "/export/orders.xml?updateTimeFrom=2025-11-03%2009:00:00&hash=x",
            "/export/orders.xml?updateTimeFrom=2025-11-03%2009:30:00&hash=x",
        ]
    );
    let codes_asked = ["1", "2", "3"].map(OrderCode::from);
    let found = source.lookup(&codes_asked).await.unwrap();
    let statuses: Vec<&str> = found
        .iter()
        .map(|r| r.status.as_ref().unwrap().as_str())
        .collect();
    assert_eq!(statuses, ["Nevyřízená", "Vyřízena", "Vyřízena"]);
}

#[tokio::test]
async fn redirects_lose_the_headers_at_another_host_and_end_after_three() {
    let (elsewhere, other) = serve(of(&xml(&["1"]))).await;
    let (server, base) = serve(Server {
        redirect: Some(format!("{other}/moved.xml")),
        ..Server::default()
    })
    .await;
    let mut first = shop(SourceKind::Xml, &format!("{base}/export/orders.xml"), XML_MAP);
    first.setup.headers = vec![("Authorization".into(), Secret::new("Bearer geheim"))];
    let source = first.open();
    let (records, end) = read(&source).await;
    end.unwrap();
    assert_eq!(codes(&records), ["1"]);
    assert_eq!(
        server.lock().unwrap().asked[0].1["authorization"],
        "Bearer geheim"
    );
    assert!(
        elsewhere.lock().unwrap().asked[0]
            .1
            .get("authorization")
            .is_none()
    );

    for (place, words) in [
        ("/export/again.xml", "more than 3 times"),
        ("http://shop.example.cz/o.xml", "plain http"),
    ] {
        server.lock().unwrap().redirect = Some(place.into());
        let error = read(&source).await.1.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable { .. }));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn refusals_and_outages_are_told_apart() {
    let (server, base) = serve(Server {
        status: Some(403),
        ..Server::default()
    })
    .await;
    let source = shop(
        SourceKind::Xml,
        &format!("{base}/export/orders.xml?hash=geheim"),
        XML_MAP,
    )
    .open();
    let error = read(&source).await.1.unwrap_err();
    assert!(matches!(error, SourceError::Query { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("geheim"));
    server.lock().unwrap().status = Some(503);
    let error = read(&source).await.1.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error:?}");
    let error = source.lookup(&[OrderCode::from("1")]).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error:?}");

    let plain = shop(
        SourceKind::Xml,
        "http://shop.example.cz/o.xml?hash=geheim",
        XML_MAP,
    )
    .try_open()
    .err()
    .unwrap();
    assert!(plain.to_string().contains("plain http") && !format!("{plain:?}").contains("geheim"));
}

#[tokio::test]
async fn a_server_that_asks_to_be_left_alone_is_left_alone_across_a_restart() {
    let (server, base) = serve(Server {
        status: Some(503),
        retry_after: Some("3600".into()),
        ..of(&xml(&["1"]))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut shop = shop(SourceKind::Xml, &format!("{base}/export/orders.xml"), XML_MAP);
        shop.setup.state = folder.path().join("export");
        shop.open()
    };
    let source = open();
    assert!(read(&source).await.1.is_err());
    server.lock().unwrap().status = None;
    for source in [source, open()] {
        let error = read(&source).await.1.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("left alone until"), "{error}");
    }
    assert_eq!(asked(&server).len(), 1);
    // a second is waited for, and then all is well
    let path = folder.path().join("export/kept.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    kept["not_before"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&path, kept.to_string()).unwrap();
    read(&open()).await.1.unwrap();
}

#[tokio::test]
async fn what_a_killed_process_had_begun_to_download_is_removed_and_a_download_under_way_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("incoming-1");
    let held = folder.path().join("incoming-2");
    std::fs::write(&left, "half").unwrap();
    let other = std::fs::File::create(&held).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut shop = shop(SourceKind::Xml, "http://127.0.0.1:9/orders.xml", XML_MAP);
    shop.setup.state = folder.path().to_owned();
    drop(shop.open());
    assert!(!left.exists() && held.exists());
}

#[tokio::test]
async fn a_csv_of_unknown_length_must_end_its_last_line() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rows = "code;totalPriceWithVat;deliveryFullName;orderItemCode;orderItemName\n1;10;Eva;A;Hrnek 250";
    let answers = [rows.to_owned(), rows.to_owned() + " ml\n"];
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            // the connection's end is the body's end
            let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{answer}").as_bytes());
        }
    });
    let mut shop = shop(SourceKind::Csv, &format!("http://{address}/o.csv"), CSV_MAP);
    shop.setup.records.complete = true;
    let source = shop.open();
    let (records, end) = read(&source).await;
    assert!(records.is_empty());
    assert!(matches!(end, Err(SourceError::Unavailable { .. })), "{end:?}");
    let (records, end) = read(&source).await;
    assert_eq!(item(&records[0], 0, "name"), "Hrnek 250 ml");
    assert!(
        end.unwrap().listed.is_none(),
        "it may have been cut between two lines"
    );
}

// ---- presets ----

/// A preset as it stands, its options at their defaults.
fn preset(name: &str, url: &str) -> Shop {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/presets")
        .join(format!("{name}.toml"));
    let file: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let source = &file["shop"]["source"];
    let mut map: Vec<(String, String)> = Vec::new();
    for (key, template) in source["map"].as_table().unwrap() {
        let mut text = template.as_str().unwrap().to_owned();
        for (option, spec) in file["preset"]["options"].as_table().unwrap() {
            text = text.replace(
                &format!("{{option:{option}}}"),
                &serde_json::to_string(&spec["default"]).unwrap(),
            );
        }
        map.push((key.clone(), text));
    }
    let kind = if file["preset"]["kind"].as_str() == Some("xml") {
        SourceKind::Xml
    } else {
        SourceKind::Csv
    };
    let map: Vec<(&str, &str)> = map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut shop = shop(kind, url, &map);
    shop.setup.records = source["records"].clone().try_into().unwrap();
    shop
}

const SHOPTET: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><ORDERS>
<ORDER><ORDER_ID>51</ORDER_ID><CODE>OBJ2025-0104</CODE><DATE>2025-11-03 09:15:12</DATE><STATUS>Nevyřízená</STATUS>
 <CURRENCY><CODE>CZK</CODE><EXCHANGE_RATE>1.</EXCHANGE_RATE></CURRENCY>
 <CUSTOMER><EMAIL>jana@example.cz</EMAIL><PHONE>+420777000111</PHONE>
  <BILLING_ADDRESS><NAME>Jana Příkladová</NAME><COMPANY>Vzor s.r.o.</COMPANY><STREET>Příčná 12/3</STREET><HOUSENUMBER/>
   <CITY>Brno</CITY><ZIP>60200</ZIP><COUNTRY>Česká republika</COUNTRY><COMPANY_ID>00000001</COMPANY_ID><VAT_ID>CZ00000001</VAT_ID></BILLING_ADDRESS>
  <SHIPPING_ADDRESS><NAME/><COMPANY/><STREET/><HOUSENUMBER/><CITY/><ZIP/><COUNTRY/></SHIPPING_ADDRESS></CUSTOMER>
 <REMARK>zvonek nefunguje</REMARK><REFERER><![CDATA[https://example.cz/?a=1&b=2]]></REFERER><PACKETA_BRANCH_ID>1234</PACKETA_BRANCH_ID>
 <ORDER_ITEMS>
  <ITEM><TYPE>product</TYPE><CODE>L-1</CODE><NAME>Látka</NAME><VARIANT_NAME>modrá</VARIANT_NAME><EAN>859</EAN><AMOUNT>1.500</AMOUNT><UNIT>m</UNIT>
   <WEIGHT>0,250</WEIGHT><TOTAL_PRICE><WITH_VAT>1 200,00</WITH_VAT><VAT_RATE>21 %</VAT_RATE></TOTAL_PRICE></ITEM>
  <ITEM><TYPE>gift</TYPE><CODE/><NAME>Dárek k nákupu</NAME><AMOUNT>1</AMOUNT></ITEM>
  <ITEM><TYPE>product-set</TYPE><CODE>S</CODE><NAME>Sada</NAME><AMOUNT>1</AMOUNT></ITEM>
  <ITEM><TYPE>product-set-item</TYPE><CODE>S-1</CODE><NAME>Díl</NAME><AMOUNT>2</AMOUNT></ITEM>
  <ITEM><TYPE>discount-coupon</TYPE><CODE>SLEVA</CODE><NAME>Sleva</NAME><AMOUNT>1</AMOUNT></ITEM>
  <ITEM><TYPE>shipping</TYPE><CODE>SHIPPING1</CODE><NAME>Zásilkovna</NAME><AMOUNT>1</AMOUNT></ITEM>
  <ITEM><TYPE>billing</TYPE><CODE>BILLING1</CODE><NAME>Platba na DOBÍRKU</NAME><AMOUNT>1</AMOUNT></ITEM>
 </ORDER_ITEMS>
 <TOTAL_PRICE><WITH_VAT>1 234,50</WITH_VAT><PRICE_TO_PAY>1 235,00</PRICE_TO_PAY><PAID>1</PAID><AMOUNT_PAID/></TOTAL_PRICE></ORDER>
<ORDER><CODE>2</CODE><DATE>2025-11-03 10:00:00</DATE><STATUS>Vyřizuje se</STATUS><CURRENCY><CODE>EUR</CODE></CURRENCY>
 <CUSTOMER><EMAIL>karel@example.cz</EMAIL><PHONE/>
  <BILLING_ADDRESS><NAME>Karel Vzorný</NAME><STREET>U Řeky</STREET><HOUSENUMBER>4</HOUSENUMBER><CITY>Praha</CITY><ZIP>11000</ZIP></BILLING_ADDRESS>
  <SHIPPING_ADDRESS><NAME>Eva Vzorná</NAME><STREET>Údolní 222/5, byt č. 8</STREET><CITY>Žilina</CITY><ZIP>01001</ZIP><COUNTRY>Slovensko</COUNTRY></SHIPPING_ADDRESS></CUSTOMER>
 <ORDER_ITEMS><ITEM><TYPE>billing</TYPE><NAME>Kartou</NAME></ITEM></ORDER_ITEMS>
 <TOTAL_PRICE><WITH_VAT>50.00</WITH_VAT><PRICE_TO_PAY>50.00</PRICE_TO_PAY><PAID>1</PAID></TOTAL_PRICE></ORDER>
</ORDERS>";

#[tokio::test]
async fn the_shoptet_xml_preset_reads_an_order_as_the_shop_means_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "orders.xml", SHOPTET);
    let source = preset("shoptet-xml", &url(&path)).open();
    let (records, end) = read(&source).await;
    end.unwrap();
    let first = &records[0];
    assert_eq!(first.order.get("_problem"), None);
    for (column, value) in [
        ("code", "OBJ2025-0104"),
        ("creationTime", "2025-11-03 09:15:12"),
        ("email", "jana@example.cz"),
        ("_status", "Nevyřízená"),
        ("_shipping", "Zásilkovna"),
        ("_payment", "Platba na DOBÍRKU"),
        // cash on delivery is never paid, whatever the export says
        ("paid", "0"),
        ("price.withVat", "1234.50"),
        ("price.toPay", "1235.00"),
        ("price.currencyCode", "CZK"),
        ("companyId", "00000001"),
        ("vatId", "CZ00000001"),
        // an empty delivery address is the billing one
        ("deliveryAddress.fullName", "Jana Příkladová"),
        ("deliveryAddress.street", "Příčná"),
        ("deliveryAddress.houseNumber", "12/3"),
        ("deliveryAddress.countryCode", "CZ"),
        ("billingAddress.company", "Vzor s.r.o."),
        ("notes.customerRemark", "zvonek nefunguje"),
        ("notes.trackingNumber", ""),
        ("shippingDetails.branchId", "1234"),
    ] {
        assert_eq!(field(first, column), value, "{column}");
    }
    let lines: Vec<(String, String)> = (0..first.items.len())
        .map(|place| (item(first, place, "itemType"), item(first, place, "code")))
        .collect();
    let lines: Vec<(&str, &str)> = lines.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        lines,
        [("product", "L-1"), ("gift", "darek-k-nakupu"), ("product", "S-1")]
    );
    for (column, value) in [
        ("amount", "1.500"),
        ("amountUnit", "m"),
        ("weight", "0.250"),
        ("vatRate", "21"),
        ("itemPriceWithVat", "1200.00"),
        ("variantName", "modrá"),
    ] {
        assert_eq!(item(first, 0, column), value, "{column}");
    }
    let second = &records[1];
    for (column, value) in [
        ("paid", "1"),
        ("price.toPay", "0"),
        ("deliveryAddress.fullName", "Eva Vzorná"),
        ("deliveryAddress.street", "Údolní 222/5, byt č. 8"),
        ("deliveryAddress.houseNumber", ""),
        ("deliveryAddress.countryCode", "SK"),
        ("billingAddress.street", "U Řeky"),
        ("billingAddress.houseNumber", "4"),
        ("billingAddress.countryCode", "CZ"),
        ("_shipping", ""),
    ] {
        assert_eq!(field(second, column), value, "{column}");
    }
    // whoever follows the system template gets no warning
    let warned: Vec<String> = source.check().await.into_iter().skip(1).map(|f| f.text).collect();
    assert!(warned.is_empty(), "{warned:?}");
}

#[tokio::test]
async fn the_shoptet_csv_preset_reads_a_row_per_item() {
    let folder = tempfile::tempdir().unwrap();
    let text = "code;date;statusName;email;phone;billFullName;billStreet;billHouseNumber;billCity;billZip;billCompanyId;deliveryFullName;\
        deliveryStreet;deliveryCity;deliveryZip;totalPriceWithVat;priceToPay;paid;amountPaid;currencyCode;orderItemType;orderItemCode;\
        orderItemName;orderItemAmount;orderItemUnit;orderItemVatRate\r\n\
        2025-1;2025-11-03 09:15:12;Nevyřízená;jana@example.cz;;Jana Příkladová;Příčná 12/3;;Brno;60200;;;;;;1 234,50;1 234,50;1;;CZK;product;A;Váza;2;ks;21%\r\n\
        2025-1;2025-11-03 09:15:12;Nevyřízená;jana@example.cz;;Jana Příkladová;Příčná 12/3;;Brno;60200;;;;;;1 234,50;1 234,50;1;;CZK;shipping;;PPL;1;;21%\r\n\
        2025-1;2025-11-03 09:15:12;Nevyřízená;jana@example.cz;;Jana Příkladová;Příčná 12/3;;Brno;60200;;;;;;1 234,50;1 234,50;1;;CZK;billing;;Dobírkou;1;;21%\r\n";
    let (bytes, _, _) = encoding_rs::WINDOWS_1250.encode(text);
    let path = put(folder.path(), "orders.csv", &bytes);
    let source = preset("shoptet-csv", &url(&path)).open();
    let (records, end) = read(&source).await;
    end.unwrap();
    assert_eq!(codes(&records), ["2025-1"]);
    for (column, value) in [
        ("_status", "Nevyřízená"),
        ("_shipping", "PPL"),
        ("_payment", "Dobírkou"),
        ("paid", "0"),
        ("price.withVat", "1234.50"),
        ("price.toPay", "1234.50"),
        ("deliveryAddress.fullName", "Jana Příkladová"),
        ("deliveryAddress.street", "Příčná"),
        ("deliveryAddress.houseNumber", "12/3"),
        ("deliveryAddress.countryCode", "CZ"),
    ] {
        assert_eq!(field(&records[0], column), value, "{column}");
    }
    assert_eq!(records[0].items.len(), 1);
    assert_eq!(item(&records[0], 0, "amount"), "2");
    assert_eq!(item(&records[0], 0, "vatRate"), "21");
}
