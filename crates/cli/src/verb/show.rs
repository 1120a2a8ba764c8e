//! `thrifty show`: one run, or one entry.

use clap::Args;
use serde::Serialize;
use thrifty_engine::catalog::{Catalog, Entry, Node, Reservation, Run, Scope, Selector, Time};
use thrifty_engine::explain::{self, HIDDEN};
use thrifty_engine::key::{Kind, Preview};
use thrifty_engine::observed::{self, Observation, State};
use thrifty_engine::units::{show_duration, show_size};
use thrifty_engine::{Reason, did_you_mean, notes};
use thrifty_pipeline::RunDirectory;

use crate::choose;
use crate::computing::{self, ComputingJson};
use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{NodeJson, RunJson, age, duration, short_name, timestamp, unless_zero};
use crate::told::{self, ToldJson};
use crate::verb::runs::colour;

/// Show a run with its operations, a cache entry, or who computes a key now
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty show                  the newest run
  thrifty show k3f9             a run, by the beginning of its id
  thrifty show train            the entry of an operation of the newest run
  thrifty show 9c1e2ab04d17     an entry, by the beginning of its key; with `serialize`,
                                also who computes it now")]
pub(crate) struct Arguments {
    /// The beginning of a run's id or of an entry's key, or an operation of the newest run by name
    /// or number; `last` is the newest run
    #[arg(value_name = "RUN|KEY|OPERATION", default_value = "last")]
    what: String,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// A run with its nodes, for programs.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    run: RunJson,
    nodes: Vec<NodeJson>,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { what, json } = arguments;
    let cache = console.cache()?;
    let catalog = cache.catalog().as_ref();
    let found = match what.as_str() {
        "last" => Some(choose::newest(catalog, cache.scope())?),
        _ => choose::find_run(catalog, &what)?,
    };
    if let Some(run) = found {
        let nodes = catalog.nodes(&run.id)?;
        show_run(catalog, &run, &nodes, json, console)?;
        let runs = console.settings()?.home.value.join("runs");
        let directory = RunDirectory::of(&runs, &run.id.0);
        if !json && directory.path().is_dir() {
            console.line(&format!("directory: {}", directory.path().display()))?;
        }
        return Ok(());
    }
    let mut entries = choose::entries(catalog, &what)?;
    let computing = choose::computing(catalog, &what)?;
    if entries.is_empty() && computing.is_empty() {
        entries = of_newest(catalog, cache.scope(), &what, console)?;
    }
    if json {
        return console.json(&by_key(catalog, &entries, &computing)?);
    }
    let now = catalog.now()?;
    entries.iter().try_for_each(|entry| show_entry(catalog, entry, now, console))?;
    computing.iter().try_for_each(|reservation| {
        let name = console.paint(Paint::Bold, &reservation.held.holder.operation);
        console.line(&format!("{name}  {}", reservation.key))?;
        console.line(&format!("  computing  {}", computing::shown(reservation, now)))
    })
}

/// The entries, and after them the keys that are computed now, for programs.
fn by_key(
    catalog: &dyn Catalog,
    entries: &[Entry],
    computing: &[Reservation],
) -> Result<Vec<KeyJson>, Failure> {
    let entries =
        entries.iter().map(|entry| Ok(KeyJson::Entry(Box::new(EntryJson::of(catalog, entry)?))));
    let computing = computing.iter().map(|it| Ok(KeyJson::Computing(ComputingJson::of(it))));
    entries.chain(computing).collect()
}

/// The entry of an operation of the newest run.
fn of_newest(
    catalog: &dyn Catalog,
    scope: &Scope,
    what: &str,
    console: &mut Console<'_>,
) -> Result<Vec<Entry>, Failure> {
    let known = choose::known_runs(catalog, scope)?;
    if known.is_empty() {
        return Err(Failure::Usage(format!("no run and no entry begins with `{what}`")));
    }
    let (run, nodes) = choose::run_with(catalog, scope, "last", what, console)?;
    if choose::nodes(&nodes, what).is_empty() {
        let names = nodes.iter().map(|node| short_name(&node.operation));
        let hint = did_you_mean(what, known.iter().map(String::as_str).chain(names));
        let message = format!(
            "no run and no entry begins with `{what}`, and no operation of the newest run is called so; {hint}"
        );
        return Err(Failure::Usage(message));
    }
    let node = choose::stored(catalog, &run, &nodes, what)?;
    let ids = Some(node.entry.into_iter().collect());
    Ok(catalog.entries(Some(scope), &Selector { ids, ..Selector::default() }, 1)?)
}

