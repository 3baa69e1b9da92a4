//! Page after page by continuation token: for servers that cannot be asked by key. Their order is not looked at.

use super::parallel::is_listed;
use super::ranges::{MOST_EMPTY_PAGES, Witness, endless};
use super::{Cursor, ListError, Meter, Pace, Page, Pages, Reason, Tally};

/// Feeds every object to `tally`. A `witness` must be among them, unless it has been deleted.
pub(super) async fn list(
    source: &impl Pages,
    tally: &mut impl Tally,
    witness: Option<&Witness>,
    meter: &Meter,
) -> Result<(), ListError> {
    let pace = Pace::new(1);
    meter.concurrency.set(1);
    meter.fallbacks.inc();
    let mut cursor = Cursor::Start;
    let mut repeats = Repeats::default();
    let mut empty_pages = 0;
    let mut missing = witness;
    loop {
        let mut page = source.page(&cursor, meter, &pace).await?;
        let invalid = |what: &str| Err(ListError::new(Reason::InvalidResponse, format!("listing {}: {what}", source.location())));
        if repeats.seen_before(&page) {
            return invalid("the server answers the continuation token with objects that have been listed already");
        }
        let mut objects = 0;
        for object in page.objects() {
            if !object.key.starts_with(source.prefix()) {
                return invalid("the server ignores the prefix");
            }
            if !repeats.is_last(object.key) {
                repeats.set_last(object.key);
                tally.add(&object);
                objects += 1;
                missing = missing.filter(|witness| *witness.key != *object.key);
            }
        }
        meter.page(objects);
        if !page.truncated {
            break;
        }
        empty_pages = if objects == 0 { empty_pages + 1 } else { 0 };
        if empty_pages > MOST_EMPTY_PAGES {
            return invalid(&endless());
        }
        let Some(token) = page.next_token.take() else { return invalid("a truncated page without a continuation token") };
        let next = Cursor::Token(token);
        if next == cursor {
            return invalid("the continuation token does not move on");
        }
        cursor = next;
    }
    match missing {
        Some(Witness { key, after }) if is_listed(source, after, key, meter, &pace).await? => {
            let key = String::from_utf8_lossy(key);
            let text = format!("the server ends before it has listed {key:?}, which it lists if asked for by key");
            Err(ListError::new(Reason::InvalidResponse, format!("listing {}: {text}", source.location())))
        }
        _ => Ok(()),
    }
}

/// Notices a server that repeats itself: the last key, which is passed over, or a circle of pages of any length (Brent's method: the page whose
/// first key is remembered is moved forward at every power of two).
#[derive(Default)]
struct Repeats {
    pages: u64,
    remembered: Vec<u8>,
    last: Option<Vec<u8>>,
}

impl Repeats {
    /// True if `page` has been here before.
    fn seen_before(&mut self, page: &Page) -> bool {
        let Some(first) = page.objects().find(|object| !self.is_last(object.key)) else { return false };
        let again = self.pages > 0 && first.key == self.remembered.as_slice();
        self.pages += 1;
        if self.pages.is_power_of_two() {
            self.remembered = first.key.to_vec();
        }
        again
    }

    fn is_last(&self, key: &[u8]) -> bool {
        self.last.as_deref() == Some(key)
    }

    fn set_last(&mut self, key: &[u8]) {
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> Page {
        let mut page = Page::default();
        keys.iter().for_each(|key| page.push(key.as_bytes(), 1, 0));
        page
    }

    #[test]
    fn a_server_that_goes_in_circles_is_noticed() {
        for circle in 1..20 {
            let mut repeats = Repeats::default();
            assert!(!repeats.seen_before(&page(&["start"])) && !repeats.seen_before(&page(&[])));
            let noticed = (0..200).position(|number| repeats.seen_before(&page(&[&format!("{}", number % circle), "end"])));
            assert!(noticed.is_some_and(|at| at <= 3 * circle + 2), "a circle of {circle}: {noticed:?}");
        }
    }

    #[test]
    fn a_server_that_goes_on_is_not() {
        let mut repeats = Repeats::default();
        assert!(!(0..1_000).any(|number| repeats.seen_before(&page(&[&format!("{number:04}a"), &format!("{number:04}b")]))));
    }
}
