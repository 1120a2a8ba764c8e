//! Commands in containers: `podman` or `docker`, whichever is on the path.
//!
//! An image counts by what it holds, never by its name: the engine is asked for its id before
//! anything runs, the id enters the key, and the container is started from that id. The directory
//! of the attempt, what its links lead to and the code are there under the paths they have
//! outside; of those, the command can write to its own directory alone.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::endurance::{ARTIFACTS, CHECKPOINTS};
use crate::error::{FileError, Place, PrepareError};

/// The long form of an image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LongImage {
    /// Its name, such as `docker.io/library/python:3.13`.
    name: String,
    /// Whether the command may use the network; it may not unless this is `true`.
    #[serde(default)]
    network: bool,
}

/// The image of a container, as a file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageText {
    /// Its name; a template over the parameters of the pipeline.
    pub name: String,
    /// Whether there is a network.
    pub network: bool,
}

impl From<String> for ImageText {
    fn from(name: String) -> Self {
        Self { name, network: false }
    }
}

impl TryFrom<LongImage> for ImageText {
    type Error = &'static str;

    fn try_from(LongImage { name, network }: LongImage) -> Result<Self, Self::Error> {
        Ok(Self { name, network })
    }
}

/// The image of a container, and where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Whether there is a network.
    pub network: bool,
    /// Where that is said.
    pub place: Place,
}

impl Image {
    /// An image of this name.
    pub(crate) fn read(place: Place, name: String, network: bool) -> Result<Self, FileError> {
        // What begins so would be an option.
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
            let reason = format!("`image`: `{name}` is no name of an image");
            return Err(FileError::Meaning { place, reason });
        }
        Ok(Self { name, network, place })
    }
}

/// What starts containers, and the images that were asked for so far.
#[derive(Default)]
pub(crate) struct Containers {
    program: Option<PathBuf>,
    ids: BTreeMap<String, String>,
}

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    program: PathBuf,
    /// The digest of what the image is made of.
    pub(crate) id: String,
    pub(crate) network: bool,
}

impl Containers {
    /// The image that an operation names.
    pub(crate) fn find(&mut self, image: &Image) -> Result<Container, PrepareError> {
        let refused = |reason| PrepareError::Refused { place: image.place.clone(), reason };
        let program = match &self.program {
            Some(program) => program.clone(),
            None => engine(env::var_os("PATH")).ok_or_else(|| {
                refused("`image` needs podman or docker, and neither is on the PATH".to_owned())
            })?,
        };
        self.program = Some(program.clone());
        let id = match self.ids.get(&image.name) {
            Some(id) => id.clone(),
            None => id_of(&program, &image.name).map_err(refused)?,
        };
        self.ids.insert(image.name.clone(), id.clone());
        Ok(Container { program, id, network: image.network })
    }
}

/// The first container engine on a path.
fn engine(path: Option<OsString>) -> Option<PathBuf> {
    let path = path?;
    let places: Vec<_> = env::split_paths(&path).collect();
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    ["podman", "docker"].iter().find_map(|name| places.iter().map(|it| it.join(name)).find(runs))
}

fn id_of(program: &Path, name: &str) -> Result<String, String> {
    let shown = program.display();
    let asked = process::Command::new(program)
        .args(["image", "inspect", "--format", "{{.Id}}", name])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    let text = String::from_utf8_lossy(&asked.stdout);
    let id = text.trim();
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        let said = said.trim().lines().last().unwrap_or_default().to_owned();
        return Err(format!(
            "image `{name}` is not there ({said}): get it with `{shown} pull {name}`"
        ));
    }
    if id.len() == 64 && id.bytes().all(|it| it.is_ascii_hexdigit()) {
        Ok(id.to_owned())
    } else {
        Err(format!("{shown} does not say the id of image `{name}`: it said `{id}`"))
    }
}

/// A container of one attempt.
pub(crate) struct Started<'a> {
    container: &'a Container,
    name: String,
}

impl Container {
    /// The container of the attempt that has this directory.
    pub(crate) fn started(&self, place: &Path) -> Started<'_> {
        let above = place.parent().and_then(Path::file_name).unwrap_or_default();
        let name = format!("thrifty-{}-{}", process::id(), above.to_string_lossy());
        Started { container: self, name }
    }
}

