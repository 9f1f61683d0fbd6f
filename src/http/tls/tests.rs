//! Handshakes made by hand, from packets to facts.

use super::{TlsEnd, TlsFacts, TlsMessage};
use crate::http::tests::Script;
use crate::http::{FirstBytes, Protocol};
use crate::tcp::Side;

/// A vector behind its length of so many bytes.
fn vector(length_bytes: usize, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u64).to_be_bytes();
    [&len[8 - length_bytes..], content].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &vector(2, content)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(3, body)].concat()
}

fn extension(number: u8, content: &[u8]) -> Vec<u8> {
    [&[0, number][..], &vector(2, content)].concat()
}

fn client_hello() -> Vec<u8> {
    let name = vector(2, &[&[0][..], &vector(2, b"shop.example")].concat());
    let alpn = vector(2, &[vector(1, b"h2"), vector(1, b"http/1.1")].concat());
    // The reserved value comes first, as clients send it.
    let versions = vector(1, &[0x7a, 0x7a, 3, 4, 3, 3]);
    let extensions = [extension(0, &name), extension(16, &alpn), extension(43, &versions)].concat();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &vector(2, &extensions)].concat();
    record(22, &message(1, &body))
}

fn server_hello_body(random: [u8; 32], cipher: [u8; 2], extensions: &[u8]) -> Vec<u8> {
    let rest = if extensions.is_empty() { Vec::new() } else { vector(2, extensions) };
    [&[3, 3][..], &random, &[0, cipher[0], cipher[1], 0], &rest].concat()
}

fn server_hello_1_3() -> Vec<u8> {
    record(22, &message(2, &server_hello_body([9; 32], [0x13, 1], &extension(43, &[3, 4]))))
}

/// ServerHello, Certificate and ServerHelloDone in one record, as TLS 1.2 has them.
fn server_flight_1_2() -> Vec<u8> {
    let hello =
        message(2, &server_hello_body([9; 32], [0xc0, 0x2f], &extension(16, &vector(2, &vector(1, b"h2")))));
    record(22, &[hello, message(11, &[0; 300]), message(14, b"")].concat())
}

const CHANGE: [u8; 6] = [20, 3, 3, 0, 1, 1];

/// An encrypted handshake message whose first bytes look like a hello's.
fn encrypted_finished() -> Vec<u8> {
    record(22, &[&[1, 0, 9, 9][..], &[0xaa; 36]].concat())
}

/// A connection with TLS 1.2: who sends, and what.
pub(in crate::http) fn turns() -> Vec<(usize, Vec<u8>)> {
    vec![
        (0, client_hello()),
        (1, server_flight_1_2()),
        (0, [record(22, &message(16, &[1; 65])), CHANGE.to_vec(), encrypted_finished()].concat()),
        (1, [CHANGE.to_vec(), encrypted_finished(), record(23, &[4; 40]), record(21, &[0; 26])].concat()),
    ]
}

fn tls(script: &Script) -> TlsFacts {
    let facts = script.facts();
    assert_eq!(facts.flows[0].protocol, Protocol::Tls);
    assert!(facts.exchanges.is_empty());
    (**facts.flows[0].wire.tls.as_ref().unwrap()).clone()
}

fn steps(facts: &TlsFacts) -> Vec<String> {
    let step = |step: &super::TlsStep| format!("{:?} {} {}", step.from, step.frame, step.message.name());
    facts.steps.iter().map(step).collect()
}

