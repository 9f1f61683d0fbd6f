//! The words of every finding in one table: edit them here; `{names}` in braces are filled with figures.

mod connect;
mod exhaustion;
mod fastcgi;
mod framing;
mod itself;
mod logs;
mod other;
mod request;
mod response;
mod restart;
mod reuse;
mod transport;

pub(super) use connect::{
    ACCEPT_QUEUE_OVERFLOW, CHECK_REFUSED, CONNECT_TIMEOUT, CONNECTION_REFUSED, HOST_UNREACHABLE,
    HTTP2_MISMATCH, NO_LIVE_UPSTREAM, PLAIN_TO_TLS, PROXY_EXPECTED, PROXY_NOT_EXPECTED, PROXY_TWICE,
    STRANGER_REFUSED, STRANGER_UNANSWERED, TLS_REFUSED, TLS_TO_PLAIN, TLS_UNANSWERED,
};
pub(super) use exhaustion::{WORKER_EXHAUSTION, WORKER_QUEUE, WORKERS_BUSY, WORKERS_HELD};
pub(super) use fastcgi::{
    FASTCGI_CANNOT_MULTIPLEX, FASTCGI_NO_OUTPUT, FASTCGI_OVERLOADED, FASTCGI_REFUSED, FASTCGI_UNKNOWN_ROLE,
};
pub(super) use framing::INVALID_CHUNK;
pub(super) use itself::{ASKED_NOBODY, NEXT_HOP_ENCRYPTED, NEXT_HOP_MISSING};
pub(super) use logs::{
    APPLICATION_LOGGED, ERRORS_LOGGED, FAULT_BEHIND, LOG_APART, LOG_CLOCK, LOG_DISAGREEMENT,
    UPSTREAM_NOT_LOGGED,
};
pub(super) use other::{CAPTURE_LOSS, PARTIAL_CAPTURE, SNAP_LENGTH};
pub(super) use request::{
    BAD_REQUEST, BAD_REQUEST_OF_STRANGERS, CLIENT_ABORT, CONTINUE_STALL, EARLY_RESPONSE_CLOSED,
    EARLY_RESPONSE_PASSED_ON, EARLY_RESPONSE_RESET, HALF_CLOSE, REQUEST_CUT_OFF, REQUEST_HEADER_TOO_LARGE,
    REQUEST_TIMEOUT, REQUEST_TOO_LARGE, UNSOLICITED_1XX,
};
pub(super) use response::{
    APPLICATION_ERROR, CLIENT_GAVE_UP, CLOSED_AT_LIMIT, CLOSED_BEFORE_RESPONSE, CLOSED_ON_ALL,
    CLOSED_ON_REQUEST, CONFLICTING_FRAMING, CONFLICTING_FRAMING_TOLERATED, EXTRA_BYTES_TAKEN,
    EXTRA_RESPONSE_BYTES, INVALID_HEADER, INVALID_HEADER_TOLERATED, MASKED_BY_FALLBACK, MASKED_FAILURES,
    NOT_HTTP, RESPONSE_HEADER_TOO_LARGE, RESPONSE_TIMEOUT, SEND_STALL, TRUNCATED_RESPONSE,
    UNFRAMED_KEPT_OPEN, UNSOLICITED_RESPONSE, WRONG_ANSWER,
};
pub(super) use restart::{CLOSED_BY_RESTART, CUT_BY_RESTART, REFUSED_BY_RESTART};
pub(super) use reuse::{
    AFTER_EARLY_ANSWER, CLOSE_IGNORED, CLOSES_AFTER_EACH, IDLE_TIMEOUT, KNOWN_IDLE_TIMEOUTS, MAX_REQUESTS,
    MIDDLEBOX, PIPELINED_BEHIND_CLOSE, RECYCLED, RESTARTED, UNKNOWN_CAUSE, UNSENT, VANISHED,
};
pub(super) use transport::{
    CONNECT_DELAY, DELAYED_ACK, MTU_BLACK_HOLE, RESTART_BURST, RETRANSMISSION_DELAY, ZERO_WINDOW,
};

use super::{Fix, Severity};
use crate::topology::Lane;

