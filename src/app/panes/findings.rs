//! The list of findings, worst first; a click goes to the evidence.

use egui::{Align, Layout, RichText, ScrollArea, Ui};

use super::{Actions, Pane};
use crate::app::format::grouped;
use crate::app::state::Action;
use crate::app::widgets::{card, clickable_row, severity_mark};
use crate::diagnose::beyond::{self, is_beyond};
use crate::diagnose::words::capitalized;
use crate::diagnose::{Certainty, Finding, RejectForm};

/// More findings than this are scrolled through: where it starts shall stay in sight below them.
const SHOWN: usize = 4;
/// Height of a row of the list with the space behind it, in points; half of one more tells that the list goes on.
const ROW: f32 = 49.0;

/// Draws the list.
pub fn findings_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    let findings = &pane.analysis.diagnosis.findings;
    card(ui, &pane.palette, "Findings", &findings.len().to_string(), |ui| {
        if findings.is_empty() {
            let judged = !pane.analysis.topology.exchanges.is_empty();
            ui.weak(if judged {
                "Nothing out of the ordinary."
            } else {
                "No request was read, so none was judged."
            });
        }
        ui.spacing_mut().item_spacing.y = 2.0;
        let selected = pane.session.selection.finding;
        // Only when another one is selected, or nobody could scroll away from it.
        let kept = ui.scope_id().with("selected before");
        let is_new = ui.data_mut(|data| {
            let before: Option<usize> = data.get_temp(kept).flatten();
            data.insert_temp(kept, selected);
            before != selected
        });
        let mut rows = |ui: &mut Ui| {
            for (index, finding) in findings.iter().enumerate() {
                let row = finding_row(ui, pane, index, finding, out);
                if is_new && selected == Some(index) {
                    row.scroll_to_me(None);
                }
            }
        };
        if findings.len() > SHOWN {
            let height = (SHOWN as f32 + 0.5) * ROW;
            ScrollArea::vertical().id_salt("findings").max_height(height).show(ui, rows);
        } else {
            rows(ui);
        }
    });
}

fn finding_row(
    ui: &mut Ui,
    pane: &Pane<'_>,
    index: usize,
    finding: &Finding,
    out: &mut Actions,
) -> egui::Response {
    let palette = pane.palette;
    let (mark, color) = severity_mark(&palette, finding.severity);
    let title = title_of(pane, finding);
    let label = format!("Finding: {title}, {} times", finding.count);
    let selected = pane.session.selection.finding == Some(index);
    let row = clickable_row(ui, &palette, selected, &label, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new(mark).color(color));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(grouped(finding.count)).monospace().strong().color(color));
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.add(egui::Label::new(&title).truncate());
                });
            });
        });
        let mut place = where_and_how_sure(pane, finding);
        if let Some(link) = finding.link {
            place = place.replace(&pane.analysis.link_name(link), &pane.link_in_short(link));
        }
        ui.add(egui::Label::new(RichText::new(place).small().color(palette.muted)).truncate());
    });
    // Title and place may be cut: the tooltip has all.
    let mut whole = format!("{title} · {}\n{}", where_and_how_sure(pane, finding), finding.summary);
    for form in
        RejectForm::ALL.into_iter().filter(|form| finding.rule.split(", ").any(|rule| rule == form.rule()))
    {
        whole.push_str(&format!("\n{}: {}", form_name(form), form_words(form)));
    }
    let row = row.on_hover_text(whole);
    if row.clicked() {
        out.push(Action::SelectFinding(index));
    }
    row
}

fn where_and_how_sure(pane: &Pane<'_>, finding: &Finding) -> String {
    let sure = match finding.confidence {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely",
        Certainty::Possible => "possible",
    };
    let mut parts = Vec::new();
    if is_beyond(finding) {
        parts.push("from behind it?".to_owned());
    }
    if let Some(link) = finding.link {
        parts.push(pane.analysis.link_name(link));
    }
    // What one link does in several ways is told apart by its cause, and what several servers did alike by whose it is.
    let alike = |other: &&Finding| (&other.kind, other.link) == (&finding.kind, finding.link);
    let alike: Vec<_> = pane.analysis.diagnosis.findings.iter().filter(alike).collect();
    let same = alike.iter().filter(|other| other.cause == finding.cause).count();
    if same > 1 {
        parts.extend(server_of(finding));
    }
    parts.push(sure.to_owned());
    if !finding.cause.is_empty() && !is_beyond(finding) && alike.len() > same {
        parts.push(finding.cause.replace('-', " "));
    }
    parts.join(" · ")
}

/// The server that all evidence is about; `None` where it is about several, or there is none.
fn server_of(finding: &Finding) -> Option<String> {
    let first = finding.evidence.first()?.server;
    finding.evidence.iter().all(|proof| proof.server == first).then(|| first.to_string())
}

/// What a finding is called in a list: its kind, or who answers what where the reason lies behind what was captured.
pub fn title_of(pane: &Pane<'_>, finding: &Finding) -> String {
    beyond::title(pane.analysis, finding).unwrap_or_else(|| title(&finding.kind))
}

/// `Stale pick`: the form's name for people.
pub fn form_name(form: RejectForm) -> String {
    title(form.name())
}

/// What the packets show of a rejected request of this form.
pub fn form_words(form: RejectForm) -> &'static str {
    match form {
        RejectForm::StalePick => {
            "the request was sent on a connection whose FIN its sender had acknowledged before"
        }
        RejectForm::FinInFlight => "the server's FIN and the request crossed on the wire",
        RejectForm::QueuedReset => {
            "the server reset the connection with the request unanswered, without a FIN before"
        }
        RejectForm::Swallowed => "the server acknowledged the request, closed, and sent no byte of an answer",
        RejectForm::IdleReset => {
            "the connection was reset after a long idle time, though no side had closed it"
        }
        RejectForm::BlackHole => "the request was sent again and again, and nothing came back",
        RejectForm::WriteToDead => "a reset came before the request was sent to its end",
    }
}

/// Words that are written in another way than they stand in the names of kinds.
const SPELLINGS: [(&str, &str); 5] = [
    ("http2", "HTTP/2"),
    ("http", "HTTP"),
    ("tls", "TLS"),
    ("mtu", "MTU"),
    // The protocol's own name (haproxy.org, "The PROXY protocol").
    ("proxy-protocol", "PROXY protocol"),
];

/// `rejected-reused-request` as `Rejected reused request`.
pub fn title(kind: &str) -> String {
    let mut words = format!("-{kind}-");
    for (name, spelling) in SPELLINGS {
        words = words.replace(&format!("-{name}-"), &format!("-{spelling}-"));
    }
    capitalized(&words.trim_matches('-').replace('-', " "))
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn kinds_are_titles_with_the_names_of_protocols_as_they_are_written() {
        assert_eq!(title("rejected-reused-request"), "Rejected reused request");
        assert_eq!(title("tls-plain-mismatch"), "TLS plain mismatch");
        assert_eq!(title("http2-mismatch"), "HTTP/2 mismatch");
        assert_eq!(title("not-http"), "Not HTTP");
        assert_eq!(title("proxy-protocol-mismatch"), "PROXY protocol mismatch");
    }
}
