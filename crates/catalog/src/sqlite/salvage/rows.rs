//! Rows out of a damaged database, around what cannot be read.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, params_from_iter};
use thrifty_key::Key;

use super::Salvaged;
use crate::entry::{Scope, Time};
use crate::sqlite::clock::NEVER;
use crate::sqlite::fault::is_damage;
use crate::sqlite::seal::{COLUMNS, MADE_OF, Sealed, WIDTH, digest, parts_digest};
use crate::sqlite::select::references;

/// Numbers at or above this are damage: nothing ever counts so far.
const ABSURD: i64 = 1 << 61;

/// Where numbers of entries are found, besides the entries themselves.
const NUMBERS: [&str; 6] = [
    "SELECT id FROM entry ORDER BY id",
    "SELECT id FROM entry INDEXED BY entry_tail",
    "SELECT id FROM entry ORDER BY key, project, domain",
    "SELECT entry FROM ingredients ORDER BY entry",
    "SELECT entry FROM usage ORDER BY entry",
    "SELECT entry FROM reference ORDER BY entry",
];

/// The largest numbers handed out, by where they stand.
const EPOCHS: [&str; 3] = [
    "SELECT max(epoch, log_floor) FROM meta",
    "SELECT epoch FROM slot ORDER BY key, project, domain",
    "SELECT epoch FROM invalidation ORDER BY epoch",
];

/// Tables that are not copied as they are: entries are verified, the blobs' rows follow them,
/// numbers are made, and what only meant those at work means nobody any more.
const OWN: [&str; 7] =
    ["meta", "entry", "usage", "ingredients", "reference", "invalidation", "waiting"];

/// What is saved into a new catalog.
pub(super) struct Source<'a> {
    new: &'a Connection,
    known: BTreeSet<i64>,
    saved: BTreeSet<i64>,
    epoch: i64,
    last_entry: i64,
    clock: Time,
    has_rest: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(new: &'a Connection) -> Self {
        Self {
            new,
            known: BTreeSet::new(),
            saved: BTreeSet::new(),
            epoch: 0,
            last_entry: 0,
            clock: 0,
            has_rest: false,
        }
    }

    /// Saves what one reading of the damaged file gives.
    pub(super) fn save(&mut self, old: &Connection) -> Result<()> {
        let meta = old.query_row("SELECT clock, last_entry FROM meta", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        let meta = around_damage(meta)?;
        let is_sane = |number: &i64| (0..ABSURD).contains(number);
        if let Some((clock, last_entry)) = meta {
            let clock = Some(clock).filter(|clock| (0..NEVER).contains(clock));
            self.clock = self.clock.max(clock.unwrap_or(0));
            self.last_entry = self.last_entry.max(Some(last_entry).filter(is_sane).unwrap_or(0));
        }
        for sql in EPOCHS {
            let seen = numbers(old, sql)?.into_iter().filter(is_sane).max().unwrap_or(0);
            self.epoch = self.epoch.max(seen);
        }
        self.new.execute_batch("BEGIN IMMEDIATE")?;
        self.save_entries(old)?;
        if !self.has_rest && meta.is_some() {
            self.save_rest(old)?;
            self.has_rest = true;
        }
        self.new.execute_batch("COMMIT")
    }

    /// Writes the numbers from which the new catalog goes on.
    pub(super) fn finish(self, now: Time) -> Result<Salvaged> {
        let floor = self.clock.max(now);
        let epoch = (self.epoch + 1).max(floor);
        let last = self.known.last().copied().unwrap_or(0).max(self.last_entry);
        self.new.execute(
            "UPDATE meta SET clock = ?1, epoch = ?2, log_floor = ?2, last_entry = ?3",
            (self.clock, epoch, (last + 1).max(floor)),
        )?;
        // Of those that were saved, one may have given way to another of its key.
        let sql = "SELECT count(*) FROM entry";
        let entries = self.new.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
        let lost = self.known.difference(&self.saved).count() as u64;
        Ok(Salvaged { entries, lost, ..Salvaged::default() })
    }

    fn save_entries(&mut self, old: &Connection) -> Result<()> {
        for sql in NUMBERS {
            let is_sane = |number: &i64| (1..ABSURD).contains(number);
            self.known.extend(numbers(old, sql)?.into_iter().filter(is_sane));
        }
        let last = self.known.last().copied().unwrap_or(0).max(self.last_entry);
        let across = across_damage(old, last)?;
        let candidates: BTreeSet<i64> = self.known.iter().copied().chain(across).collect();
        for id in candidates.difference(&self.saved.clone()) {
            if let Some(entry) = around_damage(verified(old, *id))?.flatten() {
                self.put(old, *id, &entry)?;
                self.known.insert(*id);
                self.saved.insert(*id);
            }
        }
        Ok(())
    }

    /// Saves an entry, unless a newer one of its key was saved.
    fn put(&self, old: &Connection, id: i64, entry: &Verified) -> Result<()> {
        let newer = "SELECT EXISTS (SELECT 1 FROM entry \
             WHERE key = ?1 AND project = ?2 AND domain = ?3 AND id > ?4)";
        let (scope, key) = (&entry.scope, &entry.key);
        if self
            .new
            .prepare_cached(newer)?
            .query_row((key.as_bytes(), &scope.project, &scope.domain, id), |row| row.get(0))?
        {
            return Ok(());
        }
        let columns = COLUMNS.replace("entry.", "");
        let marks = vec!["?"; entry.values.len()].join(", ");
        let sql = format!(
            "INSERT OR REPLACE INTO entry ({columns}, id, project, domain, key) VALUES ({marks})"
        );
        self.new.prepare_cached(&sql)?.execute(params_from_iter(&entry.values))?;
        self.new
            .prepare_cached("INSERT INTO ingredients VALUES (?1, ?2)")?
            .execute((id, &entry.ingredients))?;
        for (digest, generation, length) in &entry.blobs {
            self.new
                .prepare_cached("INSERT INTO reference VALUES (?1, ?2, ?3)")?
                .execute((id, digest, generation))?;
            self.new
                .prepare_cached(
                    "INSERT OR IGNORE INTO blob (digest, generation, length, state, used_at, \
                     pinned_until) VALUES (?1, ?2, ?3, 0, ?4, 0)",
                )?
                .execute((digest, generation, length, entry.created_at))?;
        }
        let columns = shared_columns(old, self.new, "usage")?;
        if copy_row(old, self.new, "usage", &columns, id).is_ok_and(|copied| copied) {
            return Ok(());
        }
        self.new
            .prepare_cached(
                "INSERT INTO usage (entry, used_at, hits, nondeterministic) VALUES (?1, ?2, 0, 0)",
            )?
            .execute((id, entry.created_at))?;
        Ok(())
    }

    /// Copies the rows of all other tables that can be read, from both ends. Nothing vouches for
    /// them, and nothing that is served depends on them.
    fn save_rest(&self, old: &Connection) -> Result<()> {
        let mut statement =
            self.new.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
        let tables = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>>>()?;
        for table in tables.iter().filter(|table| !OWN.contains(&table.as_str())) {
            let columns = shared_columns(old, self.new, table)?;
            let key = primary_key(self.new, table)?;
            for direction in ["ASC", "DESC"] {
                let order: Vec<_> =
                    key.iter().map(|column| format!("{column} {direction}")).collect();
                let sql = format!(
                    "SELECT {} FROM {table} ORDER BY {}",
                    columns.join(", "),
                    order.join(", ")
                );
                copy_rows(old, self.new, table, &columns, &sql)?;
            }
        }
        // Whoever held one is refused now, and need not be waited for.
        self.new.execute("UPDATE slot SET nonce = NULL, lease_until = NULL, ended = NULL", [])?;
        Ok(())
    }
}

