//! Ranges side by side: asks, counts, and lays the ranges edge to edge. What to ask is decided in [`super::ranges`].

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::histogram::Histogram;
use super::ranges::{Distrust, Edge, Key, MOST_EMPTY_PAGES, Ranges, Refused, Seam};
use super::{Cursor, ListError, Meter, Pace, Page, Reason, Tally};

/// Gives pages: a bucket on a server, or what a test makes of one.
pub(super) trait Pages: Send + Sync + 'static {
    /// What all keys begin with.
    fn prefix(&self) -> &[u8];

    /// Where the objects are, for people.
    fn location(&self) -> String;

    /// The page at `cursor`, after as many attempts as make sense; each is told to `meter` and `pace`.
    fn page(&self, cursor: &Cursor, meter: &Meter, pace: &Pace) -> impl Future<Output = Result<Page, ListError>> + Send;
}

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

/// A boundary of two ranges is looked at so often before the server, rather than a busy bucket, is blamed for what it shows.
const LOOKS_AT_A_SEAM: usize = 4;

/// Feeds every object to `tally`, in no order. Gives what was learned for the next time.
pub(super) async fn list<P: Pages>(
    source: &Arc<P>,
    tally: &mut impl Tally,
    memory: Arc<Histogram>,
    ways: usize,
    meter: &Meter,
) -> Result<Histogram, Stopped> {
    let pace = Arc::new(Pace::new(ways));
    let mut ranges = Ranges::new(source.prefix(), memory, ways);
    let stopped = |refused| match refused {
        Refused::Distrust(distrust) => Stopped::Distrust(distrust),
        Refused::Invalid(what) => {
            ListError::new(Reason::InvalidResponse, format!("listing {}: {what}", source.location())).into()
        }
    };
    let mut asked = JoinSet::new();
    loop {
        let limit = pace.limit();
        meter.concurrency.set(i64::try_from(limit).unwrap_or(i64::MAX));
        while asked.len() < limit
            && let Some((id, cursor)) = ranges.next()
        {
            let (source, meter, pace) = (Arc::clone(source), meter.clone(), Arc::clone(&pace));
            asked.spawn(async move { (id, source.page(&cursor, &meter, &pace).await) });
        }
        let Some(answer) = asked.join_next().await else { break };
        let (id, page) = answer.map_err(|error| died(&source.location(), &error))?;
        let objects = ranges.take(id, &mut page?, |object| tally.add(object)).map_err(stopped)?;
        meter.page(objects);
    }
    let mut looks = JoinSet::new();
    for seam in ranges.seams().map_err(stopped)? {
        let (source, meter, pace) = (Arc::clone(source), meter.clone(), Arc::clone(&pace));
        looks.spawn(async move { look_again(&*source, &seam, &meter, &pace).await });
    }
    while let Some(look) = looks.join_next().await {
        look.map_err(|error| died(&source.location(), &error))??;
    }
    Ok(ranges.into_memory())
}

fn died(location: &str, error: &JoinError) -> ListError {
    ListError::new(Reason::Internal, format!("listing {location}: a task died: {error}"))
}

/// Looks at a boundary whose sides saw different keys: from the last key before it, and from itself.
async fn look_again(source: &impl Pages, seam: &Seam, meter: &Meter, pace: &Pace) -> Result<(), Stopped> {
    let cursor = |key: &Key| Cursor::After(key.clone());
    let mut witness = seam.at.clone();
    for _ in 0..LOOKS_AT_A_SEAM {
        let left = first_behind(source, seam.before.as_ref().map_or(Cursor::Start, cursor), &seam.at, meter, pace);
        let right = first_behind(source, cursor(&seam.at), &seam.at, meter, pace);
        let (left, right) = futures::join!(left, right);
        match (left?, right?) {
            (left, right) if left == right => return Ok(()),
            (Edge::Key(key), Edge::End) | (_, Edge::Key(key)) => witness = key,
            _ => {}
        }
    }
    Err(Stopped::Distrust(Distrust::Seam(witness)))
}

/// The first key behind `at` in what the server lists from `cursor` on.
async fn first_behind(source: &impl Pages, mut cursor: Cursor, at: &[u8], meter: &Meter, pace: &Pace) -> Result<Edge, ListError> {
    // More than one page only if many objects have been written before the boundary, or if pages are empty.
    for _ in 0..MOST_EMPTY_PAGES {
        let mut page = source.page(&cursor, meter, pace).await?;
        if let Some(object) = page.objects().find(|object| object.key > at) {
            return Ok(Edge::Key(object.key.into()));
        }
        if !page.truncated {
            return Ok(Edge::End);
        }
        let last = page.objects().next_back().map(|object| Cursor::After(object.key.into()));
        let Some(next) = last.or_else(|| page.next_token.take().map(Cursor::Token)) else { break };
        cursor = next;
    }
    let text = format!("listing {}: the server does not come to an end", source.location());
    Err(ListError::new(Reason::InvalidResponse, text))
}

#[cfg(test)]
pub(super) mod tests;
