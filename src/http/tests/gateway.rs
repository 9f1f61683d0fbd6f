//! FastCGI, uwsgi, PROXY headers and TLS, from packets to exchanges and facts.

use proptest::prelude::*;

use super::*;

fn record(kind: u8, id: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let len = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, id, len[0], len[1], padding, 0], content, &vec![0; usize::from(padding)]].concat()
}

/// Two FastCGI requests at once, with padding, the answers in the other order.
fn fastcgi_turns() -> Vec<(usize, Vec<u8>)> {
    let params = |uri: &str| {
        let pair = |name: &str, value: &str| {
            [&[name.len() as u8, value.len() as u8], name.as_bytes(), value.as_bytes()].concat()
        };
        [pair("REQUEST_METHOD", "POST"), pair("REQUEST_URI", uri), pair("HTTP_HOST", "shop")].concat()
    };
    let request = |id: u8, uri: &str| {
        let begin = record(1, id, &[0, 1, 1, 0, 0, 0, 0, 0], 0);
        [
            begin,
            record(4, id, &params(uri), 5),
            record(4, id, b"", 0),
            record(5, id, b"body", 4),
            record(5, id, b"", 0),
        ]
        .concat()
    };
    let answer = |id: u8, status: &str| {
        let head = format!("Status: {status}\r\nContent-Type: text/plain\r\n\r\nhello");
        [record(6, id, head.as_bytes(), 3), record(6, id, b"", 0), record(3, id, &[0; 8], 0)].concat()
    };
    vec![
        (0, [request(1, "/one"), request(2, "/two")].concat()),
        (1, [answer(2, "404 Not Found"), answer(1, "200 OK")].concat()),
    ]
}

fn uwsgi_packet(texts: &[&str]) -> Vec<u8> {
    let mut vars = Vec::new();
    for text in texts {
        vars.extend((text.len() as u16).to_le_bytes());
        vars.extend(text.as_bytes());
    }
    let size = (vars.len() as u16).to_le_bytes();
    [&[0, size[0], size[1], 0], &vars[..]].concat()
}

fn uwsgi_turns() -> Vec<(usize, Vec<u8>)> {
    let vars = [
        "REQUEST_METHOD",
        "POST",
        "REQUEST_URI",
        "/u?x=1",
        "CONTENT_LENGTH",
        "4",
        "HTTP_X_REQUEST_ID",
        "abc",
    ];
    vec![
        (0, [&uwsgi_packet(&vars)[..], b"body"].concat()),
        (1, b"Status: 201 Created\r\nContent-Length: 2\r\n\r\nok".to_vec()),
    ]
}

#[test]
fn a_body_behind_a_head_over_uwsgi_belongs_to_no_other_response() {
    let head = uwsgi_packet(&["REQUEST_METHOD", "HEAD", "REQUEST_URI", "/h"]);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    for sizes in [[9999], [answer.len()]] {
        let facts = play(&[(0, head.clone()), (1, [&answer[..], b"Hello\n\n"].concat())], &sizes).facts();
        assert_eq!(lines(&facts), ["1 HEAD /h Complete 0 -> 200 Complete 0"]);
        assert!(facts.exchanges[0].flags.has(ExchangeFlags::EXTRA_BYTES));
    }
    // The answer to the next request is one.
    let [ask, answer] = [uwsgi_turns()[0].clone(), uwsgi_turns()[1].clone()];
    let facts = play(&[ask.clone(), answer.clone(), ask, answer], &[9999]).facts();
    assert_eq!(facts.exchanges.len(), 2);
    assert!(facts.exchanges[1].response.is_complete());
}

#[test]
fn a_fastcgi_connection_may_begin_with_a_question_and_an_abort_is_the_askers() {
    let [ask, answer] = [fastcgi_turns()[0].clone(), fastcgi_turns()[1].clone()];
    let values =
        [(0, record(9, 0, b"\x0e\0FCGI_MAX_CONNS", 0)), (1, record(10, 0, b"\x0e\x01FCGI_MAX_CONNS1", 7))];
    let facts = play(&[values[0].clone(), values[1].clone(), ask.clone(), answer], &[9999]).facts();
    assert_eq!(facts.flows[0].protocol, Protocol::FastCgi);
    assert_eq!(lines(&facts)[0], "1 POST /one Complete 4 -> 200 Complete 5");
    // Behind the whole request the web server gives up.
    let facts = play(&[ask, (0, record(2, 1, b"", 0)), (1, record(3, 1, &[0; 8], 0))], &[9999]).facts();
    let asked = flags(&facts, ExchangeFlags::ABORT_ASKED | ExchangeFlags::NO_OUTPUT);
    assert_eq!(asked, [ExchangeFlags::ABORT_ASKED | ExchangeFlags::NO_OUTPUT, 0]);
}

