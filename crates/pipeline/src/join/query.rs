//! The language of joins: `field:value` conditions, all of which must hold.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde_json::Value as Json;
use thrifty_engine::catalog::Time;
use thrifty_engine::did_you_mean;
use thrifty_engine::units::parse_duration;

use super::Facts;

/// The fields that every result has.
const FIELDS: [&str; 9] =
    ["operation", "run", "status", "host", "user", "started", "finished", "used", "took"];

/// Conditions, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query(Vec<Condition>);

/// A field, and what it must be: one of these, or none of them.
#[derive(Debug, Clone, PartialEq)]
struct Condition {
    field: Field,
    negated: bool,
    any: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Operation,
    Run,
    Status,
    Host,
    User,
    Started,
    Finished,
    Used,
    Took,
    Param(String),
    Output(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Is(Bound),
    /// It compares so with the bound, or is equal if the last is `true`.
    Beyond(Ordering, Bound, bool),
    Between(Bound, Bound),
}

/// A value that a query names.
#[derive(Debug, Clone, PartialEq)]
enum Bound {
    Text(String),
    /// From this moment to that one, in milliseconds.
    Moment(Time, Time),
    /// So long ago.
    Ago(Duration),
    /// So long, in milliseconds.
    Length(i64),
}

/// What stands in a field.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    Value(Json),
    Millis(i64),
}

/// By what results are ordered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    field: Field,
    descending: bool,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// What is wrong, with the condition, and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut conditions = Vec::new();
        for word in words(text)? {
            let condition = Condition::parse(&word).map_err(|why| format!("`{word}`: {why}"))?;
            conditions.push(condition);
        }
        let query = Self(conditions);
        if query.operations().next().is_none() {
            let reason = "a query names the operation whose results it is about: `operation:train`";
            return Err(reason.to_owned());
        }
        Ok(query)
    }

    /// The operations it is about, as patterns.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &str> {
        self.named(Field::Operation)
    }

    /// The runs it names.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &str> {
        let runs = self.0.iter().filter(|condition| condition.field == Field::Run);
        runs.flat_map(Condition::texts)
    }

    fn named(&self, field: Field) -> impl Iterator<Item = &str> {
        let about = self.0.iter().find(move |it| it.field == field && !it.negated);
        about.into_iter().flat_map(Condition::texts)
    }

    /// Whether a result is one that is asked for.
    pub(crate) fn admits(&self, facts: &Facts, now: Time) -> bool {
        let mut is_first = true;
        self.0.iter().all(|condition| {
            // The catalog has answered the first one about the operation.
            let is_answered = condition.field == Field::Operation && !condition.negated && is_first;
            is_first &= !is_answered;
            is_answered || condition.admits(facts, now)
        })
    }

    /// Whether one of the results has what is asked of params and outputs.
    ///
    /// # Errors
    ///
    /// The name that none has, and those that there are.
    pub(crate) fn check_names(&self, seen: &[Vec<String>]) -> Result<(), String> {
        for condition in &self.0 {
            let name = condition.field.name();
            let is_known = !name.contains('.') || seen.iter().any(|names| names.contains(&name));
            if !is_known && !seen.is_empty() {
                let known: std::collections::BTreeSet<_> = seen.iter().flatten().collect();
                let hint = did_you_mean(&name, known.into_iter().map(String::as_str));
                return Err(format!("no result has `{name}`; {hint}"));
            }
        }
        Ok(())
    }
}

/// The words of a query: what stands in quotes is one.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => {
                quote = !quote;
                word.push(letter);
            }
            _ if letter.is_whitespace() && !quote => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            }
            _ => word.push(letter),
        }
    }
    if quote {
        return Err(format!("`{word}`: the quote is not closed"));
    }
    words.extend((!word.is_empty()).then_some(word));
    Ok(words)
}

impl Condition {
    fn parse(word: &str) -> Result<Self, String> {
        let (field, rest) = word.split_once(':').ok_or(
            "write field:value, such as `started:>-7d`, `params.lr:0.1..0.5` or `user:~ada|eve`",
        )?;
        let field = Field::parse(field)?;
        let (negated, rest) = match rest.strip_prefix('~') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let any = rest.split('|').map(|text| Test::parse(&field, text));
        Ok(Self { any: any.collect::<Result<_, _>>()?, field, negated })
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.any.iter().filter_map(|test| match test {
            Test::Is(Bound::Text(text)) => Some(text.as_str()),
            _ => None,
        })
    }

