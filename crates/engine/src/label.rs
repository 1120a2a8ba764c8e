//! What tells calls of one operation apart.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use thrifty_key::Preview;

/// How many inputs are shown.
const INPUTS: usize = 3;
/// How many letters of a value are shown.
const LETTERS: usize = 32;

/// An argument of a call.
pub(crate) struct Argument<'a> {
    /// The parameter.
    pub name: &'a str,
    /// Equal for equal values.
    pub identity: &'a [u8],
    /// What may be shown of it.
    pub preview: &'a Preview,
    /// The numbers of the operations whose outputs it holds.
    pub from: Vec<u32>,
}

/// For each of several calls of one operation the arguments by which it differs from the others,
/// such as `lr=0.1`; outputs of other operations only where nothing else differs.
pub(crate) fn tell_apart(calls: &[Vec<Argument<'_>>]) -> Vec<String> {
    let mut values: BTreeMap<&str, HashSet<_>> = BTreeMap::new();
    let mut shown: BTreeMap<&str, HashSet<_>> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for argument in calls.iter().flatten() {
        let identity = (argument.identity, argument.from.as_slice());
        values.entry(argument.name).or_default().insert(identity);
        shown.entry(argument.name).or_default().insert(self::shown(argument));
        if !argument.from.is_empty() {
            taken.insert(argument.name);
        }
    }
    // What is shown alike tells nothing apart.
    values.retain(|name, values| values.len() > 1 && shown[name].len() > 1);
    let plain: Vec<&str> = values.keys().filter(|name| !taken.contains(*name)).copied().collect();
    let names = if plain.is_empty() { values.into_keys().collect() } else { plain };
    calls.iter().map(|call| label(call, &names)).collect()
}

fn label(call: &[Argument<'_>], names: &[&str]) -> String {
    let told = call.iter().filter(|argument| names.contains(&argument.name)).filter_map(shown);
    told.take(INPUTS).collect::<Vec<_>>().join(", ")
}

fn shown(argument: &Argument<'_>) -> Option<String> {
    let Argument { name, preview, from, .. } = argument;
    if !from.is_empty() {
        let numbers = from.iter().take(INPUTS).map(|number| format!("#{number}"));
        return Some(format!("{name} from {}", numbers.collect::<Vec<_>>().join(" ")));
    }
    match preview {
        Preview::Text(text) => Some(format!("{name}={}", short(text))),
        Preview::Source(_) | Preview::Hidden => None,
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
