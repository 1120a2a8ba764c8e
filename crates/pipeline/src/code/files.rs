//! Which files a command runs, and what is in them.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thrifty_key::{Context, Digest, Hasher};
use thrifty_source::{Module, OpaqueKind};
use thrifty_store::scan::{self, Memo};

use super::imports;
use super::words::is_interpreter;
use crate::error::CodeError;
use crate::mirror::Kept;
use crate::pipeline::{Command, Runs};

/// Files of at most this many bytes are kept from when they were read to when they are run.
const SMALL: u64 = 1 << 20;
/// Directories in which nothing lies that is run.
const SKIPPED: [&str; 2] = ["__pycache__", ".git"];

/// The files that a command runs itself.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) files: Vec<File>,
    /// Environments of Python: where the command names them, and where they are.
    pub(super) environments: Vec<(String, PathBuf)>,
    /// Files named by paths from the root.
    pub(super) absolute: Vec<PathBuf>,
    /// Programs on the `PATH` that count, each with the word that names it.
    pub(super) called: Vec<(String, PathBuf)>,
    /// Words of the command that are among the files.
    words: BTreeSet<String>,
    /// Those of the files whose text the command may read.
    texts: BTreeSet<PathBuf>,
}

/// A file that a command runs.
#[derive(Debug)]
pub(super) struct File {
    /// Where it really is: what a script imports is looked for there.
    pub(super) path: PathBuf,
    /// Where the command finds it.
    pub(super) to: Option<String>,
    /// Whether an interpreter of Python is given it.
    pub(super) is_python: bool,
}

impl Listed {
    /// Whether a word of the command is a file that is followed.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(word.strip_prefix("./").unwrap_or(word))
    }

    /// Whether a file may be run by its first line: not one of which the command only tells an interpreter.
    pub(super) fn may_run(&self, path: &Path, read: &Read) -> bool {
        let is_told = |file: &File| file.is_python && !read.kept.executable;
        self.called.iter().any(|(_, program)| program == path)
            || self.files.iter().any(|file| file.path == path && !is_told(file))
    }

    /// Whether the command may read the text of a file, in which everything counts.
    pub(super) fn may_read(&self, path: &Path) -> bool {
        self.texts.contains(path)
    }

    fn add(&mut self, path: &Path, to: Option<String>, is_python: bool) -> Result<(), CodeError> {
        let path = path.canonicalize().map_err(|error| CodeError::unreadable(path, &error))?;
        self.files.push(File { path, to, is_python });
        Ok(())
    }

    /// Everything in a directory.
    fn add_all(&mut self, directory: &Path, to: &str) -> Result<(), CodeError> {
        let mut ahead = vec![(directory.to_owned(), to.to_owned())];
        while let Some((directory, to)) = ahead.pop() {
            let unreadable = |error: &std::io::Error| CodeError::unreadable(&directory, error);
            for entry in fs::read_dir(&directory).map_err(|e| unreadable(&e))? {
                let path = entry.map_err(|e| unreadable(&e))?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                let Some(name) = name else {
                    return Err(CodeError::odd(&path, "its name is not UTF-8: rename it"));
                };
                let to = format!("{to}/{name}");
                let found = path.metadata().map_err(|e| CodeError::unreadable(&path, &e))?;
                match found.is_dir() {
                    true if SKIPPED.contains(&name) || is_environment(&path) => {}
                    true if path.is_symlink() => {
                        let reason = "it is a link to a directory: name what it leads to";
                        return Err(CodeError::odd(&path, reason));
                    }
                    true => ahead.push((path, to)),
                    false => self.add(&path, Some(to), false)?,
                }
            }
        }
        Ok(())
    }
}

/// The files that a command runs, sorted by where it finds them.
pub(super) fn list(command: &Command, base: &Path) -> Result<Listed, CodeError> {
    let texts = command.texts.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut listed = Listed { texts, ..Listed::default() };
    let scripts: Vec<&str> = command
        .programs
        .iter()
        .filter_map(|program| match &program.runs {
            Runs::File(word) => Some(word.strip_prefix("./").unwrap_or(word)),
            _ => None,
        })
        .collect();
    for script in &command.code {
        let word = script.word.as_str();
        listed.words.insert(word.to_owned());
        if let Some((to, path)) = environment_of(&script.path, base) {
            if !listed.environments.iter().any(|(known, _)| *known == to) {
                listed.environments.push((to, path));
            }
            if is_interpreter(word) {
                continue;
            }
        }
        if script.path.is_dir() {
            listed.add_all(&script.path, script.to.as_deref().unwrap_or_default())?;
            continue;
        }
        if word.starts_with('/') {
            listed.absolute.push(script.path.clone());
        }
        listed.add(&script.path, script.to.clone(), scripts.contains(&word))?;
    }
    listed.files.sort_by(|a, b| (&a.to, &a.path).cmp(&(&b.to, &b.path)));
    Ok(listed)
}

