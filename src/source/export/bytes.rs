//! From a file's bytes to UTF-8 text: gzip, encodings, and the limits that keep hostile files small.
//!
//! This room knows no format: it hands out a buffered reader and says when a file is too big or broken off.

use super::limits;
use encoding_rs::{Decoder, DecoderResult, Encoding};
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands in decoded text where bytes could not be decoded (a noncharacter, so no honest text holds it).
pub const UNDECODABLE: char = '\u{FDD0}';

/// Why a file cannot be read to its end.
#[derive(Debug)]
pub enum Fault {
    /// It ends too early or changes while it is read: somebody is still writing it, or a download broke off.
    Torn(String),
    /// It cannot be used as it is.
    Bad {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Nobody listens any more.
    Stopped,
}

impl Fault {
    /// A file that cannot be used as it is.
    pub fn bad(message: impl Into<String>) -> Self {
        Fault::Bad {
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what to do about it.
    pub fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Fault::Bad {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<Exceeded>()) {
            return Fault::hinted(
                error.to_string(),
                "exports of that size or shape are not read; look at what produces the file",
            );
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Torn("it ends in the middle of its gzip stream".into()),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Fault::bad(format!("its gzip stream is damaged ({error})"))
            }
            _ => Fault::Torn(format!("reading it failed: {error}")),
        }
    }
}

/// A bound that was passed.
#[derive(Debug)]
struct Exceeded(String);

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Exceeded {}

fn exceeded(what: String) -> io::Error {
    io::Error::other(Exceeded(what))
}

/// UTF-8 text of a file, with a bound on what may be read between two marks.
pub struct Input {
    inner: BufReader<Box<dyn Read + Send>>,
    since_mark: usize,
}

impl Input {
    /// A new token begins: the bound on one token starts again.
    pub fn mark(&mut self) {
        self.since_mark = 0;
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(out.len());
        out[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.since_mark > limits::TOKEN {
            return Err(exceeded(format!(
                "a single value is longer than {} MiB",
                limits::TOKEN >> 20
            )));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.since_mark += amount;
        self.inner.consume(amount);
    }
}

/// How the encoding of a file is found.
#[derive(Clone, Copy, Debug)]
pub enum Charset {
    /// Always this one (a byte order mark is still removed).
    Fixed(&'static Encoding),
    /// A byte order mark, else the XML declaration, else UTF-8.
    Declared,
}

/// An encoding by the name a merchant or an XML declaration writes.
pub fn encoding(name: &str) -> Option<&'static Encoding> {
    let name = name.trim();
    Encoding::for_label(name.as_bytes()).or_else(|| {
        let plain: String = name.to_ascii_lowercase().replace(['_', ' '], "-");
        let plain = plain
            .strip_prefix("cp")
            .map_or(plain.clone(), |n| format!("windows-{n}"));
        Encoding::for_label(plain.as_bytes())
    })
}

/// Opens the text of a file: decompressed, decoded, without its byte order mark, bounded.
///
/// # Errors
/// When the file ends at once, is damaged or names an unknown encoding.
pub fn open(raw: impl Read + Send + 'static, charset: Charset) -> Result<Input, Fault> {
    let mut plain = decompressed(raw)?;
    let mut head = Vec::with_capacity(1024);
    plain.by_ref().take(1024).read_to_end(&mut head)?;
    let (bom, found) = match Encoding::for_bom(&head) {
        Some((encoding, length)) => (length, Some(encoding)),
        None => (0, None),
    };
    if is_page(&head[bom..]) {
        return Err(Fault::hinted(
            "it is a web page, not an export",
            "look at what the address shows in a browser: a page to log in means that the link has expired",
        ));
    }
    let encoding = match (charset, found) {
        (_, Some(marked)) => marked,
        (Charset::Fixed(encoding), None) => encoding,
        (Charset::Declared, None) => match declared(&head) {
            None if head.starts_with(b"<\0") => encoding_rs::UTF_16LE,
            None if head.starts_with(b"\0<") => encoding_rs::UTF_16BE,
            None => encoding_rs::UTF_8,
            // a declaration that could be read byte by byte is not in UTF-16, whatever it says
            Some(name) if name.to_ascii_lowercase().starts_with("utf-16") => encoding_rs::UTF_8,
            Some(name) => encoding(&name).ok_or_else(|| {
                Fault::hinted(
                    format!("its declaration names the unknown encoding `{name}`"),
                    "set shop.source.records.encoding, e.g. \"windows-1250\"",
                )
            })?,
        },
    };
    head.drain(..bom);
    let decoded = Decoded {
        inner: Box::new(io::Cursor::new(head).chain(plain)),
        decoder: encoding.new_decoder_without_bom_handling(),
        raw: vec![0; 64 << 10],
        start: 0,
        end: 0,
        ended: false,
        owed: 0,
    };
    Ok(Input {
        inner: BufReader::with_capacity(64 << 10, Box::new(decoded)),
        since_mark: 0,
    })
}

/// Whether every byte of a file is UTF-8.
///
/// # Errors
/// As [`open`].
pub fn is_utf8(raw: impl Read + Send + 'static) -> Result<bool, Fault> {
    let mut plain = decompressed(raw)?;
    let mut buffer = vec![0; 64 << 10];
    let mut kept = 0;
    loop {
        let read = plain.read(&mut buffer[kept..])?;
        if read == 0 {
            return Ok(kept == 0);
        }
        let length = kept + read;
        match std::str::from_utf8(&buffer[..length]) {
            Ok(_) => kept = 0,
            Err(error) if error.error_len().is_none() => {
                let valid = error.valid_up_to();
                buffer.copy_within(valid..length, 0);
                kept = length - valid;
            }
            Err(_) => return Ok(false),
        }
    }
}

/// Removes gzip where the magic bytes say so, and counts.
fn decompressed(raw: impl Read + Send + 'static) -> Result<Box<dyn Read + Send>, Fault> {
    let packed = Arc::new(AtomicU64::new(0));
    let mut raw = BufReader::with_capacity(
        64 << 10,
        Counted {
            inner: raw,
            count: Arc::clone(&packed),
        },
    );
    let gzip = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip {
        Box::new(Metered {
            inner: flate2::bufread::MultiGzDecoder::new(raw),
            packed: Some(packed),
            total: 0,
        })
    } else {
        Box::new(Metered {
            inner: raw,
            packed: None,
            total: 0,
        })
    })
}

/// Whether a file begins as a page for people does.
fn is_page(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    [b"<!doctype html".as_slice(), b"<html"].iter().any(|page| {
        head.get(..page.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(page))
    })
}

/// The encoding that an XML declaration names.
fn declared(head: &[u8]) -> Option<String> {
    let head = head.trim_ascii_start();
    if !head.starts_with(b"<?xml") {
        return None;
    }
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let text = std::str::from_utf8(&head[..end]).ok()?;
    let after = text[text.find("encoding")? + 8..]
        .trim_start()
        .strip_prefix('=')?
        .trim_start();
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let name = after[1..].split(quote).next()?;
    Some(name.to_owned())
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Bounds the size of what comes out, and how much more it may be than what went in.
struct Metered<R> {
    inner: R,
    packed: Option<Arc<AtomicU64>>,
    total: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.total += read as u64;
        if self.total > limits::FILE {
            return Err(exceeded(format!(
                "it is larger than {} GiB once unpacked",
                limits::FILE >> 30
            )));
        }
        if let Some(packed) = &self.packed {
            let packed = packed.load(Ordering::Relaxed).max(1);
            if self.total > limits::RATIO_FROM && self.total / packed > limits::RATIO {
                return Err(exceeded(format!(
                    "it unpacks to more than {} times its size",
                    limits::RATIO
                )));
            }
        }
        Ok(read)
    }
}

/// Decodes to UTF-8 as it goes; what cannot be decoded becomes [`UNDECODABLE`].
struct Decoded {
    inner: Box<dyn Read + Send>,
    decoder: Decoder,
    raw: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Bytes of the stand-in that did not fit into the last buffer.
    owed: usize,
}

impl Read for Decoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let stand_in = "\u{FDD0}".as_bytes();
        let mut written = 0;
        loop {
            while self.owed > 0 && written < out.len() {
                out[written] = stand_in[stand_in.len() - self.owed];
                written += 1;
                self.owed -= 1;
            }
            if out.len() - written < 8 {
                return Ok(written);
            }
            if self.start == self.end && !self.ended {
                if written > 0 {
                    return Ok(written);
                }
                self.start = 0;
                self.end = self.inner.read(&mut self.raw)?;
                self.ended = self.end == 0;
            }
            let (result, read, wrote) = self.decoder.decode_to_utf8_without_replacement(
                &self.raw[self.start..self.end],
                &mut out[written..],
                self.ended,
            );
            self.start += read;
            written += wrote;
            match result {
                DecoderResult::InputEmpty if self.ended => {
                    // a finished decoder must not be asked again: from here on there is nothing
                    self.decoder = encoding_rs::UTF_8.new_decoder_without_bom_handling();
                    return Ok(written);
                }
                DecoderResult::InputEmpty => {}
                DecoderResult::OutputFull => return Ok(written),
                DecoderResult::Malformed(_, _) => self.owed = stand_in.len(),
            }
        }
    }
}
