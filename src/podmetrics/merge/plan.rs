//! Which families the answer has, under which names and types, and from whom.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;

use super::super::body::Traits;
use super::super::own;
use super::super::series::SeriesSet;
use super::group::{Group, count, each_sample, parts};
use super::{Member, Part, Planned, Source, body_of};
use crate::exposition::{Answer, Format, Kind};

type Groups<'a> = BTreeMap<Cow<'a, [u8]>, Group>;

/// Plans the families of an answer, sorted by name. Also gives how many samples had to be left out since types differ.
pub(in super::super) fn plan(sources: &[Source], answer: Answer) -> (Vec<Planned>, u64) {
    let mut planner = Planner { sources, answer, groups: collect(sources, answer.format), dropped: 0 };
    let names: Vec<Cow<'_, [u8]>> = planner.groups.keys().cloned().collect();
    names.iter().for_each(|name| planner.settle(name));
    let short = match answer.format {
        Format::Text => Vec::new(),
        Format::OpenMetrics => planner.shorten(),
    };
    planner.gather_composites();
    let mut families = Vec::with_capacity(planner.groups.len());
    for (name, stem) in short {
        if let Some(group) = planner.groups.remove(name.as_slice()) {
            families.push(planned(sources, stem, group));
        }
    }
    let rest = std::mem::take(&mut planner.groups);
    families.extend(rest.into_iter().map(|(name, group)| planned(sources, name.into_owned(), group)));
    families.retain(|family: &Planned| !family.members.is_empty());
    families.sort_by(|one, other| one.name.cmp(&other.name));
    (families, planner.dropped)
}

/// All families of all bodies by their names.
fn collect(sources: &[Source], format: Format) -> Groups<'_> {
    let mut groups: HashMap<Cow<'_, [u8]>, Group, RandomState> = HashMap::default();
    for (source, body) in sources.iter().enumerate().filter_map(|(at, source)| Some((at, source.body.as_ref().ok()?))) {
        for (at, family) in body.families().iter().enumerate().filter(|(_, family)| family.samples > 0) {
            for (name, kind, part) in parts(body.name(family), family, body.format, format) {
                let narrow = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
                let member = Member { source: narrow(source), family: narrow(at), part };
                groups.entry(name).or_insert_with(Group::new).members.push((member, kind));
            }
        }
    }
    groups.into_iter().collect()
}

fn is_composite(kind: Kind) -> bool {
    matches!(kind, Kind::Histogram | Kind::Summary | Kind::GaugeHistogram)
}

fn is_shortened(kind: Kind) -> bool {
    matches!(kind, Kind::Counter | Kind::Info)
}

/// The name of the samples that tell when a counter was created.
fn creation_of(counter: &[u8]) -> Vec<u8> {
    [counter.strip_suffix(b"_total").unwrap_or(counter), b"_created"].concat()
}

struct Planner<'a> {
    sources: &'a [Source],
    answer: Answer,
    groups: Groups<'a>,
    dropped: u64,
}

impl<'a> Planner<'a> {
    fn settle(&mut self, name: &[u8]) {
        if let Some(group) = self.groups.get_mut(name) {
            self.dropped += count(self.sources, &group.settle(), self.answer);
        }
    }

    /// OpenMetrics names counters and infos without the ends of their samples' names. Gives those that can be named so, with the shorter name. Where that
    /// is another's, or the end is missing, the samples go out under their names: as gauges or of unknown type, and what tells of their creation apart.
    fn shorten(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut taken: HashSet<Vec<u8>> = own::names().map(|name| name.as_bytes().to_vec()).collect();
        for (name, group) in self.groups.iter().filter(|(_, group)| !is_shortened(group.kind)) {
            taken.extend(group.kind.suffixes(Format::OpenMetrics).iter().map(|suffix| [name, suffix.as_bytes()].concat()));
            taken.insert(name.to_vec());
        }
        let candidates: Vec<(Vec<u8>, Kind)> = self
            .groups
            .iter()
            .filter(|(_, group)| is_shortened(group.kind))
            .map(|(name, group)| (name.to_vec(), group.kind))
            .collect();
        // No name can be shortened to what tells of another's creation.
        let creations: HashSet<Vec<u8>> =
            candidates.iter().filter(|(name, _)| self.has_creation(name)).map(|(name, _)| creation_of(name)).collect();
        let mut short = Vec::new();
        for (name, kind) in candidates {
            let end: &[u8] = if kind == Kind::Counter { b"_total" } else { b"_info" };
            let stem =
                name.strip_suffix(end).filter(|stem| !stem.is_empty() && !taken.contains(*stem) && !creations.contains(*stem));
            let stem = stem.filter(|stem| kind == Kind::Info || self.takes_creation(&name, stem, &taken));
            taken.insert(name.clone());
            match stem.map(<[u8]>::to_vec) {
                Some(stem) => {
                    taken.extend([stem.clone(), [&stem, &b"_created"[..]].concat()]);
                    short.push((name, stem));
                }
                None => self.lengthen(&name),
            }
        }
        short
    }