/// The environment of Python that a file is in, below the base.
fn environment_of(path: &Path, base: &Path) -> Option<(String, PathBuf)> {
    let above = path.ancestors().skip(1).take_while(|above| above.starts_with(base));
    let found = above.into_iter().find(|above| is_environment(above))?;
    let to = found.strip_prefix(base).ok()?.to_str()?;
    Some((to.to_owned(), found.to_owned()))
}

fn is_environment(directory: &Path) -> bool {
    directory.join("pyvenv.cfg").is_file()
}

/// What was found in a file.
pub(super) struct Read {
    /// What it counts as.
    pub(super) digest: Digest,
    /// What it counts as where its text, docstrings or annotations are read.
    pub(super) by_text: Digest,
    pub(super) kept: Kept,
    pub(super) text: Option<(Digest, String)>,
    /// Files of the project that it imports.
    pub(super) imports: Vec<PathBuf>,
    /// Names it imports that are none.
    pub(super) foreign: BTreeSet<String>,
    pub(super) notes: Vec<String>,
    /// Whether it may read docstrings or annotations.
    pub(super) reads_definitions: bool,
    pub(super) is_python: bool,
    /// The interpreter that its first line names.
    pub(super) interpreter: Option<String>,
    /// Its first line, if that says how it is run.
    first_line: Option<Digest>,
}

/// What modules a file imports depends on where they are looked for.
type Known = (PathBuf, Vec<PathBuf>, bool);

/// Files that were read, each once for all commands of a run.
pub(super) struct Readings {
    memo: Arc<dyn Memo>,
    read: HashMap<Known, Arc<Read>>,
}

impl Readings {
    pub(super) fn new(memo: Arc<dyn Memo>) -> Self {
        Self { memo, read: HashMap::new() }
    }

    pub(super) fn read(
        &mut self,
        path: &Path,
        roots: &[PathBuf],
        is_python: bool,
    ) -> Result<Arc<Read>, CodeError> {
        let known = (path.to_owned(), roots.to_owned(), is_python);
        if let Some(read) = self.read.get(&known) {
            return Ok(Arc::clone(read));
        }
        let read = Arc::new(self.read_now(path, roots, is_python)?);
        self.read.insert(known, Arc::clone(&read));
        Ok(read)
    }

    /// A program on the `PATH`: by what it does, if it is a script of Python that can be read so and
    /// whose interpreter is there, else by its bytes. It is not for the cache to refuse it.
    pub(super) fn program(
        &mut self,
        path: &Path,
        roots: &[PathBuf],
    ) -> Result<Arc<Read>, CodeError> {
        let read = self.read(path, roots, false);
        let is_runnable = |read: &Read| {
            let interpreter = read.interpreter.as_deref();
            interpreter.is_none_or(|it| !it.contains('/') || Path::new(it).is_file())
        };
        match read {
            Ok(read) if is_runnable(&read) => Ok(read),
            Ok(_) | Err(CodeError::Source { .. }) => {
                let bytes = fs::read(path).map_err(|error| CodeError::unreadable(path, &error))?;
                let (path, digest) = (path.to_owned(), Digest::of_blob(&bytes));
                let kept = Kept { path, digest, executable: true, bytes: None };
                Ok(Arc::new(Read::bytes(kept, None)))
            }
            Err(error) => Err(error),
        }
    }

