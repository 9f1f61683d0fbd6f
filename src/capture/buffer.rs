//! A window over a stream: large reads, with the unread rest carried over to the front.

use std::io::{self, Read};

/// Bytes asked for at a time. Larger reads leave the second-level cache before they are walked, smaller ones
/// cost system calls.
const READ_SIZE: usize = 256 * 1024;

/// The unread part of a stream, as far as it was read.
pub(super) struct Buffer {
    source: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    /// The unread part of `bytes`.
    start: usize,
    end: usize,
    /// Position in the stream of `bytes[0]`.
    base: u64,
    ended: bool,
    error: Option<io::Error>,
}

impl Buffer {
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self { source, bytes: vec![0; READ_SIZE], start: 0, end: 0, base: 0, ended: false, error: None }
    }

    /// Makes `len` unread bytes available, or as many as the stream still has; says whether it did.
    #[inline]
    pub(super) fn ensure(&mut self, len: usize) -> bool {
        self.end - self.start >= len || self.refill(len)
    }

    #[cold]
    fn refill(&mut self, len: usize) -> bool {
        // Twice the length, so that a long look ahead does not move the same bytes for every step behind it.
        if self.bytes.len() < len {
            self.bytes.resize((2 * len).next_multiple_of(READ_SIZE), 0);
        }
        if self.start + len > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < len && !self.ended {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.error = Some(error);
                }
            }
        }
        self.end - self.start >= len
    }

    /// The unread bytes at hand.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Passes over bytes at hand.
    #[inline]
    pub(super) fn consume(&mut self, len: usize) {
        self.start = (self.start + len).min(self.end);
    }

    /// Passes over bytes of the stream; says whether it had so many.
    pub(super) fn skip(&mut self, len: u64) -> bool {
        let mut left = len;
        while left > 0 {
            let at_hand = (self.end - self.start) as u64;
            if at_hand == 0 && !self.ensure(1) {
                return false;
            }
            let step = left.min((self.end - self.start) as u64);
            self.start += step as usize;
            left -= step;
        }
        true
    }

    /// Bytes that were consumed a moment ago: valid until the next call that may read.
    #[inline]
    pub(super) fn behind(&self, start: usize, len: usize) -> &[u8] {
        &self.bytes[start..start + len]
    }

    /// Index of the first unread byte, for [`Self::behind`].
    #[inline]
    pub(super) fn index(&self) -> usize {
        self.start
    }

    /// Position of the first unread byte in the stream.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// The error that ended the stream early.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}
