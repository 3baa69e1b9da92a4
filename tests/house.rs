//! The house: imports run one way, and a subsystem imports no other.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the outside in; a module may import those of its own floor (if the floor allows it) and of all floors below.
const FLOORS: [(&[&str], bool); 7] = [
    (&["cli"], false),
    (&["app"], false),
    (&["config"], false),
    (&["inventory", "export", "podmetrics", "usage"], false),
    (&["parts", "job", "server", "lifecycle", "telemetry"], true),
    (&["http", "aws", "listing", "store", "promapi", "k8s"], true),
    (&["exposition", "quantity", "size", "time"], true),
];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn floor(module: &str) -> usize {
    FLOORS.iter().position(|(modules, _)| modules.contains(&module)).unwrap_or_else(|| panic!("`{module}` has no floor"))
}

/// The top-level modules that the program part of a file names.
fn imports(text: &str) -> Vec<String> {
    let program = text.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = program.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let behind = code.split("crate::").skip(1);
    behind.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn imports_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30);
    for file in files {
        let relative = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let module = relative.split(['/', '.']).next().unwrap();
        if matches!(module, "lib" | "main") {
            continue;
        }
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let (from, to) = (floor(module), floor(&import));
            let same_floor = import == module || (from == to && FLOORS[from].1);
            assert!(to > from || same_floor, "src/{relative} imports crate::{import}, against the direction of the house");
        }
    }
}

/// Files stay short enough to be read at one sitting.
#[test]
fn files_are_short() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 400, "{} has {lines} lines: what two things live there?", file.display());
    }
}
