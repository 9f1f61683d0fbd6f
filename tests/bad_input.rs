//! Files that are no captures, or broken ones: each is named, the others are read, nothing panics.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures").join(name)
}

fn report(arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hopscope"));
    command.args(["report", "--format", "json"]).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_unreadable_file_is_named_and_the_exit_status_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pcap");
    let text = folder.path().join("notes.pcap");
    std::fs::write(&empty, b"").unwrap();
    std::fs::write(&text, b"dear diary, today the ingress said 502").unwrap();
    let missing = folder.path().join("missing.pcap");
    let output = report(&[&empty, &text, &missing]);
    assert_eq!(output.status.code(), Some(2));
    for name in ["empty.pcap", "notes.pcap", "missing.pcap"] {
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
}

#[test]
fn sound_files_are_read_beside_broken_ones() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.pcap");
    std::fs::write(&text, b"no capture").unwrap();
    let output = report(&[&text, &sample("paas-fixed/uwsgi.pcap")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["captures"].as_array().unwrap().len(), 2);
    assert_eq!(json["captures"][0]["problems"][0]["kind"], "not-a-capture");
    assert!(json["captures"][1]["packets"].as_u64().unwrap() > 1_000);
}

#[test]
fn a_file_cut_inside_a_packet_keeps_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.pcap");
    let whole = std::fs::read(sample("paas-502/uwsgi.pcap")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2 + 7]).unwrap();
    let output = report(&[&cut]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("cut.pcap"), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["captures"][0]["problems"][0]["kind"], "truncated-file");
}

#[test]
fn bytes_flipped_anywhere_never_end_in_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bent.pcap");
    let whole = std::fs::read(sample("paas-502/uwsgi.pcap")).unwrap();
    let mut seed = 0x2545_f491_u32;
    for _ in 0..8 {
        let mut bytes = whole[..whole.len().min(60_000)].to_vec();
        for _ in 0..200 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = 24 + seed as usize % (bytes.len() - 24);
            bytes[at] ^= (seed >> 24) as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        let output = report(&[&path]);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
fn packets_of_an_unknown_link_type_alone_are_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.pcap");
    let mut bytes = std::fs::read(sample("paas-502/uwsgi.pcap")).unwrap();
    bytes[20..22].copy_from_slice(&9_999_u16.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let output = report(&[&path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("odd.pcap: unsupported-link-type: packets of link type LINKTYPE_9999"));
    assert!(stderr(&output).ends_with("nothing could be read.\n"), "{}", stderr(&output));
    let beside = report(&[&path, &sample("paas-fixed/uwsgi.pcap")]);
    assert_eq!(beside.status.code(), Some(0));
    assert!(stderr(&beside).contains("unsupported-link-type"));
}

#[test]
fn a_file_of_a_folder_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(sample("paas-fixed/uwsgi.pcap"), folder.path().join("uwsgi")).unwrap();
    std::fs::write(folder.path().join("nginx.xz"), b"\xFD7zXZ\0\0\x04").unwrap();
    std::fs::write(folder.path().join("README"), b"taken on Monday").unwrap();
    let output = report(&[folder.path()]);
    assert_eq!(output.status.code(), Some(0));
    let words = "nginx.xz: not-a-capture: xz-compressed: decompress it first (unxz)\n";
    assert!(stderr(&output).ends_with(words) && !stderr(&output).contains("README"), "{}", stderr(&output));
}

#[test]
fn arguments_that_are_off_give_status_2() {
    let output = report(&[Path::new("--lane"), Path::new("nonsense"), Path::new("x.pcap")]);
    assert_eq!(output.status.code(), Some(2));
    let none = report(&[]);
    assert_eq!(none.status.code(), Some(2));
    let lanes = ["--lane", "a=10.0.0.1", "--lane", "b=10.0.0.1", "x.pcap"].map(Path::new);
    let twice = report(&lanes);
    assert_eq!(twice.status.code(), Some(2));
    assert!(stderr(&twice).contains("lanes a and b both claim 10.0.0.1"), "{}", stderr(&twice));
}

#[test]
fn standard_input_gives_the_same_report_as_the_file() {
    let path = sample("paas-502/uwsgi.pcap");
    let input = std::fs::File::open(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hopscope"));
    let piped = command.args(["report", "--format", "json", "-"]).stdin(input).output().unwrap();
    assert_eq!((piped.status.code(), stderr(&piped).as_str()), (Some(0), ""));
    // A lane may be named after its file: what was counted must be the same.
    let counted = |output: &Output| -> serde_json::Value {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let captures = &report["captures"][0];
        serde_json::json!([captures["packets"], captures["bytes"], report["links"], report["failures"]])
    };
    assert_eq!(counted(&piped), counted(&report(&[&path])));
}

#[test]
fn a_file_that_gives_no_packet_and_is_no_sound_capture_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcap");
    let whole = std::fs::read(sample("paas-502/uwsgi.pcap")).unwrap();
    for (len, status) in [(10, 2), (24, 0), (30, 2)] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let output = report(&[&path]);
        assert_eq!(output.status.code(), Some(status), "{len}: {}", stderr(&output));
        assert_eq!(stderr(&output).contains("cut.pcap"), status == 2, "{}", stderr(&output));
    }
}

