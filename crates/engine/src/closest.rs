//! The closest names to one that is unknown.

/// At most three of the known names that look like the unknown one, closest first. Case does
/// not matter; the last part of a dotted name counts like the whole.
///
/// ```
/// let known = ["clean_flights", "flights.train", "evaluate"];
/// assert_eq!(thrifty_engine::closest("clean_flight", known), ["clean_flights"]);
/// assert_eq!(thrifty_engine::closest("Trian", known), ["flights.train"]);
/// assert!(thrifty_engine::closest("zzz", known).is_empty());
/// ```
pub fn closest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let unknown = unknown.to_lowercase();
    let mut rated: Vec<(f32, &str)> = known
        .into_iter()
        .map(|name| (likeness(&unknown, name), name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    rated.dedup_by_key(|(_, name)| *name);
    rated.truncate(3);
    rated.into_iter().map(|(_, name)| name).collect()
}

/// 0 for nothing in common, 1 for the same.
fn likeness(unknown: &str, name: &str) -> f32 {
    let name = name.to_lowercase();
    let last = name.rsplit(['.', ':']).next().unwrap_or(&name);
    let ratio = |text: &str| similar::TextDiff::from_chars(unknown, text).ratio();
    ratio(&name).max(ratio(last))
}

/// A sentence for the end of an error message: what was meant, or what there is.
///
/// ```
/// assert_eq!(thrifty_engine::did_you_mean("projct", ["project"]), "did you mean `project`?");
/// assert_eq!(thrifty_engine::did_you_mean("x", ["train", "test"]), "known: `test`, `train`");
/// ```
pub fn did_you_mean<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let quoted = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    match closest(unknown, known.iter().copied()).as_slice() {
        [] if known.is_empty() => "there is none".to_owned(),
        [] if known.len() > 20 => format!("known: {}, …", quoted(&known[..20])),
        [] => format!("known: {}", quoted(&known)),
        found => format!("did you mean {}?", quoted(found).replace(", ", " or ")),
    }
}
