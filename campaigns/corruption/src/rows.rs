//! Rows of the catalog: values cut off, lengthened and swapped, the seals left as they are.

use std::path::Path;

use rusqlite::Connection;
use thrifty_engine::fsck::Finding;

use crate::stage::{CATALOG, Obeyed, Stage, directory};
use crate::tally::{Tally, share};
use crate::{Broken, Sample};

/// Where the values are that belong to an entry: the table, its number there, the columns.
const PLACES: [(&str, &str, &[&str]); 4] = [
    (
        "entry",
        "id",
        &[
            "key",
            "project",
            "domain",
            "operation",
            "tail",
            "output_digest",
            "parts_digest",
            "size",
            "cost",
            "created_at",
            "expires_at",
            "run",
            "node",
            "host",
            "user",
            "seal",
            "observed",
            "output",
            "made_of",
        ],
    ),
    ("ingredients", "entry", &["body"]),
    ("reference", "entry", &["digest", "generation"]),
    ("usage", "entry", &["used_at", "hits", "nondeterministic", "pinned"]),
];

/// Where the other values are, which are damaged in all rows of a table at once.
const BESIDE: [(&str, &[&str]); 8] = [
    ("blob", &["digest", "generation", "length", "state", "used_at", "pinned_until"]),
    ("meta", &["clock", "epoch", "last_entry", "log_floor"]),
    (
        "slot",
        &[
            "key",
            "project",
            "domain",
            "epoch",
            "fence",
            "nonce",
            "lease_until",
            "taken_at",
            "operation",
            "host",
            "process",
            "ended",
            "failures",
            "alone_until",
            "failed_fence",
            "failure",
        ],
    ),
    ("committed", &["id", "key", "project", "domain", "how", "entry", "at"]),
    ("invalidation", &["epoch", "project", "domain", "low", "high", "operation"]),
    ("run", &["id", "code", "project", "domain", "status", "started_at", "finished_at"]),
    ("text", &["digest", "body", "kept_at"]),
    ("memo", &["topic", "name", "body", "kept_at"]),
];

/// What is swapped between two entries.
const SWAPS: [&str; 8] = [
    "output",
    "observed",
    "made_of",
    "output_digest, output",
    "output_digest, parts_digest, size, output",
    "operation, output_digest, parts_digest, size, cost, created_at, expires_at, run, node, host, \
     user, seal, observed, output, made_of",
    "seal",
    "id",
];

/// Cuts values off at every length, lengthens them, makes them another type.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn values(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let mut damages = Vec::new();
    for (table, number, columns) in PLACES {
        for column in columns {
            for id in 1..=stage.entries.len() {
                let place = format!("UPDATE OR IGNORE {table} SET {column} = ");
                let row = format!(" WHERE {number} = {id}");
                for value in ["NULL", "x''", "''", "'text'", "7", "-1", "1.5", "zeroblob(32)"] {
                    damages.push(format!("{place}{value}{row}"));
                }
                damages.push(format!("{place}CAST({column} || x'00' AS BLOB){row}"));
            }
        }
    }
    for entry in &stage.entries {
        for (column, length) in [("output", entry.output.len()), ("observed", entry.observed.len())]
        {
            damages.extend((0..length).map(|cut| {
                format!(
                    "UPDATE entry SET {column} = substr({column}, 1, {cut}) WHERE id = {}",
                    entry.id.0
                )
            }));
        }
    }
    for (table, columns) in BESIDE {
        for column in columns {
            for value in ["NULL", "x''", "''", "7", "-1", "zeroblob(32)"] {
                damages.push(format!("UPDATE OR IGNORE {table} SET {column} = {value}"));
            }
            for by in ["+ 1", "- 1"] {
                damages.push(format!("UPDATE OR IGNORE {table} SET {column} = {column} {by}"));
            }
        }
    }
    share(damages.len(), sample, |numbers| each(stage, numbers, &|number| damages[number].clone()))
}

/// Swaps what two entries hold, any two of them.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn swaps(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let count = stage.entries.len();
    let pairs: Vec<_> =
        (1..=count).flat_map(|one| (one + 1..=count).map(move |other| (one, other))).collect();
    share(pairs.len() * SWAPS.len(), sample, |numbers| {
        each(stage, numbers, &|number| {
            let (one, other) = pairs[number / SWAPS.len()];
            let columns = SWAPS[number % SWAPS.len()];
            if columns == "id" {
                return format!(
                    "UPDATE entry SET id = 0 WHERE id = {one}; \
                     UPDATE entry SET id = {one} WHERE id = {other}; \
                     UPDATE entry SET id = {other} WHERE id = 0"
                );
            }
            format!(
                "CREATE TEMP TABLE aside AS SELECT id, {columns} FROM entry; \
                 UPDATE entry SET ({columns}) = (SELECT {columns} FROM aside WHERE aside.id = {other}) \
                 WHERE id = {one}; \
                 UPDATE entry SET ({columns}) = (SELECT {columns} FROM aside WHERE aside.id = {one}) \
                 WHERE id = {other}"
            )
        })
    })
}

fn each(
    stage: &Stage,
    numbers: &mut dyn Iterator<Item = usize>,
    damage: &dyn Fn(usize) -> String,
) -> Result<Tally, Broken> {
    let home = directory()?;
    stage.make_in(home.path())?;
    let mut tally = Tally::default();
    for number in numbers {
        let sql = damage(number);
        let name = || sql.clone();
        tally.one(name, |tally| judge(stage, home.path(), &sql, tally))?;
    }
    Ok(tally)
}

fn judge(stage: &Stage, home: &Path, sql: &str, tally: &mut Tally) -> Result<(), Broken> {
    let sound = stage.file(Path::new(CATALOG));
    if !damage(stage, home, sql)? {
        tally.count("refused by the database");
        return Ok(());
    }
    let same = stage.lists_the_same(home) == Some(true);
    let findings = Stage::check(home, false).map(|report| report.findings);
    let whole = stage.read(home, tally, sql);
    let found = findings.as_ref().is_none_or(|findings| !findings.is_empty());
    match (whole && same, found) {
        (true, false) => tally.count("nothing to see"),
        (true, true) => tally.count("found before it was met"),
        (false, true) => tally.count("met and found"),
        (false, false) => tally.violate(format!("{sql}: not found")),
    }
    damage(stage, home, sql)?;
    if stage.invalidate(home, tally) == Obeyed::Not {
        tally.violate(format!("{sql}: an invalidation was not obeyed"));
    }
    damage(stage, home, sql)?;
    let repaired = Stage::check(home, true).map(|report| report.findings);
    let lasts = |findings: &[Finding]| findings.iter().any(Finding::outlasts_repair);
    if repaired.as_deref().is_some_and(|findings| !lasts(findings)) {
        let left = Stage::check(home, false).map(|report| report.findings);
        if left != Some(Vec::new()) {
            tally.violate(format!("{sql}: left after its repair: {left:?}"));
        }
    } else {
        tally.count("left by the repair");
    }
    stage.read(home, tally, sql);
    stage.put_catalog(home, sound)
}

/// Makes the catalog anew and damages it; `false` if nothing was changed.
fn damage(stage: &Stage, home: &Path, sql: &str) -> Result<bool, Broken> {
    stage.put_catalog(home, stage.file(Path::new(CATALOG)))?;
    let raw = Connection::open(home.join(CATALOG))?;
    raw.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")?;
    Ok(raw.execute_batch(sql).is_ok() && raw.changes() > 0)
}
