//! The one who writes: a thread that makes one transaction of all reports that are waiting.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::inner::Inner;
use super::tables::NewEntry;
use super::{AppendError, Appended, JournalError};

/// Bytes in one transaction: what is added meanwhile waits for it.
const BATCH_BYTES: usize = 8 << 20;
/// Reports in one transaction.
const BATCH: usize = 1_024;
/// Between attempts to open the journal after a failure; doubled with each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What the writer is asked.
pub(super) enum Message {
    Append(Append),
    Close,
}

/// A report, and who is to be told that it is on disk.
pub(super) struct Append {
    pub(super) entry: NewEntry,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// For the memory of the entry, until it is on disk.
    pub(super) keep: Option<OwnedSemaphorePermit>,
}

/// Starts the thread. It ends when it is asked to close, or when the journal turns out to be damaged, which the receiver is told.
pub(super) fn start(inner: Arc<Inner>, messages: Receiver<Message>) -> std::io::Result<oneshot::Receiver<anyhow::Result<()>>> {
    let (ended, told) = oneshot::channel();
    std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let _ = ended.send(write(&inner, &messages));
    })?;
    Ok(told)
}

fn write(inner: &Inner, messages: &Receiver<Message>) -> anyhow::Result<()> {
    let (mut retry, mut tried) = (FIRST_RETRY, None::<Instant>);
    loop {
        let mut closing = false;
        let mut batch = Vec::new();
        match messages.recv_timeout(FIRST_RETRY) {
            Ok(Message::Append(first)) => {
                let mut bytes = first.entry.bytes.len();
                batch.push(first);
                while batch.len() < BATCH && bytes < BATCH_BYTES {
                    match messages.try_recv() {
                        Ok(Message::Append(next)) => {
                            bytes += next.entry.bytes.len();
                            batch.push(next);
                        }
                        Ok(Message::Close) => {
                            closing = true;
                            break;
                        }
                        Err(_) => break,
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => closing = true,
        }
        if inner.failure().is_some() && tried.is_none_or(|tried| tried.elapsed() >= retry) {
            match inner.reopen() {
                Ok(()) => {}
                Err(error @ JournalError::Damaged { .. }) => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "the journal cannot be opened yet"),
            }
            // A disk that is full lets it be opened, and fails at once again.
            retry = if tried.is_some_and(|tried| tried.elapsed() < 2 * LONGEST_RETRY) {
                (retry * 2).min(LONGEST_RETRY)
            } else {
                FIRST_RETRY
            };
            tried = Some(Instant::now());
        }
        if !batch.is_empty() {
            append(inner, batch);
        }
        if closing {
            inner.shut("the program is stopping".to_owned());
            return Ok(());
        }
    }
}

fn append(inner: &Inner, batch: Vec<Append>) {
    let (mut entries, mut answers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    let mut kept = Vec::with_capacity(batch.len());
    for Append { entry, answer, keep } in batch {
        entries.push(entry);
        answers.push(answer);
        kept.push(keep);
    }
    let last = inner.state().last;
    let now = inner.clock.now().as_millisecond();
    let begun = Instant::now();
    let added = inner.with_tables(|tables| tables.append(last, &entries, now));
    inner.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
    match added {
        Ok(added) => {
            let mut state = inner.state();
            for (entry, _) in entries.iter().zip(&added).filter(|(_, added)| **added) {
                state.last += 1;
                let number = state.last;
                state.backlog.add(number, now, &entry.bytes);
            }
            drop(state);
            inner.metrics.batch.observe(f64::from(u32::try_from(added.len()).unwrap_or(u32::MAX)));
            inner.show();
            for (answer, added) in answers.into_iter().zip(added) {
                // Whoever has hung up will send it again.
                let _ = answer.send(Ok(if added { Appended::Added } else { Appended::Repeated }));
            }
        }
        Err(error) => {
            let failed = AppendError::Failed(format!("{error:#}"));
            for answer in answers {
                let _ = answer.send(Err(failed.clone()));
            }
        }
    }
    drop(entries);
    drop(kept);
}