#[test]
fn a_fastcgi_request_that_takes_anothers_place_takes_none_of_its_bytes() {
    let turns = fastcgi_turns();
    let output = record(6, 1, &[b'x'; 40], 0);
    let facts = play(
        &[
            turns[0].clone(),
            (1, output[..18].to_vec()),
            // The client begins anew under the same ids, while a record of the old answer is under way.
            turns[0].clone(),
            (1, output[18..].to_vec()),
            turns[1].clone(),
        ],
        &[9999],
    )
    .facts();
    for message in facts.exchanges.iter().flat_map(|exchange| [&exchange.request, &exchange.response]) {
        let held: u64 = facts.extents(message).iter().map(|extent| u64::from(extent.len)).sum();
        assert!(held <= message.wire_bytes, "{message:?}");
    }
    assert_eq!(facts.exchanges.len(), 4);
}

fn proxied_turns() -> Vec<(usize, Vec<u8>)> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 1, 0xbb]);
    vec![(0, [header, get("/behind")].concat()), (1, OK.to_vec())]
}

#[test]
fn gateway_protocols_and_proxy_headers_are_read() {
    let facts = play(&fastcgi_turns(), &[9999]).facts();
    let expected = ["1 POST /one Complete 4 -> 200 Complete 5", "2 POST /two Complete 4 -> 404 Complete 5"];
    assert_eq!(lines(&facts), expected);
    assert_eq!(facts.flows[0].protocol, Protocol::FastCgi);
    let facts = play(&uwsgi_turns(), &[9999]).facts();
    assert_eq!(lines(&facts), ["1 POST /u?x=1 Complete 4 -> 201 Complete 2"]);
    let id = facts.find_name("x-request-id").unwrap();
    assert!(facts.headers(&facts.exchanges[0]).contains(&HeaderDigest::new(id, b"abc")));
    let facts = play(&proxied_turns(), &[9999]).facts();
    assert_eq!(lines(&facts), ["1 GET /behind Complete 0 -> 200 Complete 2"]);
    let addresses = ("192.0.2.1:51234".parse().unwrap(), "198.51.100.2:443".parse().unwrap());
    assert_eq!(facts.flows[0].wire.proxied(), Some(addresses));
}

/// What else the bytes of the first connection show, without the times and packets that it came in.
fn without_places(facts: &CaptureFacts) -> WireFacts {
    let mut wire = facts.flows[0].wire.clone();
    if let Some(proxy) = &mut wire.proxy {
        (proxy.at, proxy.frame) = Default::default();
    }
    if let Some(tls) = &mut wire.tls {
        (tls.last_at, tls.data_start) = Default::default();
        for step in &mut tls.steps {
            (step.at, step.frame) = Default::default();
        }
        for alert in &mut tls.alerts {
            (alert.at, alert.frame) = Default::default();
        }
    }
    for said in &mut wire.aside {
        (said.at, said.frame) = Default::default();
    }
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any split of other protocols' bytes gives the same exchanges and facts.
    #[test]
    fn any_split_gives_the_same_records(sizes in prop::collection::vec(1usize..40, 1..50)) {
        for turns in [fastcgi_turns(), uwsgi_turns(), proxied_turns(), tls::tests::turns()] {
            let (whole, split) = (play(&turns, &[9999]).facts(), play(&turns, &sizes).facts());
            prop_assert_eq!(lines(&whole), lines(&split));
            prop_assert_eq!(without_places(&whole), without_places(&split));
            prop_assert_eq!(whole.flows[0].protocol, split.flows[0].protocol);
        }
    }

    /// Damage to other protocols' bytes is survived.
    #[test]
    fn damaged_records_are_survived(
        sizes in prop::collection::vec(1usize..40, 1..50),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        lost in any::<prop::sample::Index>(),
    ) {
        let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03".to_vec();
        let encrypted = tls::tests::turns();
        for mut turns in [fastcgi_turns(), uwsgi_turns(), proxied_turns(), vec![(0, hello)], encrypted] {
            for (at, byte) in &damage {
                let at_turn = at.index(turns.len());
                let bytes = &mut turns[at_turn].1;
                let place = at.index(bytes.len());
                bytes[place] = *byte;
            }
            let cut = lost.index(turns[0].1.len());
            let rest = turns[0].1.split_off(cut);
            let mut script = play(&turns[..1], &sizes);
            script.lost(0, 3).client(&rest);
            for (_, bytes) in &turns[1..] {
                script.server(bytes);
            }
            script.facts();
        }
    }
}
