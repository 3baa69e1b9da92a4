//! Values that many objects of an index have in common, each kept once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// So few are not worth looking for those that nobody uses.
const FEW: usize = 64;

/// A set of shared values. Those that nobody uses any more are forgotten by [`Shared::sweep`], which also happens each time the set has doubled; so
/// requests may go on using a value as long as they like, and nobody has to give one back.
#[derive(Debug)]
pub struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: FEW }
    }
}

impl<T: ?Sized + Hash + Eq> Shared<T> {
    /// The one that equals `value`.
    pub fn intern<V: Borrow<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        if let Some(known) = self.values.get(value.borrow()) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.sweep_at {
            self.sweep();
        }
        let value: Arc<T> = value.into();
        self.values.insert(Arc::clone(&value));
        value
    }

    /// Forgets what nobody uses.
    pub fn sweep(&mut self) {
        self.values.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = (2 * self.values.len()).max(FEW);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_once_and_as_long_as_they_are_used() {
        let mut shared: Shared<str> = Shared::default();
        let (a, again) = (shared.intern("a"), shared.intern("a"));
        assert!(Arc::ptr_eq(&a, &again));
        for number in 0..10_000 {
            shared.intern(number.to_string().as_str());
        }
        assert!(shared.len() <= FEW + 1, "{}", shared.len());
        assert!(Arc::ptr_eq(&a, &shared.intern("a")));
        drop((a, again));
        shared.sweep();
        assert_eq!(shared.len(), 0);
    }
}
