//! What the journal keeps in its embedded store, and the transactions on it. Each is durable when its function returns.

use std::path::Path;

use redb::{
    Builder, Database, Durability, Error, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::backlog::Backlog;
use super::entry::Entry;
use super::seal::Seal;

/// Facts about the journal as a whole.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
/// Entry numbers and [`Entry`].
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Reports that were taken, by the hour of their own time, and the hour in which that was. Ordered so, what is written together lies together.
const REMEMBERED: TableDefinition<'_, (u32, u128), u32> = TableDefinition::new("remembered");
/// [`Seal`], by the first entry.
const SEALS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("seals");

const ID: &str = "id";
const SEALED_THROUGH: &str = "sealed_through";
const FORMAT: &str = "format";
/// Changes when a later version could not read what an earlier one wrote.
const FORMAT_NUMBER: &[u8] = b"1";

/// Pages in memory; the default of the store would be 1 GiB.
const CACHE: usize = 16 << 20;
/// How long a report is remembered at least.
const REMEMBERED_HOURS: u32 = 24;

/// By what a report is known when it comes again: the hour of its own time, and a hash of its node and timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportId(u32, u128);

impl ReportId {
    /// Of a report by `node` about `collected_at`, in microseconds since the Unix epoch, which is written as `timestamp`.
    pub fn new(node: &str, timestamp: &str, collected_at: i64) -> Self {
        let hash = digest(&SHA256, format!("{node}\0{timestamp}").as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_ref()[..16]);
        Self(hours(collected_at / 1_000), u128::from_be_bytes(first))
    }
}

/// Hours since the Unix epoch.
fn hours(milliseconds: i64) -> u32 {
    u32::try_from(milliseconds.div_euclid(3_600_000)).unwrap_or(0)
}

/// A report on its way into the journal.
#[derive(Debug)]
pub struct NewEntry {
    /// By what it is remembered.
    pub id: ReportId,
    /// See [`Entry::bytes`].
    pub bytes: Vec<u8>,
}

/// How much of something there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pods in them.
    pub rows: u64,
    /// Bytes of the reports as they were before they were packed.
    pub length: u64,
}

impl Amount {
    /// With one more entry.
    pub fn add(&mut self, bytes: &[u8]) {
        let (_, rows, length) = Entry::peek(bytes).unwrap_or_default();
        *self = self.plus(Self { entries: 1, bytes: bytes.len() as u64, rows: rows.into(), length: length.into() });
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
            rows: self.rows + other.rows,
            length: self.length + other.length,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
            rows: self.rows.saturating_sub(other.rows),
            length: self.length.saturating_sub(other.length),
        }
    }
}

/// The embedded store.
pub(super) struct Tables(Database);

impl Tables {
    /// Makes a new store with an id of its own, where there is no file.
    pub(super) fn create(path: &Path) -> Result<(), Error> {
        let database = builder().create(path)?;
        let transaction = database.begin_write()?;
        {
            let mut facts = transaction.open_table(FACTS)?;
            facts.insert(ID, random_id().as_bytes())?;
            facts.insert(FORMAT, FORMAT_NUMBER)?;
            transaction.open_table(ENTRIES)?;
            transaction.open_table(REMEMBERED)?;
            transaction.open_table(SEALS)?;
        }
        transaction.commit()?;
        database.close()?;
        Ok(())
    }