    fn read_now(&self, path: &Path, roots: &[PathBuf], is_python: bool) -> Result<Read, CodeError> {
        let unreadable = |error| CodeError::unreadable(path, &error);
        let found: Metadata = fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() {
            return Err(CodeError::odd(path, "it is no file"));
        }
        let executable = found.permissions().mode() & 0o100 != 0;
        let ends_so = path.extension().is_some_and(|extension| extension == "py");
        if found.len() > SMALL && !is_python && !ends_so {
            let file = scan::file(path, &*self.memo)
                .map_err(|error| CodeError::odd(path, &error.to_string()))?;
            let kept = Kept { path: path.to_owned(), digest: file.digest, executable, bytes: None };
            return Ok(Read::bytes(kept, None));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let digest = Digest::of_blob(&bytes);
        let interpreter = interpreter_in(&bytes);
        let mut read = match is_python
            || ends_so
            || interpreter.as_deref().is_some_and(is_interpreter)
        {
            true => python(path, &bytes, roots)?,
            false => {
                let text = std::str::from_utf8(&bytes).ok().map(|text| (digest, text.to_owned()));
                Read::bytes(Kept { path: path.to_owned(), digest, executable, bytes: None }, text)
            }
        };
        if read.is_python {
            (read.interpreter, read.first_line) =
                (interpreter, first_line(&bytes).map(Digest::of_blob));
        }
        read.kept.executable = executable;
        read.kept.bytes = Some(bytes.into());
        Ok(read)
    }
}

impl Read {
    fn bytes(kept: Kept, text: Option<(Digest, String)>) -> Self {
        Self {
            digest: kept.digest,
            by_text: kept.digest,
            kept,
            text,
            imports: Vec::new(),
            foreign: BTreeSet::new(),
            notes: Vec::new(),
            reads_definitions: false,
            is_python: false,
            interpreter: None,
            first_line: None,
        }
    }

    /// What it counts as: by its text, where its definitions are read, and with its first line, where it may be run
    /// by that.
    pub(super) fn counted(&self, by_text: bool, by_first_line: bool) -> Digest {
        let digest = if by_text { self.by_text } else { self.digest };
        match &self.first_line {
            Some(line) if by_first_line => {
                let mut hasher = Hasher::new(Context::Code);
                hasher.raw(b"run by").digest(line).digest(&digest).finish()
            }
            _ => digest,
        }
    }
}

/// A text in Python, found at a path.
pub(super) fn python(path: &Path, bytes: &[u8], roots: &[PathBuf]) -> Result<Read, CodeError> {
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
        OpaqueKind::GetattrDynamic
        | OpaqueKind::GlobalsCall
        | OpaqueKind::LocalsByName
        | OpaqueKind::NamesInText(_) => None,
    });
    let of = |word: &[u8], digest: &Digest| {
        let mut hasher = Hasher::new(Context::Code);
        hasher.raw(word).digest(digest).finish()
    };
    let (source, all) = (Digest::of_blob(text.as_bytes()), Digest::of_blob(bytes));
    let kept = Kept { path: path.to_owned(), digest: all, executable: false, bytes: None };
    Ok(Read {
        digest: of(b"script", &whole.digest),
        by_text: of(b"text", &all),
        text: Some((source, text.to_owned())),
        imports,
        foreign,
        notes: notes.collect(),
        reads_definitions: whole.reads_definitions,
        is_python: true,
        ..Read::bytes(kept, None)
    })
}

/// The files of the project that a module leads to, itself among them, as far as they can be read.
pub(crate) fn modules(base: &Path, name: &str) -> BTreeSet<PathBuf> {
    let roots = [base.to_owned()];
    imports::module(name, &roots).into_iter().flat_map(|file| led_to(file, &roots)).collect()
}

/// The files that a script leads to by what it imports, itself among them, as far as they can be
/// read.
pub(super) fn led_to(script: PathBuf, roots: &[PathBuf]) -> BTreeSet<PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![script]);
    while let Some(path) = open.pop() {
        let path = path.canonicalize().unwrap_or(path);
        if found.contains(&path) {
            continue;
        }
        let is_small = path.metadata().is_ok_and(|found| found.len() <= SMALL);
        let bytes = if is_small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        open.extend(python(&path, &bytes, roots).into_iter().flat_map(|read| read.imports));
        found.insert(path);
    }
    found
}

/// What the first line of a script says of how it is run.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()
}

/// The program that the first line of a script names.
fn interpreter_in(bytes: &[u8]) -> Option<String> {
    let mut words = std::str::from_utf8(first_line(bytes)?).ok()?.split_whitespace();
    words
        .find(|word| !word.starts_with('-') && !word.ends_with("/env") && !word.contains('='))
        .map(str::to_owned)
}
