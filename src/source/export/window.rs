//! A stretch of a file's text that can be looked at as a whole, and is moved along.
//!
//! It knows no format: whoever looks says how much is done with, and asks for more where something is cut off.

use super::bytes::{Fault, Input};
use std::io::Read;

/// How much is read at once, at least.
const STEP: usize = 128 << 10;

/// The part of a file that is in memory.
pub struct Window {
    input: Input,
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
}

impl Window {
    /// The beginning of a file; nothing is read yet.
    pub fn new(input: Input) -> Self {
        Self {
            input,
            bytes: Vec::new(),
            start: 0,
            ended: false,
        }
    }

    /// What is in memory and not done with. Its end may cut a character in two.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether the file has nothing more than that.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// So many bytes are done with.
    pub fn pass(&mut self, count: usize) {
        self.start += count;
    }

    /// Reads on; as much again as there is, so that what is looked at anew stays cheap.
    ///
    /// # Errors
    /// The file's.
    pub fn more(&mut self) -> Result<(), Fault> {
        self.bytes.drain(..self.start);
        self.start = 0;
        // how long one thing may be is the business of whoever looks at it
        self.input.mark();
        let length = self.bytes.len();
        let wanted = STEP.max(length);
        let read = (&mut self.input)
            .take(wanted as u64)
            .read_to_end(&mut self.bytes)?;
        self.ended = read < wanted;
        Ok(())
    }
}
