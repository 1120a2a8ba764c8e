//! Names whose first binding the rest of the module may undo.

use std::collections::HashSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, ExprContext, Parameters, Stmt};

use super::{Binding, dotted};

/// What statements anywhere in a module, function bodies included, do to its names.
///
/// A local of the same name is taken for the module's: that only leaves a doubt.
#[derive(Default)]
pub(super) struct Changes {
    /// Declared `global` in a function or class.
    rebound: HashSet<String>,
    /// Changed in place.
    changed: HashSet<String>,
    /// Attributes of it are assigned or deleted.
    assigned: HashSet<String>,
    /// Mentioned while the module is imported: outside of functions, or in a default.
    mentioned: HashSet<String>,
    /// Something looks names up, or binds them, by text.
    by_name: bool,
    /// Number of functions and lambdas around, whose bodies run later or never.
    functions: usize,
}

/// Methods of lists, dicts and sets that change them, sorted.
const CHANGING: [&str; 19] = [
    "__delitem__",
    "__ior__",
    "__setitem__",
    "add",
    "append",
    "clear",
    "difference_update",
    "discard",
    "extend",
    "insert",
    "intersection_update",
    "pop",
    "popitem",
    "remove",
    "reverse",
    "setdefault",
    "sort",
    "symmetric_difference_update",
    "update",
];

impl Changes {
    /// Whether a name may be bound again by something that is no binding in the module's body.
    pub(super) fn may_rebind(&self, name: &str) -> bool {
        self.by_name || self.rebound.contains(name)
    }

    /// Whether something assigns attributes of what has a name.
    pub(super) fn assigns_to(&self, name: &str) -> bool {
        self.assigned.contains(name)
    }

    /// Whether a name may mean something else, in the end, than its binding in the body says.
    pub(super) fn undo(&self, name: &str, binding: &Binding) -> bool {
        let mutable = match binding {
            Binding::Literal { mutable, .. } => mutable,
            // The live object that a decorator made often has no digest; it is compared with the text
            // wherever the module is loaded.
            Binding::Class { .. } => return self.may_rebind(name),
            Binding::Function { decorators, .. } if decorators.is_empty() => {
                return self.may_rebind(name);
            }
            _ => return self.rebound.contains(name),
        };
        let touched = self.changed.contains(name) || self.mentioned.contains(name);
        self.may_rebind(name) || (*mutable && touched)
    }

    /// Walks what runs when the function is called, not where it is defined.
    fn later(&mut self, walk: impl FnOnce(&mut Self)) {
        self.functions += 1;
        walk(self);
        self.functions -= 1;
    }

    /// A name that is read. `vars` and `locals` in a function are about the function.
    fn read(&mut self, name: &str) {
        let here = self.functions == 0;
        match name {
            "exec" | "globals" => self.by_name = true,
            "locals" | "vars" if here => self.by_name = true,
            _ if here => _ = self.mentioned.insert(name.to_owned()),
            _ => {}
        }
    }
}

impl<'a> Visitor<'a> for Changes {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                for decorator in &function.decorator_list {
                    self.visit_decorator(decorator);
                }
                self.visit_parameters(&function.parameters);
                return self.later(|changes| changes.visit_body(&function.body));
            }
            Stmt::Global(global) => {
                let names = global.names.iter().map(ToString::to_string);
                self.rebound.extend(names);
            }
            Stmt::AugAssign(assign) => self.changed.extend(root(&assign.target)),
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Lambda(lambda) => {
                if let Some(parameters) = &lambda.parameters {
                    self.visit_parameters(parameters);
                }
                return self.later(|changes| changes.visit_expr(&lambda.body));
            }
            Expr::Name(name) if name.ctx == ExprContext::Load => self.read(&name.id),
            Expr::Subscript(subscript) if subscript.ctx != ExprContext::Load => {
                self.changed.extend(root(&subscript.value));
            }
            Expr::Subscript(subscript) => self.by_name |= dotted(&subscript.value) == "sys.modules",
            Expr::Attribute(attribute) if attribute.ctx != ExprContext::Load => {
                self.assigned.extend(root(&attribute.value));
            }
            Expr::Attribute(attribute)
                if CHANGING.binary_search(&attribute.attr.as_str()).is_ok() =>
            {
                self.changed.extend(root(&attribute.value));
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }

    /// Annotations hand nothing to anybody who would change it.
    fn visit_annotation(&mut self, _: &'a Expr) {}

    fn visit_parameters(&mut self, parameters: &'a Parameters) {
        let defaults = parameters.iter_non_variadic_params();
        for default in defaults.filter_map(|parameter| parameter.default.as_deref()) {
            self.visit_expr(default);
        }
    }
}

/// The name with which a chain begins: that of `a["b"].c()["d"]` is `a`.
fn root(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => root(&attribute.value),
        Expr::Subscript(subscript) => root(&subscript.value),
        Expr::Call(call) => root(&call.func),
        _ => None,
    }
}