/// The words of one kind of finding, or of one cause of it.
pub(super) struct Words {
    /// Stable kebab-case name of the kind.
    pub(super) kind: &'static str,
    /// Stable kebab-case name of the cause; empty where the kind says it all.
    pub(super) cause: &'static str,
    /// Rule of the fault catalogue; empty where the packets decide which.
    pub(super) rule: &'static str,
    /// How bad.
    pub(super) severity: Severity,
    /// One sentence: what broke, where, how often.
    pub(super) summary: &'static str,
    /// The figures and what they mean.
    pub(super) explanation: &'static str,
    /// Product, change, what to know before; best first.
    pub(super) fixes: &'static [(&'static str, &'static str, &'static str)],
    /// What an operator finds in the proxy's error log.
    pub(super) log_line: &'static str,
    /// When not to believe it.
    pub(super) doubt: &'static str,
}

/// Server products of which at most one stands at a server lane: fixes for the others are left out.
const SERVER_PRODUCTS: [&str; 7] = ["uwsgi", "gunicorn", "node", "uvicorn", "apache", "tomcat", "php-fpm"];

/// The product whose changes are annotations and settings of a Kubernetes controller.
const INGRESS: &str = "ingress-nginx";
/// Begins the product of a fix for the hop that was asked, and that is a proxy itself: left out where it is known to be another one.
const AS_SERVER: &str = "@";
/// Proxies that lanes may be called after.
const PROXY_PRODUCTS: [&str; 8] =
    ["caddy", "envoy", "haproxy", "httpd", "nginx", "squid", "traefik", "varnish"];
/// What asks others under these names is known to be a proxy too ("ingress" may be any).
const ALSO_PROXIES: [&str; 2] = ["apache", "lighttpd"];

/// Whether a fix for a proxy's product is one for what a lane is called.
fn runs(name: &str, product: &str) -> bool {
    let names: &[&str] = match product {
        "nginx" | INGRESS => &["angie", "ingress", "nginx", "openresty", "tengine"],
        "httpd" => &["apache", "httpd"],
        "envoy" => &["envoy", "istio"],
        _ => return name.contains(product),
    };
    names.iter().any(|known| name.contains(known))
}

/// Whether a lane is called after a proxy that another product's fix is nothing for.
fn runs_other(name: &str, product: &str) -> bool {
    let known = || PROXY_PRODUCTS.iter().chain(&ALSO_PROXIES).any(|proxy| name.contains(proxy));
    !runs(name, product) && known()
}

/// The name of a lane that tells the product there: the one it is shown under, where that names one, else what traffic
/// and captures call it. Who calls a lane "billing" has changed nothing of what runs there.
pub(super) fn kind_name(lane: &Lane) -> &str {
    if names_product(&lane.name) { &lane.name } else { &lane.found }
}

/// Whether a lane's name tells the product there.
pub(super) fn names_product(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut products = SERVER_PRODUCTS.iter().chain(&PROXY_PRODUCTS).chain(&["ingress", "fastcgi"]);
    products.any(|product| name.contains(product))
}

/// Whether a product is a proxy more often than not, of those that fixes are for.
pub(super) fn is_proxy_product(name: &str) -> bool {
    PROXY_PRODUCTS.iter().any(|product| name.contains(product))
}

/// Fixes in general words, whatever the product.
const GENERAL: [&str; 3] = ["server", "proxy", "client"];

