//! The moments at which a worker is killed, by name.

use crate::fault::{Deed, Fault, When};
use crate::job::Job;

/// A moment in a job.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// What it is called.
    pub name: &'static str,
    /// The job.
    pub job: Job,
    call: &'static str,
    path: &'static str,
    nth: usize,
    when: When,
}

impl Point {
    /// The kill at this moment.
    pub const fn kill(&self) -> Fault<'static> {
        let Self { call, path, nth, when, .. } = *self;
        Fault { call: Some(call), path, nth, times: 1, when, deed: Deed::Kill }
    }
}

const fn point(
    name: &'static str,
    job: Job,
    (when, call, nth, path): (When, &'static str, usize, &'static str),
) -> Point {
    Point { name, job, call, path, nth, when }
}

const BEFORE: When = When::Before;
const AFTER: When = When::After;
const HALF: When = When::Half;
const STAGED: &str = "tmp/put-*";
const SHARD: &str = "blobs/v1/??";
const LOG: &str = "catalog.sqlite-wal";

/// All of them. Where an upload in parts would have its moments, a value of several blobs has
/// them.
pub const POINTS: &[Point] = &[
    point("temporary created", Job::PublishBlobs, (AFTER, "open", 1, STAGED)),
    point("half written", Job::PublishBlobs, (HALF, "write", 1, STAGED)),
    point("before the sync", Job::PublishBlobs, (BEFORE, "sync", 1, STAGED)),
    point("after the sync", Job::PublishBlobs, (AFTER, "sync", 1, STAGED)),
    point("before the rename", Job::PublishBlobs, (BEFORE, "rename", 1, STAGED)),
    point("after the rename", Job::PublishBlobs, (AFTER, "rename", 1, STAGED)),
    point("before the sync of the directory", Job::PublishBlobs, (BEFORE, "sync", 1, SHARD)),
    point("half of the second blob", Job::PublishBlobs, (HALF, "write", 2, STAGED)),
    point("before the last blob", Job::PublishBlobs, (BEFORE, "open", 3, STAGED)),
    point("after the last blob", Job::PublishBlobs, (AFTER, "sync", 3, SHARD)),
    point("before the transaction", Job::Commit, (BEFORE, "mark", 1, "put")),
    point("before the commit", Job::Commit, (BEFORE, "write", 1, LOG)),
    point("after the references", Job::Commit, (AFTER, "write", 4, LOG)),
    point("half a page of the commit", Job::Commit, (HALF, "write", 6, LOG)),
    point("after the commit, before the reply", Job::Commit, (BEFORE, "mark", 1, "committed")),
    point("before a reservation is taken", Job::Reserve, (BEFORE, "write", 1, LOG)),
    point("before the reply to a reservation", Job::Reserve, (BEFORE, "mark", 1, "reserved")),
    point("while computing under a reservation", Job::Serialize, (BEFORE, "mark", 1, "computing")),
    point("before a heartbeat", Job::Heartbeat, (BEFORE, "write", 1, LOG)),
    point("after a heartbeat", Job::Heartbeat, (BEFORE, "mark", 1, "alive")),
    point("before a release", Job::Release, (BEFORE, "write", 1, LOG)),
    point("after a release", Job::Release, (BEFORE, "mark", 1, "released")),
    point("before an invalidation", Job::Invalidate, (BEFORE, "write", 1, LOG)),
    point(
        "after an invalidation, before the reply",
        Job::Invalidate,
        (BEFORE, "mark", 1, "invalidated"),
    ),
    point("after condemning, before a deletion", Job::Collect, (BEFORE, "unlink", 1, "blobs/*")),
    point("between deletions", Job::Collect, (AFTER, "unlink", 2, "blobs/*")),
    point("after the deletions, before the rows", Job::Collect, (AFTER, "unlink", 3, "blobs/*")),
    point("while reading a blob", Job::HitBlobs, (AFTER, "read", 2, "blobs/*")),
    point("before a damaged blob is set aside", Job::Repair, (BEFORE, "rename", 1, "blobs/*")),
    point("after a damaged blob is set aside", Job::Repair, (AFTER, "rename", 1, "blobs/*")),
    point("before an earlier catalog is brought up", Job::Migrate, (BEFORE, "write", 1, LOG)),
    point("while an earlier catalog is brought up", Job::Migrate, (HALF, "write", 8, LOG)),
    point("after it is brought up, before the reply", Job::Migrate, (BEFORE, "mark", 1, "opened")),
    point("while the tables are made", Job::Open, (HALF, "write", 3, "catalog.sqlite*")),
    point("between the directory and the catalog", Job::Open, (AFTER, "open", 1, "catalog.sqlite")),
];
