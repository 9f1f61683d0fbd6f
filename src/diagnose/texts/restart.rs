//! Words for what is lost when a server goes away: requests in hand, answers under way, connections refused until it is back.

use super::connect::CONNECTION_REFUSED;
use super::response::{CLOSED_BEFORE_RESPONSE, TRUNCATED_RESPONSE};
use super::{Severity, Words};

/// What to change so that a restart costs no request.
const FIXES: &[(&str, &str, &str)] = &[
    (
        "@nginx",
        "worker_shutdown_timeout TIME; longer than the slowest answer takes, or none",
        "On a reload or QUIT old workers finish what they have in hand; after this time they cut it.",
    ),
    (
        "@haproxy",
        "hard-stop-after TIME; longer than the slowest answer takes",
        "On a reload the old process finishes what it has in hand; after this time it is ended.",
    ),
    (
        "kubernetes",
        "terminationGracePeriodSeconds above the slowest answer, and lifecycle.preStop: sleep 15",
        "After this time the pod is killed with what it has in hand.",
    ),
    (
        "server",
        "end in good order: stop accepting, finish requests, then close",
        "And before that have the proxy send no more requests there.",
    ),
    (
        "uwsgi",
        "worker-reload-mercy = SECONDS, above the slowest answer",
        "And max-requests not for all workers at once.",
    ),
    (
        "gunicorn",
        "--graceful-timeout SECONDS; --max-requests-jitter N",
        "So that workers end one after another.",
    ),
    (
        "uvicorn",
        "--timeout-graceful-shutdown SECONDS; more than one process where --limit-max-requests ends them",
        "A single process that ends at its limit leaves nobody who accepts until it is started again.",
    ),
];

/// P1, amid many closes at once.
pub(in crate::diagnose) static CLOSED_BY_RESTART: Words = Words {
    cause: "server-restarted",
    severity: Severity::Error,
    summary: "{link}: {server} went away with requests in hand, {times}",
    explanation: "{server} closed {share} within {window}{others}{refused}. These requests were in its hands, and it closed \
        ({ends}) on all of them at that moment, whatever their age: no timer of the one who waited and no stale connection \
        is to blame. It was restarted, reloaded or killed; a reload lets running requests finish only for as long as it is \
        told to. {users}",
    fixes: FIXES,
    doubt: "The packets show that it closed many at once, not why: its log says whether it was reloaded, ended or killed. \
        A balancer that drops all that it has open towards a server that it took out (HAProxy on-marked-down \
        shutdown-sessions) looks the same.",
    ..CLOSED_BEFORE_RESPONSE
};

/// P5 and P6, amid many closes at once.
pub(in crate::diagnose) static CUT_BY_RESTART: Words = Words {
    cause: "server-restarted",
    summary: "{link}: {server} went away in the middle of responses, {times}",
    explanation: "{server} closed {share} within {window}{others}{refused}. It was in the middle of these responses ({ends}): it \
        was restarted, reloaded or killed. Access logs show the status that the head announced, often 200, and no fault. \
        {users}",
    fixes: FIXES,
    doubt: "The packets show that it closed many at once, not why: its log says whether it was reloaded, ended or killed.",
    ..TRUNCATED_RESPONSE
};

/// C1, right behind many closes at once.
pub(in crate::diagnose) static REFUSED_BY_RESTART: Words = Words {
    cause: "server-restarted",
    summary: "{link}: {servers} refused connections after it had closed those that it had, {times}",
    explanation: "It had closed {share} within {window}{again}, and from then on nothing listened there: the SYN was answered \
        by a RST. So it ended, and {back}. {asker} then answers 502 or tries another address. {hurt}",
    fixes: &[
        (
            "server",
            "start the new process before the old one ends, or keep the listening socket open meanwhile",
            "systemd socket activation does that, and so does a server that replaces its workers one after another.",
        ),
        (
            "kubernetes",
            "two replicas or more, a readinessProbe, and a preStop sleep",
            "Only pods that listen should be endpoints.",
        ),
        (
            "uvicorn",
            "more than one process where --limit-max-requests ends them",
            "A single process that ends at its limit leaves nobody who accepts until it is started again.",
        ),
        (
            "nginx",
            "a second server in the upstream block",
            "A refused connection is then tried elsewhere, POSTs too.",
        ),
        ("haproxy", "a second server, and option redispatch", "As for nginx."),
    ],
    doubt: "The packets show when it ended, not why: its log and its supervisor's (systemctl status, kubectl get events) do.",
    ..CONNECTION_REFUSED
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 3] = [&CLOSED_BY_RESTART, &CUT_BY_RESTART, &REFUSED_BY_RESTART];
