//! What was asked for again, in the report: by proxies, and by clients themselves.

use serde::Serialize;

use crate::analysis::ExchangeView;
use crate::diagnose::{ByMethod, Retries};
use crate::topology::{ExchangeId, LaneId};

/// What one lane retried.
#[derive(Clone, Debug, Serialize)]
pub struct RetryReport {
    /// The lane.
    pub lane: LaneId,
    /// Requests with two attempts or more.
    pub retried_requests: ByMethod,
    /// Their attempts, the first included.
    pub attempts: u64,
    /// Those whose user-side answer was no failure.
    pub saved: ByMethod,
    /// Those that failed all the same.
    pub same_request_failed: ByMethod,
    /// Failed attempts that are in none of these counts: nothing tells whether they were made up for.
    pub unsure_attempts: u64,
    /// What the lane's own access log says, where it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logged: Option<LoggedReport>,
}

/// What an access log says of the retries of the lane that wrote it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of LoggedRetries")]
pub struct LoggedReport {
    pub log: String,
    pub retried_requests: ByMethod,
    pub saved: ByMethod,
}

/// What a client's own retry repeats.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Again")]
pub struct ClientRetryReport {
    pub of: ExchangeId,
    pub confidence: &'static str,
    pub attempt: u16,
}

/// The failed request that the client of this one sent again with it.
pub(super) fn client_retry(exchange: ExchangeView<'_>) -> Option<ClientRetryReport> {
    let again = exchange.analysis.trees.again(exchange.id)?;
    Some(ClientRetryReport { of: again.of, confidence: again.confidence.name(), attempt: again.attempt })
}

pub(super) fn retries(all: &[Retries]) -> Vec<RetryReport> {
    let all = all.iter();
    all.filter_map(|retries| {
        Some(RetryReport {
            lane: retries.lane?,
            retried_requests: retries.retried.clone(),
            attempts: retries.attempts,
            saved: retries.saved.clone(),
            same_request_failed: retries.failed.clone(),
            unsure_attempts: retries.unsure,
            logged: retries.logged.clone().map(|logged| LoggedReport {
                log: logged.log,
                retried_requests: logged.retried,
                saved: logged.saved,
            }),
        })
    })
    .collect()
}
