//! Ranges side by side: asks, counts, and mends the gaps between them. What to ask is decided in [`super::ranges`].

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::histogram::Histogram;
use super::ranges::{Distrust, Gap, Key, Range, Ranges, Refused, Witness};
use super::{Cursor, ListError, Meter, Pace, Pages, Reason, Tally};

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The server cannot be asked by key.
    Distrust(Distrust),
    Failed(ListError),
}

impl From<ListError> for Stopped {
    fn from(error: ListError) -> Self {
        Self::Failed(error)
    }
}

/// So often a gap is listed before the server, rather than a busy bucket, is blamed for what it shows.
const MENDINGS: usize = 3;

/// Feeds every object to `tally`, in no order. Gives what was learned for the next time.
pub(super) async fn list<P: Pages>(
    source: &Arc<P>,
    tally: &mut impl Tally,
    memory: Arc<Histogram>,
    pace: &Arc<Pace>,
    ways: usize,
    meter: &Meter,
) -> Result<Histogram, Stopped> {
    let mut ranges = Ranges::new(source.prefix(), memory, ways);
    let mut asked = JoinSet::new();
    let mut answers_by_key = false;
    loop {
        let limit = pace.limit();
        meter.concurrency.set(i64::try_from(limit).unwrap_or(i64::MAX));
        while asked.len() < limit
            && let Some((id, cursor)) = ranges.next()
        {
            let (source, meter, pace) = (Arc::clone(source), meter.clone(), Arc::clone(pace));
            asked.spawn(async move {
                let page = source.page(&cursor, &meter, &pace).await;
                (id, cursor, page)
            });
        }
        let Some(answer) = asked.join_next().await else { break };
        let (id, cursor, page) = answer.map_err(|error| died(&source.location(), &error))?;
        let by_key = matches!(cursor, Cursor::After(_));
        let mut page = match page {
            // Perhaps the server answers only those who page from the start.
            Err(error) if by_key && !answers_by_key && may_be_about_the_question(error.reason) => {
                return Err(Stopped::Distrust(Distrust::Unanswered(error.message)));
            }
            page => page?,
        };
        answers_by_key |= by_key;
        let objects = ranges.take(id, &mut page, |object| tally.add(object)).map_err(|refused| stopped(&**source, refused))?;
        meter.page(objects);
    }
    let (gaps, learned) = ranges.join().map_err(|refused| stopped(&**source, refused))?;
    for gap in gaps {
        mend(&**source, gap, tally, meter, pace).await?;
    }
    Ok(learned)
}

/// Some servers answer to a parameter that they do not know with an error.
fn may_be_about_the_question(reason: Reason) -> bool {
    matches!(reason, Reason::InvalidResponse | Reason::ServerError)
}

fn stopped(source: &impl Pages, refused: Refused) -> Stopped {
    match refused {
        Refused::Distrust(distrust) => Stopped::Distrust(distrust),
        Refused::Invalid(what) => {
            ListError::new(Reason::InvalidResponse, format!("listing {}: {what}", source.location())).into()
        }
    }
}

fn died(location: &str, error: &JoinError) -> ListError {
    ListError::new(Reason::Internal, format!("listing {location}: a task died: {error}"))
}

/// Counts what lies in a gap, up to the key behind it. If that is not to be seen from the left any more, it must be gone from the right too.
async fn mend(source: &impl Pages, gap: Gap, tally: &mut impl Tally, meter: &Meter, pace: &Pace) -> Result<(), Stopped> {
    let Gap { mut after, until, right } = gap;
    for _ in 0..MENDINGS {
        let mut range = Range::new(after.clone(), until.clone());
        while !range.is_done() {
            let mut page = source.page(&range.cursor(), meter, pace).await?;
            let mut objects = 0;
            let mut count = |object: &super::Object<'_>| {
                // The end of the gap has been counted.
                if until.as_deref() != Some(object.key) {
                    tally.add(object);
                    objects += 1;
                }
            };
            range.take(&mut page, source.prefix(), &mut count).map_err(|refused| stopped(source, refused))?;
            meter.page(objects);
        }
        let (Some(end), Some(right)) = (&until, &right) else { return Ok(()) };
        if range.last() == Some(end) || !is_listed(source, right, end, meter, pace).await? {
            return Ok(());
        }
        after = range.last().cloned().or(after);
    }
    let (Some(key), Some(after)) = (until, right) else { return Ok(()) };
    Err(Stopped::Distrust(Distrust::Seam(Witness { key, after })))
}

/// True if `key` is among the first that are listed behind `after`.
pub(super) async fn is_listed(
    source: &impl Pages,
    after: &Key,
    key: &Key,
    meter: &Meter,
    pace: &Pace,
) -> Result<bool, ListError> {
    let mut range = Range::new(Some(after.clone()), None);
    // More pages than one only if the first ones are empty, or a thousand objects have been written before the key by now.
    while !range.is_done() {
        let mut page = source.page(&range.cursor(), meter, pace).await?;
        if page.objects().any(|object| object.key == &**key) {
            return Ok(true);
        }
        if page.objects().any(|object| object.key > &**key) || range.take(&mut page, source.prefix(), |_| ()).is_err() {
            return Ok(false);
        }
    }
    Ok(false)
}

#[cfg(test)]
pub(super) mod tests;
