//! What connections carry beside requests, in the window.

use super::*;
use crate::app::navigate;

fn window_of_capture(name: &str) -> Window {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name);
    let mut window = window_with(Some(vec![path]), None);
    click(&mut window, "Open…");
    window.run_steps(4);
    window
}

#[test]
fn an_encrypted_connection_is_told_by_what_can_be_seen_of_it() {
    let mut window = window_of_capture("recorded-tls.pcap");
    // In the banner, and in place of the rows of the table.
    let unread = "3 connections are encrypted (TLS) and 2 connections began TLS";
    assert_eq!(window.query_all_by_label_contains(unread).count(), 2);
    window.get_by_label("No request was read, so none was judged.");
    window.get_by_label_contains("encrypted requests, ? failures, ? without an answer");
    click(&mut window, "Connections");
    click(&mut window, "Connection 127.0.0.1:56382 to 127.0.0.1:9002");
    for words in ["TLS 1.2, encrypted", "shop.example", "offered h2,http/1.1; chosen http/1.1"] {
        window.get_by_label(words);
    }
    window.get_by_label_contains("Step 2: user: ClientHello for shop.example");
    click(&mut window, "Connection 127.0.0.1:56398 to 127.0.0.1:9002");
    window.get_by_label("user: unknown_ca, fatal (frame 63)");
}

#[test]
fn what_a_connection_became_and_what_was_said_aside_stand_with_the_request() {
    let mut window = window_of_capture("recorded-websocket.pcap");
    let chat = window.state().document.as_ref().unwrap().analysis.exchanges().next().unwrap().id;
    navigate::to_exchange(window.state_mut(), chat);
    window.run_steps(3);
    window.get_by_label_contains("Step 4: becomes WebSocket");
    click(&mut window, "Frames");
    window.get_by_label("websocket (websocket)");

    let mut window = window_of_capture("recorded-fastcgi.pcap");
    let analysis = &window.state().document.as_ref().unwrap().analysis;
    let said = analysis.exchanges().find(|x| x.aside().next().is_some()).unwrap().id;
    navigate::to_exchange(window.state_mut(), said);
    window.run_steps(3);
    click(&mut window, "Body");
    window.run_steps(3);
    window.get_by_label("a note of the application");
}

#[test]
fn a_comment_of_a_packet_stands_below_the_step_of_its_frame() {
    let mut window = window_with(None, Some(Document::new(crate::export::tests::commented())));
    let asked = window.state().document.as_ref().unwrap().analysis.exchanges().next().unwrap().id;
    navigate::to_exchange(window.state_mut(), asked);
    window.run_steps(3);
    window.get_by_label_contains("The capture says: PID: 7; Cmd: ");
}
