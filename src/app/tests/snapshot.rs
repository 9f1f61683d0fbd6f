//! A snapshot whose captures are gone, in the window.

use super::*;

#[test]
fn what_is_drawn_of_a_part_is_said_to_be_a_part_and_the_captures_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let (captures, path) = (folder.path().join("captures"), folder.path().join("night.ron"));
    std::fs::create_dir(&captures).unwrap();
    let is_file = |file: &std::fs::DirEntry| file.path().is_file();
    for file in std::fs::read_dir(sample()).unwrap().flatten().filter(is_file) {
        std::fs::copy(file.path(), captures.join(file.file_name())).unwrap();
    }
    let mut window = window_with(None, None);
    window.state_mut().open(vec![captures.clone()], false);
    window.run_steps(4);
    let taken = |window: &Window| window.state().document.as_ref().unwrap().taken_at.clone();
    let before = taken(&window);
    assert!(before.iter().all(Option::is_some));
    click(&mut window, "Statistics");
    assert!(window.query_by_label_contains("The plots draw only").is_none());
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path.clone())]);
    window.run_steps(3);
    std::fs::remove_dir_all(&captures).unwrap();
    window.state_mut().open(vec![path], false);
    window.run_steps(4);
    assert!(window.state().document.as_ref().unwrap().held.is_some());
    assert_eq!(taken(&window), before);
    assert!(window.query_by_label_contains("figures above are those of the whole captures").is_some());
    let gone = format!(", looked for at {}", captures.join("nginx.pcap").display());
    assert!(window.query_by_label_contains(&gone).is_some());
    press(&mut window, Key::L);
    assert!(window.query_by_label_contains("no capture of its own").is_none() || before.len() < 4);
}