impl Words {
    /// The fixes with their figures, without those for servers that the lane's name says it is not: no application
    /// server is what asks others (`passes_on`). Those that only an ingress understands come last where no lane of the
    /// link is called one, and first what the lanes are called; where that is not known, what holds for all of them.
    pub(super) fn fixes_for(
        &self,
        (from, to): (&str, &str),
        passes_on: bool,
        values: &[(&str, String)],
    ) -> Vec<Fix> {
        let (from, lane) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
        // Who speaks FastCGI is PHP, nearly always.
        let lane = lane.replace("fastcgi", "php-fpm");
        let known = SERVER_PRODUCTS.iter().any(|product| lane.contains(product));
        let fits = |&(product, change, _): &(&str, &str, &str)| {
            if let Some(product) = product.strip_prefix(AS_SERVER) {
                return lane.contains(product)
                    || !known && !PROXY_PRODUCTS.iter().any(|other| lane.contains(other));
            }
            // A figure that is empty has no value that would help.
            let lacks =
                |(name, value): &(&str, String)| value.is_empty() && change.contains(&format!("{{{name}}}"));
            let product = product.to_ascii_lowercase();
            let is_other = known || passes_on || is_proxy_product(&lane);
            let other = is_other && SERVER_PRODUCTS.contains(&product.as_str()) && !lane.contains(&product);
            // The hop that asks is known to be another proxy, and the one that is asked is that product no more.
            let proxies =
                PROXY_PRODUCTS.contains(&product.as_str()) || product == INGRESS || product == "lighttpd";
            let elsewhere = proxies
                && runs_other(&from, &product)
                && !runs(&lane, &product)
                && (!passes_on || runs_other(&lane, &product));
            !other && !elsewhere && !values.iter().any(lacks)
        };
        let fix = |&(product, change, note): &(&str, &str, &str)| Fix {
            product: product.trim_start_matches(AS_SERVER).to_owned(),
            change: fill(change, values),
            note: fill(note, values),
        };
        let is_called = |name: &str| from.contains(name) || lane.contains(name);
        let first = self.fixes.first().map_or("", |first| first.0);
        let proxy_first = first == INGRESS || PROXY_PRODUCTS.contains(&first);
        let rank = |product: &str| match product {
            _ if product.strip_prefix(AS_SERVER).is_some_and(|product| lane.contains(product)) => 0,
            _ if product.starts_with(AS_SERVER) => 3,
            _ if is_called("ingress") => 1,
            INGRESS => 4,
            // The hop to change is a proxy, and which one is told by its name.
            _ if !proxy_first => 1,
            _ if PROXY_PRODUCTS.contains(&product) && is_called(product) => 1,
            "nginx" => 2,
            _ => 3,
        };
        let mut fixes: Vec<&(&str, &str, &str)> = self.fixes.iter().filter(|fix| fits(fix)).collect();
        fixes.sort_by_key(|fix| rank(fix.0));
        // What is said in general comes before the lines of products of which none is known to be there.
        let is_there = |product: &str| match product.to_ascii_lowercase() {
            product if SERVER_PRODUCTS.contains(&product.as_str()) => lane.contains(&product),
            product if PROXY_PRODUCTS.contains(&product.as_str()) => is_called(&product),
            product => is_called("ingress") || product != INGRESS,
        };
        if fixes.first().is_some_and(|first| is_there(first.0.trim_start_matches(AS_SERVER))) {
            fixes.retain(|fix| fix.0 != "proxy" || first == "proxy");
        } else {
            fixes.sort_by_key(|fix| !GENERAL.contains(&fix.0));
        }
        fixes.into_iter().map(fix).collect()
    }
}

