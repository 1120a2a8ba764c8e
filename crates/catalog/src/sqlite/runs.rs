//! Runs, their nodes, and totals over them.

use std::time::Duration;

use rusqlite::{Connection, Error, OptionalExtension, Result, Row, ToSql};
use thrifty_key::{Digest, Ingredients};

use super::Sqlite;
use super::lookup::{column, nanos};
use super::text::{marred, marred_or_none};
use super::write::Write;
use crate::entry::{EntryId, RunId, Scope};
use crate::error::CatalogError;
use crate::run::{NewRun, Node, Reasoned, Run, RunFilter, RunStatus, Totals};

/// Letters of a run's id: none looks like another.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Runs listed where no limit is given.
const LISTED: usize = 50;

impl Sqlite {
    /// See [`crate::Catalog::begin_run`].
    pub(super) fn start_run(
        &self,
        scope: &Scope,
        run: &NewRun,
    ) -> std::result::Result<RunId, CatalogError> {
        self.write(|write| {
            loop {
                let random = write
                    .conn
                    .prepare_cached("SELECT randomblob(8)")?
                    .query_row([], |row| row.get::<_, [u8; 8]>(0))?;
                let code: String =
                    random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
                if write.insert_run(&code, scope, run)? {
                    return Ok(RunId(code));
                }
            }
        })
    }

    /// See [`crate::Catalog::record`].
    pub(super) fn record_nodes(
        &self,
        run: &RunId,
        nodes: &[Node],
    ) -> std::result::Result<(), CatalogError> {
        let known = self.write(|write| {
            let Some(number) = number_of(write.conn, run)? else {
                return Ok(false);
            };
            nodes.iter().try_for_each(|node| write.insert_node(number, node))?;
            Ok(true)
        })?;
        self.expect_run(run, known)
    }

    /// See [`crate::Catalog::finish_run`].
    pub(super) fn end_run(
        &self,
        run: &RunId,
        status: RunStatus,
    ) -> std::result::Result<(), CatalogError> {
        let known = self.write(|write| {
            let ended = write
                .conn
                .prepare_cached("UPDATE run SET status = ?2, finished_at = ?3 WHERE code = ?1")?
                .execute((&run.0, status.word(), write.now))?;
            Ok(ended == 1)
        })?;
        self.expect_run(run, known)
    }

    /// See [`crate::Catalog::resume_run`].
    pub(super) fn go_on(
        &self,
        run: &RunId,
        before: &str,
        now: &str,
    ) -> std::result::Result<bool, CatalogError> {
        self.write(|write| {
            let resumed = write
                .conn
                .prepare_cached(
                    "UPDATE run SET status = ?4, process = ?3, finished_at = NULL \
                     WHERE code = ?1 AND process = ?2",
                )?
                .execute((&run.0, before, now, RunStatus::Running.word()))?;
            Ok(resumed == 1)
        })
    }

    /// See [`crate::Catalog::runs`].
    pub(super) fn list_runs(
        &self,
        scope: Option<&Scope>,
        filter: &RunFilter,
    ) -> std::result::Result<Vec<Run>, CatalogError> {
        let RunFilter { id_prefix, name, until, limit } = filter;
        let prefix = id_prefix.as_deref().unwrap_or_default();
        let behind =
            if prefix.is_empty() { String::new() } else { format!("{prefix}{}", char::MAX) };
        let limit = i64::try_from(limit.unwrap_or(LISTED)).unwrap_or(i64::MAX);
        self.read(|conn| {
            let found = conn
                .prepare_cached(&listing(prefix))?
                .query_map(
                    (
                        prefix,
                        name,
                        scope.map(|scope| &scope.project),
                        scope.map(|scope| &scope.domain),
                        limit,
                        until,
                        &behind,
                    ),
                    |row| Ok((row.get(0)?, read_run(row)?)),
                )?
                .collect::<Result<Vec<_>>>()?;
            found.into_iter().map(|(number, run)| with_outcomes(conn, number, run)).collect()
        })
    }

