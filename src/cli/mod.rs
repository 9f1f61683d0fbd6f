//! The command line: arguments to a report or to the window.

mod connections;
mod interrupt;
mod lanes;
mod window;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::analysis::{Analysis, analyse_with_logs};
use crate::capture::{Bodies, ProblemKind, STDIN};
use crate::export::{self, Report, Wanted};
use crate::load::{self, Progress};
use crate::logs::LogFormat;
use crate::session::{self, Annotation, Chosen, Opened, Snapshot};
use crate::stop::Stopped;
use crate::topology::{self, LaneOverride, Overrides};

pub use lanes::{LaneError, parse_lane};

/// Exit status when nothing could be read or the arguments are off.
const EXIT_UNUSABLE: u8 = 2;

/// Shows where, in a chain of HTTP hops, a request really failed: from packet captures, offline.
///
/// Give it the captures taken at each hop (pcap or pcapng, or folders of them). It finds the hops, follows each
/// request across them, and says where failures such as 502 begin, which packets prove it, and what to change.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what the captures show, as text or JSON, and open no window.
    Report(ReportArgs),
    /// Print the figures of two sessions side by side, before and after a change.
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
struct CompareArgs {
    /// Before: a capture file, a folder of them, or a session file (.ron).
    #[arg(value_name = "A")]
    before: PathBuf,
    /// After: the same.
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Name a hop and its addresses, as for a report; holds for both.
    #[arg(long = "lane", value_name = "NAME=ADDR[:PORT],…", value_parser = parse_lane)]
    lanes: Vec<LaneOverride>,
    /// The `log_format` of their access logs, as for a report; holds for both.
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Default, Args)]
struct Input {
    /// Capture files, folders of them, `-` for standard input; or one session file (.ron).
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name a hop and its addresses, from the user's side to the application's; may be given several times.
    #[arg(long = "lane", value_name = "NAME=ADDR[:PORT],…", value_parser = parse_lane)]
    lanes: Vec<LaneOverride>,
    /// The `log_format` of the access logs among the paths, as it stands in nginx's configuration. Without it the
    /// fields of a line are known by what they look like.
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
struct ReportArgs {
    #[command(flatten)]
    input: Input,
    /// Text for people, or JSON for scripts.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// List every exchange in the JSON report.
    #[arg(long)]
    exchanges: bool,
    /// Tell every connection step by step; with an address only those with that end.
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = connections::parse_wanted
    )]
    connections: Option<Wanted>,
    /// Exit with status 1 when the report holds a finding of severity error.
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Input {
    fn overrides(&self) -> Overrides {
        Overrides { lanes: self.lanes.clone(), ..Overrides::default() }
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to stdout with status 0; all else is a mistake.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_UNUSABLE) } else { ExitCode::SUCCESS };
        }
    };
    let lanes = match &cli.command {
        Some(Command::Report(args)) => &args.input.lanes,
        Some(Command::Compare(args)) => &args.lanes,
        None => &cli.input.lanes,
    };
    if let Err(error) = lanes::check(lanes) {
        eprintln!("hopscope: --lane: {error}");
        return ExitCode::from(EXIT_UNUSABLE);
    }
    match cli.command {
        Some(Command::Report(args)) => report(&args),
        Some(Command::Compare(args)) => compare(&args),
        None => window(cli.input),
    }
}

fn window(input: Input) -> ExitCode {
    let why = match window::open(&input.paths, &input.overrides(), input.log_format.as_ref()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(why) => why,
    };
    eprintln!("hopscope: no window: {why}");
    eprintln!("hopscope: printing the text report instead (the same as `hopscope report PATH…`).");
    report(&ReportArgs { input, format: Format::Text, exchanges: false, connections: None, exit_code: false })
}

