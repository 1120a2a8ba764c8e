//! Any text as Python source: an error, or digests that comments and blank lines do not move.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use thrifty_key::Digest;
use thrifty_source::Module;
use thrifty_source::outline::Binding;

fuzz_target!(|text: &str| {
    let Ok(module) = Module::parse(text) else {
        return;
    };
    let digests = digests(&module);
    let commented = format!("# a comment\n\n{text}\n\n# another");
    // A first line may say how the text is encoded, and a last one may go on.
    let Ok(commented) = Module::parse(&commented) else {
        return;
    };
    assert_eq!(digests, self::digests(&commented));
});

/// What the module binds at its top, with the digest of each definition. Lines move with comments.
fn digests(module: &Module) -> BTreeMap<String, Option<Digest>> {
    let outline = module.outline();
    let of = |name: &String, binding: &Binding| match binding {
        Binding::Function { line, .. } => {
            module.definition_at(*line, name, &|_| false).ok().map(|found| found.digest)
        }
        Binding::Class => module.class_named(name, &|_| false).ok().map(|found| found.digest),
        _ => module.assignment(name).map(|found| found.digest),
    };
    outline.names.iter().map(|(name, binding)| (name.clone(), of(name, binding))).collect()
}
