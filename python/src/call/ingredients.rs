//! What the key of a task is made of, and how long that stays true.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use thrifty_engine::{ClassCode, Operation, Seed, Seeding, digest_of_codes, encoding_with_code};
use thrifty_key::plain;
use thrifty_key::{Context, Digest, Hasher, Ingredients, Kind, Preview, without_passwords};

use super::handle::Handle;
use super::on_disk::{self, Named};
use super::options::Options;
use super::parameters::Parameters;
use super::task::Task;
use crate::code::{Closure, Depth, code_of_class, code_of_hook, code_of_named, project_class};
use crate::program::imported_as;
use crate::value::codec::{self, Encoded};
use crate::value::digest::{self, Reason, StandIn, Surroundings, Unhashable};

/// An operation whose ingredients are known, and what must stay as it is for that.
pub struct Prepared {
    /// The operation.
    pub operation: Arc<Operation>,
    /// Why calls of it have no key, if they have none.
    pub unkeyed: Option<String>,
    /// Whether what its body reads is observed.
    pub observes: bool,
    pub(super) closure: Option<Closure>,
    outside: Outside,
    /// The operation under the seed that was asked for last.
    seeded: Mutex<Option<(Seed, Arc<Operation>)>>,
}

/// What lies outside of the program and was read for a key.
#[derive(Default)]
struct Outside {
    environment: Vec<(String, Option<OsString>)>,
    files: Arc<[Named]>,
}

impl Outside {
    fn is_current(&self) -> bool {
        self.environment.iter().all(|(name, value)| std::env::var_os(name) == *value)
            && self.files.iter().all(Named::is_current)
    }
}

/// What an operation asks of its cache and the seed it states, as far as that decides which
/// results are served.
pub struct Settings {
    /// Changes with any of it.
    pub digest: Digest,
    /// The names of what was given, and what may be shown of it.
    pub text: String,
    outside: Outside,
}

impl Settings {
    /// The settings among the options; `None` if they say nothing.
    ///
    /// # Errors
    ///
    /// What cannot be read, by name.
    pub fn of(
        py: Python<'_>,
        options: &Options,
        seeding: Option<Seeding>,
    ) -> PyResult<Option<Self>> {
        let mut builder = Builder::default();
        let mut outside = Outside::default();
        builder.stated(options)?;
        if let Some(seeding) = seeding {
            let text =
                seeding.seed().map_or_else(|| "none".to_owned(), |it| it.number().to_string());
            builder.text(Kind::Seed, "seed", &text)?;
        }
        builder.sources(options)?;
        outside.environment = builder.environment(options)?;
        builder.packages(py, options)?;
        builder.files(py, options)?;
        outside.files = builder.named.into();
        let found = builder.ingredients;
        let parts = Kind::ALL.into_iter().flat_map(|kind| found.parts(kind));
        let lines: Vec<_> = parts
            .map(|(name, part)| match &part.preview {
                Preview::Text(text) => format!("{name}: {text}"),
                Preview::Source(_) | Preview::Hidden => name.to_owned(),
            })
            .collect();
        Ok((!lines.is_empty()).then(|| Self {
            digest: found.key(),
            text: lines.join("\n"),
            outside,
        }))
    }

    /// Whether finding them again would give the same.
    pub fn is_current(&self) -> bool {
        self.outside.is_current()
    }
}

