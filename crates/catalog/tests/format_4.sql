-- A catalog as format 4 left it: the entry `a` of project `lab`, pinned, whose slot a commit freed; a reservation of
-- `b` that lapsed, and a run.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    clock       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    last_entry  INTEGER NOT NULL,
    log_floor   INTEGER NOT NULL
) STRICT;

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
    UNIQUE (key, project, domain)
) STRICT;
CREATE INDEX entry_tail ON entry (tail);

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
INSERT INTO meta (one, clock, epoch, last_entry, log_floor) VALUES (1, 1795285954107, 0, 1, 0);
INSERT INTO entry (id, key, project, domain, operation, tail, output_digest, parts_digest, size, cost, created_at, expires_at, run, node, host, user, seal, observed, output) VALUES (1, x'17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f', 'lab', 'development', 'lab.train', 'train', x'17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f', x'7aec0a7ceb3c8d073847e5bda25f9f858a223eae1bbfadda33933f14f76e0ed8', 2, 7000000000, 1795285954107, NULL, NULL, 0, '', '', x'f196635b0497e87bc660c0530655f8314285dce1a4a0a3f1660daf938bd78481', x'', x'61');
INSERT INTO usage (entry, used_at, hits, nondeterministic, pinned) VALUES (1, 1795285954107, 2, 0, 1);
INSERT INTO ingredients (entry, body) VALUES (1, x'81a96f7065726174696f6e81a46e616d6582a6646967657374c420d58e679d3bedb53134f6aa759441622db8e7f08b5fd82a07459f2000dd6018c7a77072657669657781a474657874a161');
INSERT INTO reference (entry, digest, generation) VALUES (1, x'17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f', 1);
INSERT INTO blob (digest, generation, length, state, used_at, pinned_until) VALUES (x'17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f', 1, 1, 0, 1795285954107, 0);
INSERT INTO slot VALUES (x'17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f', 'lab', 'development', 0, 1, NULL, NULL, 900, 'lab.train', 'here', 'process 8', x'00000000000000000000000000000008', 0, 0, NULL, NULL);
INSERT INTO slot VALUES (x'10e5cf3d3c8a4f9f3468c8cc58eea84892a22fdadbc1acb22410190044c1d553', 'lab', 'development', 0, 4, x'07070707070707070707070707070707', 1000, 900, 'lab.train', 'here', 'process 7', NULL, 1, 0, 3, 'broken');
INSERT INTO waiting VALUES (x'07070707070707070707070707070707', x'17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f', 'lab', 'development');
INSERT INTO run VALUES (1, 'ab12', 'lab', 'development', 'train', '', 'here', 'somebody', '', 'succeeded', 1000, 2000);
INSERT INTO node VALUES (1, 0, 'lab.train', 'computed', 1, 1000, 7, 0, NULL, '', '', 1, NULL, NULL, x'', NULL, 'full');
PRAGMA application_id = 0x54687269;
PRAGMA user_version = 4;
COMMIT;
