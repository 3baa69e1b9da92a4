//! Answers of real exporters, and pods that give them.

use std::path::Path;
use std::sync::LazyLock;

use kube_s3_exporter::exposition::{Answer, Format, negotiate};
use kube_s3_exporter::podmetrics::{Limits, Page, Target};

use crate::read::{Samples, Terms, expected, is_own};

pub const TEXT: &str = "text/plain;version=0.0.4";
pub const OPEN: &str = "application/openmetrics-text;version=1.0.0";
pub const UTF8: &str = "text/plain;version=1.0.0;escaping=allow-utf-8";
pub const OPEN_UTF8: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";

/// What one exporter answered.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The file.
    pub name: String,
    pub format: Format,
    pub text: Vec<u8>,
}

/// All of them, by the names of their files.
pub static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exposition");
    let mut fixtures: Vec<Fixture> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let format = match path.extension()?.to_str()? {
                "txt" => Format::Text,
                "om" => Format::OpenMetrics,
                _ => return None,
            };
            let name = path.file_name()?.to_str()?.to_owned();
            Some(Fixture { name, format, text: std::fs::read(path).unwrap() })
        })
        .collect();
    fixtures.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(fixtures.len() > 10);
    fixtures
});

/// A pod that answers with a fixture.
pub struct Source {
    pub added: Vec<(String, String)>,
    pub fixture: &'static Fixture,
}

/// Each fixture that is wanted, as so many pods, none beside its like.
pub fn pods(copies: usize, wanted: impl Fn(&Fixture) -> bool) -> Vec<Source> {
    let wanted: Vec<&'static Fixture> = FIXTURES.iter().filter(|fixture| wanted(fixture)).collect();
    let all = (0..copies).flat_map(|_| wanted.iter().copied());
    let sources = all.enumerate().map(|(at, fixture)| Source { added: labels(at), fixture });
    sources.collect()
}

/// The labels that the samples of a pod gain.
pub fn labels(pod: usize) -> Vec<(String, String)> {
    let label = |name: &str, value: String| (name.to_owned(), value);
    vec![
        label("instance", format!("pod-{pod}")),
        label("job", "every \"kind\"\\of".to_owned()),
        label("pod_namespace", "default".to_owned()),
        label("pod_ip", format!("10.0.0.{pod}")),
    ]
}

/// A merged answer and what must be in it.
pub struct Merged {
    pub answer: Answer,
    pub text: Vec<u8>,
    /// By pod.
    pub expected: Vec<(Format, Samples)>,
    /// Samples left out since types differ.
    pub conflicts: u64,
}

impl Merged {
    pub fn format(&self) -> Format {
        self.answer.format
    }

    /// Without those of the scrapes.
    pub fn without_own(samples: Samples) -> Samples {
        samples.into_iter().filter(|((name, _), _)| !is_own(name)).collect()
    }
}

/// Merges the answers of `pods`, all of which must be good.
pub fn merge(pods: &[Source], accept: &str) -> Merged {
    let answer = negotiate(std::iter::once(accept));
    let target = |pod: &Source| Target { added: pod.added.clone(), body: pod.fixture.text.clone(), format: pod.fixture.format };
    let page = Page::of_bodies(pods.iter().map(target).collect(), answer, Limits::default(), false);
    let failures: Vec<String> = page.failures().map(|(at, failure)| format!("{}: {failure}", pods[at].fixture.name)).collect();
    assert_eq!(failures, [""; 0]);
    let expected = pods.iter().map(|pod| {
        let terms = Terms { added: &pod.added, from: pod.fixture.format, to: answer.format, escaping: answer.escaping };
        (pod.fixture.format, expected(&pod.fixture.text, &terms))
    });
    let (conflicts, repeated) = page.left_out();
    assert_eq!(repeated, 0);
    Merged { answer, text: page.pieces().flatten().collect(), expected: expected.collect(), conflicts }
}
