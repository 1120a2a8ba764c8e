//! The code of a command: its scripts, what they import from the project, and which packages they
//! need.
//!
//! A Python script counts by what it does: comments, layout and docstrings do not matter, and the
//! modules it imports from beside it or from beside the operation file count with it, as far as
//! imports can be read in the text. Any other file counts by its bytes.

mod imports;
mod probe;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thrifty_engine::catalog::Catalog;
use thrifty_key::{Context, Digest, Hasher, Preview};
use thrifty_source::{Module, OpaqueKind};

use crate::document::Run;
use crate::error::CodeError;
use crate::pipeline::Command;
use probe::Interpreters;

/// One file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its path, relative to the operation file.
    pub(crate) name: String,
    /// What it counts as.
    pub(crate) digest: Digest,
    /// What may be shown of it.
    pub(crate) preview: Preview,
}

/// All that counts of a command's code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// The files, by path.
    pub(crate) parts: Vec<Part>,
    /// Packages and the interpreter, each by its name and what counts of it.
    pub(crate) packages: Vec<(String, String)>,
    /// Source texts that previews refer to.
    pub(crate) texts: Vec<(Digest, String)>,
    /// What could not be followed, for a person.
    pub(crate) notes: Vec<String>,
}

/// Files that were read, each once for all commands of a run.
pub(crate) struct Files {
    /// What a module imports depends on where the script is that imports it.
    read: HashMap<(PathBuf, PathBuf), Arc<Read>>,
    interpreters: Interpreters,
}

/// What was found in a file.
struct Read {
    digest: Digest,
    text: Option<(Digest, String)>,
    /// Files of the project that it imports.
    imports: Vec<PathBuf>,
    /// Names it imports that are none.
    foreign: BTreeSet<String>,
    notes: Vec<String>,
}

impl Files {
    /// No file yet; the catalog remembers what interpreters say.
    pub(crate) fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { read: HashMap::new(), interpreters: Interpreters::new(catalog) }
    }

    /// All that counts of the code of a command.
    ///
    /// # Errors
    ///
    /// [`CodeError`] names the file.
    pub(crate) fn code_of(&mut self, command: &Command) -> Result<Code, CodeError> {
        let base = &*command.base;
        let mut found: BTreeMap<PathBuf, Arc<Read>> = BTreeMap::new();
        for script in &command.code {
            let script = base.join(script);
            // A script is run from where it really is; what it imports is looked for there.
            let script =
                script.canonicalize().map_err(|error| CodeError::unreadable(&script, &error))?;
            let roots = [script.parent().unwrap_or(base).to_owned(), base.to_owned()];
            let mut open = vec![script];
            while let Some(path) = open.pop() {
                if found.contains_key(&path) {
                    continue;
                }
                let read = self.read(&path, &roots)?;
                open.extend(read.imports.iter().cloned());
                found.insert(path, read);
            }
        }
        let foreign: BTreeSet<String> =
            found.values().flat_map(|read| read.foreign.iter().cloned()).collect();
        let mut code = Code::default();
        if found.keys().any(|path| is_python(path)) {
            let program = interpreter_of(command.run());
            code.packages = self.interpreters.packages(&program, &foreign)?;
        }
        for (path, read) in &found {
            let name = path.strip_prefix(base).unwrap_or(path).display().to_string();
            let preview = match &read.text {
                Some((digest, _)) => Preview::Source(*digest),
                None => Preview::text("its bytes"),
            };
            code.notes.extend(read.notes.iter().map(|note| format!("{name}: {note}")));
            code.texts.extend(read.text.clone());
            code.parts.push(Part { name, digest: read.digest, preview });
        }
        Ok(code)
    }

    fn read(&mut self, path: &Path, roots: &[PathBuf]) -> Result<Arc<Read>, CodeError> {
        let known = (path.to_owned(), roots.first().cloned().unwrap_or_default());
        if let Some(read) = self.read.get(&known) {
            return Ok(Arc::clone(read));
        }
        let bytes = std::fs::read(path).map_err(|error| CodeError::unreadable(path, &error))?;
        let read = match is_python(path) {
            true => python(path, &bytes, roots)?,
            false => Read {
                digest: Digest::of_blob(&bytes),
                text: std::str::from_utf8(&bytes)
                    .ok()
                    .map(|text| (Digest::of_blob(&bytes), text.to_owned())),
                imports: Vec::new(),
                foreign: BTreeSet::new(),
                notes: Vec::new(),
            },
        };
        let read = Arc::new(read);
        self.read.insert(known, Arc::clone(&read));
        Ok(read)
    }
}

fn python(path: &Path, bytes: &[u8], roots: &[PathBuf]) -> Result<Read, CodeError> {
    let wrong = |reason: String| CodeError::Source { path: path.to_owned(), reason };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let module = Module::parse(text).map_err(|error| wrong(error.to_string()))?;
    let whole = module.whole();
    let (imports, foreign) = imports::resolve(path, &whole.imports, roots);
    let notes = whole.opaque.iter().filter_map(|opaque| match opaque.kind {
        OpaqueKind::Exec
        | OpaqueKind::Eval
        | OpaqueKind::DunderImport
        | OpaqueKind::ImportlibImport => Some(format!(
            "line {}: what `{}` reaches is not followed; name it in `code`",
            opaque.line,
            opaque.kind.word()
        )),
        OpaqueKind::GetattrDynamic | OpaqueKind::GlobalsCall | OpaqueKind::LocalsByName => None,
    });
    let notes = notes.collect();
    let mut hasher = Hasher::new(Context::Code);
    let digest = hasher.raw(b"script").digest(&whole.digest).finish();
    let kept = (Digest::of_blob(text.as_bytes()), text.to_owned());
    Ok(Read { digest, text: Some(kept), imports, foreign, notes })
}

fn is_python(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py")
}

/// The interpreter that a command names, or the usual one.
fn interpreter_of(run: Option<&Run>) -> String {
    let words = match run {
        Some(Run::Words(words)) => words.clone(),
        Some(Run::Shell(text)) => {
            text.lines().flat_map(|line| shlex::split(line).unwrap_or_default()).collect()
        }
        None => Vec::new(),
    };
    let is_interpreter = |word: &&String| {
        let name = Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
        let version = name.as_deref().and_then(|name| name.strip_prefix("python"));
        version.is_some_and(|version| version.chars().all(|it| it.is_ascii_digit() || it == '.'))
    };
    words.iter().find(is_interpreter).cloned().unwrap_or_else(|| "python3".to_owned())
}
