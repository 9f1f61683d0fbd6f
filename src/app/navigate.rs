//! Going somewhere: selection, step, cursor and view change together, so that all panes show the same place.

use super::state::{AppState, Tab};
use crate::analysis::Analysis;
use crate::capture::SessionTime;
use crate::diagnose::Finding;
use crate::session::{Target, TimeView};
use crate::topology::{ConnectionId, ExchangeId};

/// The timeline never shows less than this, in nanoseconds.
const NARROWEST: i64 = 1_000;
/// How many times its own length the view around a request is wide.
const ROOM: i64 = 4;
/// How many times the length of the failed exchange the view of a finding's evidence is wide: at the least where that
/// shows the request around it, and at the most. Beyond that its bar would be a sliver.
const AROUND_EVIDENCE: [i64; 2] = [20, 40];
/// So many times wider may it be where the request that led to the exchange lies beside its bar: without it, the bar would
/// stand alone.
const BESIDE: i64 = 10;
/// How many packets of evidence are searched for the first exchange that the finding is about.
const EVIDENCE: usize = 16;
/// How many exchanges of a finding are searched for one whose failure a user saw.
const SEARCHED: usize = 4096;

/// Selects a finding and goes to its first evidence: connection, exchange, and the step that proves it.
pub fn to_finding(state: &mut AppState, index: usize) {
    let Some(document) = state.document.clone() else { return };
    let analysis = &document.analysis;
    let Some(finding) = analysis.diagnosis.findings.get(index) else { return };
    state.edits.look().selection.finding = Some(index);
    let Some((connection, exchange)) = first_evidence(analysis, finding) else { return };
    to_connection(state, connection, exchange);
    let frames: Vec<_> = finding.evidence.iter().map(|proof| proof.frame).collect();
    let steps = state.story.steps();
    // The evidence is of several cases, and some may be on this connection too.
    let about = |of: Option<ExchangeId>| exchange.is_none() || of.is_none() || of == exchange;
    let shown = steps.iter().rposition(|step| {
        step.proof && about(step.exchange) && step.frame.is_some_and(|frame| frames.contains(&frame))
    });
    if let Some(step) = shown.or_else(|| state.story.best_step(exchange)) {
        to_step(state, step);
    }
    match exchange {
        Some(id) => frame_evidence(state, id),
        None => frame_selection(state),
    }
}

/// Goes to the evidence of the finding after or before the selected one.
pub fn finding_by(state: &mut AppState, forward: bool) {
    let Some(document) = &state.document else { return };
    let count = document.analysis.diagnosis.findings.len();
    let next = match state.session().selection.finding {
        None => Some(0),
        Some(at) if forward => at.checked_add(1),
        Some(at) => at.checked_sub(1),
    };
    match next.filter(|&at| at < count) {
        Some(at) => to_finding(state, at),
        None => state.hint(if forward { "No finding after this one" } else { "No finding before this one" }),
    }
}

fn first_evidence(analysis: &Analysis, finding: &Finding) -> Option<(ConnectionId, Option<ExchangeId>)> {
    let of = |id: ExchangeId| (analysis.exchange(id).connection_id(), Some(id));
    // Evidence starts with what went well before (the first response, say): look for what it is about.
    let about = || finding.evidence.iter().filter_map(|proof| proof.exchange).take(EVIDENCE);
    let mut proven = about().filter(|id| finding.exchanges.contains(id));
    // What a user saw before what a retry hid: of the latter nobody complained.
    let seen = |id: &ExchangeId| analysis.exchange(analysis.trees.root(*id)).is_failure();
    let seen_proven = proven.clone().find(seen);
    let exchange = seen_proven
        .or_else(|| finding.exchanges.iter().copied().take(SEARCHED).find(seen))
        .or_else(|| proven.next())
        .or_else(|| finding.exchanges.first().copied());
    // Requests that a retry saved end well: what the finding is about is the attempt on its link that failed.
    let elsewhere = |id: ExchangeId| finding.link.is_some_and(|link| analysis.exchange(id).link_id() != link);
    let attempts = finding.evidence.iter().filter_map(|proof| proof.exchange).filter(|&id| !elsewhere(id));
    let failed = attempts.take(EVIDENCE).find(|&id| analysis.exchange(id).is_failure());
    let exchange = failed.filter(|_| exchange.is_some_and(elsewhere)).or(exchange);
    let proof = || {
        finding.evidence.iter().find_map(|proof| match (proof.exchange, proof.connection) {
            (Some(exchange), _) => Some(of(exchange)),
            (None, Some(connection)) => Some((connection, None)),
            (None, None) => None,
        })
    };
    exchange.map(of).or_else(|| finding.connections.first().map(|&id| (id, None))).or_else(proof)
}

