//! Following a schedule: which tick runs when, and what becomes of those in between.

use thrifty_pipeline::{Overlap, Tick, Ticks};

use crate::failure::Failure;

/// Moments in milliseconds since 1970, as the scheduler sees them.
pub(crate) trait Clock {
    /// The time by the clock on the wall, which may jump.
    fn now(&self) -> Moment;

    /// Returns at the moment, or some time before it. `false` if the scheduler is to end.
    fn wait(&self, until: Moment) -> bool;
}

/// A moment.
pub(crate) type Moment = jiff::Timestamp;

/// What happens to a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is the next one.
    Next(Tick),
    /// So many before it passed while nobody was awake: it runs for all of them.
    Missed(u64, Tick),
    /// So many passed while the run before was under way, and are left out.
    Skipped(u64),
    /// There is none any more.
    Over,
}

/// How a run of a tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    /// It succeeded.
    Well,
    /// It failed, which was told.
    Wrong,
}

/// Runs tick after tick until there is none any more, or the clock says that it is to end. Says
/// whether all went well.
///
/// # Errors
///
/// What the run of a tick gives that ends the scheduler.
pub(crate) fn follow(
    ticks: &Ticks,
    clock: &dyn Clock,
    tell: &mut dyn FnMut(&Told) -> Result<(), Failure>,
    run: &mut dyn FnMut(&Tick) -> Result<Went, Failure>,
) -> Result<Went, Failure> {
    let (mut last, mut count, mut all) = (clock.now(), 0, Went::Well);
    // Ticks until here passed during a run, and wait for their own.
    let mut queued = last;
    loop {
        let next = ticks.after(last).filter(|tick| !is_over(ticks, tick, count));
        let Some(next) = next else {
            tell(&Told::Over)?;
            return Ok(all);
        };
        let is_queued = next.timestamp() <= queued;
        if !is_queued {
            tell(&Told::Next(next.clone()))?;
            while clock.now() < next.timestamp() {
                if !clock.wait(next.timestamp()) {
                    return Ok(all);
                }
            }
        }
        let tick = if is_queued { next } else { latest(ticks, next, clock.now(), tell)? };
        last = tick.timestamp();
        count += 1;
        if run(&tick)? == Went::Wrong {
            all = Went::Wrong;
        }
        queued = clock.now();
        if ticks.overlap == Overlap::Skip
            && let Some(passed) = ticks.due(queued).filter(|passed| passed.timestamp() > last)
        {
            tell(&Told::Skipped(between(ticks, last, &passed)))?;
            last = passed.timestamp();
        }
        if !clock.wait(clock.now()) {
            return Ok(all);
        }
    }
}

/// Whether a tick comes after the last that there is to be.
fn is_over(ticks: &Ticks, tick: &Tick, count: u64) -> bool {
    let number = ticks.number(tick).unwrap_or(count + 1);
    ticks.most.is_some_and(|most| number > most)
}

/// The last tick that is due, where the machine slept through the one that was waited for.
fn latest(
    ticks: &Ticks,
    next: Tick,
    now: Moment,
    tell: &mut dyn FnMut(&Told) -> Result<(), Failure>,
) -> Result<Tick, Failure> {
    match ticks.due(now).filter(|due| due.timestamp() > next.timestamp()) {
        Some(due) => {
            tell(&Told::Missed(between(ticks, next.timestamp(), &due), due.clone()))?;
            Ok(due)
        }
        None => Ok(next),
    }
}

/// How many ticks come after a moment until a tick, that one included.
fn between(ticks: &Ticks, after: Moment, until: &Tick) -> u64 {
    let (mut at, mut count) = (after, 0);
    while at < until.timestamp() && count < COUNTED {
        let Some(tick) = ticks.after(at) else { break };
        (at, count) = (tick.timestamp(), count + 1);
    }
    count
}