/// Puts figures into the braces of a text.
pub(super) fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut out = text.to_owned();
    for (name, value) in values {
        out = out.replace(&format!("{{{name}}}"), value);
    }
    // An empty figure leaves its blank behind.
    while out.contains("  ") {
        out = out.replace("  ", " ");
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_advice_is_for_a_proxy_that_is_known_not_to_be_there() {
        let values = [("above", "6".to_owned())];
        let products = |from: &str, to: &str, passes_on: bool| {
            let fixes = RESPONSE_TIMEOUT.fixes_for((from, to), passes_on, &values);
            fixes.into_iter().map(|fix| fix.product).collect::<Vec<_>>()
        };
        let has = |list: &[String], product: &str| list.iter().any(|one| one == product);
        for (lane, own) in
            [("varnish", "varnish"), ("apache", "httpd"), ("Caddy", "caddy"), ("edge-haproxy", "HAProxy")]
        {
            let told = products(lane, "puma", false);
            assert!(has(&told, own) && has(&told, "server"), "{lane}: {told:?}");
            assert!(
                !["nginx", "ingress-nginx", "Envoy", "squid"].iter().any(|other| has(&told, other)),
                "{told:?}"
            );
        }
        // Behind it a hop that may be any; one that is known; and nobody knows anything.
        assert!(has(&products("varnish", "pod-7", true), "nginx"));
        assert!(has(&products("varnish", "nginx", true), "nginx"));
        let told = products("proxy", "app", false);
        assert!(has(&told, "nginx") && has(&told, "varnish"), "{told:?}");
        assert!(has(&products("ingress", "app", false), "ingress-nginx"));
    }

    #[test]
    fn every_kind_has_its_words_and_no_cause_stands_twice() {
        // One list a file: a new family adds its own.
        let files: [&[&Words]; 12] = [
            &connect::ALL,
            &exhaustion::ALL,
            &fastcgi::ALL,
            &framing::ALL,
            &itself::ALL,
            &logs::ALL,
            &other::ALL,
            &request::ALL,
            &response::ALL,
            &restart::ALL,
            &reuse::ALL,
            &transport::ALL,
        ];
        let all: Vec<&Words> = files.into_iter().flatten().copied().collect();
        let mut names: Vec<_> = all.iter().map(|words| (words.kind, words.cause)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        for words in all {
            assert!(!words.summary.is_empty() && !words.explanation.is_empty() && !words.doubt.is_empty());
            assert!(words.severity != Severity::Error || !words.fixes.is_empty(), "{}", words.kind);
        }
    }

    #[test]
    fn figures_go_into_their_braces_and_fixes_of_other_servers_stay_out() {
        assert_eq!(fill("{a}  of {b}", &[("a", "3".to_owned()), ("b", "4".to_owned())]), "3 of 4");
        let fixes = CLOSES_AFTER_EACH.fixes_for(("ingress", "gunicorn"), false, &[]);
        assert!(fixes.iter().all(|fix| fix.product != "uwsgi"));
        assert!(
            CLOSES_AFTER_EACH.fixes_for(("", "app"), false, &[]).iter().any(|fix| fix.product == "uwsgi")
        );
    }

    #[test]
    fn a_proxy_that_was_asked_has_its_own_fixes_first() {
        let changes = |words: &Words, from: &str, to: &str| -> Vec<(String, String)> {
            let fixes = words.fixes_for((from, to), false, &[]);
            fixes.into_iter().map(|fix| (fix.product, fix.change)).collect()
        };
        let reloaded = changes(&RESTARTED, "edge", "nginx");
        assert_eq!(reloaded[0].0, "nginx");
        assert!(reloaded[0].1.starts_with("keepalive_min_timeout"), "{reloaded:?}");
        assert!(changes(&RESTARTED, "nginx", "balancer").iter().any(|fix| fix.0 == "nginx"));
        assert!(changes(&RESTARTED, "nginx", "uwsgi").iter().all(|fix| fix.0 != "nginx"));
        for words in [&CLOSES_AFTER_EACH, &IDLE_TIMEOUT, &MAX_REQUESTS, &MIDDLEBOX] {
            assert_eq!(changes(words, "haproxy", "app")[0].0, "haproxy", "{}", words.cause);
            assert_eq!(changes(words, "nginx", "app")[0].0, "nginx", "{}", words.cause);
        }
        let values = [("below_s", String::new()), ("below", "500ms".to_owned())];
        let short = IDLE_TIMEOUT.fixes_for(("nginx", "app"), false, &values);
        assert_eq!(short[0].change, "keepalive_timeout 500ms;");
        assert!(short.iter().all(|fix| !fix.change.contains("upstream-keepalive-timeout")));
    }

    #[test]
    fn what_holds_for_all_comes_before_products_of_which_none_is_known() {
        let products = |words: &Words, from: &str, to: &str, passes_on: bool| -> Vec<String> {
            let fixes = words.fixes_for((from, to), passes_on, &[]);
            fixes.into_iter().map(|fix| fix.product).collect()
        };
        let full = |to: &str, passes_on| products(&ACCEPT_QUEUE_OVERFLOW, "proxy", to, passes_on);
        assert_eq!(full("app", false), ["server", "server", "uwsgi", "gunicorn", "node"]);
        assert_eq!(full("gunicorn", false), ["gunicorn", "server", "server"]);
        // Who passes requests on is no application server, unless it is called one.
        assert_eq!(full("balancer", true), ["server", "server"]);
        assert_eq!(full("haproxy", false), ["server", "server"]);
        let closes = products(&CLOSES_AFTER_EACH, "balancer", "app", false);
        assert_eq!(closes[0], "proxy");
        assert_eq!(products(&CLOSES_AFTER_EACH, "haproxy", "app", false)[0], "haproxy");
    }

    #[test]
    fn what_is_known_of_the_hop_to_change_comes_first() {
        let products = |from: &str, to: &str| -> Vec<String> {
            let fixes = CLOSES_AFTER_EACH.fixes_for((from, to), false, &[]);
            fixes.into_iter().map(|fix| fix.product).collect()
        };
        let table = CLOSES_AFTER_EACH.fixes.iter().map(|fix| fix.0);
        let table: Vec<&str> = table.filter(|product| *product != "proxy").collect();
        assert_eq!(products("ingress", "uwsgi"), table);
        // Who is known to be nginx is no other proxy.
        let table: Vec<&str> = table.into_iter().filter(|product| *product != "haproxy").collect();
        assert_eq!(products("ingress-nginx", "app"), table);
        for from in ["nginx", "nginx 2"] {
            let found = products(from, "app");
            assert_eq!(found.len(), table.len());
            assert!(
                found.starts_with(&["nginx".to_owned(), "nginx".to_owned(), "uwsgi".to_owned()]),
                "{from}"
            );
            assert_eq!(found.last().map(String::as_str), Some(INGRESS), "{from}");
        }
    }
}
