//! Did the project ask for it? Read from the frames between what happens and the project's code.

use std::path::Path;

use pyo3::prelude::*;

use super::frame::Frame;
use super::handed::{Given, Search};
use super::recorder::Way;
use super::whose::{Whose, whose};

/// What happens.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A file or directory is looked at.
    Path(&'a Path),
    /// A variable is read.
    Variable(&'a str),
    /// The path of the working directory is taken.
    WorkingDirectory,
    /// Something that cannot be followed.
    Act,
}

/// Who asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// The project itself.
    Directly,
    /// The project, by handing it over.
    By(Given),
    /// A library, Python or Thrifty, for itself.
    No,
}

/// The code that is nearest to what happens, apart from `os`.
pub(super) struct Nearest {
    whose: Option<Whose>,
    /// Where it is.
    pub(super) position: Option<(usize, usize)>,
    /// Whether `os` goes through all variables for it.
    pub(super) goes_through: bool,
}

impl Nearest {
    /// Whether it is of an installed distribution.
    pub(super) fn is_installed(&self) -> bool {
        self.whose == Some(Whose::Installed)
    }

    /// Whether it is of the project.
    pub(super) fn is_project(&self) -> bool {
        matches!(self.whose, None | Some(Whose::Project))
    }

    /// Whether it is of the standard library.
    pub(super) fn is_library(&self) -> bool {
        !matches!(self.whose, None | Some(Whose::Project | Whose::Installed))
    }
}

/// Functions of Python that ask whether something is there.
const PRESENCE: [&str; 11] = [
    "exists",
    "lexists",
    "isfile",
    "isdir",
    "islink",
    "ismount",
    "is_file",
    "is_dir",
    "is_symlink",
    "is_mount",
    "resolve",
];
/// Functions that ask only in order to make or remove what they ask for.
const MAKING: [&str; 6] = ["makedirs", "mkdir", "removedirs", "rmtree", "touch", "unlink"];

/// Functions that look for links on their way: where one leads is told by the reading of it, and
/// which of the names in a directory are links by the listing.
const PASSING: [&str; 5] = ["realpath", "_joinrealpath", "walk", "_walk", "_fwalk"];

/// Why something is asked about a path, `way` unless a function of Python says otherwise; `None`
/// if for nothing that decides about a result.
pub(super) fn purpose(py: Python<'_>, mut way: Way) -> PyResult<Option<Way>> {
    let mut next = Frame::innermost(py);
    while let Some(frame) = next {
        match whose(&frame)? {
            Whose::System | Whose::Paths | Whose::Standard => {}
            Whose::Import | Whose::Private | Whose::Own => return Ok(None),
            Whose::Project => break,
            // What a library asks about before native code reads it, of which nobody is told.
            Whose::Installed => return Ok(Some(Way::Facts)),
        }
        let function = frame.function()?;
        if MAKING.contains(&function.as_str()) {
            return Ok(None);
        }
        if PRESENCE.contains(&function.as_str()) {
            way = Way::Presence;
        }
        next = frame.caller();
    }
    Ok(Some(way))
}

/// Why something is asked about what is at a path itself, even if it is a link. Libraries ask on
/// their way to what they read, of which they tell.
pub(super) fn purpose_of_link(py: Python<'_>) -> PyResult<Vec<Way>> {
    let mut next = Frame::innermost(py);
    while let Some(frame) = next {
        match whose(&frame)? {
            Whose::System | Whose::Paths => {}
            Whose::Installed => return Ok(Vec::new()),
            _ => break,
        }
        if PASSING.contains(&frame.function()?.as_str()) {
            return Ok(Vec::new());
        }
        next = frame.caller();
    }
    Ok(match purpose(py, Way::Facts)? {
        // Its presence tells where it leads if it is a link.
        Some(Way::Facts) => vec![Way::Facts, Way::Presence],
        other => other.into_iter().collect(),
    })
}

/// Whether code of the project itself called the function that runs now.
pub(super) fn is_called_by_project(py: Python<'_>) -> PyResult<bool> {
    let caller = Frame::innermost(py).and_then(|frame| frame.caller());
    caller.map_or(Ok(false), |caller| Ok(whose(&caller)? == Whose::Project))
}

/// Libraries whose native code reads directories and patterns by itself.
const NATIVE: [&str; 3] = ["pandas", "polars", "pyarrow"];
/// How the names of their functions begin that write where they are told to.
const WRITING: [&str; 3] = ["sink", "to_parquet", "write"];