/// An entry that is what was committed.
struct Verified {
    scope: Scope,
    key: Key,
    values: Vec<Value>,
    ingredients: Vec<u8>,
    blobs: Vec<(Vec<u8>, i64, i64)>,
    created_at: Time,
}

fn verified(old: &Connection, id: i64) -> Result<Option<Verified>> {
    let columns = match lacks_made_of(old)? {
        true => COLUMNS.replace(MADE_OF, "x''"),
        false => COLUMNS.to_owned(),
    };
    let sql = format!(
        "SELECT {columns}, entry.id, entry.project, entry.domain, entry.key, ingredients.body \
         FROM entry JOIN ingredients ON ingredients.entry = entry.id WHERE entry.id = ?1"
    );
    let mut statement = old.prepare_cached(&sql)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let scope = Scope { project: row.get(WIDTH + 1)?, domain: row.get(WIDTH + 2)? };
    let Some(key) = digest(row.get_ref(WIDTH + 3)?) else { return Ok(None) };
    let Some(sealed) = Sealed::read(row, 0, &scope, &key) else { return Ok(None) };
    let ingredients: Vec<u8> = row.get(WIDTH + 4)?;
    // Where they cannot be read, the digest tells whether there were any.
    let blobs = around_damage(references(old, id))?.unwrap_or_default();
    if parts_digest(&ingredients, &blobs) != sealed.parts_digest
        || !(blobs.is_empty() || are_live(old, id)?)
    {
        return Ok(None);
    }
    let values = (0..WIDTH + 4).map(|at| row.get(at)).collect::<Result<Vec<Value>>>()?;
    let blobs = blobs.iter().map(|blob| {
        let digest = blob.digest.as_bytes().to_vec();
        (digest, blob.generation.cast_signed(), blob.length.cast_signed())
    });
    let created_at = sealed.created_at;
    Ok(Some(Verified { scope, key, values, ingredients, blobs: blobs.collect(), created_at }))
}