    fn admits(&self, facts: &Facts, now: Time) -> bool {
        let found = self.field.of(facts);
        // What is not there is neither this nor anything else.
        !found.is_empty()
            && self.negated
                != found
                    .iter()
                    .any(|found| self.any.iter().any(|test| test.holds(&self.field, found, now)))
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "operation" => Self::Operation,
            "run" => Self::Run,
            "status" => Self::Status,
            "host" => Self::Host,
            "user" => Self::User,
            "started" => Self::Started,
            "finished" => Self::Finished,
            "used" => Self::Used,
            "took" => Self::Took,
            _ => match name.split_once('.') {
                Some(("params", name)) if !name.is_empty() => Self::Param(name.to_owned()),
                Some(("outputs", name)) if !name.is_empty() => Self::Output(name.to_owned()),
                _ => {
                    let hint = did_you_mean(name, FIELDS);
                    return Err(format!(
                        "there is no field `{name}`; {hint}; the fields are {}, `params.` and `outputs.` with a name",
                        FIELDS.join(", ")
                    ));
                }
            },
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Param(name) => format!("params.{name}"),
            Self::Output(name) => format!("outputs.{name}"),
            _ => String::new(),
        }
    }

    const fn is_time(&self) -> bool {
        matches!(self, Self::Started | Self::Finished | Self::Used)
    }

    /// What a result has in the field; more than one value for the runs that took it.
    fn of(&self, facts: &Facts) -> Vec<Found> {
        let text = |text: &str| vec![Found::Value(Json::from(text))];
        let maybe = |value: Option<Json>| value.map(Found::Value).into_iter().collect();
        match self {
            Self::Operation => text(&facts.operation),
            Self::Run => facts.runs.iter().flat_map(|run| text(&run.0)).collect(),
            // Only what succeeded has a result.
            Self::Status => text("succeeded"),
            Self::Host => text(&facts.host),
            Self::User => text(&facts.user),
            Self::Started => vec![Found::Millis(facts.started)],
            Self::Finished => vec![Found::Millis(facts.finished)],
            Self::Used => vec![Found::Millis(facts.used)],
            Self::Took => vec![Found::Millis(facts.took)],
            Self::Param(name) => maybe(facts.param(name).cloned()),
            Self::Output(name) => maybe(facts.value_of(name)),
        }
    }
}

impl Test {
    fn parse(field: &Field, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("there is no value".to_owned());
        }
        let ordered = !matches!(
            field,
            Field::Operation | Field::Run | Field::Status | Field::Host | Field::User
        );
        let signs = [
            (">=", Ordering::Greater, true),
            ("<=", Ordering::Less, true),
            (">", Ordering::Greater, false),
            ("<", Ordering::Less, false),
        ];
        let sign = signs
            .iter()
            .find_map(|(sign, way, or_equal)| Some((text.strip_prefix(sign)?, *way, *or_equal)));
        let test = match (sign, text.split_once("..")) {
            (Some((rest, way, or_equal)), _) => {
                Self::Beyond(way, Bound::parse(field, rest)?, or_equal)
            }
            (None, Some((from, to))) if !text.starts_with('"') => {
                Self::Between(Bound::parse(field, from)?, Bound::parse(field, to)?)
            }
            _ => Self::Is(Bound::parse(field, text)?),
        };
        match &test {
            Self::Is(Bound::Text(word)) if *field == Field::Status && word != "succeeded" => Err(
                "only operations that succeeded have results: write `status:succeeded`, or nothing"
                    .to_owned(),
            ),
            Self::Beyond(..) | Self::Between(..) if !ordered => {
                Err("this field is a text, which is neither larger nor smaller".to_owned())
            }
            _ => Ok(test),
        }
    }

    fn holds(&self, field: &Field, found: &Found, now: Time) -> bool {
        match self {
            Self::Is(Bound::Text(text)) if *field == Field::Run => {
                matches!(found, Found::Value(Json::String(run)) if run.starts_with(text))
            }
            Self::Is(Bound::Text(text)) if *field == Field::Operation => {
                matches!(found, Found::Value(Json::String(name)) if is_operation(name, text))
            }
            Self::Is(bound) => bound.compare(found, now) == Some(Ordering::Equal),
            Self::Beyond(way, bound, or_equal) => {
                let compared = bound.compare(found, now);
                compared == Some(*way) || (*or_equal && compared == Some(Ordering::Equal))
            }
            Self::Between(from, to) => {
                from.compare(found, now).is_some_and(Ordering::is_ge)
                    && to.compare(found, now).is_some_and(Ordering::is_le)
            }
        }
    }
}

/// Whether an operation has this name, whole or behind its last `.` or `:`.
fn is_operation(name: &str, text: &str) -> bool {
    name == text || name.rsplit(['.', ':']).next() == Some(text)
}