    /// Opens what is there.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let tables = Self(builder().open(path)?);
        let facts = tables.0.begin_read()?.open_table(FACTS)?;
        if facts.get(FORMAT)?.is_none_or(|format| format.value() != FORMAT_NUMBER) {
            return Err(Error::Corrupted("its format is not known to this version".to_owned()));
        }
        Ok(tables)
    }

    /// The random id made with the journal.
    pub(super) fn id(&self) -> Result<String, Error> {
        let facts = self.0.begin_read()?.open_table(FACTS)?;
        Ok(facts.get(ID)?.map(|id| String::from_utf8_lossy(id.value()).into_owned()).unwrap_or_default())
    }

    /// Number of the last entry that is part of a seal; 0 before the first.
    pub(super) fn sealed_through(&self) -> Result<u64, Error> {
        let facts = self.0.begin_read()?.open_table(FACTS)?;
        let told = facts.get(SEALED_THROUGH)?;
        Ok(told.and_then(|number| number.value().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// What is not sealed yet, and the number of the last entry of all. Reads all of it.
    pub(super) fn unsealed(&self) -> Result<(Backlog, u64), Error> {
        let mut last = self.sealed_through()?;
        let mut backlog = Backlog::default();
        let entries = self.0.begin_read()?.open_table(ENTRIES)?;
        for entry in entries.range(last + 1..)? {
            let (number, bytes) = entry?;
            last = number.value();
            backlog.add(last, Entry::peek(bytes.value()).map_or(0, |(taken_at, ..)| taken_at), bytes.value());
        }
        Ok((backlog, last))
    }

    /// Adds entries with the numbers behind `last`, without those that are remembered. True for each that was added.
    pub(super) fn append(&self, last: u64, new: &[NewEntry], now: i64) -> Result<Vec<bool>, Error> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut added = Vec::with_capacity(new.len());
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut remembered = transaction.open_table(REMEMBERED)?;
            let mut number = last;
            for NewEntry { id, bytes } in new {
                let key = (id.0, id.1);
                let known = remembered.get(key)?.is_some_and(|taken| hours(now) <= taken.value() + REMEMBERED_HOURS);
                if !known {
                    number += 1;
                    remembered.insert(key, hours(now))?;
                    entries.insert(number, bytes.as_slice())?;
                }
                added.push(!known);
            }
        }
        transaction.commit()?;
        Ok(added)
    }

    /// Entries from `from` on, until there are `enough` bytes.
    pub(super) fn read(&self, from: u64, enough: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let entries = self.0.begin_read()?.open_table(ENTRIES)?;
        let (mut read, mut total) = (Vec::new(), 0);
        for entry in entries.range(from..)? {
            let (number, bytes) = entry?;
            total += bytes.value().len();
            read.push((number.value(), bytes.value().to_vec()));
            if total >= enough {
                break;
            }
        }
        Ok(read)
    }

    /// Fixes a seal: from now on its files are what its entries become. One that is there may be replaced by one of the same entries.
    pub(super) fn record(&self, seal: &Seal) -> Result<(), Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut seals = transaction.open_table(SEALS)?;
            let mut facts = transaction.open_table(FACTS)?;
            let through = facts.get(SEALED_THROUGH)?.and_then(|last| last.value().try_into().ok()).map_or(0, u64::from_be_bytes);
            let known = seals.get(seal.first)?.map(|known| read_seal(seal.first, known.value())).transpose()?;
            // Whatever went wrong before, no entry belongs to two seals, and none is left out.
            let fits = known.map_or(seal.first == through + 1, |known| known.last == seal.last);
            if !fits {
                return Err(Error::Corrupted(format!("a seal of {} to {} does not follow {through}", seal.first, seal.last)));
            }
            let json = seal.to_json().map_err(|error| Error::Corrupted(error.to_string()))?;
            seals.insert(seal.first, json.as_slice())?;
            facts.insert(SEALED_THROUGH, through.max(seal.last).to_be_bytes().as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// All seals that are not finished, the oldest first.
    pub(super) fn seals(&self) -> Result<Vec<Seal>, Error> {
        let seals = self.0.begin_read()?.open_table(SEALS)?;
        let mut read = Vec::new();
        for seal in seals.iter()? {
            let (first, json) = seal?;
            read.push(read_seal(first.value(), json.value())?);
        }
        Ok(read)
    }

    /// Removes a seal with its entries.
    pub(super) fn finish(&self, seal: &Seal) -> Result<(), Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut seals = transaction.open_table(SEALS)?;
            let known = seals.remove(seal.first)?.map(|known| read_seal(seal.first, known.value())).transpose()?;
            if known.is_none_or(|known| known.last != seal.last) {
                return Err(Error::Corrupted(format!("there is no seal of {} to {}", seal.first, seal.last)));
            }
            transaction.open_table(ENTRIES)?.retain_in(seal.first..=seal.last, |_, _| false)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Forgets reports that were taken too long ago.
    pub(super) fn forget(&self, now: i64) -> Result<(), Error> {
        let oldest = hours(now).saturating_sub(REMEMBERED_HOURS);
        let transaction = self.0.begin_write()?;
        {
            let mut remembered = transaction.open_table(REMEMBERED)?;
            // Few are of another hour than that in which they were taken: late ones, and those of clocks that are ahead.
            remembered.retain_in(..(oldest, 0), |_, taken| taken >= oldest)?;
            remembered.retain_in((hours(now) + 1, 0).., |_, taken| taken >= oldest)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// How many reports are remembered.
    pub(super) fn remembered(&self) -> Result<u64, Error> {
        Ok(self.0.begin_read()?.open_table(REMEMBERED)?.len()?)
    }

    /// Gives space back to the disk.
    pub(super) fn compact(&mut self) -> Result<(), Error> {
        self.0.compact()?;
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder.set_repair_callback(|repair| {
        tracing::info!(progress = repair.progress(), "the journal was not closed; it is being checked");
    });
    builder
}

fn read_seal(first: u64, json: &[u8]) -> Result<Seal, Error> {
    Seal::from_json(json).map_err(|error| Error::Corrupted(format!("the seal of entry {first}: {error}")))
}

/// 16 hexadecimal digits.
fn random_id() -> String {
    let mut bytes = [0; 8];
    // Where the system has no random numbers, its time and address space have to do.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes = fastrand::u64(..).to_be_bytes();
    }
    format!("{:016x}", u64::from_be_bytes(bytes))
}
