//! Log files to entries, line by line, with bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::model::{LogFigures, LogFile, LogKind, LoggedRequest, count};
use super::{LogFormat, access, error, products};

/// The longest line that is read whole, in bytes; the rest of a longer one is skipped.
const MAX_LINE: usize = 64 << 10;
/// How much of a line is kept for people, in bytes.
const MAX_SHOWN: usize = 2 << 10;
/// Most requests or faults kept of one file; further ones are counted only.
const MAX_KEPT: usize = 500_000;
/// How many lines at the start of a file tell whether it is a log.
const PROBED: usize = 200;
/// Endings of the files in a folder that may be logs.
const LOG_ENDINGS: [&str; 9] = ["log", "out", "json", "jsonl", "ndjson", "txt", "csv", "tsv", "ltsv"];
/// Folders beside captures that are looked into for logs.
const LOG_FOLDERS: [&str; 2] = ["log", "logs"];

/// The files in a folder, and in a folder `logs` in it, that are logs by their content; sorted by name.
pub fn logs_in(folder: &Path, format: Option<&LogFormat>) -> Vec<PathBuf> {
    let mut logs = logs_right_in(folder, format);
    for name in LOG_FOLDERS {
        logs.extend(logs_right_in(&folder.join(name), format));
    }
    logs
}

fn logs_right_in(folder: &Path, format: Option<&LogFormat>) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let may_be = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        // Rotated logs are numbered: `access.log.1`.
        let rotated = ending.parse::<u32>().is_ok()
            && path
                .file_stem()
                .is_some_and(|stem| Path::new(stem).extension().is_some_and(|end| end == "log"));
        (rotated || LOG_ENDINGS.contains(&ending.as_str())) && path.is_file()
    };
    let files = entries.flatten().map(|entry| entry.path()).filter(may_be);
    let mut logs: Vec<PathBuf> = files.filter(|path| is_log(path, format)).collect();
    logs.sort();
    logs
}

/// Whether a file is a log, by its first lines.
pub fn is_log(path: &Path, format: Option<&LogFormat>) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut lines = Lines::new(file.take((PROBED * 1024) as u64));
    for _ in 0..PROBED {
        let Some(line) = lines.next() else { return false };
        // Bytes that no text holds: a capture, or anything else.
        if line.contains(&0) {
            return false;
        }
        let text = String::from_utf8_lossy(line);
        if error::read(&text).is_some() || request(&text, format).is_some() {
            return true;
        }
    }
    false
}

fn request(line: &str, format: Option<&LogFormat>) -> Option<LoggedRequest> {
    let told = format.and_then(|format| format.read(line));
    told.or_else(|| products::uwsgi(line)).or_else(|| products::haproxy(line)).or_else(|| access::read(line))
}

/// Reads a log. Which kind it is tells the first line that is one.
pub fn read_log(path: &Path, format: Option<&LogFormat>) -> std::io::Result<LogFile> {
    let mut log = LogFile {
        path: path.to_owned(),
        format: format.cloned(),
        kind: LogKind::Access,
        lines: 0,
        unread: 0,
        dropped: 0,
        requests: Vec::new(),
        errors: Vec::new(),
        figures: LogFigures::default(),
        is_last: false,
    };
    let mut lines = Lines::new(File::open(path)?);
    let mut known = false;
    while let Some(line) = lines.next() {
        log.lines += 1;
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        let read = if known && log.kind == LogKind::Access {
            take_request(&mut log, text, format)
        } else if take_error(&mut log, text) {
            log.kind = LogKind::Error;
            true
        } else {
            !known && take_request(&mut log, text, format)
        };
        known |= read;
        log.unread += u64::from(!read);
    }
    log.figures.settle();
    match lines.failed {
        Some(error) => Err(error),
        None => Ok(log),
    }
}

