//! How long one call may take: in waiting for others, and in all.
//!
//! The budget of a call is kept for its thread, where the handlers that SQLite calls find it.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

/// Steps of SQLite's machine between two looks at the clock: about a millisecond of work.
const STEPS: i32 = 20_000;

/// How long a call waits for others that hold the catalog while none of them gets on, how long if
/// they do, and after which time it is given up though it is at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    patience: Duration,
    queue: Duration,
    work: Option<Duration>,
}

/// Answering a question on which a computation waits.
pub(super) const ASK: Budget = Budget {
    patience: Duration::from_secs(1),
    queue: Duration::from_secs(5),
    work: Some(Duration::from_secs(1)),
};
/// Making a result visible: worth more patience, as it may have cost hours.
pub(super) const COMMIT: Budget = Budget {
    patience: Duration::from_millis(1500),
    queue: Duration::from_secs(10),
    work: Some(Duration::from_secs(5)),
};
/// Prolonging a reservation: others of the same process wait for the same thread.
pub(super) const BEAT: Budget = Budget { queue: Duration::from_secs(2), ..ASK };
/// Not waiting: for who waits by other means.
pub(super) const AT_ONCE: Budget =
    Budget { patience: Duration::ZERO, queue: Duration::ZERO, work: None };
/// Waiting for others in a lock for which all the others wait.
pub(super) const MOMENT: Budget =
    Budget { patience: Duration::from_millis(100), queue: Duration::from_millis(100), work: None };
/// Everything else. What people ask for takes the time it takes.
pub(super) const UPKEEP: Budget =
    Budget { patience: Duration::from_secs(5), queue: Duration::from_secs(10), work: None };

#[derive(Clone, Copy)]
struct Spending {
    began: Instant,
    budget: Budget,
    /// How many writes had ended, and when that was seen, by a call that has waited and waits on.
    watched: Option<(u32, Instant)>,
}

thread_local! {
    static SPENDING: Cell<Option<Spending>> = const { Cell::new(None) };
    static WAITING: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Budget {
    /// Does the work of one call within this budget.
    pub(super) fn spend<T>(self, work: impl FnOnce() -> T) -> T {
        let spending = Spending { began: Instant::now(), budget: self, watched: None };
        let before = SPENDING.replace(Some(spending));
        let done = work();
        SPENDING.set(before);
        done
    }
}

fn budget() -> Budget {
    SPENDING.get().map_or(UPKEEP, |spending| spending.budget)
}

/// How long the call of this thread waits for others of whom it does not see whether they get on.
pub(super) fn patience() -> Duration {
    budget().patience
}

/// Whether the call of this thread, which `began` to wait then, may wait still longer, where
/// others were last seen to get on at that time.
pub(super) fn has_patience(began: Instant, seen: Instant) -> bool {
    // What the call waited for before counts as well.
    let began = SPENDING.get().map_or(began, |spending| spending.began);
    seen.elapsed() < budget().patience && began.elapsed() < budget().queue
}

/// The call of this thread has waited: what it does from now on is work.
pub(super) fn begin_work() {
    if let Some(spending) = SPENDING.get() {
        SPENDING.set(Some(Spending { began: Instant::now(), watched: None, ..spending }));
    }
}

/// The call of this thread has waited for one thing and is about to wait for the next: so many
/// writes had ended, which was seen then.
pub(super) fn waits_on(writes: u32, seen: Instant) {
    if let Some(spending) = SPENDING.get() {
        SPENDING.set(Some(Spending { watched: Some((writes, seen)), ..spending }));
    }
}

/// Since when the call of this thread has seen no other write end than so many.
pub(super) fn watched(writes: u32) -> Option<Instant> {
    let (before, seen) = SPENDING.get()?.watched?;
    (before == writes).then_some(seen)
}

/// Has the calls of a connection end when their budget is spent.
pub(super) fn limit(conn: &mut Connection) -> Result<()> {
    conn.busy_handler(Some(wait))?;
    conn.progress_handler(STEPS, Some(is_overdrawn))
}

/// Waits for others to let go of the database; `false` when patience ends. These are moments, in
/// which a log is recovered or begun anew: SQLite's own handler soon sleeps for 100 ms at a time.
fn wait(attempt: i32) -> bool {
    let began = WAITING.get().filter(|_| attempt > 0).unwrap_or_else(Instant::now);
    WAITING.set(Some(began));
    let since = SPENDING.get().map_or(began, |spending| spending.began);
    if !has_patience(began, since) {
        return false;
    }
    let pause = if attempt < 10 { 100 } else { 1000 };
    thread::sleep(Duration::from_micros(pause));
    true
}

fn is_overdrawn() -> bool {
    SPENDING.get().is_some_and(|Spending { began, budget, .. }| {
        budget.work.is_some_and(|work| began.elapsed() > work + budget.patience)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sqlite::{Clock, System, fault};
    use crate::{Catalog, CatalogError, Selector, Sqlite, Time};

    /// Counts further than anybody waits.
    const ENDLESS: &str = "WITH RECURSIVE number(n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM number) SELECT count(*) FROM number";

    #[test]
    fn a_statement_without_end_ends_with_the_budget() {
        let mut conn = Connection::open_in_memory().unwrap();
        limit(&mut conn).unwrap();
        let budget = Budget { work: Some(Duration::from_millis(20)), ..AT_ONCE };
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
    fn who_waits_is_patient_while_others_get_on() {
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        assert!(has_patience(ago(8), ago(1)));
        assert!(!has_patience(ago(8), ago(6)), "nobody gets on");
        assert!(!has_patience(ago(11), ago(0)), "it is never its turn");
        AT_ONCE.spend(|| assert!(!has_patience(now, now)));
    }

    /// A clock that looks how patient the calls are that ask for the time.
    #[derive(Default)]
    struct Looking(Mutex<Vec<Duration>>);

    impl Clock for Looking {
        fn wall(&self) -> Time {
            self.0.lock().unwrap().push(patience());
            System.wall()
        }

        fn steady(&self) -> Time {
            System.steady()
        }
    }

    #[test]
    fn who_waits_for_entries_waits_no_longer_than_for_a_lookup() {
        let clock = Arc::new(Looking::default());
        let shared: Arc<dyn Clock> = Arc::<Looking>::clone(&clock);
        let catalog = Sqlite::in_memory_with_clock(shared).unwrap();
        clock.0.lock().unwrap().clear();
        catalog.entries(None, &Selector::default(), 1).unwrap();
        catalog.entries_in_time(None, &Selector::default(), 1).unwrap();
        assert_eq!(*clock.0.lock().unwrap(), [UPKEEP.patience, ASK.patience]);
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
