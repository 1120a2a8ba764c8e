//! How long one call may take: in waiting for others, and in all.
//!
//! The budget of a call is kept for its thread, where the handlers that SQLite calls find it.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

/// Steps of SQLite's machine between two looks at the clock: about a millisecond of work.
const STEPS: i32 = 20_000;

/// How long a call waits for others that hold the catalog, and after which time it is given up
/// though it is at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    patience: Duration,
    work: Option<Duration>,
}

/// Answering a question on which a computation waits.
pub(super) const ASK: Budget = Budget::of(Duration::from_secs(1), Some(Duration::from_secs(1)));
/// Making a result visible: worth more patience, as it may have cost hours.
pub(super) const COMMIT: Budget =
    Budget::of(Duration::from_millis(1500), Some(Duration::from_secs(5)));
/// Everything else. What people ask for takes the time it takes.
const UPKEEP: Budget = Budget::of(Duration::from_secs(5), None);

#[derive(Clone, Copy)]
struct Spending {
    began: Instant,
    budget: Budget,
}

thread_local! {
    static SPENDING: Cell<Option<Spending>> = const { Cell::new(None) };
    static WAITING: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Budget {
    const fn of(patience: Duration, work: Option<Duration>) -> Self {
        Self { patience, work }
    }

    /// Does the work of one call within this budget.
    pub(super) fn spend<T>(self, work: impl FnOnce() -> T) -> T {
        let before = SPENDING.replace(Some(Spending { began: Instant::now(), budget: self }));
        let done = work();
        SPENDING.set(before);
        done
    }
}

/// How long the call of this thread waits for others.
pub(super) fn patience() -> Duration {
    SPENDING.get().map_or(UPKEEP, |spending| spending.budget).patience
}

/// Has the calls of a connection end when their budget is spent.
pub(super) fn limit(conn: &mut Connection) -> Result<()> {
    conn.busy_handler(Some(wait))?;
    conn.progress_handler(STEPS, Some(is_overdrawn))
}

/// Waits for others to let go of the database; `false` when patience ends. SQLite's own handler
/// soon sleeps for 100 ms at a time, and among many writers some then wait for seconds: looking
/// again every millisecond, nobody is overtaken that often.
fn wait(attempt: i32) -> bool {
    let now = Instant::now();
    let began = WAITING.get().filter(|_| attempt > 0).unwrap_or(now);
    WAITING.set(Some(began));
    let pause = if attempt < 10 { 100 } else { 1000 };
    thread::sleep(Duration::from_micros(pause));
    // What the call waited for before counts as well.
    let began = SPENDING.get().map_or(began, |spending| spending.began);
    now.duration_since(began) < patience()
}

fn is_overdrawn() -> bool {
    SPENDING.get().is_some_and(|Spending { began, budget }| {
        budget.work.is_some_and(|work| began.elapsed() > work + budget.patience)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CatalogError;
    use crate::sqlite::fault;

    /// Counts further than anybody waits.
    const ENDLESS: &str = "WITH RECURSIVE number(n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM number) SELECT count(*) FROM number";

    #[test]
    fn a_statement_without_end_ends_with_the_budget() {
        let mut conn = Connection::open_in_memory().unwrap();
        limit(&mut conn).unwrap();
        let budget = Budget::of(Duration::ZERO, Some(Duration::from_millis(20)));
        let path = std::path::Path::new("catalog");
        let ended = budget.spend(|| {
            conn.query_row(ENDLESS, [], |row| row.get::<_, i64>(0))
                .map_err(|error| fault(path, &error))
        });
        assert!(matches!(ended, Err(CatalogError::Busy { .. })), "{ended:?}");
        // The connection is as good as before, and without a budget there is no limit.
        let counted: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(counted, 0);
    }

    #[test]
    fn budgets_nest_and_end_with_their_call() {
        assert_eq!(patience(), UPKEEP.patience);
        COMMIT.spend(|| {
            assert_eq!(patience(), COMMIT.patience);
            ASK.spend(|| assert_eq!(patience(), ASK.patience));
            assert_eq!(patience(), COMMIT.patience);
        });
        assert_eq!(patience(), UPKEEP.patience);
    }
}