    /// Whether the name for the creation of a counter is free; takes the group that has it, if it tells just that.
    fn takes_creation(&mut self, name: &[u8], stem: &[u8], taken: &HashSet<Vec<u8>>) -> bool {
        let created = [stem, b"_created"].concat();
        let Some(other) = self.groups.get(created.as_slice()) else { return !taken.contains(&created) };
        let whole = self.groups.get(name).map(|group| group.members.as_slice()).unwrap_or_default();
        if !other.may_be_gauge() || !self.tells_creation(whole, &other.members) {
            return false;
        }
        let members = self.groups.remove(created.as_slice()).map(|group| group.members).unwrap_or_default();
        if let Some(whole) = self.groups.get_mut(name) {
            whole.members.extend(members);
        }
        true
    }

    /// Whether a counter has `_created` samples of OpenMetrics.
    fn has_creation(&self, name: &[u8]) -> bool {
        let members = self.groups.get(name).map(|group| group.members.as_slice()).unwrap_or_default();
        members.iter().any(|(member, _)| body_of(self.sources, member).is_some_and(|(_, _, of)| of.traits.any(Traits::CREATED)))
    }

    /// Keeps the long name of a counter or info.
    fn lengthen(&mut self, name: &[u8]) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if group.kind == Kind::Info {
            group.kind = Kind::Gauge;
            return;
        }
        group.kind = Kind::Unknown;
        let mut aside = Vec::new();
        for (member, _) in &mut group.members {
            if body_of(self.sources, member).is_some_and(|(_, _, family)| family.traits.any(Traits::CREATED)) {
                aside.push((Member { part: Part::Created, ..*member }, Kind::Unknown));
                member.part = Part::NotCreated;
            }
        }
        if !aside.is_empty() {
            let created = creation_of(name);
            self.groups.entry(Cow::Owned(created.clone())).or_insert_with(Group::new).members.extend(aside);
            self.settle(&created);
        }
    }

    /// Gives histograms and summaries the samples of targets that did not declare them, and settles whose a name is where both claim it.
    fn gather_composites(&mut self) {
        let names: Vec<Vec<u8>> =
            self.groups.iter().filter(|(_, group)| is_composite(group.kind)).map(|(name, _)| name.to_vec()).collect();
        for name in names {
            // It can have lost against another meanwhile.
            let Some(mut whole) = self.groups.remove(name.as_slice()) else { continue };
            let ends = whole.kind.suffixes(self.answer.format).iter().filter(|end| !end.is_empty());
            let claimed: Vec<(Vec<u8>, bool)> = ends
                .filter_map(|end| {
                    let sample = [&name, end.as_bytes()].concat();
                    let other = self.groups.get(sample.as_slice())?;
                    let follows = if *end == "_created" {
                        other.may_be_gauge() && self.tells_creation(&whole.members, &other.members)
                    } else {
                        other.kind == Kind::Unknown
                    };
                    Some((sample, follows))
                })
                .collect();
            let beaten = |(sample, follows): &(Vec<u8>, bool)| {
                !follows && self.groups.get(sample.as_slice()).is_some_and(|other| whole.loses_to(other))
            };
            if claimed.iter().any(beaten) {
                self.dropped += count(self.sources, &whole.members, self.answer);
                continue;
            }
            for (sample, follows) in claimed {
                let members = self.groups.remove(sample.as_slice()).map(|group| group.members).unwrap_or_default();
                if follows {
                    whole.members.extend(members);
                } else {
                    self.dropped += count(self.sources, &members, self.answer);
                }
            }
            self.groups.insert(Cow::Owned(name), whole);
        }
    }

    /// True if each series of `created` is of a metric that `whole` has from the same target: then it is when that was created, and not, say, how many
    /// orders were.
    fn tells_creation(&self, whole: &[(Member, Kind)], created: &[(Member, Kind)]) -> bool {
        let mut hashes = SeriesSet::with_capacity(0);
        let mut metrics = |members: &[(Member, Kind)]| {
            let mut found = HashSet::new();
            for (member, _) in members {
                each_sample(self.sources, member, self.answer, |scanner| {
                    let labels = scanner.labels().iter().filter(|label| !matches!(label.name.raw, b"le" | b"quantile"));
                    let sum = labels.fold(0_u64, |sum, label| sum.wrapping_add(hashes.label_hash(label, self.answer.escaping)));
                    found.insert((member.source, sum));
                });
            }
            found
        };
        metrics(created).is_subset(&metrics(whole))
    }
}

fn planned(sources: &[Source], name: Vec<u8>, group: Group) -> Planned {
    let mut members: Vec<Member> = group.members.into_iter().map(|(member, _)| member).collect();
    members.sort_by_key(|member| (member.source, member.family));
    members.shrink_to_fit();
    let described = |member: &&Member| {
        let help = body_of(sources, member).and_then(|(_, body, family)| body.help(family));
        help.is_some() && member.part != Part::Created
    };
    let named_so = |member: &&Member| body_of(sources, member).is_some_and(|(_, body, family)| body.name(family) == name);
    // What a target says of the family as a whole, rather than of a part of it.
    let help = members.iter().filter(described).find(named_so).or_else(|| members.iter().find(described)).copied();
    let has_unit = !matches!(group.kind, Kind::Info | Kind::StateSet);
    let unit = members.iter().filter(|member| has_unit && member.part != Part::Created).find(|member| {
        let unit = body_of(sources, member).and_then(|(_, body, _)| body.unit(member.family as usize));
        // Only a name that ends in it may have it.
        unit.is_some_and(|unit| name.strip_suffix(unit).is_some_and(|stem| stem.ends_with(b"_")))
    });
    let unit = unit.copied();
    Planned { name, kind: group.kind, help, unit, members }
}