impl Started<'_> {
    /// The process that runs these words in the container, in `place`, with these variables. It has
    /// itself all those of the caller, which say where images are.
    pub(crate) fn process(
        &self,
        words: &[String],
        place: &Path,
        env: &[(String, OsString)],
    ) -> process::Command {
        let mut process = process::Command::new(&self.container.program);
        process.args(["run", "--rm", "--pull", "never", "--name", &self.name]);
        process.args(["--security-opt", "label=disable", "--tmpfs", "/tmp"]);
        if !self.container.network {
            process.args(["--network", "none"]);
        }
        process.args(as_caller(&self.container.program));
        process.arg("--workdir").arg(place);
        for (path, target, may_write) in mounts(place, env) {
            process.arg("--mount").arg(mount(&path, &target, may_write));
        }
        for (name, value) in env {
            // Values are not for everybody who lists processes, unless the engine would take the
            // variable for its own.
            let is_its_own = env::var_os(name).is_some_and(|own| own != *value);
            let mut said = OsString::from(name);
            if is_its_own {
                said.push("=");
                said.push(value);
            } else {
                process.env(name, value);
            }
            process.arg("--env").arg(said);
        }
        if let Some((program, arguments)) = words.split_first() {
            process.args(["--entrypoint", program, &self.container.id]).args(arguments);
        }
        process
    }

    /// Ends the container. One that is gone needs no end.
    pub(crate) fn kill(&self) {
        for words in [["kill", "--signal=KILL"], ["rm", "--force"]] {
            let mut process = process::Command::new(&self.container.program);
            process.args(words).arg(&self.name).stdin(Stdio::null());
            _ = process.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// Options by which files in the directory belong to who started the run.
fn as_caller(program: &Path) -> Vec<String> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let is_podman = program.file_name() == Some(OsStr::new("podman"));
    if is_podman && !user.is_root() {
        return vec!["--userns=keep-id".to_owned()];
    }
    vec!["--user".to_owned(), format!("{}:{}", user.as_raw(), group.as_raw())]
}

/// What the container sees of the files outside: a path, where it is seen, and whether it may be
/// written to.
fn mounts(place: &Path, env: &[(String, OsString)]) -> Vec<(PathBuf, PathBuf, bool)> {
    let mut links = BTreeSet::new();
    collect_links(place, &mut links);
    let modules = env.iter().find(|(name, _)| name == "PYTHONPATH");
    let modules: Vec<_> = modules.iter().flat_map(|(_, path)| env::split_paths(path)).collect();
    let modules = modules.into_iter().filter(|path| path.is_absolute());
    // What outlasts the attempt is written to.
    let lasting = env.iter().filter(|(name, _)| [CHECKPOINTS, ARTIFACTS].contains(&name.as_str()));
    let lasting: Vec<_> = lasting.filter_map(|(_, link)| fs::read_link(link).ok()).collect();
    let mut mounts = vec![(place.to_owned(), place.to_owned(), true)];
    // What lies within another is there with it, unless it leads out of it.
    for target in modules.chain(links) {
        let Ok(path) = target.canonicalize() else { continue };
        let within = |(_, other, _): &(PathBuf, PathBuf, bool)| {
            target.starts_with(other) && path.starts_with(other)
        };
        if !mounts.iter().any(within) {
            let may_write = lasting.contains(&target);
            mounts.push((path, target, may_write));
        }
    }
    mounts
}

/// The absolute paths that links in a directory lead to.
fn collect_links(directory: &Path, links: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => {
                links.extend(fs::read_link(&path).ok().filter(|target| target.is_absolute()));
            }
            Ok(kind) if kind.is_dir() => collect_links(&path, links),
            _ => {}
        }
    }
}

/// A mount as both engines read it: a line of comma-separated values.
fn mount(path: &Path, target: &Path, may_write: bool) -> String {
    let quoted = |name: &str, path: &Path| {
        let text = format!("{name}={}", path.display());
        match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        }
    };
    let access = if may_write { "" } else { ",readonly" };
    format!("type=bind,{},{}{access}", quoted("source", path), quoted("target", target))
}

/// What a container says about the key: the image by what it holds, and whether there is a
/// network.
pub(crate) fn described(name: &str, container: &Container) -> (String, String) {
    let network = if container.network { " with a network" } else { "" };
    let id = &container.id;
    (format!("{id}{network}"), format!("{name} ({}){network}", &id[..id.len().min(12)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_with_a_comma_stays_one() {
        let path = Path::new;
        assert_eq!(
            mount(path("/a b"), path("/c"), false),
            "type=bind,source=/a b,target=/c,readonly"
        );
        assert_eq!(
            mount(path("/a,\"b"), path("/c"), true),
            "type=bind,\"source=/a,\"\"b\",target=/c"
        );
    }
}
