//! Which files of the project a module imports, by its text and by what lies there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thrifty_source::LocalImport;

/// The files that the imports of a module lead to, and the names of the modules that are not of
/// the project.
///
/// Python looks in each root in turn. Where a root has a file for the first part of a name, the rest is looked
/// for within it; a part that no file stands for is a name in the module before it.
pub(super) fn resolve(
    path: &Path,
    imports: &[LocalImport],
    roots: &[PathBuf],
) -> (Vec<PathBuf>, BTreeSet<String>) {
    let (mut files, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for import in imports {
        let module = import.module.as_deref().unwrap_or_default();
        let mut parts: Vec<&str> = module.split('.').filter(|part| !part.is_empty()).collect();
        // `from a import b` may take the module `a.b`.
        parts.extend(import.name.as_deref().filter(|name| *name != "*"));
        let Some(first) = parts.first() else { continue };
        if import.level > 0 {
            let above = path.ancestors().nth(import.level as usize);
            files.extend(above.into_iter().flat_map(|directory| along(directory, &parts)));
            continue;
        }
        match roots.iter().map(|root| along(root, &parts)).find(|found| !found.is_empty()) {
            Some(found) => files.extend(found),
            None => _ = foreign.insert((*first).to_owned()),
        }
    }
    files.remove(path);
    (files.into_iter().filter_map(|file| file.canonicalize().ok()).collect(), foreign)
}

/// The files that are run when a dotted name is imported from a directory: packages on the way,
/// and the module.
fn along(directory: &Path, parts: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directory = directory.to_owned();
    for part in parts {
        let package = directory.join(part);
        let init = package.join("__init__.py");
        let module = directory.join(format!("{part}.py"));
        if init.is_file() {
            files.push(init);
        } else if module.is_file() {
            files.push(module);
            return files;
        } else if !package.is_dir() {
            files.extend(compiled(&directory, part));
            return files;
        }
        directory = package;
    }
    files
}

/// The compiled modules of a name: `fast.so`, `fast.cpython-312-x86_64-linux-gnu.so`.
fn compiled(directory: &Path, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(part).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".so"))
    };
    entries.map(|entry| entry.path()).filter(is_one).collect()
}

/// The files that `python -m` runs, if the module is found in one of the roots.
pub(super) fn module(name: &str, roots: &[PathBuf]) -> Vec<PathBuf> {
    let parts: Vec<&str> = name.split('.').collect();
    let found = |root: &PathBuf| {
        let mut files = along(root, &parts);
        let main = root.join(parts.join("/")).join("__main__.py");
        files.extend(main.is_file().then_some(main));
        files
    };
    roots.iter().map(found).find(|files| !files.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use thrifty_source::Module;

    use super::*;

    /// What a text at `path` imports among the files of a tree.
    fn imported(tree: &[&str], path: &str, text: &str) -> (Vec<String>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for file in tree {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), "").unwrap();
        }
        let module = Module::parse(text).unwrap();
        let script = root.join(path);
        let roots = [script.parent().unwrap().to_owned(), root.clone()];
        let (files, foreign) = resolve(&script, &module.whole().imports, &roots);
        let below = |file: PathBuf| file.strip_prefix(&root).unwrap().display().to_string();
        (files.into_iter().map(below).collect(), foreign.into_iter().collect())
    }

    #[test]
    fn imports_lead_to_the_files_that_are_run() {
        let tree = [
            "a.py",
            "p/__init__.py",
            "p/m.py",
            "p/q/__init__.py",
            "p/q/n.py",
            "s/run.py",
            "s/own.py",
            "n/x.py",
        ];
        for (path, text, files, foreign) in [
            ("run.py", "import a, os, numpy.linalg", vec!["a.py"], vec!["numpy", "os"]),
            ("run.py", "import p.m", vec!["p/__init__.py", "p/m.py"], vec![]),
            ("run.py", "from p import m, name", vec!["p/__init__.py", "p/m.py"], vec![]),
            ("run.py", "from p.q import *", vec!["p/__init__.py", "p/q/__init__.py"], vec![]),
            ("run.py", "from n import x", vec!["n/x.py"], vec![]),
            ("s/run.py", "import own, a", vec!["a.py", "s/own.py"], vec![]),
            (
                "p/m.py",
                "from . import q\nfrom .q import n",
                vec!["p/q/__init__.py", "p/q/n.py"],
                vec![],
            ),
            ("p/q/n.py", "from ..m import name\nfrom ... import a", vec!["a.py", "p/m.py"], vec![]),
            ("a.py", "import a", vec![], vec![]),
        ] {
            let found = imported(&tree, path, text);
            let expected = (
                files.into_iter().map(str::to_owned).collect(),
                foreign.into_iter().map(str::to_owned).collect(),
            );
            assert_eq!(found, expected, "{path}: {text}");
        }
    }
}
