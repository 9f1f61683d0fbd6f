//! What connections carry beside their exchanges, from packets to facts.

use super::*;

/// What became of the first connection, in words.
fn hand_over(script: &Script) -> String {
    let facts = script.facts();
    let one = facts.flows[0].wire.hand_over.as_ref().unwrap();
    assert_eq!(one.protocol, facts.flows[0].protocol);
    format!(
        "{} {} {:?} by {} in {}: {:?}",
        one.way.name(),
        one.protocol.name(),
        one.to,
        one.ordinal,
        one.frame,
        one.bytes
    )
}

#[test]
fn what_a_connection_became_is_named() {
    let upgrade = |to: &str| {
        let mut script = Script::new();
        script.client(&get("/")).server(OK);
        let asks = format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n");
        let agrees = format!("HTTP/1.1 101 Switching\r\nUpgrade: {to}\r\nConnection: Upgrade\r\n\r\nfirst");
        script.client(asks.as_bytes()).server(agrees.as_bytes()).client(b"GET /y HTTP/1.1\r\n\r\n");
        script
    };
    assert_eq!(hand_over(&upgrade("websocket")), "upgrade websocket \"websocket\" by 2 in 7: [19, 5]");
    assert_eq!(hand_over(&upgrade("h2c")), "upgrade http/2 \"h2c\" by 2 in 7: [19, 5]");
    assert_eq!(hand_over(&upgrade("foo/2")), "upgrade tunnel \"foo/2\" by 2 in 7: [19, 5]");

    let mut script = Script::new();
    script.client(b"CONNECT db.example:443 HTTP/1.1\r\nHost: db.example\r\n\r\n");
    script.server(b"HTTP/1.1 200 OK\r\n\r\n");
    for (side, bytes) in tls::tests::turns() {
        if side == 0 {
            script.client(&bytes)
        } else {
            script.server(&bytes)
        };
    }
    assert_eq!(hand_over(&script), "connect tunnel \"db.example:443\" by 1 in 5: [227, 493]");
    assert_eq!(script.facts().flows[0].wire.tls.as_ref().unwrap().is_established(), Some(true));

    let mut script = Script::new();
    script.client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").server(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(hand_over(&script), "prior-knowledge http/2 \"h2c\" by 0 in 4: [24, 9]");

    // Asked, and not agreed to.
    let mut script = Script::new();
    script.client(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").server(OK);
    script.client(b"CONNECT db.example:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    script.server(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n").client(&get("/z")).server(OK);
    assert_eq!((script.lines().len(), &script.facts().flows[0].wire.hand_over), (3, &None));
}

#[test]
fn a_tunnel_with_bytes_missing_goes_on_being_read() {
    let mut script = Script::new();
    script.client(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n");
    let turns = tls::tests::turns();
    script.client(&turns[0].1);
    // In the middle of the certificate: the records behind it are found all the same.
    let flight = &turns[1].1;
    script.server(&flight[..150]).lost(1, 100).server(&flight[250..]);
    script.client(&turns[2].1).server(&turns[3].1).client(&[0x15, 3, 3, 0, 2, 1, 0]);
    let facts = script.facts();
    let tls = facts.flows[0].wire.tls.as_ref().unwrap();
    assert_eq!((tls.data_bytes, tls.lost), ([0, 40], [false, false]));
}

#[test]
fn tls_behind_a_proxy_header_is_read() {
    let mut script = Script::new();
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n".to_vec();
    for (side, bytes) in [(0, header)].into_iter().chain(tls::tests::turns()) {
        if side == 0 {
            script.client(&bytes)
        } else {
            script.server(&bytes)
        };
    }
    let facts = script.facts();
    let wire = &facts.flows[0].wire;
    assert_eq!(facts.flows[0].protocol, Protocol::Tls);
    assert_eq!(wire.proxy.as_ref().map(|proxy| proxy.frame), Some(4));
    assert_eq!(wire.tls.as_ref().unwrap().server_name.as_deref(), Some("shop.example"));
}

#[test]
fn http2_is_prior_knowledge_only_where_nothing_before_it_is_missing() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let way = |script: &Script| script.facts().flows[0].wire.hand_over.as_ref().map(|one| one.way);
    let mut known = Script::new();
    known.client(preface).server(settings);
    assert_eq!(way(&known), Some(HandOverWay::PriorKnowledge));
    // The request that asked for it is missing, the answer is there.
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut asked = Script::new();
    asked.lost(0, 90).server(upgrade).client(preface).server(settings);
    assert_eq!(way(&asked), Some(HandOverWay::Upgrade));
    assert_eq!(asked.facts().exchanges.len(), 1);
    // Both are, or the answer could be one to a CONNECT.
    for answer in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b""] {
        let mut tunnel = Script::new();
        tunnel.lost(0, 90);
        if !answer.is_empty() {
            tunnel.server(answer);
        }
        tunnel.client(preface).server(settings);
        assert_eq!(way(&tunnel), Some(HandOverWay::Unseen));
    }
    let mut later = Script::midstream("10.0.0.1:40000", "10.0.0.2:80");
    later.client(preface).server(settings);
    assert_eq!(way(&later), Some(HandOverWay::Unseen));
}
