//! Tokens that the Kubernetes API vouches for: asked about once in a while, a few at a time, and remembered.
//!
//! Whoever reaches the port can make up tokens. These cost a review each, but the good ones of others are remembered apart from them, and whoever waits
//! behind them is told in seconds to come again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::{Denied, Sender, hash};
use crate::k8s::{ConnectError, TokenReviews};

/// How long a good token is taken without another review: one that is withdrawn is taken for so long.
const KNOWN: Duration = Duration::from_secs(60);
/// The same while the API does not answer: without it reports of all nodes would be refused at the first hiccup of the control plane, and whoever
/// withdraws a token needs the API for it. A token of a pod lives for ten minutes at least.
const KNOWN_WITHOUT_API: Duration = Duration::from_secs(600);
/// How long a token that is not good is refused without another review; it may become good.
const REFUSED: Duration = Duration::from_secs(10);
/// Good tokens that are remembered; more than the nodes of the largest clusters have.
const MOST_GOOD: usize = 20_000;
/// Others that are remembered.
const MOST_REFUSED: usize = 5_000;
/// Reviews at once.
const REVIEWS: usize = 8;
/// How long somebody waits for the reviews of others.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

type Verdict = Result<Sender, Denied>;
type Hash = [u8; 32];

/// Asks the API about tokens, and remembers what it said.
pub struct Reviewer {
    reviews: TokenReviews,
    audience: String,
    users: Vec<String>,
    slots: Semaphore,
    good: Mutex<Remembered<Sender>>,
    refused: Mutex<Remembered<Denied>>,
}

impl Reviewer {
    pub(super) fn new(kube: &kube::Config, audience: String, users: Vec<String>) -> Result<Self, ConnectError> {
        Ok(Self {
            reviews: TokenReviews::new(kube.clone())?,
            audience,
            users,
            slots: Semaphore::new(REVIEWS),
            good: Mutex::new(Remembered::new(MOST_GOOD, KNOWN_WITHOUT_API)),
            refused: Mutex::new(Remembered::new(MOST_REFUSED, REFUSED)),
        })
    }

    pub(super) async fn check(&self, token: &str) -> Verdict {
        if !is_jwt(token) {
            return Err(Denied::Unauthorized("the token is not that of a service account"));
        }
        let key = hash(token);
        if let Some(verdict) = self.known(&key) {
            return verdict;
        }
        let Ok(Ok(_slot)) = timeout(LONGEST_WAIT, self.slots.acquire()).await else {
            let busy = || Denied::Unavailable("the Kubernetes API has to review too many tokens".to_owned());
            return self.good().get(&key, KNOWN_WITHOUT_API).ok_or_else(busy);
        };
        // Whoever waited here may find that the answer has come.
        if let Some(verdict) = self.known(&key) {
            return verdict;
        }
        let identity = match self.reviews.review(token, &self.audience).await {
            Ok(identity) => identity,
            Err(error) => {
                let known = self.good().get(&key, KNOWN_WITHOUT_API);
                tracing::warn!(%error, taken = known.is_some(), "a token could not be reviewed");
                return known.ok_or_else(|| Denied::Unavailable(error.to_string()));
            }
        };
        let verdict = match identity {
            None => Err(Denied::Unauthorized("the Kubernetes API does not know the token, or it is meant for another audience")),
            Some(identity) if !self.users.is_empty() && !self.users.contains(&identity.user) => {
                Err(Denied::Forbidden(format!("{} may not send", identity.user)))
            }
            Some(identity) => identity.node.map(Sender::Node).ok_or_else(|| {
                Denied::Forbidden("the token is bound to no node; it has to be that of a pod, projected".to_owned())
            }),
        };
        match &verdict {
            Ok(sender) => self.good().insert(key, sender.clone()),
            Err(denied) => {
                self.good().remove(&key);
                self.refused().insert(key, denied.clone());
            }
        }
        verdict
    }

    fn known(&self, key: &Hash) -> Option<Verdict> {
        self.good().get(key, KNOWN).map(Ok).or_else(|| self.refused().get(key, REFUSED).map(Err))
    }

    fn good(&self) -> MutexGuard<'_, Remembered<Sender>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Remembered<Denied>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As tokens of service accounts are (RFC 7519): three parts, none of them empty, in base64url.
fn is_jwt(token: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    token.split('.').all(is_part) && token.split('.').count() == 3
}

/// What was said of tokens: for a time, and of a number of them. The oldest goes first.
struct Remembered<T> {
    most: usize,
    longest: Duration,
    by_hash: HashMap<Hash, (Instant, T)>,
    /// In the order in which it was said; a token of which something was said again is here again.
    said: VecDeque<(Instant, Hash)>,
}

impl<T: Clone> Remembered<T> {
    fn new(most: usize, longest: Duration) -> Self {
        Self { most, longest, by_hash: HashMap::new(), said: VecDeque::new() }
    }

    /// What was said of a token, if it is not older than this.
    fn get(&self, key: &Hash, lasts: Duration) -> Option<T> {
        let (at, said) = self.by_hash.get(key)?;
        (at.elapsed() < lasts).then(|| said.clone())
    }

    fn insert(&mut self, key: Hash, said: T) {
        let now = Instant::now();
        self.by_hash.insert(key, (now, said));
        self.said.push_back((now, key));
        while let Some((at, key)) = self.said.front().copied()
            && (self.by_hash.len() > self.most || at.elapsed() >= self.longest)
        {
            self.said.pop_front();
            if self.by_hash.get(&key).is_some_and(|(said, _)| *said == at) {
                self.by_hash.remove(&key);
            }
        }
    }

    fn remove(&mut self, key: &Hash) {
        self.by_hash.remove(key);
    }
}

#[cfg(test)]
mod tests;
