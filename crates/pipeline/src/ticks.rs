//! When a pipeline runs: by a pattern of cron, or every so often.
//!
//! A tick is a moment of the schedule, whenever its run really begins, so that a run that is late, or made
//! again, has the tick that it is for. Where a clock is put forward, a tick that falls into the
//! missing hour comes right after it; where it is put back, a tick at a fixed hour comes once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use minijinja::value::{Object, ObjectRepr, Value};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use thrifty_engine::did_you_mean;
use thrifty_engine::units::parse_duration;

/// When a pipeline runs. Nothing of it is part of a key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A pattern of cron with five fields, such as `0 3 * * *`.
    #[serde(default)]
    pub cron: Option<String>,
    /// How often, such as `1h`: counted from `start`, or from the beginning of 1970.
    #[serde(default)]
    pub every: Option<String>,
    /// The time zone of the pattern and of ticks, such as `Europe/Berlin`; UTC unless given.
    #[serde(default)]
    pub timezone: Option<String>,
    /// No tick is before this.
    #[serde(default)]
    pub start: Option<String>,
    /// No tick is after this.
    #[serde(default)]
    pub end: Option<String>,
    /// How many ticks there are: from `start`, or else from when the scheduler began.
    #[serde(default)]
    pub max_runs: Option<u64>,
    /// What becomes of a tick while the run of an earlier one is under way.
    #[serde(default)]
    pub overlap: Overlap,
}

/// What becomes of a tick while the run of an earlier one is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits, and runs next.
    Queue,
}

/// The moments at which a pipeline runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    rule: Rule,
    zone: TimeZone,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    /// How many there are.
    pub most: Option<u64>,
    /// What becomes of one while another runs.
    pub overlap: Overlap,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Cron(Box<Cron>),
    Every { seconds: i64, from: Timestamp },
}

/// One tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick(Zoned);

impl Ticks {
    /// What a section of a file says.
    ///
    /// # Errors
    ///
    /// What is wrong, and what is allowed.
    pub(crate) fn read(schedule: &Schedule) -> Result<Self, String> {
        let Schedule { cron, every, timezone, start, end, max_runs, overlap } = schedule;
        let zone = zone(timezone.as_deref().unwrap_or("UTC"))?;
        let at = |field: &str, text: &Option<String>| match text {
            Some(text) => {
                moment(text, &zone).map(Some).map_err(|why| format!("`{field}: {text}` {why}"))
            }
            None => Ok(None),
        };
        let (start, end) = (at("start", start)?, at("end", end)?);
        if max_runs == &Some(0) {
            return Err("`max_runs: 0`: write how many runs there are, at least 1".to_owned());
        }
        let rule = match (cron, every) {
            (Some(cron), None) => Rule::Cron(Box::new(pattern(cron)?)),
            (None, Some(every)) => {
                let from = start.unwrap_or(Timestamp::UNIX_EPOCH);
                Rule::Every { seconds: seconds(every)?, from }
            }
            _ => return Err("a schedule has either `cron` or `every`".to_owned()),
        };
        Ok(Self { rule, zone, start, end, most: *max_runs, overlap: *overlap })
    }

    /// The first tick later than a moment.
    pub fn after(&self, moment: Timestamp) -> Option<Tick> {
        // The start itself may be a tick.
        let before_start =
            self.start.and_then(|it| it.checked_sub(SignedDuration::from_nanos(1)).ok());
        let from = before_start.map_or(moment, |start| moment.max(start));
        let tick = match &self.rule {
            Rule::Cron(cron) => {
                cron.find_next_occurrence(&from.to_zoned(self.zone.clone()), false).ok()?
            }
            Rule::Every { seconds, from: origin } => {
                let passed = whole(from.duration_since(*origin), *seconds);
                self.nth(*origin, *seconds, passed.max(-1).checked_add(1)?)?
            }
        };
        self.end.is_none_or(|end| tick.timestamp() <= end).then_some(Tick(tick))
    }

    /// The last tick that is no later than a moment.
    pub fn due(&self, moment: Timestamp) -> Option<Tick> {
        let until = self.end.map_or(moment, |end| moment.min(end));
        let tick = match &self.rule {
            Rule::Cron(cron) => {
                cron.find_previous_occurrence(&until.to_zoned(self.zone.clone()), true).ok()?
            }
            Rule::Every { seconds, from } => {
                let passed = whole(until.duration_since(*from), *seconds);
                self.nth(*from, *seconds, passed)?
            }
        };
        self.start.is_none_or(|start| tick.timestamp() >= start).then_some(Tick(tick))
    }

