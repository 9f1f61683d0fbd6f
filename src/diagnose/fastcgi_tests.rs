//! FastCGI applications that end a request without output, packet for packet.

use std::io::Cursor;
use std::path::Path;

use crate::analysis::{Analysis, analyse};
use crate::capture::Reader;
use crate::capture::testing::{Conversation, PcapBuilder};
use crate::http::load_from;

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[1, kind, 0, 1, 0, content.len() as u8, 0, 0][..], content].concat()
}

/// A whole request for `/x`, or one that its client aborts.
fn request(aborts: bool) -> Vec<u8> {
    let vars = b"\x0e\x03REQUEST_METHODGET\x0b\x02REQUEST_URI/x";
    let last = if aborts { record(2, b"") } else { record(5, b"") };
    [record(1, &[0, 1, 1, 0, 0, 0, 0, 0]), record(4, vars), record(4, b""), last].concat()
}

fn end(status: u8) -> Vec<u8> {
    record(3, &[0, 0, 0, 0, status, 0, 0, 0])
}

/// What comes of such an answer: the findings, and the outcome of the request.
fn found(aborts: bool, answer: &[u8]) -> (Vec<String>, &'static str) {
    let mut file = PcapBuilder::new().nanos();
    let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:9000");
    ends.handshake(&mut file, 0);
    ends.client(&mut file, 1_000_000, &request(aborts));
    ends.server(&mut file, 2_000_000, answer);
    let facts = load_from(Reader::new(Cursor::new(file.build()), None), Path::new("a.pcap"), &mut |_| true);
    let analysis: Analysis = analyse(vec![facts.into()], &Default::default());
    let name = |one: &super::Finding| format!("{}/{} {:?}", one.kind, one.cause, one.confidence);
    let outcome = analysis.exchanges().next().unwrap().outcome().name();
    (analysis.diagnosis.findings.iter().map(name).collect(), outcome)
}

#[test]
fn a_request_that_is_refused_is_told_by_its_status() {
    let causes = ["fastcgi-no-output/", "fastcgi-refused/cannot-multiplex", "fastcgi-refused/overloaded"];
    for (status, cause) in
        causes.into_iter().chain(["fastcgi-refused/unknown-role", "fastcgi-refused/unknown"]).enumerate()
    {
        let expected = (vec![format!("{cause} Certain")], "no-response");
        assert_eq!(found(false, &end(status as u8)), expected);
        // A note to STDERR and empty output are no answer either.
        let said = [record(7, b"out of workers"), record(6, b""), end(status as u8)].concat();
        assert_eq!(found(false, &said), expected);
    }
}

#[test]
fn an_answer_or_an_abort_is_no_refusal() {
    let output = record(6, b"Content-Type: text/plain\r\n\r\nhello");
    for status in 0..4 {
        assert_eq!(found(false, &[output.clone(), end(status)].concat()), (vec![], "complete"), "{status}");
    }
    // The client asked for the end, and got it.
    assert_eq!(found(true, &end(0)), (vec!["client-abort/ Possible".to_owned()], "aborted"));
    // Output without the end of its head is no HTTP, whatever the status.
    let (findings, outcome) = found(false, &[record(6, b"Segmentation fault"), end(0)].concat());
    assert_eq!((findings, outcome), (vec!["not-http/ Certain".to_owned()], "no-response"));
}

/// What is found in a capture with this snap length of a connection with one request and its answer.
fn kinds(snap_len: usize, asked: &[u8], answer: &[u8]) -> Vec<String> {
    let mut file = PcapBuilder::new().nanos().snap_len(snap_len);
    let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:9000");
    ends.handshake(&mut file, 0);
    ends.client(&mut file, 1_000_000, asked);
    ends.server(&mut file, 2_000_000, answer);
    for side in [1, 0] {
        ends.send(&mut file, 3_000_000, side, 0x11, b"");
    }
    let reader = Reader::new(Cursor::new(file.build()), None);
    let analysis =
        analyse(vec![load_from(reader, Path::new("a.pcap"), &mut |_| true).into()], &Default::default());
    analysis.diagnosis.findings.iter().map(|one| one.kind.as_str().to_owned()).collect()
}

#[test]
fn an_answer_to_a_request_whose_end_the_snap_length_cut_is_not_early() {
    let vars = b"\x0e\x04REQUEST_METHODPOST\x0b\x02REQUEST_URI/x\x0e\x03CONTENT_LENGTH900";
    let body = [&[1, 5, 0, 1, 3, 132, 0, 0][..], &[b'b'; 900]].concat();
    let whole = [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(4, vars), record(4, b""), body, record(5, b"")];
    let answer = [record(6, b"Content-Type: text/plain\r\n\r\nhello"), end(0)].concat();
    for snap_len in [1_500, 256] {
        let kinds = kinds(snap_len, &whole.concat(), &answer);
        assert!(!kinds.contains(&"early-response".to_owned()), "{snap_len}: {kinds:?}");
    }
}

#[test]
fn records_of_which_the_snap_length_left_no_answer_may_have_held_one() {
    let said =
        [record(7, &[b'e'; 250]), record(6, b"Content-Type: text/plain\r\n\r\nhello"), end(0)].concat();
    for snap_len in [1_500, 200] {
        let kinds = kinds(snap_len, &request(false), &said);
        assert!(!kinds.contains(&"not-http".to_owned()), "{snap_len}: {kinds:?}");
    }
}
