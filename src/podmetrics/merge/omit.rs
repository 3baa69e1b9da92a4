//! Series that two targets have in common, which can only be where labels of samples stand over those of targets.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::RandomState;

use super::super::body::Traits;
use super::super::line::final_labels;
use super::{Planned, Source, body_of};
use crate::exposition::{Answer, Entry, Scanner};

/// Notes all but the first line of each series that comes twice; gives their number.
pub(super) fn omit_repeated(sources: &[Source], families: &mut [Planned], answer: Answer) -> u64 {
    // Two seeds make 128 bits: no two series meet by chance.
    let seeds = [RandomState::default(), RandomState::default()];
    let mut repeated = 0;
    for family in families {
        let honoured =
            family.members.iter().filter_map(|member| body_of(sources, member)).any(|(_, _, of)| of.traits.any(Traits::CLASH));
        if !honoured {
            continue;
        }
        let mut seen = HashSet::new();
        for member in &family.members {
            let Some((source, body, of)) = body_of(sources, member) else { continue };
            for run in body.runs(of) {
                let mut scanner = Scanner::resume(&body.text, body.format, run.start);
                while scanner.offset() < run.end {
                    let Ok(Some(Entry::Sample)) = scanner.entry() else { break };
                    let sample = scanner.sample();
                    let mut labels = final_labels(source, scanner.labels(), answer.escaping, true);
                    labels.retain(|(_, value)| !value.is_empty());
                    labels.sort_unstable();
                    let key = seeds.each_ref().map(|seed| {
                        let mut hasher = seed.build_hasher();
                        hasher.write(sample.name.raw);
                        for (name, value) in &labels {
                            hasher.write(name.as_bytes());
                            hasher.write_u8(0xff);
                            hasher.write(value);
                            hasher.write_u8(0xfe);
                        }
                        hasher.finish()
                    });
                    if member.part.holds(sample.name.raw) && !seen.insert(key) {
                        family.omitted.insert((member.source, sample.start));
                        repeated += 1;
                    }
                }
            }
        }
    }
    repeated
}
