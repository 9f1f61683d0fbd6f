//! gzip and zstd, known by their first bytes: the plain bytes of whatever a file is.

use std::error::Error as StdError;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Compressed bytes read at a time.
const READ_SIZE: usize = 64 * 1024;

/// RFC 1952, section 2.3.1, with the only compression method there is.
const GZIP_MAGIC: [u8; 3] = [0x1F, 0x8B, 8];
/// RFC 8878, section 3.1.1.
const ZSTD_MAGIC: u32 = 0xFD2F_B528;
/// RFC 8878, section 3.1.2: sixteen magic numbers of frames to skip. pzstd begins files with one.
const ZSTD_SKIPPABLE: u32 = 0x184D_2A50;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// The coding of a stream that starts so.
    pub(super) fn of(first: &[u8]) -> Self {
        if first.starts_with(&GZIP_MAGIC) {
            return Self::Gzip;
        }
        match first.first_chunk().map(|magic| u32::from_le_bytes(*magic)) {
            Some(magic) if magic == ZSTD_MAGIC || magic & !0xF == ZSTD_SKIPPABLE => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// What reports put behind the name of the format.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

/// A stream of plain bytes.
pub(super) struct PlainStream {
    pub(super) stream: Box<dyn Read + Send>,
    pub(super) coding: Coding,
    /// Bytes of the compressed file read so far; `None` where it is not compressed.
    pub(super) passed: Option<Arc<AtomicU64>>,
}

/// Looks at the first bytes of a stream and takes its compression off.
pub(super) fn plain(mut source: Box<dyn Read + Send>) -> io::Result<PlainStream> {
    let mut first = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut first)?;
    let coding = Coding::of(&first);
    let whole = Cursor::new(first).chain(source);
    if coding == Coding::Plain {
        return Ok(PlainStream { stream: Box::new(whole), coding, passed: None });
    }
    let passed = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: whole, passed: Arc::clone(&passed) };
    let input = BufReader::with_capacity(READ_SIZE, counted);
    let stream: Box<dyn Read + Send> = match coding {
        Coding::Zstd => Box::new(Unzstd { input, decoder: FrameDecoder::new(), started: false }),
        _ => Box::new(Gunzip { member: Some(GzDecoder::new(input)) }),
    };
    Ok(PlainStream { stream, coding, passed: Some(passed) })
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    passed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.passed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// All members of a gzip file, one after the other (RFC 1952, section 2.2).
///
/// Not flate2's own reader of several members, because that takes the zero bytes that tapes and object stores
/// leave behind the last one for a broken member.
struct Gunzip<R: BufRead> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            match skip_zeros(&mut rest)? {
                None => break,
                Some(byte) if byte == GZIP_MAGIC[0] => self.member = Some(GzDecoder::new(rest)),
                Some(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "what follows the gzip data is none, and was left out",
                    ));
                }
            }
        }
        Ok(0)
    }
}

/// Passes zero bytes; the first other one, which stays unread.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            return Ok(None);
        }
        let zeros = held.iter().take_while(|&&byte| byte == 0).count();
        let other = held.get(zeros).copied();
        input.consume(zeros);
        if other.is_some() {
            return Ok(other);
        }
    }
}

/// All frames of a zstd file, one after the other (RFC 8878, section 3.1), without those that are to be skipped.
struct Unzstd<R: BufRead> {
    input: R,
    decoder: FrameDecoder,
    started: bool,
}

impl<R: BufRead> Unzstd<R> {
    /// Reads the header of the next frame with data; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.started = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(zstd_error(&error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Unzstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let open = self.started && !self.decoder.is_finished();
            if self.started && self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            if open {
                // A block of a frame at a time: as much as the window must hold anyhow.
                self.decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| zstd_error(&error))?;
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}

/// The decoder's error as one of reading: the end of the file, where that is below it.
fn zstd_error(error: &FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = inner.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, format!("the zstd data are broken: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn unpack(bytes: &[u8]) -> (Coding, io::Result<Vec<u8>>) {
        let mut plain = plain(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
        let mut out = Vec::new();
        let result = plain.stream.read_to_end(&mut out);
        (plain.coding, result.map(|_| out))
    }

    fn text() -> Vec<u8> {
        (0..300_000_u32).map(|i| (i.wrapping_mul(i) / 7 % 251) as u8).collect()
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let text = text();
        let skipped = [&0x184D_2A5F_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let cases = [
            (text.clone(), Coding::Plain),
            (gzip(&text), Coding::Gzip),
            ([gzip(&text[..9]), gzip(b""), gzip(&text[9..]), vec![0; 700]].concat(), Coding::Gzip),
            (zstd(&text), Coding::Zstd),
            ([skipped.clone(), zstd(&text[..9]), skipped, zstd(&text[9..])].concat(), Coding::Zstd),
        ];
        for (bytes, coding) in cases {
            let (found, plain) = unpack(&bytes);
            assert_eq!(found, coding);
            assert!(plain.unwrap() == text, "{coding:?}");
        }
    }

    #[test]
    fn cut_data_end_early_and_damaged_data_are_said_to_be() {
        let text = text();
        for whole in [gzip(&text), zstd(&text)] {
            let (_, cut) = unpack(&whole[..whole.len() / 2]);
            assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
        let (_, behind) = unpack(&[gzip(&text), b"more".to_vec()].concat());
        assert!(behind.unwrap_err().to_string().contains("left out"));
        let mut broken = gzip(&text);
        let len = broken.len();
        broken[len - 7] ^= 1;
        assert!(unpack(&broken).1.is_err(), "the checksum does not fit");
    }
}