fn show_run(
    catalog: &dyn Catalog,
    run: &Run,
    nodes: &[Node],
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let labels = explain::labels(catalog, &run.scope, nodes)?;
    let label = |node: &Node| labels.get(&node.number).map_or("", String::as_str);
    if json {
        let nodes = nodes.iter().map(|node| NodeJson::of(node, label(node))).collect();
        return console.json(&Whole { run: RunJson::of(run), nodes });
    }
    let id = console.paint(Paint::Bold, &run.id.0);
    let status = console.paint(colour(run.status), run.status.word());
    let took = duration(run).map(|took| format!(", took {}", show_duration(took)));
    let took = took.unwrap_or_default();
    console.line(&format!(
        "{id}  {}  {status}, {}{took}",
        run.name,
        age(catalog.now()?, run.started_at)
    ))?;
    if !run.arguments.is_empty() {
        console.line(&format!("arguments: {}", run.arguments))?;
    }
    let reasons = run.reasons.iter().map(|it| (it.reason.as_str(), it.count));
    if let Some(unstored) = Reason::summary(reasons) {
        let unstored = console.paint(Paint::Yellow, &unstored);
        console.line(&unstored)?;
    }
    let heading = ["# ", "operation", "outcome", "time ", "saved ", "from", "detail"];
    let rows: Vec<_> = nodes.iter().map(|node| node_row(node, label(node), console)).collect();
    console.table(heading, rows)
}

fn node_row(node: &Node, label: &str, console: &Console<'_>) -> [String; 7] {
    let paint = match node.outcome.as_str() {
        "failed" => Paint::Red,
        outcome if outcome.starts_with("hit") || outcome == "waited" => Paint::Green,
        "computed" => Paint::Yellow,
        _ => Paint::Dim,
    };
    let label = if label.is_empty() { String::new() } else { format!(" {label}") };
    let times = if node.count > 1 { format!(" ×{}", node.count) } else { String::new() };
    [
        node.number.to_string(),
        format!("{}{times}{label}", short_name(&node.operation)),
        console.paint(paint, &node.outcome),
        unless_zero(node.spent),
        unless_zero(node.saved),
        node.source.as_ref().map(ToString::to_string).unwrap_or_default(),
        node.detail.lines().next().unwrap_or_default().to_owned(),
    ]
}

fn show_entry(
    catalog: &dyn Catalog,
    entry: &Entry,
    now: Time,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let name = console.paint(Paint::Bold, &entry.operation);
    console.line(&format!("{name}  {}", entry.key))?;
    let run = entry.origin.run.as_ref().map_or_else(String::new, |run| format!(" in run {run}"));
    let by = format!("{}@{}", entry.origin.user, entry.origin.host);
    let facts = [
        ("scope", entry.scope.to_string()),
        ("computed", format!("{}{run} by {by}", age(now, entry.created_at))),
        ("cost", show_duration(entry.cost)),
        ("size", show_size(entry.size)),
        ("output", entry.output_digest.to_string()),
        ("hits", format!("{}, last used {}", entry.hits, age(now, entry.used_at))),
        ("expires", entry.expires_at.map_or_else(|| "never".to_owned(), timestamp)),
    ];
    for (fact, value) in facts {
        console.line(&format!("  {fact:<10} {value}"))?;
    }
    write_told(entry, console)?;
    if entry.pinned {
        console.line("  pinned     `thrifty gc` keeps it")?;
    }
    if entry.nondeterministic {
        let warning = "nondeterministic: a later computation gave another output";
        let warning = console.paint(Paint::Yellow, warning);
        console.line(&format!("  {warning}"))?;
    }
    let seen = observations(entry).into_iter().map(|seen| [seen.what, seen.found]);
    let seen: Vec<_> = seen.collect();
    if !seen.is_empty() {
        console.table(["observed", "found"], seen)?;
    }
    for note in notes(catalog, &entry.ingredients)? {
        console.line(&format!("  note       {note}"))?;
    }
    let rows: Vec<_> = parts(entry)
        .map(|part| {
            [part.kind.word().to_owned(), part.name, part.digest[..12].to_owned(), part.shown]
        })
        .collect();
    console.table(["ingredient", "part", "digest", "value"], rows)
}