    fn nth(&self, from: Timestamp, seconds: i64, number: i64) -> Option<Zoned> {
        let after = SignedDuration::from_secs(seconds.checked_mul(number)?);
        Some(from.checked_add(after).ok()?.to_zoned(self.zone.clone()))
    }

    /// The tick of a moment that somebody names, whether or not it is one of the schedule.
    pub fn at(&self, moment: Timestamp) -> Tick {
        Tick(moment.to_zoned(self.zone.clone()))
    }

    /// How many ticks there were from the start until this one, if the schedule counts from there.
    pub fn number(&self, tick: &Tick) -> Option<u64> {
        let (start, most) = (self.start?, self.most?);
        let mut at = self.after(start.checked_sub(SignedDuration::from_nanos(1)).ok()?)?;
        let mut number = 1;
        while at.timestamp() < tick.timestamp() && number <= most {
            at = self.after(at.timestamp())?;
            number += 1;
        }
        Some(number)
    }

    /// The pattern of cron that says the same, and the zone it is for.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn cron(&self) -> Result<(String, String), String> {
        let zone = self.zone.iana_name().unwrap_or("UTC").to_owned();
        match &self.rule {
            Rule::Cron(cron) => Ok((cron.pattern.to_string(), zone)),
            Rule::Every { seconds, from } => {
                let from = from.to_zoned(TimeZone::UTC);
                let (minute, hour) = (i64::from(from.minute()), i64::from(from.hour()));
                let each = |first: i64, step: i64, end: i64| {
                    let all: Vec<_> =
                        (first % step..end).step_by(usize::try_from(step).unwrap_or(1)).collect();
                    all.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
                };
                let pattern = match seconds / 60 {
                    _ if seconds % 60 != 0 || from.second() != 0 => None,
                    minutes if 60 % minutes == 0 => {
                        Some(format!("{} * * * *", each(minute, minutes, 60)))
                    }
                    minutes if minutes % 60 == 0 && 1440 % minutes == 0 => {
                        Some(format!("{minute} {} * * *", each(hour, minutes / 60, 24)))
                    }
                    _ => None,
                };
                let pattern = pattern.ok_or(
                    "cron knows no such interval: it must divide an hour or a day, in whole minutes; use `thrifty schedule` itself, or `cron`",
                )?;
                Ok((pattern, "UTC".to_owned()))
            }
        }
    }

    /// The same for a timer of systemd: what `OnCalendar` must be, once for each line.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn calendar(&self) -> Result<Vec<String>, String> {
        let (text, zone) = self.cron()?;
        let pattern = pattern(&text)?.pattern;
        if pattern.days.has_modifiers() || pattern.days_of_week.has_modifiers() {
            return Err(format!(
                "systemd knows nothing like `{text}`: it must be numbers and names alone"
            ));
        }
        let list = |values: Vec<u16>, whole: usize| match values.len() == whole {
            true => "*".to_owned(),
            false => values.iter().map(u16::to_string).collect::<Vec<_>>().join(","),
        };
        let time = format!(
            "{}:{}:00",
            list(pattern.hours.values(), 24),
            list(pattern.minutes.values(), 60)
        );
        let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let weekdays = pattern.days_of_week.values();
        let weekdays: Vec<_> =
            weekdays.iter().filter_map(|day| names.get(usize::from(*day % 7))).copied().collect();
        let (month, day) = (list(pattern.months.values(), 12), list(pattern.days.values(), 31));
        let on_day = format!("*-{month}-{day} {time} {zone}");
        let on_weekday = format!("{} *-{month}-* {time} {zone}", weekdays.join(","));
        Ok(match (pattern.is_dom_wildcard(), pattern.is_dow_wildcard()) {
            (_, true) => vec![on_day],
            (true, false) => vec![on_weekday],
            // In cron either is enough.
            (false, false) => vec![on_day, on_weekday],
        })
    }

    /// What its end is, if it has one that no other scheduler knows.
    pub const fn is_bounded(&self) -> bool {
        self.start.is_some() || self.end.is_some() || self.most.is_some()
    }
}

