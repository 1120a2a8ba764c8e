//! Imports inside a definition.
//!
//! They bind locals, which may be renamed, to things outside, which are followed: so the binding
//! and its origin are both noted.

use ruff_python_ast as ast;
use ruff_text_size::Ranged;

use super::{Builder, Traits};
use crate::definition::{LocalImport, OpaqueKind};

impl Builder<'_> {
    /// `import a.b, c as d`.
    pub(super) fn import(&mut self, statement: &ast::StmtImport) {
        for alias in &statement.names {
            let module = alias.name.as_str();
            let top = module.split('.').next().unwrap_or(module);
            let (bound, reached) = match &alias.asname {
                Some(name) => (name.as_str(), name.as_str()),
                None => (top, module),
            };
            self.bind(bound, alias.start(), Traits { imported: true, ..Traits::default() });
            let bound_as = self.mangled(reached);
            let module = Some(module.to_owned());
            self.scopes.imports.push(LocalImport { module, level: 0, name: None, bound_as });
        }
    }

    /// `from .m import a as b`.
    pub(super) fn import_from(&mut self, statement: &ast::StmtImportFrom) {
        let module = statement.module.as_ref().map(ToString::to_string);
        for alias in &statement.names {
            let bound = alias.asname.as_ref().unwrap_or(&alias.name);
            self.bind(bound, alias.start(), Traits { imported: true, ..Traits::default() });
            if module.as_deref() == Some("importlib") && alias.name.as_str() == "import_module" {
                self.scopes.opaque.push((alias.start(), OpaqueKind::ImportlibImport));
            }
            let (module, level) = (module.clone(), statement.level);
            let (name, bound_as) = (Some(alias.name.to_string()), self.mangled(bound));
            self.scopes.imports.push(LocalImport { module, level, name, bound_as });
        }
    }
}