#[test]
fn the_text_report_says_what_files_are_that_are_no_captures() {
    let folder = tempfile::tempdir().unwrap();
    let (text, empty) = (folder.path().join("notes.txt"), folder.path().join("empty.pcap"));
    std::fs::write(&text, "dear diary").unwrap();
    std::fs::write(&empty, "").unwrap();
    let none = folder.path().join("none");
    std::fs::create_dir(&none).unwrap();
    let what = [
        (
            &text,
            "notes.txt (no pcap or pcapng file: it starts like text, and is no log in a known format: --log-format names one)",
        ),
        (&empty, "empty.pcap (the file is empty)"),
        (
            &none,
            "none (a folder that holds no capture, and no log in a known format: --log-format names one)",
        ),
    ];
    for (path, words) in what {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hopscope"));
        let output = command.arg("report").arg(path).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).replace("\n ", " ").replace("  ", " ");
        assert_eq!(output.status.code(), Some(2));
        assert!(stdout.starts_with("Nothing could be read: no capture in "), "{stdout}");
        assert!(stdout.replace('\n', " ").contains(words), "{stdout}");
    }
}

#[test]
fn a_session_file_whose_captures_are_gone_says_so_first() {
    use hopscope::analysis::analyse;
    use hopscope::load::{Progress, load};
    let folder = tempfile::tempdir().unwrap();
    let (capture, file) = (folder.path().join("uwsgi.pcap"), folder.path().join("case.ron"));
    std::fs::copy(sample("paas-502/uwsgi.pcap"), &capture).unwrap();
    let analysis = analyse(load(std::slice::from_ref(&capture), &Progress::default()), &Default::default());
    hopscope::session::Snapshot::of(&analysis, &Default::default(), &[]).save(&file).unwrap();
    let told = || -> serde_json::Value { serde_json::from_slice(&report(&[&file]).stdout).unwrap() };
    assert!(told().get("remarks").is_none());
    std::fs::remove_file(&capture).unwrap();
    let remarks = &told()["remarks"];
    assert_eq!(remarks[0]["kind"], "captures-missing");
    assert!(remarks[0]["captures"][0].as_str().unwrap().ends_with("uwsgi.pcap"));
    let text = Command::new(env!("CARGO_BIN_EXE_hopscope")).arg("report").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("[remark] This report is of the session file alone: uwsgi.pcap"), "{text}");
}

#[test]
fn a_session_file_that_cannot_be_read_leaves_the_captures_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.ron");
    std::fs::write(&broken, "(schema: 7").unwrap();
    let output = report(&[&broken, &sample("paas-fixed/uwsgi.pcap")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("broken.ron: unreadable: the session file cannot be read at line 1"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["captures"][0]["packets"].as_u64().unwrap() > 1_000);
    let alone = report(&[&broken]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(stderr(&alone).contains("broken.ron"), "{}", stderr(&alone));
}

#[test]
fn a_session_file_is_reported_alone_with_its_captures_loaded_again() {
    use hopscope::analysis::analyse;
    use hopscope::load::{Progress, load};
    let folder = tempfile::tempdir().unwrap();
    let (capture, file) = (folder.path().join("uwsgi.pcap"), folder.path().join("case.ron"));
    std::fs::copy(sample("paas-502/uwsgi.pcap"), &capture).unwrap();
    let analysis = analyse(load(std::slice::from_ref(&capture), &Progress::default()), &Default::default());
    hopscope::session::Snapshot::of(&analysis, &Default::default(), &[]).save(&file).unwrap();
    let exchanges = |paths: &[&Path]| {
        let mut all = vec![Path::new("--exchanges")];
        all.extend(paths);
        let output = report(&all);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (json["exchanges"].as_array().unwrap().len(), stderr(&output))
    };
    let (all, _) = exchanges(&[&capture]);
    let (again, said) = exchanges(&[&file, &sample("paas-fixed")]);
    assert_eq!(again, all, "not only those that the findings cite");
    assert!(said.contains("A snapshot is opened alone") && said.contains("paas-fixed left out"), "{said}");
    let server = analysis.connections().next().unwrap().inner.server.ip();
    let named = |lane: &str| report(&[Path::new("--lane"), Path::new(&format!("{lane}={server}")), &file]);
    let found = named("chosen");
    assert!(String::from_utf8_lossy(&found.stdout).contains(r#""name": "chosen""#), "{}", stderr(&found));
    std::fs::remove_file(&capture).unwrap();
    assert!(exchanges(&[&file]).0 < all);
    let gone = named("chosen");
    assert!(stderr(&gone).contains("the lanes given have no effect"), "{}", stderr(&gone));
}
