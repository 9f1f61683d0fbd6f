//! What a file that is no capture looks like, so that its error says more than "wrong magic number".

/// Starts of compressed files that are not read as they are: the name of the format, and what unpacks it.
const PACKED: [(&[u8], &str, &str); 6] = [
    (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
    (&[0x04, 0x22, 0x4D, 0x18], "lz4", "unlz4"),
    (&[0x1F, 0x9D], "compress", "uncompress"),
    (b"PK\x03\x04", "zip", "unzip"),
    (&[b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C], "7z", "7z x"),
];
/// Starts of captures in formats that are not read, and the format.
const FOREIGN: [(&[u8], &str); 4] = [
    (b"snoop\0\0\0", "Solaris snoop"),
    (b"GMBU", "Microsoft Network Monitor"),
    (b"RTSS", "Microsoft Network Monitor"),
    (b"TRSNIFF data    \x1A", "Network General Sniffer"),
];
/// Starts of files that people pass by mistake, and how to name them.
const STARTS: [(&[u8], &str); 12] = [
    (&[0x1F, 0x8B], "gzip data"),
    (&[0x7F, b'E', b'L', b'F'], "a program (ELF)"),
    (&[0x89, b'P', b'N', b'G'], "a PNG picture"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"#!", "a script"),
    (b"<!DOCTYPE", "HTML: perhaps an error page was saved instead of the capture"),
    (b"<!doctype", "HTML: perhaps an error page was saved instead of the capture"),
    (b"<html", "HTML: perhaps an error page was saved instead of the capture"),
    (b"<?xml", "XML"),
    (b"tcpdump: ", "the messages of tcpdump: the capture went elsewhere, or standard error was mixed in"),
    (b"version https://git-lfs", "a git LFS pointer: the file itself was not fetched (git lfs pull)"),
];

/// The format in which a file that starts so is compressed, and what unpacks it, where it is one that is not read.
pub(super) fn packed(first: &[u8]) -> Option<(&'static str, &'static str)> {
    PACKED.iter().find(|(start, ..)| first.starts_with(start)).map(|&(_, format, tool)| (format, tool))
}

/// The format of a capture that starts so, where it is one that is not read.
pub(super) fn foreign(first: &[u8]) -> Option<&'static str> {
    FOREIGN.iter().find(|(start, _)| first.starts_with(start)).map(|&(_, format)| format)
}

/// Names what the first bytes of a file look like.
pub(super) fn guess(first: &[u8]) -> String {
    if let Some((_, name)) = STARTS.iter().find(|(start, _)| first.starts_with(start)) {
        return (*name).to_owned();
    }
    let sample = &first[..first.len().min(512)];
    if sample.iter().all(|&byte| byte == 0) {
        return "zero bytes: perhaps the disk was full while it was written".to_owned();
    }
    let is_text = |&byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7E | 0x80..);
    if sample.iter().all(is_text)
        && std::str::from_utf8(sample).map_or_else(|e| e.error_len().is_none(), |_| true)
    {
        let trimmed = sample.trim_ascii_start();
        if matches!(trimmed.first(), Some(b'{' | b'[')) {
            return "JSON".to_owned();
        }
        return "text".to_owned();
    }
    let hex: Vec<String> = first.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("the bytes {}", hex.join(" "))
}