fn report(args: &ReportArgs) -> ExitCode {
    if args.input.paths.is_empty() {
        eprintln!("hopscope: no capture given. Usage: hopscope report PATH…");
        return ExitCode::from(EXIT_UNUSABLE);
    }
    let Read { analysis, notes } = match read(&args.input) {
        Ok(read) => read,
        Err(error) => {
            eprintln!("hopscope: {error}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    let readable = complain(&analysis);
    let report = Report::new(&analysis, args.exchanges && args.format == Format::Json);
    let mut report = report.with_notes(&analysis, &notes);
    if let Some(which) = args.connections.filter(|_| args.format == Format::Json) {
        report = report.with_connections(&analysis, which);
    }
    let written = match args.format {
        Format::Text => write_text(&analysis, &notes, args.connections),
        Format::Json => write_json(&report),
    };
    if let Err(error) = written {
        // Whoever reads us has seen enough (`| head`): no failure.
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("hopscope: cannot write the report: {error}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    }
    if !readable {
        return ExitCode::from(EXIT_UNUSABLE);
    }
    let has_error = report.has_error();
    drop(report);
    // The process ends here: freeing what it knows, piece by piece, would only take time.
    std::mem::forget(analysis);
    if args.exit_code && has_error { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn compare(args: &CompareArgs) -> ExitCode {
    let mut both = Vec::new();
    for path in [&args.before, &args.after] {
        let (lanes, log_format) = (args.lanes.clone(), args.log_format.clone());
        let read = read(&Input { paths: vec![path.clone()], lanes, log_format });
        match read.map(|read| read.analysis) {
            Ok(analysis) if complain(&analysis) => both.push(analysis),
            Ok(_) => return ExitCode::from(EXIT_UNUSABLE),
            Err(error) => {
                eprintln!("hopscope: {error}");
                return ExitCode::from(EXIT_UNUSABLE);
            }
        }
    }
    let names = [&args.before, &args.after].map(|path| path.display().to_string());
    let comparison = export::Comparison::new(names, [&both[0], &both[1]]);
    match io::stdout().lock().write_all(comparison.text().as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("hopscope: cannot write the comparison: {error}");
            ExitCode::from(EXIT_UNUSABLE)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// What was read: an analysis, and the user's notes where it is that of a session file.
struct Read {
    analysis: Analysis,
    notes: Vec<Annotation>,
}

/// The analysis of the captures, or of a session file.
fn read(input: &Input) -> Result<Read, Box<dyn Error>> {
    let (paths, broken) = match session::choose(&input.paths)? {
        Chosen::Snapshot { snapshot, path, left_out } => {
            if let Some(words) = session::left_out_words(&path, &left_out) {
                eprintln!("hopscope: {words}.");
            }
            return Ok(snapshot_of(*snapshot, &path, &input.lanes)?);
        }
        Chosen::Captures { paths, broken } => (paths, broken),
    };
    let load::Given { captures, logs, unread } = load::sort_out(&paths, input.log_format.as_ref());
    for (path, error) in unread {
        eprintln!("hopscope: {}: {error}", path.display());
    }
    if captures.iter().any(|path| path.as_os_str() == STDIN) {
        interrupt::let_the_writer_end();
    }
    // A report quotes no bodies, so that nothing of standard input need be kept.
    let mut captures = load::load_for(&captures, Bodies::NotNeeded, &Progress::default());
    captures.extend(broken);
    let analysis = analyse_with_logs(topology::heal(captures), logs, &input.overrides());
    Ok(Read { analysis, notes: Vec::new() })
}

/// The session of a session file, with its captures where they still are as they were. Otherwise its figures and
/// findings are those of the whole captures, and a remark says that these are gone.
fn snapshot_of(snapshot: Snapshot, path: &Path, lanes: &[LaneOverride]) -> Result<Read, Stopped> {
    let Opened { mut analysis, session, words, remark, .. } =
        session::open(snapshot, path, lanes, Bodies::NotNeeded, &Progress::default())?;
    for words in words {
        eprintln!("hopscope: {}: {words}", path.display());
    }
    analysis.topology.remarks.splice(..0, remark);
    Ok(Read { analysis, notes: session.annotations })
}

/// A `log_format` of the command line.
fn parse_format(text: &str) -> Result<LogFormat, &'static str> {
    LogFormat::new(text).ok_or(LogFormat::NEEDS)
}

/// Whether data were not read for it.
fn is_grave(kind: ProblemKind) -> bool {
    matches!(
        kind,
        ProblemKind::Unreadable
            | ProblemKind::EmptyFile
            | ProblemKind::NotACapture
            | ProblemKind::TruncatedFile
            | ProblemKind::BadRecord
            | ProblemKind::UnsupportedLinkType
    )
}

/// Whether it is said beside the report although all was read.
fn is_told(kind: ProblemKind) -> bool {
    matches!(kind, ProblemKind::JoinedFiles | ProblemKind::UnknownVersion)
}

/// Says on stderr which files could not be read, wholly or in part; whether any gave a packet or was a sound capture.
fn complain(analysis: &Analysis) -> bool {
    let mut readable = !analysis.logs.is_empty();
    for capture in &analysis.captures {
        let info = &capture.info;
        for problem in info.problems.iter().filter(|problem| is_grave(problem.kind) || is_told(problem.kind))
        {
            eprintln!("hopscope: {}: {}: {}", info.path.display(), problem.kind, problem.detail);
        }
        let is_sound = !info.problems.iter().any(|problem| is_grave(problem.kind));
        // Without a format it is no capture at all; a sound one may be without packets.
        readable |= match info.packets {
            0 => !info.format.is_empty() && is_sound,
            _ => !info.is_of_unknown_link_types(),
        };
    }
    if !readable {
        eprintln!("hopscope: nothing could be read.");
    }
    readable
}

fn write_text(analysis: &Analysis, notes: &[Annotation], which: Option<Wanted>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(export::text_with_notes(analysis, notes).as_bytes())?;
    if let Some(which) = which {
        out.write_all(b"\n")?;
        out.write_all(export::connections_text(analysis, which).as_bytes())?;
    }
    out.flush()
}

fn write_json(report: &Report) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from([
            "hopscope",
            "report",
            "a.pcap",
            "--format",
            "json",
            "--lane",
            "app=10.0.0.1",
        ]);
        let Some(Command::Report(args)) = cli.unwrap().command else { panic!("no report") };
        assert_eq!((args.format, args.input.lanes.len(), args.input.paths.len()), (Format::Json, 1, 1));
        assert_eq!(Cli::try_parse_from(["hopscope", "a.pcap", "b.pcap"]).unwrap().input.paths.len(), 2);
        assert!(Cli::try_parse_from(["hopscope", "report", "a.pcap", "--format", "xml"]).is_err());
    }
}