#[test]
fn a_handshake_of_tls_1_3_shows_its_hellos_and_no_more() {
    let mut script = Script::new();
    script.client(&client_hello());
    script.server(&[server_hello_1_3(), CHANGE.to_vec(), record(23, &[1; 900])].concat());
    script.client(&[CHANGE.to_vec(), record(23, &[2; 53])].concat()).client(&record(23, &[3; 100]));
    script.server(&record(23, &[4; 400])).client(&record(23, &[5; 19]));
    let facts = tls(&script);
    assert_eq!(
        steps(&facts),
        [
            "Client 4 ClientHello",
            "Server 5 ServerHello",
            "Server 5 ChangeCipherSpec",
            "Client 6 ChangeCipherSpec"
        ]
    );
    assert_eq!(facts.server_name.as_deref(), Some("shop.example"));
    assert_eq!(facts.alpn_offered.as_deref(), Some("h2,http/1.1"));
    assert_eq!((facts.alpn.as_deref(), facts.offered_name().as_deref()), (None, Some("TLS 1.3")));
    assert_eq!(facts.version_name().as_deref(), Some("TLS 1.3"));
    assert_eq!(facts.cipher_name().as_deref(), Some("TLS_AES_128_GCM_SHA256"));
    assert_eq!((facts.data_bytes, facts.is_established()), ([172, 1300], Some(true)));
    assert_eq!((facts.end(Side::Client), facts.end(Side::Server)), (TlsEnd::AlertSized, TlsEnd::Silent));
    assert_eq!((facts.resumed, facts.lost), (false, [false; 2]));
}