/// Selects an exchange, with its connection and the step that decides it, and shows it.
pub fn to_exchange(state: &mut AppState, id: ExchangeId) {
    to_exchange_in_place(state, id);
    frame_selection(state);
}

/// Selects an exchange that is in sight: the view moves only when the deciding step is not.
pub fn to_exchange_in_place(state: &mut AppState, id: ExchangeId) {
    let Some(document) = state.document.clone() else { return };
    if id.0 as usize >= document.analysis.topology.exchanges.len() {
        return;
    }
    let connection = document.analysis.exchange(id).connection_id();
    to_connection(state, connection, Some(id));
}

/// Selects a connection, and one of its exchanges or none.
pub fn to_connection(state: &mut AppState, id: ConnectionId, exchange: Option<ExchangeId>) {
    let Some(document) = state.document.clone() else { return };
    let analysis = &document.analysis;
    if id.0 as usize >= analysis.topology.connections.len() {
        return;
    }
    state.story.update(analysis, document.generation, Some(id));
    let step = state.story.best_step(exchange);
    let selection = &mut state.edits.look().selection;
    selection.connection = Some(id);
    selection.exchange = exchange;
    state.ui.scroll_to_row = true;
    match step {
        Some(step) => to_step(state, step),
        None => state.edits.look().selection.step = None,
    }
    if exchange.is_some() {
        // A step may be about the exchange before (its FIN, say): what was asked for stays selected.
        state.edits.look().selection.exchange = exchange;
    } else {
        frame_selection(state);
    }
}

/// Goes to a step of the selected connection; beyond the last means the last.
pub fn to_step(state: &mut AppState, index: usize) {
    let steps = state.story.steps();
    let Some(last) = steps.len().checked_sub(1) else { return };
    let index = index.min(last);
    let (at, exchange) = (steps[index].at, steps[index].exchange);
    // A consequence on another connection belongs to the story, but what is selected stays of one piece.
    let connection = state.session().selection.connection;
    let analysis = state.document.as_ref().map(|document| document.analysis.clone());
    let is_here =
        |id: &ExchangeId| analysis.is_some_and(|all| Some(all.exchange(*id).connection_id()) == connection);
    let exchange = exchange.filter(is_here);
    let selection = &mut state.edits.look().selection;
    selection.step = Some(index);
    selection.cursor = Some(at);
    if exchange.is_some() {
        selection.exchange = exchange;
    }
    state.ui.scroll_to_step = true;
    state.ui.scroll_to_row = true;
    show(state, at);
}

/// Goes forward or back by steps.
pub fn step_by(state: &mut AppState, by: isize) {
    if state.story.steps().is_empty() {
        state.hint("Select a connection or an exchange to step through");
        return;
    }
    let next = match state.session().selection.step {
        Some(step) => step.saturating_add_signed(by),
        None => 0,
    };
    to_step(state, next);
}

/// Goes to the failed exchange before or after the cursor.
pub fn failure_by(state: &mut AppState, forward: bool) {
    let Some(document) = state.document.clone() else { return };
    let selection = state.session().selection;
    let failures = &document.failures;
    let here = match selection.exchange {
        Some(id) => (document.analysis.exchange(id).settled(), id),
        None => (selection.cursor.unwrap_or(SessionTime(i64::MIN)), ExchangeId(0)),
    };
    let next = if forward {
        failures.get(failures.partition_point(|failure| *failure <= here))
    } else {
        failures.partition_point(|failure| *failure < here).checked_sub(1).map(|at| &failures[at])
    };
    match next.map(|failure| failure.1) {
        Some(id) => to_exchange(state, id),
        None => state.hint(if forward { "No failure after this one" } else { "No failure before this one" }),
    }
}