/// Whether it is of a format before entries said what they were made of. Its number may be damaged.
fn lacks_made_of(old: &Connection) -> Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info('entry') WHERE 'entry.' || name = ?1";
    let found = old.prepare(sql).and_then(|mut it| it.query_row([MADE_OF], |row| row.get(0)));
    Ok(around_damage(found)? == Some(0_i64))
}

/// Whether no blob of the entry may be deleted at any moment.
fn are_live(old: &Connection, id: i64) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM reference JOIN blob USING (digest, generation) \
         WHERE entry = ?1 AND state <> 0)";
    old.prepare_cached(sql)?.query_row([id], |row| row.get(0))
}

/// Nothing in the place of what is damaged. What merely could not be read now ends the repair:
/// it would be lost without need.
fn around_damage<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if is_damage(&error) => Ok(None),
        read => read.map(Some),
    }
}

/// The numbers that a query gives until it meets damage, from both ends.
fn numbers(old: &Connection, sql: &str) -> Result<Vec<i64>> {
    let backwards = match sql.split_once(" ORDER BY ") {
        Some((select, order)) => {
            format!("{select} ORDER BY {} DESC", order.replace(", ", " DESC, "))
        }
        None => sql.to_owned(),
    };
    let (mut found, _) = until_damage(old, sql)?;
    found.extend(until_damage(old, &backwards)?.0);
    Ok(found)
}

/// The numbers that a query gives until it meets damage, and whether it met any.
fn until_damage(old: &Connection, sql: &str) -> Result<(Vec<i64>, bool)> {
    let mut found = Vec::new();
    let Some(mut statement) = around_damage(old.prepare(sql))? else { return Ok((found, true)) };
    let mut rows = statement.query([])?;
    loop {
        match around_damage(rows.next())? {
            Some(Some(row)) => found.extend(row.get::<_, i64>(0).ok()),
            Some(None) => return Ok((found, false)),
            None => return Ok((found, true)),
        }
    }
}

/// The numbers of entries up to `last` that can be read, across whatever damage there is between.
fn across_damage(old: &Connection, last: i64) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    let mut from = Some(1);
    while let Some(first) = from {
        let sql = format!("SELECT id FROM entry WHERE id BETWEEN {first} AND {last} ORDER BY id");
        let (numbers, is_damaged) = until_damage(old, &sql)?;
        let bad = numbers.last().map_or(first, |number| first.max(number + 1));
        found.extend(numbers);
        from = if is_damaged { readable_after(old, bad, last)? } else { None };
    }
    Ok(found)
}

/// A number behind `bad`, and up to `last`, from which entries can be read again. It is the first
/// of them, or one behind the next damage: numbers leap where a catalog was repaired before, so it
/// is looked for in steps that double.
fn readable_after(old: &Connection, mut bad: i64, last: i64) -> Result<Option<i64>> {
    let is_readable = |from: i64| -> Result<bool> {
        let sql = format!("SELECT id FROM entry WHERE id >= {from} ORDER BY id LIMIT 1");
        Ok(!until_damage(old, &sql)?.1)
    };
    let mut step = 1;
    let mut good = loop {
        if bad >= last {
            return Ok(None);
        }
        let next = last.min(bad.saturating_add(step));
        if is_readable(next)? {
            break next;
        }
        bad = next;
        step *= 2;
    };
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if is_readable(middle)? { good = middle } else { bad = middle }
    }
    Ok(Some(good))
}

/// The columns that a table has in both.
fn shared_columns(old: &Connection, new: &Connection, table: &str) -> Result<Vec<String>> {
    let columns = |conn: &Connection| -> Result<Vec<String>> {
        conn.prepare_cached("SELECT name FROM pragma_table_info(?1)")?
            .query_map([table], |row| row.get(0))?
            .collect()
    };
    let old = columns(old).unwrap_or_default();
    Ok(columns(new)?.into_iter().filter(|column| old.contains(column)).collect())
}

fn primary_key(conn: &Connection, table: &str) -> Result<Vec<String>> {
    conn.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?
        .query_map([table], |row| row.get(0))?
        .collect()
}

/// Copies what can be read of a query's rows. A row that the new table refuses is none.
fn copy_rows(
    old: &Connection,
    new: &Connection,
    table: &str,
    columns: &[String],
    sql: &str,
) -> Result<()> {
    let Some(mut statement) = around_damage(old.prepare(sql))? else { return Ok(()) };
    let mut rows = statement.query([])?;
    while let Some(row) = around_damage(rows.next())?.flatten() {
        let values: Result<Vec<Value>> = (0..columns.len()).map(|at| row.get(at)).collect();
        if let Ok(values) = values {
            let _ = insert(new, table, columns, &values);
        }
    }
    Ok(())
}