/// How a library looks at a path of which it makes another one.
pub(super) fn use_of_path(py: Python<'_>) -> PyResult<Way> {
    let mut way = Way::Facts;
    let mut next = Frame::innermost(py);
    while let Some(frame) = next {
        match whose(&frame)? {
            Whose::Installed => {
                let module = frame.global("__name__").unwrap_or_default();
                if NATIVE.contains(&module.split('.').next().unwrap_or_default()) {
                    way = Way::Whole;
                }
                let function = frame.function()?;
                if WRITING.iter().any(|begin| function.starts_with(begin)) {
                    return Ok(Way::Facts);
                }
            }
            Whose::Project => break,
            _ => {}
        }
        next = frame.caller();
    }
    Ok(way)
}

/// Functions that read all variables, one by one.
const THROUGH: [&str; 4] = ["__iter__", "copy", "__or__", "__ror__"];

/// The code that is nearest to what happens.
pub(super) fn nearest(py: Python<'_>) -> PyResult<Nearest> {
    let mut goes_through = false;
    let mut next = Frame::innermost(py);
    while let Some(frame) = next {
        let whose = whose(&frame)?;
        if whose != Whose::System {
            let position = frame.position();
            return Ok(Nearest { whose: Some(whose), position, goes_through });
        }
        goes_through |= THROUGH.contains(&frame.function()?.as_str());
        next = frame.caller();
    }
    Ok(Nearest { whose: None, position: None, goes_through })
}

/// Frames looked at; what lies deeper counts as asked for.
const DEEP: usize = 1_000;

/// Who asked for what happens in the innermost frame.
pub(super) fn asked(py: Python<'_>, subject: Subject<'_>) -> PyResult<Asked> {
    let mut between: Vec<(Frame<'_>, Whose)> = Vec::new();
    let mut next = Frame::innermost(py);
    let mut is_cut = true;
    while let Some(frame) = next.filter(|_| between.len() < DEEP) {
        let mut whose = whose(&frame)?;
        if whose == Whose::Import && between.is_empty() && frame.function()? == "get_data" {
            // A resource of a package, which is not imported: whoever called this reads it.
            whose = Whose::Standard;
        }
        match whose {
            Whose::Project => {
                is_cut = false;
                break;
            }
            Whose::Import | Whose::Private => return Ok(Asked::No),
            Whose::Own if between.iter().any(|(_, whose)| *whose == Whose::Installed) => {
                is_cut = false;
                break;
            }
            Whose::Own => return Ok(Asked::No),
            Whose::System | Whose::Paths | Whose::Standard | Whose::Installed => {}
        }
        next = frame.caller();
        between.push((frame, whose));
    }
    match judge(py, subject, &between)? {
        // A thread that a library started: who handed it what is not to be seen any more.
        Asked::No if is_cut && matches!(subject, Subject::Path(_)) => Ok(Asked::Directly),
        judged => Ok(judged),
    }
}

/// The frames between, innermost first, belong neither to the project nor to what reads for
/// itself.
fn judge(py: Python<'_>, subject: Subject<'_>, between: &[(Frame<'_>, Whose)]) -> PyResult<Asked> {
    let outermost =
        |keeps: &dyn Fn(Whose) -> bool| between.iter().rposition(|(_, whose)| !keeps(*whose));
    let by = |first: Option<usize>, otherwise: Asked| {
        let given = handed(py, subject, &between[first.unwrap_or(0)..])?;
        Ok(given.map_or(otherwise, Asked::By))
    };
    match subject {
        Subject::Act => Ok(match outermost(&|whose| whose != Whose::Installed) {
            None => Asked::Directly,
            Some(_) => Asked::By(Given::default()),
        }),
        Subject::WorkingDirectory => {
            let other = outermost(&|whose| matches!(whose, Whose::System | Whose::Paths));
            Ok(if other.is_none() { Asked::Directly } else { Asked::No })
        }
        Subject::Variable(name) => {
            match outermost(&|whose| matches!(whose, Whose::System | Whose::Paths)) {
                None => Ok(Asked::Directly),
                Some(_) if name == "PATH" && looks_for_program(between)? => Ok(Asked::Directly),
                first => by(first, Asked::No),
            }
        }
        Subject::Path(_) => match outermost(&|whose| whose != Whose::Installed) {
            // Python may have made it absolute.
            None => by(None, Asked::Directly),
            first => by(first, Asked::No),
        },
    }
}

/// Whether the project has `shutil.which` look for a program.
fn looks_for_program(between: &[(Frame<'_>, Whose)]) -> PyResult<bool> {
    match between.last() {
        Some((frame, Whose::Standard)) => Ok(frame.function()? == "which"),
        _ => Ok(false),
    }
}

/// Whether a parameter of one of the frames leads to the subject.
fn handed(
    py: Python<'_>,
    subject: Subject<'_>,
    frames: &[(Frame<'_>, Whose)],
) -> PyResult<Option<Given>> {
    let mut search = Search::new(py, subject);
    for (frame, _) in frames.iter().rev() {
        for argument in frame.arguments()? {
            if let Some(given) = search.find(&argument) {
                return Ok(Some(given));
            }
        }
    }
    Ok(None)
}