fn take_request(log: &mut LogFile, text: &str, format: Option<&LogFormat>) -> bool {
    let Some(mut request) = request(text, format) else { return false };
    log.is_last |= products::is_uwsgi(text);
    log.figures.add_request(&request);
    if log.requests.len() < MAX_KEPT {
        (request.line, request.text) = (log.lines, shown(text));
        log.requests.push(request);
    } else {
        log.dropped += 1;
    }
    true
}

fn take_error(log: &mut LogFile, text: &str) -> bool {
    let Some(mut error) = error::read(text) else { return false };
    if !error.kinds().is_empty() {
        count(&mut log.figures.faults, error.class());
        if log.errors.len() < MAX_KEPT {
            (error.line, error.text) = (log.lines, shown(text));
            log.errors.push(error);
        } else {
            log.dropped += 1;
        }
    }
    true
}

/// As much of a line as people need.
fn shown(text: &str) -> Box<str> {
    let end = text.char_indices().map(|(at, _)| at).take_while(|&at| at <= MAX_SHOWN).last().unwrap_or(0);
    if text.len() <= MAX_SHOWN { text.into() } else { text[..end].into() }
}

/// The lines of a file; what is behind the longest is skipped.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    failed: Option<std::io::Error>,
}

impl<R: Read> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(256 << 10, reader), line: Vec::new(), failed: None }
    }

    fn next(&mut self) -> Option<&[u8]> {
        self.line.clear();
        let mut any = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => {
                    self.failed = Some(error);
                    return None;
                }
            };
            if buffer.is_empty() {
                return any.then_some(self.line.as_slice());
            }
            any = true;
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = MAX_LINE.saturating_sub(self.line.len()).min(part.len());
            self.line.extend_from_slice(&part[..room]);
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Some(self.line.as_slice());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_lines_and_endless_lines_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let long = format!(
            "{}\n127.0.0.1 - - [25/Nov/2026:14:35:00 +0000] \"GET / HTTP/1.1\" 200 5\n\nnoise\n",
            "x".repeat(300_000)
        );
        let access = write("a.log", long.as_bytes());
        let log = read_log(&access, None).unwrap();
        assert_eq!((log.kind, log.lines, log.unread, log.requests.len()), (LogKind::Access, 4, 3, 1));
        assert_eq!(log.requests[0].line, 2);
        let plain = write("p.log", &b"1795493951.0 - \"GET / HTTP/1.1\" 502 5\n".repeat(2));
        assert_eq!(read_log(&plain, None).unwrap().figures.failed_without_attempt, 0);
        let told = write("t.log", b"1795493951.0 - \"GET / HTTP/1.1\" 502 5 to=\"-\"\n1795493951.0 - \"GET / HTTP/1.1\" 200 5 to=\"10.0.0.1:80\"\n");
        assert_eq!(read_log(&told, None).unwrap().figures.failed_without_attempt, 1);
        let error = write("b.log", b"2026/11/25 14:35:00 [notice] 1#1: start\n");
        assert_eq!(read_log(&error, None).unwrap().kind, LogKind::Error);
        write("c.log", b"\xd4\xc3\xb2\xa1\0\0\0\0");
        write("d.log", b"*** Starting uWSGI\n");
        write("e.bin", b"");
        assert_eq!(logs_in(folder.path(), None).len(), 3);
        write("b.log.1", b"2026/11/25 14:35:00 [notice] 1#1: start\n");
        assert_eq!(logs_in(folder.path(), None).len(), 4);
        assert!(is_log(&error, None));
    }

    #[test]
    fn logs_beside_captures_may_lie_in_a_folder_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let line = "127.0.0.1 - - [25/Nov/2026:14:35:00 +0000] \"GET / HTTP/1.1\" 200 5\n";
        for (name, text) in [
            ("logs/a.log", line),
            ("logs/notes.txt", "what we saw\n"),
            ("logs/older/b.log", line),
            ("elsewhere/c.log", line),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(logs_in(folder.path(), None), [folder.path().join("logs/a.log")]);
    }
}
