//! Series that two targets have in common, which can only be where labels of samples stand over those of targets.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::RandomState;

use super::super::body::Traits;
use super::super::line::final_labels;
use super::super::series::out_name;
use super::group::each_sample;
use super::{Planned, Source, body_of};
use crate::exposition::Answer;

/// All but the first line of each series that comes twice, by source and offset.
pub(super) fn repeated(sources: &[Source], families: &[Planned], answer: Answer) -> HashSet<(u32, usize)> {
    // Two seeds make 128 bits: no two series meet by chance.
    let seeds = [RandomState::default(), RandomState::default()];
    let mut repeated = HashSet::new();
    for family in families {
        let members = || family.members.iter().filter_map(|member| Some((member, body_of(sources, member)?)));
        if !members().any(|(_, (_, _, of))| of.traits.any(Traits::CLASH)) {
            continue;
        }
        let mut seen = HashSet::new();
        for (member, (source, ..)) in members() {
            each_sample(sources, member, answer, |scanner| {
                let sample = scanner.sample();
                let mut labels = final_labels(source, scanner.labels(), answer.escaping, true);
                labels.retain(|(_, value)| !value.is_empty());
                labels.sort_unstable();
                let key = seeds.each_ref().map(|seed| {
                    let mut hasher = seed.build_hasher();
                    hasher.write(&out_name(sample.name, answer.escaping));
                    for (name, value) in &labels {
                        hasher.write(name.as_bytes());
                        hasher.write_u8(0xff);
                        hasher.write(value);
                        hasher.write_u8(0xfe);
                    }
                    hasher.finish()
                });
                if !seen.insert(key) {
                    repeated.insert((member.source, sample.start));
                }
            });
        }
    }
    repeated
}
