//! Names of files for people: no longer than tells them apart.

use std::ffi::OsStr;
use std::path::Path;

/// The name of a file among others: its own name, with as many of the folders above it as tell it from the others.
///
/// ```text
///   caps/a/nginx.pcap   a/nginx.pcap
///   caps/b/nginx.pcap   b/nginx.pcap
///   caps/app.pcap       app.pcap
/// ```
pub fn short_name<'a>(path: &Path, all: impl Iterator<Item = &'a Path>) -> String {
    let shared = all.filter(|other| *other != path).map(|other| shared_tail(path, other)).max().unwrap_or(0);
    let parts: Vec<&OsStr> = path.iter().collect();
    if shared >= parts.len() || path.file_name().is_none() {
        return path.to_string_lossy().into_owned();
    }
    let tail: std::path::PathBuf = parts[parts.len() - shared - 1..].iter().collect();
    tail.to_string_lossy().into_owned()
}

/// How many parts, counted from the end, two paths have in common.
fn shared_tail(one: &Path, other: &Path) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(all: &[&str]) -> Vec<String> {
        all.iter().map(|path| short_name(Path::new(path), all.iter().map(Path::new))).collect()
    }

    #[test]
    fn files_of_one_name_are_told_apart_by_the_folders_above_them() {
        assert_eq!(named(&["caps/a/nginx.pcap", "caps/app.pcap"]), ["nginx.pcap", "app.pcap"]);
        assert_eq!(
            named(&["caps/a/nginx.pcap", "caps/b/nginx.pcap", "caps/app.pcap"]),
            ["a/nginx.pcap", "b/nginx.pcap", "app.pcap"]
        );
        assert_eq!(
            named(&["a/run/x.pcap", "b/run/x.pcap", "b/other/x.pcap"]),
            ["a/run/x.pcap", "b/run/x.pcap", "other/x.pcap"]
        );
        // One path ends as the other is as a whole; and the same path twice.
        assert_eq!(named(&["x.pcap", "a/x.pcap", "/a/x.pcap"]), ["x.pcap", "a/x.pcap", "/a/x.pcap"]);
        assert_eq!(named(&["x.pcap", "x.pcap", "-", ".."]), ["x.pcap", "x.pcap", "-", ".."]);
    }
}