fn copy_row(
    old: &Connection,
    new: &Connection,
    table: &str,
    columns: &[String],
    entry: i64,
) -> Result<bool> {
    let sql = format!("SELECT {} FROM {table} WHERE entry = ?1", columns.join(", "));
    let row = old.prepare_cached(&sql)?.query_row([entry], |row| {
        (0..columns.len()).map(|at| row.get(at)).collect::<Result<Vec<Value>>>()
    });
    match row.optional()? {
        Some(values) => insert(new, table, columns, &values),
        None => Ok(false),
    }
}

/// Says whether the table took it: a row that cannot be one of it is passed over.
fn insert(new: &Connection, table: &str, columns: &[String], values: &[Value]) -> Result<bool> {
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", columns.join(", "));
    Ok(new.prepare_cached(&sql)?.execute(params_from_iter(values))? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{entry, key, scope};
    use crate::entry::{Claim, Committed, Selector};
    use crate::sqlite::open;
    use crate::{Catalog, Mode, Sqlite};

    const PAGE: usize = 512;
    const ON_A_LEAF: i64 = 4;
    const HALF: i64 = 16 * ON_A_LEAF;
    /// The second half is as after a repair, which counts on above the time.
    const LEAP: i64 = 1_800_000_000_000;

    /// What one reading gives only because it does not see the end of the log.
    #[test]
    fn what_was_replaced_does_not_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let catalog = Sqlite::open(&path("old.sqlite"), Mode::ReadWrite).unwrap();
        let commit = |output: &str, claim: Claim| {
            let stored = catalog.commit(&scope("lab"), &entry("a", output), &claim).unwrap();
            assert!(matches!(stored, Committed::Stored(_)));
            catalog.compact().unwrap();
        };
        commit("before", Claim::default());
        std::fs::copy(path("old.sqlite"), path("before.sqlite")).unwrap();
        commit("after", catalog.draw_ticket(&scope("lab"), &key("a")).unwrap());
        for readings in [["old", "before"], ["before", "old"]] {
            let fresh = path(&readings.concat());
            let new = open::writer(&fresh).unwrap();
            let mut source = Source::new(&new);
            for reading in readings {
                let old = Connection::open(path(&format!("{reading}.sqlite"))).unwrap();
                source.save(&old).unwrap();
            }
            let told = source.finish(0).unwrap();
            assert_eq!((told.entries, told.lost), (1, 0), "{readings:?}");
            let saved = Sqlite::open(&fresh, Mode::ReadWrite).unwrap();
            let entries = saved.entries(None, &Selector::default(), 9).unwrap();
            assert_eq!(entries.iter().map(|it| &it.output[..]).collect::<Vec<_>>(), [b"after"]);
            assert_eq!(saved.check().unwrap(), []);
        }
    }

    #[test]
    fn between_two_bad_pages_all_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old.sqlite");
        let numbers: Vec<i64> = (1..=HALF).chain(LEAP..LEAP + HALF).collect();
        let made = Connection::open(&path).unwrap();
        made.execute_batch(
            "PRAGMA page_size = 512; CREATE TABLE entry (id INTEGER PRIMARY KEY, b)",
        )
        .unwrap();
        for number in &numbers {
            made.execute("INSERT INTO entry VALUES (?1, zeroblob(100))", [number]).unwrap();
        }
        drop(made);
        let sound = std::fs::read(&path).unwrap();
        let is_leaf = |page: &usize| sound[page * PAGE] == 13;
        let leaves: Vec<usize> = (1..sound.len() / PAGE).filter(is_leaf).collect();
        let on_two = 2 * usize::try_from(ON_A_LEAF).unwrap();
        assert_eq!(2 * leaves.len(), 4 * numbers.len() / on_two);
        // What is between two bad pages just behind the leap may be stepped over.
        let leap = leaves.len() / 2;
        for (place, first) in leaves.iter().enumerate().filter(|(place, _)| *place != leap) {
            for second in &leaves[place..] {
                let mut damaged = sound.clone();
                for page in [first, second] {
                    damaged[page * PAGE..][..PAGE].fill(0x5a);
                }
                std::fs::write(&path, damaged).unwrap();
                let old = Connection::open(&path).unwrap();
                let found = across_damage(&old, LEAP + 1000).unwrap();
                assert!(found.len() + on_two >= numbers.len(), "{first} {second}");
                assert!(found.is_sorted_by(|one, next| one < next), "{first} {second}: {found:?}");
            }
        }
    }
}