/// As far as anybody counts.
const COUNTED: u64 = 10_000;

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A clock that goes on only as it is told: each wait takes it to its end, or over a jump.
    struct Hand {
        now: Cell<Moment>,
        end: Moment,
        /// Who waits beyond the first of these wakes up at the second.
        sleeps: Vec<(Moment, Moment)>,
    }

    impl Clock for Hand {
        fn now(&self) -> Moment {
            self.now.get()
        }

        fn wait(&self, until: Moment) -> bool {
            let now = self.now.get();
            let slept = self.sleeps.iter().find(|(from, _)| now <= *from && *from < until);
            self.now.set(slept.map_or(until, |(_, to)| *to).max(now));
            self.now.get() < self.end
        }
    }

    fn time(text: &str) -> Moment {
        text.parse().unwrap()
    }

    fn ticks(schedule: &str) -> Ticks {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.yaml");
        let text = format!("schedule: {schedule}\noperations: {{one: {{run: 'true'}}}}\n");
        std::fs::write(&path, text).unwrap();
        thrifty_pipeline::Pipeline::read(&path, &[], &|_| None).unwrap().schedule.unwrap()
    }

    /// Follows a schedule, each run taking so many minutes; gives what ran, and what was told of
    /// those that did not.
    fn followed(
        schedule: &str,
        (start, end): (&str, &str),
        minutes: i64,
        sleeps: &[(&str, &str)],
    ) -> (Vec<String>, Vec<String>) {
        let sleeps = sleeps.iter().map(|(from, to)| (time(from), time(to))).collect();
        let clock = Hand { now: Cell::new(time(start)), end: time(end), sleeps };
        let (ran, told) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let mut tell = |it: &Told| {
            match it {
                Told::Next(_) => {}
                Told::Missed(count, _) => told.borrow_mut().push(format!("missed {count}")),
                Told::Skipped(count) => told.borrow_mut().push(format!("skipped {count}")),
                Told::Over => told.borrow_mut().push("over".to_owned()),
            }
            Ok(())
        };
        let mut run = |tick: &Tick| {
            ran.borrow_mut().push(tick.to_string());
            let took = jiff::SignedDuration::from_mins(minutes);
            clock.now.set(clock.now.get() + took);
            Ok(Went::Well)
        };
        assert_eq!(follow(&ticks(schedule), &clock, &mut tell, &mut run).unwrap(), Went::Well);
        (ran.into_inner(), told.into_inner())
    }

    #[test]
    fn weeks_go_by_and_every_tick_runs_once() {
        let span = ("2026-03-01T00:00:00Z", "2026-04-12T00:00:00Z");
        let (ran, told) = followed("{cron: 30 2 * * *, timezone: Europe/Berlin}", span, 5, &[]);
        assert_eq!(ran.len(), 42, "{ran:?}");
        assert!(ran.contains(&"2026-03-29T03:00:00+02:00".to_owned()), "where clocks jump");
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn after_a_sleep_what_was_missed_runs_once() {
        let span = ("2026-03-01T00:30:00Z", "2026-03-01T12:30:00Z");
        let sleeps = [("2026-03-01T03:10:00Z", "2026-03-01T08:20:00Z")];
        let (ran, told) = followed("{every: 1h}", span, 1, &sleeps);
        let hours: Vec<_> = ran.iter().map(|tick| &tick[11..13]).collect();
        assert_eq!(hours, ["01", "02", "03", "08", "09", "10", "11", "12"]);
        assert_eq!(told, ["missed 4"]);
    }

    #[test]
    fn ticks_during_a_run_are_left_out_or_wait() {
        let span = ("2026-03-01T00:30:00Z", "2026-03-01T05:59:00Z");
        let (ran, told) = followed("{every: 1h}", span, 90, &[]);
        let hours: Vec<_> = ran.iter().map(|tick| &tick[11..13]).collect();
        assert_eq!((hours, told), (vec!["01", "03", "05"], vec!["skipped 1".to_owned(); 3]));
        let (ran, told) = followed("{every: 1h, overlap: queue}", span, 90, &[]);
        let hours: Vec<_> = ran.iter().map(|tick| &tick[11..13]).collect();
        assert_eq!((hours, told), (vec!["01", "02", "03", "04"], Vec::new()));
    }

    #[test]
    fn a_schedule_ends_where_it_says() {
        let span = ("2026-03-01T00:30:00Z", "2027-01-01T00:00:00Z");
        let (ran, told) = followed("{every: 1h, max_runs: 3}", span, 1, &[]);
        assert_eq!((ran.len(), told), (3, vec!["over".to_owned()]));
        let end = "{every: 1h, end: '2026-03-01T02:00:00Z'}";
        let (ran, told) = followed(end, span, 1, &[]);
        assert_eq!((ran.len(), told), (2, vec!["over".to_owned()]));
        // Counted from the start, two of the three have been before.
        let counted = "{every: 1h, start: '2026-02-28T23:00:00Z', max_runs: 3}";
        assert_eq!(followed(counted, span, 1, &[]).0, ["2026-03-01T01:00:00+00:00"]);
    }

    #[test]
    fn a_clock_that_is_put_back_runs_nothing_twice() {
        let span = ("2026-03-01T00:30:00Z", "2026-03-01T04:30:00Z");
        let clock = Hand { now: Cell::new(time(span.0)), end: time(span.1), sleeps: Vec::new() };
        let ran = RefCell::new(Vec::new());
        let mut run = |tick: &Tick| {
            ran.borrow_mut().push(tick.to_string());
            if ran.borrow().len() == 2 {
                clock.now.set(time("2026-03-01T00:40:00Z"));
            }
            Ok(Went::Well)
        };
        follow(&ticks("{every: 1h}"), &clock, &mut |_| Ok(()), &mut run).unwrap();
        let hours: Vec<_> = ran.borrow().iter().map(|tick| tick[11..13].to_owned()).collect();
        assert_eq!(hours, ["01", "02", "03", "04"]);
    }
}
