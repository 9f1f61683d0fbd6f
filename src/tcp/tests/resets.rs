//! Resets: those that refuse, those that end, and those that nobody heeds.

use super::*;

#[test]
fn a_refused_connection_and_a_reset_that_answers_something_else() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").server(RST | ACK, 0, 12_345, b"").server(RST | ACK, 0, c(0), b"");
    assert_eq!(tape.lives(), ["Refused Reset >Syn <StrayRst <Rst"]);
}

#[test]
fn a_refusal_that_the_client_does_not_heed_refuses_nothing() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").server(RST | ACK, 0, c(0), b"").server(FIN_ACK, 0, c(0), b"");
    tape.server(SYN_ACK, S, c(0), b"").client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    let facts = tape.facts();
    assert_eq!((facts.flows[0].opening, facts.flows[0].closing), (Opening::Handshake, Closing::Open));
    assert!(facts.exchanges[0].response.is_complete());
}

#[test]
fn a_reset_far_outside_of_the_window_ends_nothing() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(RST, s(0x3000_0000), 0, b"").server(ACK, s(0), c(33), OK);
    assert_eq!(tape.lives(), [format!("Handshake Open {OPEN} <StrayRst")]);
    assert_eq!(tape.facts().exchanges.len(), 1);
    tape.server(RST, s(40), 0, b"");
    assert_eq!(tape.lives(), [format!("Handshake Reset {OPEN} <StrayRst <Rst")]);
}

#[test]
fn a_reset_that_both_sides_do_not_heed_ends_nothing() {
    let request = || {
        let mut tape = Tape::open();
        tape.client(ACK, c(0), s(0), GET);
        tape
    };
    // Behind what the client acknowledged, and ahead of what it awaits.
    for number in [s(0).wrapping_sub(1), s(0).wrapping_sub(100_000), s(100), s(900_000)] {
        let mut tape = request();
        tape.server(RST, number, 0, b"").wait(5_000 * MS);
        tape.server(ACK, s(0), c(33), OK).client(ACK, c(33), s(40), b"");
        assert_eq!(tape.lives(), [format!("Handshake Open {OPEN} <StrayRst")], "{number}");
        assert_eq!(tape.facts().flows[0].directions[1].missing_bytes, 0);
        tape.client(FIN_ACK, c(33), s(40), b"").server(FIN_ACK, s(40), c(34), b"");
        assert!(tape.lives()[0].starts_with("Handshake Fin"), "{:?}", tape.lives());
    }
    // Nobody goes on: a capture may lack what came before a RST, but nothing moves a receiver back.
    assert_eq!(
        request().server(RST, s(100), 0, b"").lives(),
        [format!("Handshake Reset {OPEN} <Rst <Hole(100)")]
    );
    assert_eq!(request().server(RST, S, 0, b"").lives(), [format!("Handshake Open {OPEN} <StrayRst")]);
    // What was under way when the sender was gone.
    let mut tape = request();
    tape.server(RST, s(100), 0, b"").client(ACK, c(33), s(0), GET).server(RST, s(0), 0, b"");
    assert_eq!(tape.lives(), [format!("Handshake Reset {OPEN} <Rst <Rst")]);
}