/// Goes up or down in the table that is shown; behind the other tabs that is the exchanges'.
pub fn row_by(state: &mut AppState, by: isize) {
    if state.ui.tab == Tab::Connections {
        let rows = state.rows.connections();
        let selected = state.session().selection.connection;
        let here = selected.and_then(|id| rows.iter().position(|&row| row == id));
        let next = here.map_or(0, |at| at.saturating_add_signed(by)).min(rows.len().saturating_sub(1));
        if let Some(&id) = rows.get(next) {
            to_connection(state, id, None);
        }
        return;
    }
    let rows = state.rows.list();
    let here = state.session().selection.exchange.and_then(|id| rows.iter().position(|&row| row == id));
    let next = here.map_or(0, |at| at.saturating_add_signed(by)).min(rows.len().saturating_sub(1));
    if let Some(&id) = rows.get(next) {
        to_exchange(state, id);
    }
}

/// Goes to what a note is about.
pub fn to_target(state: &mut AppState, target: Target) {
    match target {
        Target::Exchange(id) => to_exchange(state, id),
        Target::Connection(id) => to_connection(state, id, None),
        Target::Moment(at) => {
            state.edits.look().selection.cursor = Some(at);
            show(state, at);
        }
    }
}

/// Shows all exchanges. Of recordings days apart only hairlines would be left: then those of the time of the selection,
/// or of the first finding, and everything when that is shown already.
pub fn fit(state: &mut AppState) {
    let Some(document) = state.document.clone() else { return };
    let analysis = &document.analysis;
    let selection = state.session().selection;
    let of_connection = |id: ConnectionId| analysis.connection(id).inner.first;
    let of_finding = || {
        let (connection, exchange) =
            analysis.diagnosis.findings.iter().find_map(|finding| first_evidence(analysis, finding))?;
        Some(exchange.map_or_else(|| of_connection(connection), |id| analysis.exchange(id).started()))
    };
    let selected = selection.exchange.map(|id| analysis.exchange(id).started());
    let at = selected.or(selection.connection.map(of_connection)).or(selection.cursor).or_else(of_finding);
    let one = document.model.view_at(at);
    state.edits.look().view = one.filter(|_| state.session().view != one);
}

/// Zooms the timeline to the selected request, with a little room around it.
pub fn fit_selection(state: &mut AppState) {
    if let Some((start, end)) = selected_span(state) {
        let room = (end.since_ns(start) / 8).max(NARROWEST);
        set_view(state, start.0.saturating_sub(room), end.0.saturating_add(room));
    }
}

/// Scales the view around the cursor (its middle, when the cursor is outside).
pub fn zoom(state: &mut AppState, factor: f64) {
    let Some(view) = current_view(state) else { return };
    let span = view.end.since_ns(view.start) as f64;
    let cursor = state.session().selection.cursor.filter(|at| (view.start..view.end).contains(at));
    let at = cursor.map_or(0.5, |at| at.since_ns(view.start) as f64 / span);
    let start = view.start.0.saturating_add((at * span * (1.0 - factor)) as i64);
    set_view(state, start, start.saturating_add((span * factor) as i64));
}

/// Moves the view by a part of its width.
pub fn pan(state: &mut AppState, part: f64) {
    let Some(view) = current_view(state) else { return };
    let by = (view.end.since_ns(view.start) as f64 * part) as i64;
    set_view(state, view.start.0.saturating_add(by), view.end.0.saturating_add(by));
}

/// What the timeline shows now.
fn current_view(state: &AppState) -> Option<TimeView> {
    let limits = state.document.as_ref()?.model.limits();
    Some(limits.clamp(state.session().view.unwrap_or(limits.fit())))
}