impl Prepared {
    /// Finds the ingredients of a function.
    ///
    /// # Errors
    ///
    /// What has no digest or cannot be followed, by name, with the ways out.
    pub fn of(
        function: &Bound<'_, PyAny>,
        name: &str,
        parameters: &Parameters,
        options: &Options,
        beside: &[(String, Bound<'_, PyAny>)],
        observes: bool,
    ) -> PyResult<Self> {
        let mut builder = Builder::default();
        builder.text(Kind::Operation, "name", name)?;
        if !observes {
            // Such an entry holds whatever its body read, which others must not rely on.
            builder.text(Kind::Environment, "observe", "off")?;
        }
        let mut outside = Outside::default();
        let inputs: Vec<_> = parameters.all.iter().map(|it| it.name.clone()).collect();
        let closure = builder.code(function, &inputs, options, beside)?;
        builder.signature(function, parameters, options)?;
        builder.interpreter(function.py())?;
        if let Some(salt) = &options.salt {
            builder.text(Kind::Salt, "salt", salt)?;
        }
        outside.environment = builder.environment(options)?;
        builder.packages(function.py(), options)?;
        builder.files(function.py(), options)?;
        outside.files = builder.named.into();
        let notes = closure.as_ref().map(|closure| closure.notes.clone()).unwrap_or_default();
        let operation = Operation::new(name, builder.ingredients, builder.texts).with_notes(notes);
        let operation = Arc::new(operation);
        let seeded = Mutex::default();
        Ok(Self { operation, unkeyed: None, observes, closure, outside, seeded })
    }

    /// An operation whose calls have no key.
    ///
    /// # Errors
    ///
    /// Never, for one ingredient.
    pub fn unkeyed(name: &str, reason: String) -> PyResult<Self> {
        let mut builder = Builder::default();
        builder.text(Kind::Operation, "name", name)?;
        Ok(Self {
            operation: Arc::new(Operation::new(name, builder.ingredients, Vec::new())),
            unkeyed: Some(reason),
            observes: true,
            closure: None,
            outside: Outside::default(),
            seeded: Mutex::default(),
        })
    }

    /// The operation under a seed, or without one.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn under(
        &self,
        py: Python<'_>,
        seeding: Option<Seeding>,
        parameters: &Parameters,
    ) -> PyResult<Arc<Operation>> {
        let Some(seed) = seeding.and_then(Seeding::seed) else {
            return Ok(Arc::clone(&self.operation));
        };
        if let Some((held, operation)) = &*self.seeded.lock()
            && *held == seed
        {
            return Ok(Arc::clone(operation));
        }
        let generators = parameters.generators(py)?;
        let seeded = self.operation.seeded(seed, generators);
        let seeded = seeded.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let seeded = Arc::new(seeded);
        *self.seeded.lock() = Some((seed, Arc::clone(&seeded)));
        Ok(seeded)
    }

    /// The files that are named in `Cache(files=…)` and `Cache(sources=…)`.
    pub fn named(&self) -> Arc<[Named]> {
        Arc::clone(&self.outside.files)
    }

    /// Whether finding them again would give the same.
    pub fn is_current(&self, py: Python<'_>) -> bool {
        self.outside.is_current()
            && self.closure.as_ref().is_none_or(|closure| closure.is_current(py, &encode_constant))
    }
}

#[derive(Default)]
struct Builder {
    ingredients: Ingredients,
    texts: Vec<(Digest, String)>,
    named: Vec<Named>,
}

impl Builder {
    fn add(&mut self, kind: Kind, name: &str, digest: Digest, preview: Preview) -> PyResult<()> {
        self.ingredients
            .add(kind, name, digest, preview)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn text(&mut self, kind: Kind, name: &str, text: &str) -> PyResult<()> {
        self.add(kind, name, plain::digest_text(text), Preview::text(text))
    }

    /// A source text is kept by its digest, so that differences can be shown.
    fn source(&mut self, text: &str) -> Preview {
        let text = without_passwords(text).into_owned();
        let digest = Digest::of_blob(text.as_bytes());
        self.texts.push((digest, text));
        Preview::Source(digest)
    }

    /// The version, or the code that the function can reach.
    fn code(
        &mut self,
        function: &Bound<'_, PyAny>,
        inputs: &[String],
        options: &Options,
        beside: &[(String, Bound<'_, PyAny>)],
    ) -> PyResult<Option<Closure>> {
        if let Some(version) = &options.version {
            self.text(Kind::Version, "version", version)?;
            return Ok(None);
        }
        let depth = options.code.unwrap_or(Depth::Closure);
        let closure = Closure::with(function, inputs, beside, depth, &encode_constant)?;
        for unit in &closure.units {
            let preview = match &unit.text {
                Some(text) => self.source(text),
                None => Preview::text(unit.kind.word()),
            };
            self.add(Kind::Code, &unit.name, unit.digest, preview)?;
        }
        self.sources(options)?;
        Ok(Some(closure))
    }

    /// What the options state in words.
    fn stated(&mut self, options: &Options) -> PyResult<()> {
        if let Some(version) = &options.version {
            self.text(Kind::Version, "version", version)?;
        }
        if let Some(salt) = &options.salt {
            self.text(Kind::Salt, "salt", salt)?;
        }
        for (field, names) in [("ignore", &options.ignore), ("inputs", &options.inputs)] {
            if let Some(names) = names {
                self.text(Kind::Signature, field, &names.join(", "))?;
            }
        }
        Ok(())
    }

    fn sources(&mut self, options: &Options) -> PyResult<()> {
        for path in options.sources.iter().flatten() {
            let failed = |error| unreadable("sources", path, &error);
            let named = Named::look(path).map_err(failed)?;
            let text = std::fs::read_to_string(path).map_err(failed)?;
            self.named.push(named.holding(text.as_bytes()));
            let digest = plain::digest_text(&text);
            let preview = self.source(&text);
            self.add(Kind::Code, path, digest, preview)?;
        }
        Ok(())
    }

    fn signature(
        &mut self,
        function: &Bound<'_, PyAny>,
        parameters: &Parameters,
        options: &Options,
    ) -> PyResult<()> {
        let py = function.py();
        let annotations: Bound<'_, PyDict> =
            function.getattr(intern!(py, "__annotations__"))?.extract()?;
        let declared = |name: &str| -> PyResult<String> {
            annotations
                .get_item(name)?
                .map_or_else(|| Ok("unannotated".to_owned()), |it| describe(&it))
        };
        for parameter in parameters.all.iter().filter(|parameter| options.takes(&parameter.name)) {
            self.text(Kind::Signature, &parameter.name, &declared(&parameter.name)?)?;
        }
        self.text(Kind::Signature, "return", &declared("return")?)
    }

    fn interpreter(&mut self, py: Python<'_>) -> PyResult<()> {
        let version = py.version_info();
        self.text(Kind::Environment, "python", &format!("{}.{}", version.major, version.minor))?;
        // It leaves out `assert`, and docstrings at the second level.
        let flags = py.import(intern!(py, "sys"))?.getattr(intern!(py, "flags"))?;
        match flags.getattr(intern!(py, "optimize"))?.extract()? {
            0_u8 => Ok(()),
            level => self.text(Kind::Environment, "optimize", &level.to_string()),
        }
    }

    fn environment(&mut self, options: &Options) -> PyResult<Vec<(String, Option<OsString>)>> {
        let mut seen = Vec::new();
        for name in options.env.iter().flatten() {
            let value = std::env::var_os(name);
            let mut hasher = Hasher::new(Context::Value);
            match &value {
                Some(value) => hasher.tag(1).framed(value.as_encoded_bytes()),
                None => hasher.tag(0),
            };
            // Variables are where people keep secrets: never shown.
            self.add(Kind::Environment, &format!("env {name}"), hasher.finish(), Preview::Hidden)?;
            seen.push((name.clone(), value));
        }
        Ok(seen)
    }

    fn packages(&mut self, py: Python<'_>, options: &Options) -> PyResult<()> {
        for name in options.packages.iter().flatten() {
            let metadata = py.import("importlib.metadata")?;
            let version: String = metadata.call_method1("version", (name,))?.extract()?;
            self.text(Kind::Environment, &format!("package {name}"), &version)?;
        }
        Ok(())
    }

    fn files(&mut self, py: Python<'_>, options: &Options) -> PyResult<()> {
        for path in options.files.iter().flatten() {
            let failed = |error| unreadable("files", path, &error);
            let named = Named::look(path).map_err(failed)?;
            let bytes = py.detach(|| std::fs::read(path)).map_err(failed)?;
            let preview = Preview::text(format!("{} bytes", bytes.len()));
            self.add(Kind::Files, path, Digest::of_blob(&bytes), preview)?;
            self.named.push(named.holding(&bytes));
        }
        Ok(())
    }
}

fn unreadable(field: &str, path: &str, error: &std::io::Error) -> PyErr {
    PyValueError::new_err(format!(
        "cannot read {path:?}, named in Cache({field}=…): {error}. Correct the path, or take it out"
    ))
}

/// A declared type, in words that do not depend on how the interpreter shows it.
pub(super) fn describe(annotation: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = annotation.py();
    if annotation.is_none() {
        return Ok("None".to_owned());
    }
    if let Ok(text) = annotation.cast::<PyString>() {
        return Ok(text.to_string_lossy().into_owned());
    }
    let origin = annotation.getattr_opt(intern!(py, "__origin__"))?;
    let args = annotation.getattr_opt(intern!(py, "__args__"))?;
    if let Some(args) = args.and_then(|args| args.cast_into::<PyTuple>().ok()) {
        let inner: PyResult<Vec<_>> = args.iter().map(|arg| describe(&arg)).collect();
        let outer = match origin {
            Some(origin) => describe(&origin)?,
            None => named(annotation.get_type().as_any())?,
        };
        return Ok(format!("{outer}[{}]", inner?.join(", ")));
    }
    if annotation.cast::<PyType>().is_ok() {
        return named(annotation);
    }
    match annotation.getattr_opt(intern!(py, "__name__"))? {
        Some(name) => name.extract(),
        None => named(annotation.get_type().as_any()),
    }
}

fn named(class: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = class.py();
    let module: String = class.getattr(intern!(py, "__module__"))?.extract()?;
    let name: String = class.getattr(intern!(py, "__qualname__"))?.extract()?;
    Ok(format!("{}.{name}", imported_as(py, &module)?))
}

/// The value digest of a module constant; `None` if it has none.
pub fn encode_constant(value: &Bound<'_, PyAny>) -> Option<Digest> {
    let mut writer = plain::Writer::new();
    Around::new(None).encode(value, "constant", &mut writer).ok()?;
    plain::digest(writer.as_bytes()).ok()
}

/// The encoding of a result, with the classes of the project whose instances it holds: what takes
/// it counts with the code that they have then.
///
/// # Errors
///
/// What has no digest.
pub fn encode_result(value: &Bound<'_, PyAny>) -> Result<Encoded, Unhashable> {
    let mut writer = plain::Writer::new();
    let mut around = Around::new(None);
    digest::encode(value, "result", &mut writer, &mut around)?;
    let (classes, codes) =
        named_and_not(value.py(), &around.classes).map_err(|error| of_class("result", error))?;
    let bytes = match digest_of_codes(codes) {
        Some(code) => encoding_with_code(writer.as_bytes(), &code),
        None => writer.into_bytes(),
    };
    let classes = classes.into_iter().collect();
    Ok(Encoded { bytes, classes, has_attributes: around.has_attributes })
}

/// The names of classes, and the code of those that have none, which counts as it is now: nobody
/// can ask for it later.
fn named_and_not(
    py: Python<'_>,
    classes: &[Py<PyAny>],
) -> PyResult<(BTreeSet<String>, Vec<Digest>)> {
    let (mut names, mut codes) = (BTreeSet::new(), Vec::new());
    for class in classes {
        match project_class(class.bind(py))? {
            Some(name) => _ = names.insert(name),
            None => codes.extend(code_of_class(class.bind(py), &encode_constant)?),
        }
    }
    Ok((names, codes))
}

fn of_class(name: &str, error: PyErr) -> Unhashable {
    Unhashable {
        path: name.to_owned(),
        type_name: "class".to_owned(),
        reason: Reason::Raised(Box::new(error)),
    }
}

/// Python's answer to what the code of a class is.
pub struct PythonClasses;

impl ClassCode for PythonClasses {
    fn code(&self, class: &str) -> Option<Digest> {
        Python::attach(|py| code_of_named(py, class, &encode_constant).ok().flatten())
    }
}

/// The digest of the code of a hook of a registered type.
///
/// # Errors
///
/// What cannot be followed.
pub fn encode_hook(hook: &Bound<'_, PyAny>) -> PyResult<Digest> {
    code_of_hook(hook, &encode_constant)
}

/// Takes a handle and gives its number.
pub type Numbering<'a> = dyn FnMut(&Bound<'_, Handle>) -> u64 + 'a;

/// What values are encoded in the midst of: files, code, and the handles of a workflow.
pub struct Around<'a, 'b> {
    edges: Option<&'a mut Numbering<'b>>,
    classes: Vec<Py<PyAny>>,
    arguments: Option<on_disk::Arguments<'a>>,
    has_attributes: bool,
}

impl<'a, 'b> Around<'a, 'b> {
    /// Surroundings with this numbering of handles, or where no handle may stand.
    pub fn new(edges: Option<&'a mut Numbering<'b>>) -> Self {
        Self { edges, classes: Vec::new(), arguments: None, has_attributes: false }
    }

    /// As [`Around::new`], of arguments, whose files are remembered. Bodies for which this thread
    /// runs depend on their content.
    pub fn of_arguments(edges: Option<&'a mut Numbering<'b>>) -> Self {
        Self::of_arguments_with(edges, &[])
    }

    /// As [`Around::of_arguments`], with files that are not looked at again.
    pub fn of_arguments_with(
        edges: Option<&'a mut Numbering<'b>>,
        known: &'a [on_disk::Argument],
    ) -> Self {
        let arguments = on_disk::Arguments { known, met: Vec::new() };
        Self { arguments: Some(arguments), ..Self::new(edges) }
    }

    /// The files among the arguments, as they entered the encodings.
    pub fn into_files(self) -> Vec<on_disk::Argument> {
        self.arguments.map(|arguments| arguments.met).unwrap_or_default()
    }

    /// Appends the encoding of an argument or result. Instances of classes of the project count
    /// with the code of their classes.
    ///
    /// # Errors
    ///
    /// What has no digest.
    pub fn encode(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
        writer: &mut plain::Writer,
    ) -> Result<(), Unhashable> {
        self.classes.clear();
        digest::encode(value, name, writer, self)?;
        if self.classes.is_empty() {
            return Ok(());
        }
        let code = self.code_of_classes(value.py()).map_err(|error| of_class(name, error))?;
        if let Some(code) = code {
            let encoding = std::mem::take(writer).into_bytes();
            writer.encoded(&encoding_with_code(&encoding, &code));
        }
        Ok(())
    }

    fn code_of_classes(&mut self, py: Python<'_>) -> PyResult<Option<Digest>> {
        let mut codes = Vec::new();
        for class in std::mem::take(&mut self.classes) {
            codes.extend(code_of_class(class.bind(py), &encode_constant)?);
        }
        Ok(digest_of_codes(codes))
    }
}

impl Surroundings for Around<'_, '_> {
    fn stand_in(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<StandIn>> {
        if let Ok(handle) = value.cast::<Handle>() {
            let Some(edges) = &mut self.edges else {
                return Err(super::error::HandleError::new_err(
                    "the output of a task that has not run yet has no value here: call this inside the workflow",
                ));
            };
            return Ok(Some(StandIn::Edge(edges(handle))));
        }
        match value.cast::<Task>() {
            Ok(task) => callable(task.get(), value.py()).map(Some),
            Err(_) => {
                let encoding = match &mut self.arguments {
                    Some(arguments) => arguments.encoding(value)?,
                    None => codec::file_encoding(value)?,
                };
                Ok(encoding.map(StandIn::Encoding))
            }
        }
    }

    fn code(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Option<Digest>> {
        let closure = match Closure::of(object, Depth::Closure, &encode_constant) {
            Ok(closure) => closure,
            Err(_) => return Ok(None),
        };
        Ok(Some(closure.digest()))
    }

    fn met(&mut self, code: &Bound<'_, PyAny>) {
        // A function that a record could not name would count only where no record is.
        let is_named = || project_class(code).is_ok_and(|name| name.is_some());
        if code.is_instance_of::<PyType>() || is_named() {
            self.classes.push(code.clone().unbind());
        }
    }

    fn met_attributes(&mut self) {
        self.has_attributes = true;
    }
}

/// A task that is passed to another is what it does, which its name does not tell.
fn callable(task: &Task, py: Python<'_>) -> PyResult<StandIn> {
    let definition = task.definition();
    let mut hasher = Hasher::new(Context::Code);
    hasher.framed(task.name().as_bytes());
    if definition.version.is_none() {
        let (function, beside) = (task.function.bind(py), task.beside(py)?);
        let ignored = task.ignored(py)?;
        let closure = Closure::with(function, &ignored, &beside, Depth::Closure, &encode_constant)?;
        hasher.tag(0).digest(&closure.digest());
    }
    if let Some(settings) = task.settings(py)? {
        hasher.tag(1).digest(&settings.digest);
    }
    let mut writer = plain::Writer::new();
    writer.typed("thrifty.Task");
    writer.digest(&hasher.finish());
    Ok(StandIn::Encoding(writer.into_bytes()))
}
