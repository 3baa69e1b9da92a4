//! What DuckDB and pyarrow say of the objects: `tests/oracles/usage.py`.

use std::process::Command;

use serde_json::Value;

use crate::support::{python, skip};
use crate::world::World;

/// Asks about all objects of the bucket; `None`, which is noted for `test`, where there is no oracle.
pub fn oracle(world: &World, question: &str, test: &str) -> Option<Value> {
    let has = |python: &std::path::PathBuf| {
        let mut command = Command::new(python);
        command
            .args(["-c", "import duckdb, pyarrow"])
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let Some(python) = python().filter(has) else {
        skip(test, "duckdb or pyarrow");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    world.written_to(folder.path());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles/usage.py");
    let output = Command::new(python).arg(script).arg(question).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