    /// See [`crate::Catalog::nodes`]. A run nobody knows has none.
    pub(super) fn list_nodes(&self, run: &RunId) -> std::result::Result<Vec<Node>, CatalogError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT number, operation, outcome, count, at, spent, saved, key, detail, rule, \
                 entry, source, output_digest, upstream, ingredients, reason FROM node \
                 WHERE run = (SELECT id FROM run WHERE code = ?1) ORDER BY number",
            )?
            .query_map([&run.0], read_node)?
            .collect()
        })
    }

    /// See [`crate::Catalog::totals`].
    pub(super) fn sum_totals(
        &self,
        scope: Option<&Scope>,
    ) -> std::result::Result<Vec<Totals>, CatalogError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT node.operation, node.outcome, sum(node.count), sum(node.spent), \
                 sum(node.saved) FROM node JOIN run ON run.id = node.run \
                 WHERE (?1 IS NULL OR run.project = ?1) AND (?2 IS NULL OR run.domain = ?2) \
                 GROUP BY node.operation, node.outcome ORDER BY node.operation, node.outcome",
            )?
            .query_map(
                (scope.map(|scope| &scope.project), scope.map(|scope| &scope.domain)),
                |row| {
                    Ok(Totals {
                        operation: marred(row, 0)?,
                        outcome: marred(row, 1)?,
                        count: row.get::<_, i64>(2)?.unsigned_abs(),
                        spent: nanos(row.get(3)?),
                        saved: nanos(row.get(4)?),
                    })
                },
            )?
            .collect()
        })
    }

    fn expect_run(&self, run: &RunId, known: bool) -> std::result::Result<(), CatalogError> {
        if known {
            return Ok(());
        }
        Err(CatalogError::Failed {
            path: self.pool.path.clone(),
            reason: format!("there is no run {run}"),
        })
    }
}

impl Write<'_> {
    /// Whether the run was inserted: `false` if its id is taken.
    fn insert_run(&self, code: &str, scope: &Scope, run: &NewRun) -> Result<bool> {
        let NewRun { name, arguments, host, user, process } = run;
        let inserted = self
            .conn
            .prepare_cached(
                "INSERT INTO run (code, project, domain, name, arguments, host, user, \
                 process, status, started_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            )?
            .execute((
                code,
                &scope.project,
                &scope.domain,
                name,
                arguments,
                host,
                user,
                process,
                RunStatus::Running.word(),
                self.now,
            ))?;
        Ok(inserted == 1)
    }

    fn insert_node(&self, run: i64, node: &Node) -> Result<()> {
        let ingredients = node.ingredients.as_ref().map(rmp_serde::to_vec_named);
        let ingredients =
            ingredients.transpose().map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
        let links = rmp_serde::to_vec(&(&node.upstream, &node.takes, node.parent))
            .map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
        let columns: [&dyn ToSql; 17] = [
            &run,
            &node.number,
            &node.operation,
            &node.outcome,
            &i64::try_from(node.count).unwrap_or(i64::MAX),
            &node.at,
            &column(node.spent),
            &column(node.saved),
            &node.key.as_ref().map(Digest::as_bytes),
            &node.detail,
            &node.rule,
            &node.entry.map(|entry| entry.0),
            &node.source.as_ref().map(|run| &run.0),
            &node.output_digest.as_ref().map(Digest::as_bytes),
            &links,
            &ingredients,
            &node.reason,
        ];
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO node (run, number, operation, outcome, count, at, spent, \
                 saved, key, detail, rule, entry, source, output_digest, upstream, ingredients, \
                 reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
                 ?15, ?16, ?17)",
            )?
            .execute(columns)?;
        Ok(())
    }
}

/// The query for runs whose codes begin so.
fn listing(prefix: &str) -> String {
    // A range, which the index of the codes finds. Without a prefix no index is asked for all.
    let begins = if prefix.is_empty() { "?1 = ?7" } else { "code >= ?1 AND code < ?7" };
    format!(
        "SELECT id, code, project, domain, name, arguments, host, user, process, \
         status, started_at, finished_at FROM run WHERE {begins} AND (?2 IS NULL OR name = ?2) \
         AND (?3 IS NULL OR project = ?3) AND (?4 IS NULL OR domain = ?4) \
         AND (?6 IS NULL OR started_at <= ?6) ORDER BY id DESC LIMIT ?5"
    )
}

