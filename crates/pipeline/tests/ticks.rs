//! Schedules: when a pipeline runs, and what of a tick counts.

#![allow(clippy::unwrap_used)]

mod project;

use std::process::Command;

use jiff::Timestamp;
use project::Project;
use thrifty_pipeline::{Pipeline, Tick, Ticks};

fn read(schedule: &str) -> Result<Ticks, String> {
    let text = format!("schedule: {schedule}\noperations: {{one: {{run: 'true'}}}}\n");
    let project = Project::new(&[("p.yaml", &text)]);
    let pipeline = Pipeline::read(&project.at("p.yaml"), &[], &|_| None);
    pipeline.map(|pipeline| pipeline.schedule.unwrap()).map_err(|error| error.to_string())
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The ticks after a moment, as they are written.
fn after(schedule: &str, moment: &str, count: usize) -> Vec<String> {
    let (ticks, mut at, mut all) = (read(schedule).unwrap(), time(moment), Vec::new());
    while all.len() < count {
        let Some(tick) = ticks.after(at) else { break };
        assert_eq!(ticks.due(tick.timestamp()).as_ref(), Some(&tick), "it is due at once");
        at = tick.timestamp();
        all.push(tick.to_string());
    }
    all
}

#[test]
fn ticks_come_by_a_pattern_or_every_so_often() {
    assert_eq!(
        after("{cron: 30 3 * * mon}", "2026-11-21T00:00:00Z", 2),
        ["2026-11-23T03:30:00+00:00", "2026-11-30T03:30:00+00:00"]
    );
    assert_eq!(
        after("{every: 90m}", "2026-01-01T00:00:00Z", 2),
        ["2026-01-01T01:30:00+00:00", "2026-01-01T03:00:00+00:00"]
    );
    // Counted from the start, which is a tick itself.
    assert_eq!(
        after(
            "{every: 1h, start: '2026-01-01T00:20:00Z', end: '2026-01-01T02:00:00Z'}",
            "2025-01-01T00:00:00Z",
            9
        ),
        ["2026-01-01T00:20:00+00:00", "2026-01-01T01:20:00+00:00"]
    );
    // A start without an offset is meant in the zone of the schedule.
    assert_eq!(
        after(
            "{cron: 0 0 * * *, timezone: Asia/Tokyo, start: 2026-05-01}",
            "2026-01-01T00:00:00Z",
            1
        ),
        ["2026-05-01T00:00:00+09:00"]
    );
    assert_eq!(
        read("{every: 1h, start: 2026-01-01}").unwrap().due(time("2025-12-31T00:00:00Z")),
        None
    );
}

#[test]
fn a_day_has_one_tick_also_where_clocks_change() {
    // Clocks go from 2:00 to 3:00 on the 29th of March 2026, and back on the 25th of October.
    let daily = "{cron: 30 2 * * *, timezone: Europe/Berlin}";
    assert_eq!(
        after(daily, "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        after(daily, "2026-10-24T00:00:00Z", 3),
        ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    // An interval knows nothing of clocks.
    assert_eq!(
        after("{every: 1h, timezone: Europe/Berlin}", "2026-03-29T00:00:00Z", 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]
    );
    let year = after(daily, "2025-12-31T12:00:00Z", 365);
    let days: std::collections::BTreeSet<_> = year.iter().map(|tick| &tick[..10]).collect();
    assert_eq!(days.len(), 365);
}

#[test]
fn what_is_no_schedule_is_told_with_its_place() {
    for (schedule, told) in [
        ("{}", "either `cron` or `every`"),
        ("{cron: 0 3 * * *, every: 1h}", "either `cron` or `every`"),
        ("{cron: 0 3 * *}", "`cron: 0 3 * *`"),
        ("{cron: 0 0 3 * * *}", "write minute, hour"),
        ("{cron: 61 3 * * *}", "`cron: 61 3 * * *`"),
        ("{every: 1x}", "`every`"),
        ("{every: 10ms}", "must be whole seconds"),
        ("{every: 0s}", "must be whole seconds"),
        ("{every: 1h, timezone: Europe/Berln}", "is no time zone; did you mean `Europe/Berlin`"),
        ("{every: 1h, start: soon}", "`start: soon` is no time"),
        ("{every: 1h, max_runs: 0}", "at least 1"),
        ("{every: 1h, overlap: maybe}", "unknown variant `maybe`"),
        ("{every: 1h, start: 2026-01-02, end: 2026-01-01}", "no tick at all"),
        ("{evry: 1h}", "unknown field"),
    ] {
        let told_of = read(schedule).unwrap_err();
        assert!(told_of.contains(told) && told_of.contains("p.yaml:1:"), "{schedule}: {told_of}");
    }
}

#[test]
fn a_tick_counts_where_it_is_named_and_only_as_far_as_that() {
    let project = Project::new(&[(
        "p.yaml",
        "schedule: {cron: 0 */6 * * *, timezone: Europe/Berlin}
operations:
  still: {run: 'true'}
  daily: {run: 'echo {{ tick.date }} > o', outputs: {o: o}}
  each: {run: 'echo {{ tick }} > o', outputs: {o: o}}
  path: {run: 'cp in/* o', inputs: {in: {path: 'in/{{ tick.year }}', to: in}}, outputs: {o: o}}
outputs: {daily: {from: daily.o, to: daily}, each: {from: each.o, to: each}, path: {from: path.o, to: path}}
",
    ), ("in/2026/a", "26"), ("in/2027/a", "27")]);
    let ticks = {
        let pipeline = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap();
        pipeline.schedule.unwrap()
    };
    let run = |tick: &Tick| project.run_for(tick).1.join(", ");
    let first = ticks.after(time("2026-06-01T00:00:00Z")).unwrap();
    assert_eq!(first.to_string(), "2026-06-01T06:00:00+02:00");
    assert_eq!(run(&first), "daily computed, each computed, path computed, still computed");
    assert_eq!(project.read("each"), "2026-06-01T06:00:00+02:00\n");
    assert_eq!(run(&first), "daily hit, each hit, path hit, still hit", "the run of a tick, again");
    let second = ticks.after(first.timestamp()).unwrap();
    assert_eq!(run(&second), "daily hit, each computed, path hit, still hit");
    let next = ticks.after(time("2027-06-02T00:00:00Z")).unwrap();
    assert_eq!(run(&next), "daily computed, each computed, path computed, still hit");
    assert_eq!((project.read("daily"), project.read("path")), ("2027-06-02\n".into(), "27".into()));
}

#[test]
fn a_tick_that_is_not_there_is_told() {
    let read = |text: &str| {
        let project = Project::new(&[("p.yaml", text)]);
        Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string()
    };
    let told = read("operations: {one: {run: 'echo {{ tick }}'}}\n");
    assert!(told.contains("p.yaml:1:25: `tick` in `run`: the file has no `schedule`"), "{told}");
    let told = read("schedule: {every: 1h}\noperations: {one: {run: 'echo {{ tick.dat }}'}}\n");
    assert!(told.contains("`tick.dat`: there is no such part; there are date, year"), "{told}");
}

#[test]
fn systemd_and_cron_are_told_the_same_times() {
    for (schedule, cron, calendar) in [
        (
            "{cron: 0 3 * * *, timezone: Europe/Berlin}",
            "0 3 * * *",
            vec!["*-*-* 3:0:00 Europe/Berlin"],
        ),
        (
            "{cron: '*/20 8-10 * * mon-wed'}",
            "*/20 8-10 * * 1-3",
            vec!["Mon,Tue,Wed *-*-* 8,9,10:0,20,40:00 UTC"],
        ),
        ("{cron: 0 0 1 6 fri}", "0 0 1 6 5", vec!["*-6-1 0:0:00 UTC", "Fri *-6-* 0:0:00 UTC"]),
        ("{every: 15m}", "0,15,30,45 * * * *", vec!["*-*-* *:0,15,30,45:00 UTC"]),
        (
            "{every: 8h, start: '2026-01-01T01:10:00Z'}",
            "10 1,9,17 * * *",
            vec!["*-*-* 1,9,17:10:00 UTC"],
        ),
    ] {
        let ticks = read(schedule).unwrap();
        assert_eq!(ticks.cron().unwrap().0.to_uppercase(), cron, "{schedule}");
        assert_eq!(ticks.calendar().unwrap(), calendar, "{schedule}");
        for line in calendar {
            // Where systemd is at hand, it reads what is written for it.
            if let Ok(asked) = Command::new("systemd-analyze").args(["calendar", line]).output() {
                assert!(
                    asked.status.success(),
                    "{line}: {}",
                    String::from_utf8_lossy(&asked.stderr)
                );
            }
        }
    }
    assert!(
        read("{every: 7m}").unwrap().cron().unwrap_err().contains("must divide an hour or a day")
    );
    assert!(read("{every: 90s}").unwrap().cron().is_err());
    assert!(
        read("{cron: 0 0 L * *}").unwrap().calendar().unwrap_err().contains("numbers and names")
    );
}