#[test]
fn a_handshake_of_tls_1_2_shows_its_messages_until_it_is_encrypted() {
    let mut script = Script::new();
    for (side, bytes) in turns() {
        if side == 0 {
            script.client(&bytes)
        } else {
            script.server(&bytes)
        };
    }
    let facts = tls(&script);
    assert_eq!(
        steps(&facts),
        [
            "Client 4 ClientHello",
            "Server 5 ServerHello",
            "Server 5 Certificate",
            "Server 5 ServerHelloDone",
            "Client 6 ClientKeyExchange",
            "Client 6 ChangeCipherSpec",
            "Client 6 Finished",
            "Server 7 ChangeCipherSpec",
            "Server 7 Finished",
        ]
    );
    assert_eq!(
        (facts.alpn.as_deref(), facts.is_established(), facts.resumed),
        (Some("h2"), Some(true), false)
    );
    assert_eq!(facts.cipher_name().as_deref(), Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
    assert_eq!((facts.alerts.len(), &*facts.alerts[0].name()), (1, "encrypted alert"));
    assert_eq!((facts.end(Side::Server), facts.data_bytes), (TlsEnd::EncryptedAlert, [0, 40]));
}

#[test]
fn a_second_hello_is_read_where_the_server_asks_for_one() {
    let retry = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let asks = record(22, &message(2, &server_hello_body(retry, [0x13, 2], &extension(43, &[3, 4]))));
    let mut script = Script::new();
    script.client(&client_hello()).server(&[asks, CHANGE.to_vec()].concat());
    script.client(&[CHANGE.to_vec(), client_hello()].concat()).server(&server_hello_1_3());
    let facts = tls(&script);
    let names: Vec<_> = facts.steps.iter().map(|step| step.message).collect();
    use TlsMessage::{ChangeCipherSpec, ClientHello, HelloRetryRequest, ServerHello};
    let expected =
        [ClientHello, HelloRetryRequest, ChangeCipherSpec, ChangeCipherSpec, ClientHello, ServerHello];
    assert_eq!(names, expected);
    assert_eq!((facts.cipher, facts.is_established()), (Some(0x1301), Some(false)));
}

#[test]
fn a_session_that_goes_on_sends_no_certificate() {
    let hello = message(2, &server_hello_body([9; 32], [0xc0, 0x2f], &[]));
    let mut script = Script::new();
    script.client(&client_hello());
    script.server(&[record(22, &hello), CHANGE.to_vec(), encrypted_finished()].concat());
    script.client(&[CHANGE.to_vec(), encrypted_finished()].concat());
    let facts = tls(&script);
    assert_eq!((facts.resumed, facts.is_established()), (true, Some(true)));
    assert_eq!(facts.version_name().as_deref(), Some("TLS 1.2"));
}

#[test]
fn an_alert_in_the_clear_is_named() {
    let mut script = Script::new();
    script.client(&client_hello()).server(&record(21, &[2, 70]));
    let facts = tls(&script);
    assert_eq!((&*facts.alerts[0].name(), facts.alerts[0].frame), ("protocol_version", 5));
    assert_eq!((facts.end(Side::Server), facts.is_established()), (TlsEnd::Fatal, Some(false)));
    assert_eq!((facts.version, facts.offered), (None, Some(0x0304)));
}

#[test]
fn what_the_capture_misses_is_not_claimed() {
    let hello = client_hello();
    let mut script = Script::new();
    script.client(&hello[..60]).lost(0, hello.len() as u32 - 60);
    script.server(&server_hello_1_3()).client(&record(23, &[3; 100]));
    let facts = tls(&script);
    assert_eq!((facts.server_name.as_deref(), facts.offered), (None, None));
    assert!(steps(&facts).contains(&"Client 4 ClientHello".to_owned()));
    assert_eq!((facts.version, facts.is_established()), (Some(0x0304), Some(true)));
    // Between records: how much was sent is not known, and the count goes on behind.
    script.lost(1, 5000).server(&record(23, &[4; 200])).client(&record(23, &[5; 30]));
    let facts = tls(&script);
    assert_eq!((facts.lost, facts.data_bytes), ([false, true], [130, 200]));
}

#[test]
fn a_name_in_front_of_the_cut_is_known() {
    let hello = client_hello();
    let mut script = Script::new();
    script.client(&hello[..hello.len() - 8]).lost(0, 8).server(&server_hello_1_3());
    let facts = tls(&script);
    assert_eq!(facts.server_name.as_deref(), Some("shop.example"));
    assert_eq!((facts.alpn_offered.as_deref(), facts.offered), (Some("h2,http/1.1"), None));
}

#[test]
fn a_record_that_the_capture_cuts_off_counts_as_far_as_it_came() {
    let mut script = Script::new();
    script.client(&client_hello()).server(&server_hello_1_3()).server(&record(23, &[4; 900])[..505]);
    assert_eq!(tls(&script).data_bytes, [0, 500]);
    // Bytes missing in the middle of one were sent.
    script.lost(1, 300).server(&[4; 100]).client(&record(23, &[3; 60]));
    assert_eq!(tls(&script).data_bytes, [60, 900]);
}

#[test]
fn a_connection_older_than_the_capture_is_known_by_its_records() {
    let mut script = Script::midstream("10.0.0.1:40000", "10.0.0.2:443");
    script.client(&record(23, &[3; 100])).server(&[7; 300]).server(&record(23, &[4; 400]));
    script.client(&record(23, &[5; 90]));
    let facts = tls(&script);
    assert_eq!((facts.data_bytes, facts.lost), ([190, 400], [false, true]));
    assert_eq!((facts.version, facts.is_established()), (None, None));
    assert_eq!(script.facts().flows[0].wire.first(Side::Client), FirstBytes::Missing);
}

#[test]
fn one_record_in_the_middle_of_a_stream_is_no_proof() {
    let mut script = Script::midstream("10.0.0.1:40000", "10.0.0.2:443");
    script.client(&record(23, &[3; 100])).server(&[7; 300]).client(b"not a record at all");
    let facts = script.facts();
    assert_eq!((facts.flows[0].protocol, &facts.flows[0].wire.tls), (Protocol::Unknown, &None));
}

#[test]
fn what_is_too_much_to_keep_is_said() {
    let mut script = Script::new();
    script.client(&client_hello());
    for _ in 0..40 {
        script.server(&record(21, &[1, 90]));
    }
    let facts = script.facts();
    assert_eq!(facts.flows[0].wire.tls.as_ref().unwrap().alerts.len(), 16);
    let said = |problem: &crate::capture::Problem| problem.detail.contains("more than 16 alerts");
    assert!(facts.info.problems.iter().any(said), "{:?}", facts.info.problems);
}
