//! An access log's `log_format`, given as its string: which part of a line is which variable.

use super::access::{drop_groups, set};
use super::model::LoggedRequest;

/// A `log_format` of nginx, as it stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    /// As it was given.
    text: String,
    /// What comes before the first variable.
    prefix: String,
    /// Each variable with the text behind it.
    variables: Vec<(String, String)>,
}

impl LogFormat {
    /// What one without it is none.
    pub const NEEDS: &str = "a log_format needs $request (or $request_uri) and $status";

    /// Reads a format, as bare text or as the directive of the configuration (`log_format NAME '…' '…';`); `None` when it
    /// holds no request or no status.
    pub fn new(format: &str) -> Option<Self> {
        let text = format.trim().to_owned();
        let format = &plain(format);
        let mut parts = format.split('$');
        let prefix = parts.next()?.to_owned();
        let variables: Vec<(String, String)> = parts
            .map(|part| {
                let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
                let (name, rest) = braced.unwrap_or_else(|| part.split_at(end));
                (name.to_owned(), rest.to_owned())
            })
            .collect();
        let has = |names: &[&str]| variables.iter().any(|(name, _)| names.contains(&name.as_str()));
        (has(&["request", "request_uri", "uri"]) && has(&["status"])).then_some(Self {
            text,
            prefix,
            variables,
        })
    }

    /// The string that it was given as.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The request of a line; `None` when the line is of another format.
    pub fn read(&self, line: &str) -> Option<LoggedRequest> {
        let mut rest = line.strip_prefix(self.prefix.as_str())?;
        let mut request = LoggedRequest::default();
        for (at, (name, behind)) in self.variables.iter().enumerate() {
            let last = at + 1 == self.variables.len();
            let end = match behind.as_str() {
                "" if last => rest.len(),
                "" => return None,
                behind => rest.find(behind)?,
            };
            set(&mut request, name, &rest[..end]);
            rest = rest.get(end + behind.len()..)?;
        }
        drop_groups(&mut request);
        (request.status > 0 && !request.method.is_empty()).then_some(request)
    }
}

/// A format as nginx understands it: the strings of a directive joined, and `\t` and the like resolved.
fn plain(format: &str) -> String {
    let text = format.trim();
    let arguments = text.strip_prefix("log_format").and_then(|rest| Some(&rest[rest.find(['\'', '"'])?..]));
    let quoted = arguments.or(Some(text).filter(|text| text.starts_with('\'') && text.len() > 1));
    let mut out = String::new();
    // The quote that the current string ends with.
    let mut quote = None;
    let mut chars = quoted.unwrap_or(format).chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(kept @ ('"' | '\'' | '\\')) => out.push(kept),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            (c, Some(end)) if c == end => quote = None,
            ('\'' | '"', None) if quoted.is_some() => quote = Some(c),
            // Blanks between the strings, and what ends the directive.
            (_, None) if quoted.is_some() => {}
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_reads_its_own_lines_and_no_others() {
        let format = LogFormat::new(
            "$remote_addr <$time_iso8601> {$request} -> $status/$upstream_status [$upstream_addr] $request_id",
        )
        .unwrap();
        let line = "10.0.0.1 <2026-11-25T14:35:00+00:00> {GET /a?b=c HTTP/1.1} -> 200/502, 200 \
                    [10.0.1.1:80, 10.0.1.2:80] abcd";
        let request = format.read(line).unwrap();
        assert_eq!((&*request.method, &*request.target, request.status), ("GET", "/a?b=c", 200));
        assert_eq!(request.at_ns, Some(1_795_617_300_000_000_000));
        assert_eq!(request.attempts.len(), 2);
        assert_eq!((&*request.attempts[1].address, request.attempts[0].status), ("10.0.1.2:80", Some(502)));
        assert_eq!(&*request.id, "abcd");
        assert_eq!(format.read("something else"), None);
        assert_eq!(LogFormat::new("$remote_addr $status"), None);
    }

    #[test]
    fn a_format_may_be_pasted_from_the_configuration() {
        let line = "10.0.0.1\t\"GET /a HTTP/1.1\"\t200";
        let bare = r#"$remote_addr\t"$request"\t$status"#;
        let directive = r#"log_format main escape=json '$remote_addr\t'
                                            '"$request"\t$status';"#;
        let strings = r#"'$remote_addr\t' "\"$request\"\t$status""#;
        for format in [bare, directive, strings] {
            let request = LogFormat::new(format).and_then(|format| format.read(line));
            assert_eq!(request.map(|request| request.status), Some(200), "{format}");
        }
    }
}
