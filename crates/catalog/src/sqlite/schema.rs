//! The tables, as specified in `docs/formats/catalog.md`.

use rusqlite::{Connection, Error, ErrorCode};

/// The format this version reads and writes, kept in `PRAGMA user_version`.
pub(super) const FORMAT: i64 = 5;

/// The oldest format that is brought up to this one.
pub(super) const OLDEST: i64 = 2;

/// Marks a database as ours: the bytes `Thri`.
const APPLICATION: i64 = 0x5468_7269;

const TABLES: &str = "
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    clock       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    last_entry  INTEGER NOT NULL,
    log_floor   INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0, 0, 0, 0);

CREATE TABLE slot (
    key         BLOB NOT NULL,
    project     TEXT NOT NULL,
    domain      TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    fence       INTEGER NOT NULL,
    nonce       BLOB,
    lease_until INTEGER,
    taken_at     INTEGER,
    operation    TEXT,
    host         TEXT,
    process      TEXT,
    ended        BLOB,
    failures     INTEGER NOT NULL DEFAULT 0,
    alone_until  INTEGER NOT NULL DEFAULT 0,
    failed_fence INTEGER,
    failure      TEXT,
    PRIMARY KEY (key, project, domain)
) STRICT, WITHOUT ROWID;
CREATE INDEX slot_nonce ON slot (nonce) WHERE nonce IS NOT NULL;

CREATE TABLE waiting (
    holder  BLOB NOT NULL,
    key     BLOB NOT NULL,
    project TEXT NOT NULL,
    domain  TEXT NOT NULL,
    PRIMARY KEY (holder, key, project, domain)
) STRICT, WITHOUT ROWID;

CREATE TABLE committed (
    id      BLOB NOT NULL,
    key     BLOB NOT NULL,
    project TEXT NOT NULL,
    domain  TEXT NOT NULL,
    how     INTEGER NOT NULL,
    entry   INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (id, key, project, domain)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
    id            INTEGER PRIMARY KEY,
    key           BLOB NOT NULL,
    project       TEXT NOT NULL,
    domain        TEXT NOT NULL,
    operation     TEXT NOT NULL,
    tail          TEXT NOT NULL,
    output_digest BLOB NOT NULL,
    parts_digest  BLOB NOT NULL,
    size          INTEGER NOT NULL,
    cost          INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    run           TEXT,
    node          INTEGER NOT NULL,
    host          TEXT NOT NULL,
    user          TEXT NOT NULL,
    seal          BLOB NOT NULL,
    observed      BLOB NOT NULL,
    output        BLOB NOT NULL,
    made_of       BLOB NOT NULL DEFAULT x'',
    UNIQUE (key, project, domain)
) STRICT;
CREATE INDEX entry_tail ON entry (tail);
CREATE INDEX entry_made_of ON entry (project, domain) WHERE made_of <> x'';

CREATE TABLE usage (
    entry            INTEGER PRIMARY KEY REFERENCES entry ON DELETE CASCADE,
    used_at          INTEGER NOT NULL,
    hits             INTEGER NOT NULL,
    nondeterministic INTEGER NOT NULL,
    pinned           INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1))
) STRICT;

CREATE TABLE ingredients (
    entry INTEGER PRIMARY KEY REFERENCES entry ON DELETE CASCADE,
    body  BLOB NOT NULL
) STRICT;

