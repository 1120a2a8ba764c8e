//! What the uses of names amount to: references, escapes, places that cannot be followed.
//!
//! A use leads out of the definition if its name is free, if it is bound by an import (whose target
//! is outside), or if it stands in a class body that may fall through to the global. Reporting one
//! reference too many costs a look at a global that does not matter; one too few would lose a
//! dependency.

use std::collections::BTreeSet;

use ruff_text_size::TextSize;

use super::{Held, OUTSIDE, Resolved, ScopeId, ScopeKind, Scopes};
use crate::definition::{Opaque, OpaqueKind, Reference};

/// How a name is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Read, and called with nothing but positional arguments.
    PositionalCall,
    /// Read in any other way, or a part of an attribute chain.
    Load,
    /// Bound, deleted or declared.
    Store,
    /// Named in a text in which something looks names up.
    InText,
}

/// One use of a name, with the attributes read from it.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) scope: ScopeId,
    /// Mangled.
    pub(super) path: Vec<String>,
    pub(super) role: Role,
    pub(super) at: TextSize,
    /// In a class body, at a point where the class surely has bound the name itself.
    pub(super) bound_before: bool,
}

/// A lambda handed to something that calls it by position: if the name is the builtin.
pub(super) struct PositionalLambda {
    pub(super) lambda: ScopeId,
    /// Scope and name of the function called; none if that is the lambda itself.
    pub(super) callee: Option<(ScopeId, String)>,
}

impl Scopes {
    /// Resolves all uses. Nothing about renaming may be asked before.
    pub(super) fn settle(&mut self, lambdas: &[PositionalLambda]) {
        let uses = std::mem::take(&mut self.uses);
        for one in &uses {
            self.count(one);
        }
        self.uses = uses;
        let known = self.scopes.iter().flat_map(|scope| scope.names.values());
        let callees = known.filter(|binding| binding.stores == 1 && !binding.escapes);
        let mut positional: Vec<ScopeId> = callees.filter_map(|binding| binding.callee).collect();
        positional.extend(lambdas.iter().filter_map(|one| match &one.callee {
            None => Some(one.lambda),
            Some((scope, name)) => {
                (self.resolve(*scope, name) == Resolved::Free).then_some(one.lambda)
            }
        }));
        for scope in positional {
            self.scopes[scope].positional = true;
        }
    }

    /// Counts a use towards whether its binding is bound once and only called by position.
    fn count(&mut self, one: &Use) {
        let Resolved::Local(owner) = self.resolve(one.scope, &one.path[0]) else {
            return;
        };
        let Some(binding) = self.scopes[owner].names.get_mut(&one.path[0]) else {
            return;
        };
        match one.role {
            Role::Store => binding.stores += 1,
            Role::PositionalCall if one.path.len() == 1 => {}
            Role::PositionalCall | Role::Load => binding.escapes = true,
            Role::InText => {}
        }
    }

    /// All paths that lead out of the definition, sorted, each once.
    pub(crate) fn references(&self) -> Vec<Reference> {
        self.leading_out(|one| one.role != Role::InText)
    }

    /// Those among them that stand in texts.
    pub(crate) fn in_texts(&self) -> Vec<Reference> {
        self.leading_out(|one| one.role == Role::InText)
    }

    fn leading_out(&self, is_meant: impl Fn(&Use) -> bool) -> Vec<Reference> {
        let out = self.uses.iter().filter(|one| is_meant(one) && self.leads_out(one));
        let paths: BTreeSet<_> = out.map(|one| &one.path).collect();
        paths.into_iter().map(|path| Reference { path: path.clone() }).collect()
    }

    /// Whether the use reaches something that is not the definition's own.
    fn leads_out(&self, one: &Use) -> bool {
        let name = &one.path[0];
        if one.scope == OUTSIDE && one.role == Role::Store {
            return false;
        }
        match self.resolve(one.scope, name) {
            Resolved::Free => !self.is_class_cell(one.scope, name),
            Resolved::Local(owner) => {
                let binding = &self.scopes[owner].names[name];
                let imported = binding.imported && one.role != Role::Store;
                // A class body that reads a name before it binds it reads the global one.
                let falls_through = self.scopes[owner].kind == ScopeKind::Class
                    && binding.held == Held::Local
                    && one.role != Role::Store
                    && !one.bound_before;
                imported || falls_through
            }
        }
    }

    /// Places that cannot be followed, by line.
    pub(crate) fn opaque(&self, line: impl Fn(TextSize) -> u32) -> Vec<Opaque> {
        let free = |one: &&Use| match self.resolve(one.scope, &one.path[0]) {
            Resolved::Free => true,
            Resolved::Local(owner) => self.scopes[owner].names[&one.path[0]].imported,
        };
        let used = self
            .uses
            .iter()
            .filter(|one| !matches!(one.role, Role::Store | Role::InText))
            .filter(free);
        let named = used
            .filter_map(|one| kind_of(&one.path).map(|kind| Opaque { line: line(one.at), kind }));
        let called = self.opaque.iter().map(|&(at, kind)| Opaque { line: line(at), kind });
        named.chain(called).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// What a free path hides, if it is one of the builtins that find things by name.
fn kind_of(path: &[String]) -> Option<OpaqueKind> {
    let name = match path {
        [name] => name.as_str(),
        [module, name] if module == "builtins" || module == "importlib" => name.as_str(),
        _ => return None,
    };
    match name {
        "eval" => Some(OpaqueKind::Eval),
        "exec" => Some(OpaqueKind::Exec),
        "__import__" => Some(OpaqueKind::DunderImport),
        "import_module" => Some(OpaqueKind::ImportlibImport),
        "globals" => Some(OpaqueKind::GlobalsCall),
        "locals" => Some(OpaqueKind::LocalsByName),
        _ => None,
    }
}
