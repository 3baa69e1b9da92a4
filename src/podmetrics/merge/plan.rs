//! Which families the answer has, under which names and types, and from whom.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;

use super::super::body::Traits;
use super::group::{Group, count, parts};
use super::{Member, Part, Planned, Source, body_of};
use crate::exposition::{Format, Kind};

type Groups<'a> = BTreeMap<Cow<'a, [u8]>, Group>;

/// Plans the families of an answer in `format`, sorted by name. Also gives how many samples had to be left out since types differ.
pub(in super::super) fn plan(sources: &[Source], format: Format) -> (Vec<Planned>, u64) {
    let mut groups = collect(sources, format);
    let mut dropped = 0;
    for group in groups.values_mut() {
        dropped += count(sources, &group.settle());
    }
    dropped += gather_composites(sources, &mut groups, format);
    let mut families = match format {
        Format::Text => groups.into_iter().map(|(name, group)| planned(sources, name.into_owned(), group)).collect(),
        Format::OpenMetrics => shorten(sources, groups),
    };
    families.retain(|family: &Planned| !family.members.is_empty());
    families.sort_by(|one, other| one.name.cmp(&other.name));
    (families, dropped)
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

/// Gives histograms and summaries the samples of targets that did not declare them, and settles whose a name is where both claim it.
fn gather_composites(sources: &[Source], groups: &mut Groups<'_>, format: Format) -> u64 {
    let composite = |kind| matches!(kind, Kind::Histogram | Kind::Summary | Kind::GaugeHistogram);
    let names: Vec<Vec<u8>> = groups.iter().filter(|(_, group)| composite(group.kind)).map(|(name, _)| name.to_vec()).collect();
    let mut dropped = 0;
    for name in names {
        // A composite can have lost against another meanwhile.
        let Some(mut whole) = groups.remove(name.as_slice()).filter(|group| composite(group.kind)) else { continue };
        let mut lost = false;
        for suffix in whole.kind.suffixes(format).iter().filter(|suffix| !suffix.is_empty()) {
            let sample = [&name, suffix.as_bytes()].concat();
            let Some(other) = groups.get(sample.as_slice()) else { continue };
            if other.can_follow(suffix) {
                whole.members.extend(groups.remove(sample.as_slice()).into_iter().flat_map(|group| group.members));
            } else if whole.loses_to(other) {
                lost = true;
                break;
            } else {
                dropped += groups.remove(sample.as_slice()).map_or(0, |group| group.samples(sources));
            }
        }
        if lost {
            dropped += whole.samples(sources);
        } else {
            groups.insert(Cow::Owned(name), whole);
        }
    }
    dropped
}

/// OpenMetrics names counters and infos without the ends of their samples' names. Where that name is another's, or the end is missing, the samples go
/// out under their names, of unknown type.
fn shorten(sources: &[Source], mut groups: Groups<'_>) -> Vec<Planned> {
    let mut taken: HashSet<Vec<u8>> = HashSet::new();
    for (name, group) in groups.iter().filter(|(_, group)| !matches!(group.kind, Kind::Counter | Kind::Info)) {
        taken.insert(name.to_vec());
        taken.extend(group.kind.suffixes(Format::OpenMetrics).iter().map(|suffix| [name, suffix.as_bytes()].concat()));
    }
    let short: Vec<Vec<u8>> = groups
        .iter()
        .filter(|(_, group)| matches!(group.kind, Kind::Counter | Kind::Info))
        .map(|(name, _)| name.to_vec())
        .collect();
    let mut families = Vec::with_capacity(groups.len());
    for name in short {
        let Some(mut group) = groups.remove(name.as_slice()) else { continue };
        let end = if group.kind == Kind::Counter { "_total" } else { "_info" };
        let stem = name.strip_suffix(end.as_bytes()).filter(|stem| !stem.is_empty() && !taken.contains(*stem));
        let created = stem.map(|stem| [stem, b"_created"].concat());
        let follows = |groups: &Groups<'_>, created: &Vec<u8>| {
            groups.get(created.as_slice()).is_none_or(|group| group.can_follow("_created"))
        };
        match (stem, created) {
            (Some(stem), Some(created)) if group.kind == Kind::Counter && follows(&groups, &created) => {
                taken.extend([stem.to_vec(), name.clone(), created.clone()]);
                group.members.extend(groups.remove(created.as_slice()).into_iter().flat_map(|group| group.members));
                families.push(planned(sources, stem.to_vec(), group));
            }
            (Some(stem), _) if group.kind == Kind::Info => {
                taken.extend([stem.to_vec(), name.clone()]);
                families.push(planned(sources, stem.to_vec(), group));
            }
            _ => {
                taken.insert(name.clone());
                families.extend(lengthen(sources, name, group, &mut groups));
            }
        }
    }
    families.extend(groups.into_iter().map(|(name, group)| planned(sources, name.into_owned(), group)));
    families
}

/// A counter or info that keeps its long name. `_created` samples of OpenMetrics cannot stay with it.
fn lengthen(sources: &[Source], name: Vec<u8>, mut group: Group, groups: &mut Groups<'_>) -> Option<Planned> {
    if group.kind == Kind::Info {
        group.kind = Kind::Gauge;
        return Some(planned(sources, name, group));
    }
    group.kind = Kind::Unknown;
    let stem = name.strip_suffix(b"_total").unwrap_or(&name);
    let created: Cow<'_, [u8]> = Cow::Owned([stem, b"_created"].concat());
    for (member, _) in &mut group.members {
        let split = body_of(sources, member).is_some_and(|(_, _, family)| family.traits.any(Traits::CREATED));
        if split {
            let aside = Member { part: Part::Only("_created"), ..*member };
            groups.entry(created.clone()).or_insert_with(Group::new).members.push((aside, Kind::Unknown));
            member.part = Part::Without("_created");
        }
    }
    Some(planned(sources, name, group))
}

fn planned(sources: &[Source], name: Vec<u8>, group: Group) -> Planned {
    let mut members: Vec<Member> = group.members.into_iter().map(|(member, _)| member).collect();
    members.sort_by_key(|member| (member.source, member.family));
    members.shrink_to_fit();
    let described = |member: &&Member| !matches!(member.part, Part::Only("_created"));
    let help = members
        .iter()
        .filter(described)
        .find(|member| body_of(sources, member).is_some_and(|(_, body, family)| body.help(family).is_some()));
    let unit = members.iter().filter(described).find(|member| {
        let unit = body_of(sources, member).and_then(|(_, body, _)| body.unit(member.family as usize));
        // Only a name that ends in it may have it.
        unit.is_some_and(|unit| name.strip_suffix(unit).is_some_and(|stem| stem.ends_with(b"_")))
    });
    let (help, unit) = (help.copied(), unit.copied());
    Planned { name, kind: group.kind, help, unit, members, omitted: HashSet::new() }
}