/// What there is of a key, for programs.
#[derive(Serialize)]
#[serde(untagged)]
enum KeyJson {
    Entry(Box<EntryJson>),
    Computing(ComputingJson),
}

/// An entry for programs.
#[derive(Serialize)]
struct EntryJson {
    key: String,
    operation: String,
    project: String,
    domain: String,
    created_at: String,
    used_at: String,
    expires_at: Option<String>,
    hits: u64,
    size_bytes: u64,
    cost_seconds: f64,
    nondeterministic: bool,
    pinned: bool,
    output: String,
    blobs: Vec<String>,
    run: Option<String>,
    node: u32,
    host: String,
    user: String,
    ingredients: Vec<PartJson>,
    observed: Vec<ObservedJson>,
    notes: Vec<String>,
    #[serde(flatten)]
    told: ToldJson,
}

/// A part of an ingredient, for programs.
#[derive(Serialize)]
struct PartJson {
    kind: Kind,
    name: String,
    digest: String,
    shown: String,
}

impl EntryJson {
    fn of(catalog: &dyn Catalog, entry: &Entry) -> Result<Self, Failure> {
        let blobs = entry.blobs.iter();
        Ok(Self {
            key: entry.key.to_string(),
            operation: entry.operation.clone(),
            project: entry.scope.project.clone(),
            domain: entry.scope.domain.clone(),
            created_at: timestamp(entry.created_at),
            used_at: timestamp(entry.used_at),
            expires_at: entry.expires_at.map(timestamp),
            hits: entry.hits,
            size_bytes: entry.size,
            cost_seconds: entry.cost.as_secs_f64(),
            nondeterministic: entry.nondeterministic,
            pinned: entry.pinned,
            output: entry.output_digest.to_string(),
            blobs: blobs.map(|blob| format!("{}.{}", blob.digest, blob.generation)).collect(),
            run: entry.origin.run.as_ref().map(ToString::to_string),
            node: entry.origin.node,
            host: entry.origin.host.clone(),
            user: entry.origin.user.clone(),
            ingredients: parts(entry).collect(),
            observed: observations(entry),
            notes: notes(catalog, &entry.ingredients)?,
            told: ToldJson::of(entry),
        })
    }
}

/// What the computation told besides its value.
fn write_told(entry: &Entry, console: &mut Console<'_>) -> Result<(), Failure> {
    let notes = told::annotations(entry);
    let attempt = notes.attempt.map(|attempt| ("attempt", attempt.to_string()));
    let tags = (!notes.tags.is_empty()).then(|| ("tags", notes.tags.join(", ")));
    let plots = (!notes.plots.is_empty()).then(|| ("plots", notes.plots.join(", ")));
    for (fact, value) in attempt.into_iter().chain(tags).chain(plots) {
        console.line(&format!("  {fact:<10} {value}"))?;
    }
    for (metric, count) in told::last_values(&notes.metrics) {
        let step = metric.step.map_or_else(String::new, |step| format!(" at step {step}"));
        let more = if count > 1 { format!(", {count} values") } else { String::new() };
        console.line(&format!("  metric     {} {}{step}{more}", metric.name, metric.value))?;
    }
    Ok(())
}

/// Something that the body observed, for programs.
#[derive(Serialize)]
struct ObservedJson {
    what: String,
    /// The beginning of the digest of what was there; or that nothing was.
    found: String,
}

/// What the body observed; nothing if it cannot be read.
fn observations(entry: &Entry) -> Vec<ObservedJson> {
    let shown = |Observation { what, state }: Observation| ObservedJson {
        what: what.to_string(),
        found: match state {
            State::Absent => "nothing".to_owned(),
            State::Digest(digest) => digest.to_string()[..12].to_owned(),
        },
    };
    observed::decode(&entry.observed).unwrap_or_default().into_iter().map(shown).collect()
}

fn parts(entry: &Entry) -> impl Iterator<Item = PartJson> {
    let kinds = Kind::ALL.into_iter();
    kinds
        .flat_map(|kind| entry.ingredients.parts(kind).map(move |(name, part)| (kind, name, part)))
        .map(|(kind, name, part)| PartJson {
            kind,
            name: name.to_owned(),
            digest: part.digest.to_string(),
            shown: match &part.preview {
                Preview::Text(text) => text.clone(),
                Preview::Source(_) => "(source)".to_owned(),
                Preview::Hidden => HIDDEN.to_owned(),
            },
        })
}
