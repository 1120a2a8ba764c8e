//! Where a pipeline puts what it gives: nowhere where something is that it reads.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::{Built, Check};
use crate::code;
use crate::document::{Delivery, Table};
use crate::error::FileError;
use crate::expand::Suggester;
use crate::paths;
use crate::pipeline::{Command, Delivered, Maker, Reference, Work};
use crate::place::Location;

impl Check<'_> {
    /// What the pipeline gives.
    pub(super) fn deliveries(
        &self,
        outputs: &Table<Delivery>,
        built: &Built<'_>,
    ) -> Result<Vec<Delivered>, FileError> {
        if outputs.is_empty() {
            return Ok(ends(&built.commands));
        }
        let mut all: Vec<Delivered> = Vec::new();
        let mut read = None;
        for (name, delivery) in outputs {
            let Delivery { from, to } = &delivery.value;
            let at = delivery.referenced;
            let (from, _) = self.reference(at, from, built)?;
            let to = match to {
                Some(to) => Some(self.target(at, to)?),
                None => None,
            };
            if let Some(to) = &to {
                let read = read.get_or_insert_with(|| self.read(&built.commands));
                self.is_free(name, at, to, &all, read)?;
            }
            all.push(Delivered { name: name.clone(), from, to });
        }
        Ok(all)
    }

    /// What an output would overwrite is nothing that the pipeline needs.
    fn is_free(
        &self,
        name: &str,
        at: Location,
        to: &Path,
        before: &[Delivered],
        read: &BTreeSet<PathBuf>,
    ) -> Result<(), FileError> {
        let place = paths::placed(to);
        let overlaps = |path: &Path| paths::meet(path, &place);
        let twice = |other: &&Delivered| {
            other.to.as_deref().is_some_and(|other| overlaps(&paths::placed(other)))
        };
        if let Some(twice) = before.iter().find(twice) {
            let reason = format!(
                "outputs `{}` and `{name}` have the same `to`, or one is within the other",
                twice.name
            );
            return Err(self.wrong(at, reason));
        }
        match read.iter().find(|path| overlaps(path)) {
            None => Ok(()),
            Some(path) => {
                let reason = format!(
                    "output `{name}` would overwrite {}, which the pipeline reads: choose another `to`",
                    path.display()
                );
                Err(self.wrong(at, reason))
            }
        }
    }

    /// The files and directories that the pipeline reads, as far as its files tell: by the places
    /// where it finds them and, of links, by what they lead to.
    fn read(&self, commands: &[Command]) -> BTreeSet<PathBuf> {
        let mut named: BTreeSet<PathBuf> = self.world.sources.files().into_iter().collect();
        named.extend(commands.iter().flat_map(Command::reads).map(Path::to_owned));
        for (base, function) in commands.iter().flat_map(functions).collect::<BTreeSet<_>>() {
            let module = function.split(':').next().unwrap_or(function);
            named.extend(code::modules(base, module));
        }
        let places = named.iter().map(|path| paths::placed(path));
        places.chain(named.iter().filter_map(|path| path.canonicalize().ok())).collect()
    }

    fn target(&self, at: Location, to: &str) -> Result<PathBuf, FileError> {
        let to = self.text(at, to)?;
        let below = paths::below(&to).map_err(|why| self.wrong(at, format!("`to: {to}` {why}")))?;
        Ok(self.scope.base.join(below))
    }
}

/// The functions of a language that an operation and its steps call, each with the directory in
/// which its module is looked for first.
fn functions(command: &Command) -> Vec<(&Path, &str)> {
    let tuner = command.matrix.as_ref().and_then(|search| match &search.suggested()?.by {
        Suggester::Tuner(target) => Some((&*command.base, target.as_str())),
        Suggester::Tpe | Suggester::Bayes => None,
    });
    let mut all: Vec<_> = tuner.into_iter().collect();
    match &command.work {
        Work::Task(function) => all.push((&*command.base, function.target.as_str())),
        Work::Process(process) => all.extend(process.steps.iter().flat_map(functions)),
        Work::Run(_) | Work::Gather(_) | Work::Parts => {}
    }
    all
}

/// Every output that no operation takes.
fn ends(commands: &[Command]) -> Vec<Delivered> {
    let taken: HashSet<(Maker, &str)> = commands
        .iter()
        .flat_map(Command::takes)
        .map(|reference| (reference.from, reference.output.as_str()))
        .collect();
    let mut ends = Vec::new();
    for (position, command) in commands.iter().enumerate() {
        for (output, _) in &command.outputs {
            let from = Reference::new(command.maker(position), output.clone());
            if !taken.contains(&(from.from, output.as_str())) {
                let name = format!("{}.{output}", command.name);
                ends.push(Delivered { name, from, to: None });
            }
        }
    }
    ends
}