impl Bound {
    fn parse(field: &Field, text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
        if field.is_time() {
            return moment(text);
        }
        if *field == Field::Took {
            let length = parse_duration(text).map_err(|error| error.to_string())?;
            return Ok(Self::Length(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)));
        }
        Ok(Self::Text(text.to_owned()))
    }

    /// How what was found compares with it; `None` if it does not.
    fn compare(&self, found: &Found, now: Time) -> Option<Ordering> {
        match (self, found) {
            (Self::Moment(from, to), Found::Millis(at)) => Some(match at {
                at if at < from => Ordering::Less,
                at if at >= to => Ordering::Greater,
                _ => Ordering::Equal,
            }),
            (Self::Ago(ago), Found::Millis(at)) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Some(at.cmp(&now.saturating_sub(ago)))
            }
            (Self::Length(length), Found::Millis(took)) => Some(took.cmp(length)),
            (Self::Text(text), Found::Value(Json::Number(number))) => {
                number.as_f64()?.partial_cmp(&text.parse::<f64>().ok()?)
            }
            (Self::Text(text), Found::Value(Json::String(found))) => Some(found.as_str().cmp(text)),
            (Self::Text(text), Found::Value(Json::Bool(flag))) => {
                (flag.to_string() == *text).then_some(Ordering::Equal)
            }
            (Self::Text(text), Found::Value(value)) => {
                let wanted: Json = serde_json::from_str(text).ok()?;
                (wanted == *value).then_some(Ordering::Equal)
            }
            _ => None,
        }
    }
}

/// A moment: so long ago, a day, or a time with its zone.
fn moment(text: &str) -> Result<Bound, String> {
    if let Some(ago) = text.strip_prefix('-') {
        return parse_duration(ago).map(Bound::Ago).map_err(|error| error.to_string());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Bound::Moment(at.as_millisecond(), at.as_millisecond() + 1));
    }
    let day = text.parse::<civil::Date>().ok().filter(|_| text.len() == 10);
    let begins =
        |day: civil::Date| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    day.and_then(|day| Some(Bound::Moment(begins(day)?, begins(day.tomorrow().ok()?)?))).ok_or_else(|| {
        format!("`{text}` is no time: write `-7d`, `2026-01-31` (in UTC) or `2026-01-31T12:00:00+01:00`")
    })
}

impl Order {
    /// The newest first.
    pub(crate) fn newest_first() -> Vec<Self> {
        vec![Self { field: Field::Started, descending: true }]
    }

    /// Reads names of fields, separated by spaces or commas.
    ///
    /// # Errors
    ///
    /// The name that is none.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        let names = text.split([' ', ',']).filter(|name| !name.is_empty());
        let all: Result<Vec<_>, _> = names
            .map(|name| {
                let field = Field::parse(name.strip_prefix('-').unwrap_or(name))?;
                Ok(Self { field, descending: name.starts_with('-') })
            })
            .collect();
        match all {
            Ok(all) if all.is_empty() => Err("`sort` names no field".to_owned()),
            all => all,
        }
    }

    /// The order of two results. What lacks a field comes last; where all is equal, the older one
    /// comes first.
    pub(crate) fn compare(orders: &[Self], a: &Facts, b: &Facts) -> Ordering {
        let by = |order: &Self| {
            let (a, b) =
                (order.field.of(a).into_iter().next(), order.field.of(b).into_iter().next());
            match (a, b) {
                (Some(a), Some(b)) => {
                    let way = compare(&a, &b);
                    if order.descending { way.reverse() } else { way }
                }
                (a, b) => b.is_some().cmp(&a.is_some()),
            }
        };
        let first = orders.iter().map(by).find(|way| way.is_ne());
        first.unwrap_or_else(|| (a.started, a.id).cmp(&(b.started, b.id)))
    }
}

/// Numbers before texts, both by size.
fn compare(a: &Found, b: &Found) -> Ordering {
    match (a, b) {
        (Found::Millis(a), Found::Millis(b)) => a.cmp(b),
        (Found::Value(Json::Number(a)), Found::Value(Json::Number(b))) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::MAX), b.as_f64().unwrap_or(f64::MAX));
            a.total_cmp(&b)
        }
        (Found::Value(Json::Number(_)), Found::Value(_)) => Ordering::Less,
        (Found::Value(_), Found::Value(Json::Number(_))) => Ordering::Greater,
        (Found::Value(Json::String(a)), Found::Value(Json::String(b))) => a.cmp(b),
        (Found::Value(a), Found::Value(b)) => a.to_string().cmp(&b.to_string()),
        _ => Ordering::Equal,
    }
}