/// How many whole intervals a duration holds; one that is negative holds the last of them begun.
fn whole(duration: SignedDuration, seconds: i64) -> i64 {
    let count = duration.as_nanos().div_euclid(i128::from(seconds) * 1_000_000_000);
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|it| it.to_string()).collect();
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        format!("`timezone: {name}` is no time zone; {hint}")
    })
}

/// A moment as people write it: with an offset, or in the zone of the schedule.
pub(crate) fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, &'static str> {
    let wrong = "is no time: write `2026-01-31` or `2026-01-31T12:00:00`, with an offset such as `+01:00` if it is not meant in the zone of the schedule";
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let civil = text.parse::<jiff::civil::DateTime>().or_else(|_| {
        text.parse::<jiff::civil::Date>().map(|day| day.to_datetime(jiff::civil::Time::midnight()))
    });
    let zoned = civil.and_then(|civil| civil.to_zoned(zone.clone()));
    zoned.map(|zoned| zoned.timestamp()).map_err(|_| wrong)
}

fn pattern(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| {
        format!("`cron: {text}`: {error}; write minute, hour, day of month, month and day of week, such as `0 3 * * *`")
    })
}

fn seconds(text: &str) -> Result<i64, String> {
    let every = parse_duration(text).map_err(|error| format!("`every`: {error}"))?;
    match i64::try_from(every.as_secs()) {
        Ok(seconds) if seconds > 0 && every.subsec_nanos() == 0 => Ok(seconds),
        _ => Err(format!("`every: {text}` must be whole seconds, at least one")),
    }
}

/// The names of the parts of a tick.
const PARTS: [&str; 7] = ["date", "year", "month", "day", "hour", "minute", "unix"];

impl Tick {
    /// The moment.
    pub fn timestamp(&self) -> Timestamp {
        self.0.timestamp()
    }

    /// The part that a template names: `tick` itself, or `tick.date` and the like. It stands among the
    /// params of an operation under the name it has there.
    ///
    /// # Errors
    ///
    /// What there is instead.
    pub(crate) fn part(&self, name: &str) -> Result<(String, Json), String> {
        let at = &self.0;
        let value = match name {
            "" => return Ok((format!("{SPACE}.{WHOLE}"), Json::from(self.to_string()))),
            "date" => Json::from(at.date().to_string()),
            "year" => Json::from(at.year()),
            "month" => Json::from(at.month()),
            "day" => Json::from(at.day()),
            "hour" => Json::from(at.hour()),
            "minute" => Json::from(at.minute()),
            "unix" => Json::from(at.timestamp().as_second()),
            _ => {
                return Err(format!(
                    "`tick.{name}`: there is no such part; there are {}",
                    PARTS.join(", ")
                ));
            }
        };
        Ok((format!("{SPACE}.{name}"), value))
    }

    /// All of it, for templates.
    pub(crate) fn named(&self) -> Value {
        let parts = PARTS.iter().chain(&[""]).filter_map(|name| self.part(name).ok());
        named(parts.collect::<Vec<_>>().iter().map(|(name, value)| (name.as_str(), value)))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%Y-%m-%dT%H:%M:%S%:z").fmt(f)
    }
}

/// Under what the parts of a tick are named.
const SPACE: &str = "tick";
/// The part that is all of it.
const WHOLE: &str = "time";

/// What `tick` is in a template, of the params of an operation: undefined if none is a part of it.
pub(crate) fn named<'a>(params: impl Iterator<Item = (&'a str, &'a Json)>) -> Value {
    let parts: BTreeMap<String, Value> = params
        .filter_map(|(name, value)| {
            let part = name.strip_prefix(SPACE)?.strip_prefix('.')?;
            Some((part.to_owned(), Value::from(minijinja::value::Serde(value))))
        })
        .collect();
    match parts.is_empty() {
        true => Value::UNDEFINED,
        false => Value::from_object(Parts(parts)),
    }
}

/// The parts of a tick by name; as a text, the moment.
#[derive(Debug)]
struct Parts(BTreeMap<String, Value>);

impl Object for Parts {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get(WHOLE).map_or(Ok(()), |whole| fmt::Display::fmt(whole, f))
    }
}