fn number_of(conn: &Connection, run: &RunId) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM run WHERE code = ?1")?
        .query_row([&run.0], |row| row.get(0))
        .optional()
}

fn read_run(row: &Row<'_>) -> Result<Run> {
    Ok(Run {
        id: RunId(marred(row, 1)?),
        scope: Scope { project: marred(row, 2)?, domain: marred(row, 3)? },
        name: marred(row, 4)?,
        arguments: marred(row, 5)?,
        host: marred(row, 6)?,
        user: marred(row, 7)?,
        process: marred(row, 8)?,
        status: status(&marred(row, 9)?),
        started_at: row.get(10)?,
        finished_at: row.get(11)?,
        outcomes: Vec::new(),
        reasons: Vec::new(),
        saved: Duration::ZERO,
    })
}

/// The status of a word; a run whose status cannot be read has failed.
fn status(word: &str) -> RunStatus {
    [RunStatus::Running, RunStatus::Succeeded, RunStatus::Cancelled]
        .into_iter()
        .find(|status| status.word() == word)
        .unwrap_or(RunStatus::Failed)
}

fn with_outcomes(conn: &Connection, number: i64, mut run: Run) -> Result<Run> {
    let mut statement = conn.prepare_cached(
        "SELECT outcome, sum(count), sum(saved) FROM node WHERE run = ?1 \
         GROUP BY outcome ORDER BY outcome",
    )?;
    let mut rows = statement.query([number])?;
    while let Some(row) = rows.next()? {
        run.outcomes.push((marred(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()));
        run.saved += nanos(row.get(2)?);
    }
    run.reasons = conn
        .prepare_cached(
            "SELECT reason, sum(count) FROM node WHERE run = ?1 AND reason <> '' \
             GROUP BY reason ORDER BY reason",
        )?
        .query_map([number], |row| {
            let count = row.get::<_, i64>(1)?.unsigned_abs();
            Ok(Reasoned { reason: marred(row, 0)?, count })
        })?
        .collect::<Result<_>>()?;
    Ok(run)
}

fn read_node(row: &Row<'_>) -> Result<Node> {
    let links: Vec<u8> = row.get(13)?;
    // A node is history: what cannot be read of it is left out.
    let (upstream, takes, parent) = rmp_serde::from_slice(&links).unwrap_or_default();
    let ingredients: Option<Vec<u8>> = row.get(14)?;
    Ok(Node {
        number: row.get(0)?,
        operation: marred(row, 1)?,
        outcome: marred(row, 2)?,
        count: row.get::<_, i64>(3)?.unsigned_abs(),
        at: row.get(4)?,
        spent: nanos(row.get(5)?),
        saved: nanos(row.get(6)?),
        key: row.get::<_, Option<_>>(7)?.map(Digest::from_bytes),
        detail: marred(row, 8)?,
        rule: marred(row, 9)?,
        entry: row.get::<_, Option<_>>(10)?.map(EntryId),
        source: marred_or_none(row, 11)?.map(RunId),
        output_digest: row.get::<_, Option<_>>(12)?.map(Digest::from_bytes),
        upstream,
        takes,
        parent,
        reason: marred(row, 15)?,
        ingredients: ingredients.and_then(|body| rmp_serde::from_slice::<Ingredients>(&body).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite goes about a query.
    fn ways(sql: &str) -> Vec<String> {
        let catalog = Sqlite::in_memory().unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let found = catalog
            .read(|conn| conn.prepare(&sql)?.raw_query().mapped(|row| row.get("detail")).collect());
        found.unwrap()
    }

    #[test]
    fn runs_are_found_by_the_index_of_their_codes() {
        let by_code = "SEARCH run USING INDEX sqlite_autoindex_run_1 (code>? AND code<?)";
        assert!(
            ways(&listing("ab")).iter().any(|way| way == by_code),
            "{:?}",
            ways(&listing("ab"))
        );
        // The latest of all are not sorted, nor is there more than they read of the others.
        assert_eq!(ways(&listing("")), ["SCAN run"]);
    }
}