/// Chooses a view in which the selected request fills a readable part; keeps the present one if it does.
fn frame_selection(state: &mut AppState) {
    let Some((start, end)) = selected_span(state) else { return };
    let Some(view) = current_view(state) else { return };
    let length = end.since_ns(start).max(NARROWEST);
    let span = view.end.since_ns(view.start);
    let readable = (length..length.saturating_mul(ROOM * 8)).contains(&span);
    if readable && view.start <= start && end <= view.end {
        return;
    }
    let span = if readable { span } else { length.saturating_mul(ROOM) };
    let Some(whole) = state.document.as_ref().map(|document| document.model.fit()) else { return };
    if span >= whole.end.since_ns(whole.start) {
        // Beside what the captures hold there is nothing to give room to.
        state.edits.look().view = None;
        return;
    }
    let middle = start.0.saturating_add(end.since_ns(start) / 2);
    let first = middle.saturating_sub(span / 2).clamp(whole.start.0, whole.end.0.saturating_sub(span));
    set_view(state, first, first.saturating_add(span));
}

/// Chooses a view in which the bar of the exchange that proves a finding can be read, with the whole request around it
/// where that is not much longer; keeps the present one if it does.
fn frame_evidence(state: &mut AppState, id: ExchangeId) {
    let Some((start, end)) = selected_span(state) else { return };
    let (Some(view), Some(document)) = (current_view(state), state.document.clone()) else { return };
    let exchange = document.analysis.exchange(id);
    let (from, to) = (exchange.started(), exchange.settled());
    let own = to.since_ns(from).max(NARROWEST);
    let whole = end.since_ns(start).max(NARROWEST);
    let parent = document.analysis.trees.parent(id).map(|own| document.analysis.exchange(own.parent));
    let is_beside = parent.is_some_and(|parent| parent.settled() < from);
    let [near, far] = AROUND_EVIDENCE.map(|times| own.saturating_mul(times));
    let far = if is_beside { far.saturating_mul(BESIDE) } else { far };
    let shown = view.end.since_ns(view.start);
    let with_request = whole.saturating_add(whole / 8);
    // Whose other attempts stand beside the view would look as if it had none.
    let (first, last) = if with_request <= far { (start, end) } else { (from, to) };
    if view.start <= first && last <= view.end && (own.saturating_mul(2)..=far).contains(&shown) {
        return;
    }
    let span = near.min(whole.saturating_mul(ROOM)).max(with_request.min(far));
    let (from, to) = if span >= with_request { (start, end) } else { (from, to) };
    let fit = document.model.fit();
    if span >= fit.end.since_ns(fit.start) {
        state.edits.look().view = None;
        return;
    }
    let first = from.0.saturating_add(to.since_ns(from) / 2).saturating_sub(span / 2);
    set_view(state, first, first.saturating_add(span));
}

/// From the first to the last moment of the selected request across the hops, or of the connection.
fn selected_span(state: &AppState) -> Option<(SessionTime, SessionTime)> {
    let analysis = &state.document.as_ref()?.analysis;
    let selection = state.session().selection;
    if let Some(id) = selection.exchange {
        let root = analysis.trees.root(id);
        let tree = analysis.trees.tree(root);
        let spans = tree.into_iter().map(|(id, _)| analysis.exchange(id)).map(|x| (x.started(), x.settled()));
        return spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    }
    let connection = analysis.connection(selection.connection?).inner;
    Some((connection.first, connection.last))
}

/// Moves the view, as little as needed, so that a moment stands clear of its edges.
fn show(state: &mut AppState, at: SessionTime) {
    let Some(view) = state.session().view else { return };
    let span = view.end.since_ns(view.start);
    let margin = span / 10;
    let (low, high) = (view.start.0.saturating_add(margin), view.end.0.saturating_sub(margin));
    let by = if at.0 < low {
        at.0.saturating_sub(low)
    } else if at.0 > high {
        at.0.saturating_sub(high)
    } else {
        return;
    };
    set_view(state, view.start.0.saturating_add(by), view.end.0.saturating_add(by));
}

fn set_view(state: &mut AppState, start: i64, end: i64) {
    let Some(document) = &state.document else { return };
    let view = document.model.limits().clamp(TimeView { start: SessionTime(start), end: SessionTime(end) });
    state.edits.look().view = Some(view);
}