CREATE TABLE reference (
    entry      INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
    digest     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (entry, digest, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_blob ON reference (digest, generation);

CREATE TABLE blob (
    digest       BLOB NOT NULL,
    generation   INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    state        INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    used_at      INTEGER NOT NULL,
    pinned_until INTEGER NOT NULL,
    PRIMARY KEY (digest, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE invalidation (
    epoch     INTEGER PRIMARY KEY,
    project   TEXT,
    domain    TEXT,
    low       BLOB,
    high      BLOB,
    operation TEXT
) STRICT;

CREATE TABLE run (
    id          INTEGER PRIMARY KEY,
    code        TEXT NOT NULL UNIQUE,
    project     TEXT NOT NULL,
    domain      TEXT NOT NULL,
    name        TEXT NOT NULL,
    arguments   TEXT NOT NULL,
    host        TEXT NOT NULL,
    user        TEXT NOT NULL,
    process     TEXT NOT NULL,
    status      TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE TABLE node (
    run           INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    operation     TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    count         INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    spent         INTEGER NOT NULL,
    saved         INTEGER NOT NULL,
    key           BLOB,
    detail        TEXT NOT NULL,
    rule          TEXT NOT NULL,
    entry         INTEGER,
    source        TEXT,
    output_digest BLOB,
    upstream      BLOB NOT NULL,
    ingredients   BLOB,
    reason        TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE text (
    digest  BLOB PRIMARY KEY,
    body    TEXT NOT NULL,
    kept_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE memo (
    topic   TEXT NOT NULL,
    name    BLOB NOT NULL,
    body    BLOB NOT NULL,
    kept_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, name)
) STRICT, WITHOUT ROWID;
";

/// What format 2 lacks.
const FROM_2: &str = "
ALTER TABLE slot ADD COLUMN taken_at INTEGER;
ALTER TABLE slot ADD COLUMN operation TEXT;
ALTER TABLE slot ADD COLUMN host TEXT;
ALTER TABLE slot ADD COLUMN process TEXT;
ALTER TABLE slot ADD COLUMN ended BLOB;
ALTER TABLE slot ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slot ADD COLUMN alone_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slot ADD COLUMN failed_fence INTEGER;
ALTER TABLE slot ADD COLUMN failure TEXT;
CREATE INDEX slot_nonce ON slot (nonce) WHERE nonce IS NOT NULL;
CREATE TABLE waiting (
    holder  BLOB NOT NULL,
    key     BLOB NOT NULL,
    project TEXT NOT NULL,
    domain  TEXT NOT NULL,
    PRIMARY KEY (holder, key, project, domain)
) STRICT, WITHOUT ROWID;
ALTER TABLE usage ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
ALTER TABLE node ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE text ADD COLUMN kept_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memo ADD COLUMN kept_at INTEGER NOT NULL DEFAULT 0;
";

/// What format 3 lacks, and those before it.
const FROM_3: &str = "
CREATE TABLE committed (
    id      BLOB NOT NULL,
    key     BLOB NOT NULL,
    project TEXT NOT NULL,
    domain  TEXT NOT NULL,
    how     INTEGER NOT NULL,
    entry   INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (id, key, project, domain)
) STRICT, WITHOUT ROWID;
";

/// What format 4 lacks, and those before it.
const FROM_4: &str = "
ALTER TABLE entry ADD COLUMN made_of BLOB NOT NULL DEFAULT x'';
CREATE INDEX entry_made_of ON entry (project, domain) WHERE made_of <> x'';
";

/// What is added to a catalog, by the newest format that lacks it.
const LACKING: [(i64, &str); 3] = [(2, FROM_2), (3, FROM_3), (4, FROM_4)];

/// As which view who may only read finds what format 4 lacks, and those before it.
const SEEN_IN_4: &str = "CREATE TEMP VIEW entry AS SELECT *, x'' AS made_of FROM main.entry;";

/// As which views who may only read finds what format 3 lacks, and those before it.
const SEEN_IN_3: &str = "
CREATE TEMP VIEW committed AS SELECT NULL AS id, NULL AS key, NULL AS project, NULL AS domain,
    0 AS how, 0 AS entry, 0 AS at WHERE FALSE;
";

/// As which views who may only read finds what format 2 lacks. A column that the table got
/// meanwhile, since somebody who may write came, stands first, and counts.
const SEEN_IN_2: &str = "
CREATE TEMP VIEW slot AS SELECT *, NULL AS taken_at, NULL AS operation, NULL AS host,
    NULL AS process, NULL AS ended, 0 AS failures, 0 AS alone_until, NULL AS failed_fence,
    NULL AS failure FROM main.slot;
CREATE TEMP VIEW waiting AS
    SELECT NULL AS holder, NULL AS key, NULL AS project, NULL AS domain WHERE FALSE;
CREATE TEMP VIEW usage AS SELECT *, 0 AS pinned FROM main.usage;
CREATE TEMP VIEW node AS SELECT *, '' AS reason FROM main.node;
CREATE TEMP VIEW text AS SELECT *, 0 AS kept_at FROM main.text;
CREATE TEMP VIEW memo AS SELECT *, 0 AS kept_at FROM main.memo;
";

const INSPECT: &str = "SELECT (SELECT user_version FROM pragma_user_version), \
     (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)";

/// What an opened file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// A catalog of our format.
    Current,
    /// A catalog of a later format.
    Newer(i64),
    /// A catalog of an earlier format that can be brought up to ours.
    Earlier(i64),
    /// A catalog of a format from before that.
    Older(i64),
    /// A sound database that is no catalog.
    Foreign,
    /// Nothing yet.
    Empty,
}

/// Says what the file is, without changing it.
pub(super) fn inspect(conn: &Connection) -> Result<Made, Error> {
    // One statement sees one state: between two, another process may make the tables.
    let (format, application, tables) = conn.query_row(INSPECT, [], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    if application == APPLICATION {
        return Ok(match format {
            FORMAT => Made::Current,
            later if later > FORMAT => Made::Newer(later),
            earlier if earlier >= OLDEST => Made::Earlier(earlier),
            earlier if earlier > 0 => Made::Older(earlier),
            _ => Made::Foreign,
        });
    }
    Ok(if format == 0 && tables == 0 { Made::Empty } else { Made::Foreign })
}

/// Makes the tables if the file is empty, or those that an earlier format lacks, in one
/// transaction: of many processes that do it at once, one does, and a crash leaves the file as
/// it was.
pub(super) fn bring_up(conn: &Connection) -> Result<Made, Error> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let made = inspect(conn).and_then(|made| {
        match made {
            Made::Empty => conn.execute_batch(TABLES)?,
            Made::Earlier(found) => {
                LACKING
                    .iter()
                    .filter(|(format, _)| *format >= found)
                    .try_for_each(|(_, tables)| conn.execute_batch(tables))?;
            }
            made => return Ok(made),
        }
        conn.pragma_update(None, "application_id", APPLICATION)?;
        conn.pragma_update(None, "user_version", FORMAT)?;
        Ok(Made::Current)
    });
    let made = made.and_then(|made| conn.execute_batch("COMMIT").map(|()| made));
    if made.is_err() && !conn.is_autocommit() {
        // What failed is the news.
        let _ = conn.execute_batch("ROLLBACK");
    }
    made
}

/// Shows a reader of an earlier format what that format lacks, without changing the file.
pub(super) fn fill_in(conn: &Connection, found: i64) -> Result<(), Error> {
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    let lacking = [(2, SEEN_IN_2), (3, SEEN_IN_3), (4, SEEN_IN_4)];
    lacking
        .iter()
        .filter(|(format, _)| *format >= found)
        .try_for_each(|(_, views)| conn.execute_batch(views))
}

/// Whether SQLite only asks for patience.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
