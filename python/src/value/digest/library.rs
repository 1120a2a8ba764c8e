//! Which rule the types of other libraries fall under. That of numpy and pandas is in [`super::class`].

use super::class::Rule;

/// Types of pyarrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrow {
    DataType,
    Field,
    Schema,
    Array,
    ChunkedArray,
    RecordBatch,
    Table,
    Scalar,
    Buffer,
}

/// Types of polars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polars {
    DataFrame,
    Series,
    DataType,
}

/// Types of torch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Torch {
    Tensor,
    Module,
    Optimizer,
    Generator,
}

/// Types of other libraries of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Science {
    /// A sparse matrix or array of scipy.
    Sparse,
    /// An image of Pillow.
    Image,
    /// A tree of neighbours of scikit-learn.
    Tree,
    /// A tree of neighbours of scipy.
    SpatialTree,
    /// What scikit-learn makes vectors of texts with.
    Vectorizer,
    /// A bunch of scikit-learn: a dict whose items are attributes.
    Bunch,
}

/// The rule that a class of a library imposes on the instances of a class, its own or one
/// derived from it; `root` is the package of the latter.
pub(super) fn rule(root: &str, module: &str, name: &str) -> Option<Rule> {
    let own = module.split('.').next().unwrap_or_default();
    let is_exact = own == root;
    match own {
        "pyarrow" => arrow(name).map(Rule::Arrow),
        "polars" if is_exact => polars(name),
        "torch" => torch(module, name),
        "scipy" if is_exact && matches!(name, "sparray" | "spmatrix") => {
            Some(Rule::Science(Science::Sparse))
        }
        "scipy" if name == "cKDTree" => Some(Rule::Science(Science::SpatialTree)),
        "PIL" if is_exact && name == "Image" => Some(Rule::Science(Science::Image)),
        "sklearn" if name.starts_with("BinaryTree") => Some(Rule::Science(Science::Tree)),
        "sklearn" if name == "_VectorizerMixin" => Some(Rule::Science(Science::Vectorizer)),
        "sklearn" if is_exact && name == "Bunch" => Some(Rule::Science(Science::Bunch)),
        _ => None,
    }
}

/// What to do instead of passing a value of a class for which there is no rule, if its reduce
/// protocol does not give a canonical state.
pub(super) fn refusal(module: &str) -> Option<&'static str> {
    let (root, rest) = module.split_once('.').unwrap_or((module, ""));
    match root {
        "pyarrow" => Some("pass a table, an array, or a thrifty.File"),
        "polars" => Some("pass a frame or a series"),
        "torch" if ["_C", "jit", "storage"].iter().any(|part| rest.starts_with(part)) => {
            Some("pass tensors, a module or a state dict")
        }
        "tensorflow" | "jax" | "jaxlib" => {
            Some("pass a numpy array, as numpy.asarray(value) gives")
        }
        "ctypes" | "_ctypes" => Some("it is bare memory; pass bytes(value)"),
        _ => None,
    }
}

fn arrow(name: &str) -> Option<Arrow> {
    Some(match name {
        "DataType" => Arrow::DataType,
        "Field" => Arrow::Field,
        "Schema" => Arrow::Schema,
        "Array" => Arrow::Array,
        "ChunkedArray" => Arrow::ChunkedArray,
        "RecordBatch" => Arrow::RecordBatch,
        "Table" => Arrow::Table,
        "Scalar" => Arrow::Scalar,
        "Buffer" => Arrow::Buffer,
        _ => return None,
    })
}

fn polars(name: &str) -> Option<Rule> {
    Some(match name {
        "DataFrame" => Rule::Polars(Polars::DataFrame),
        "Series" => Rule::Polars(Polars::Series),
        "DataType" => Rule::Polars(Polars::DataType),
        // An ordered dict of names and types.
        "Schema" => Rule::Reduce,
        "LazyFrame" => Rule::Refused("it is a plan, not data; pass what collect() gives"),
        _ => return None,
    })
}

fn torch(module: &str, name: &str) -> Option<Rule> {
    Some(match (module, name) {
        ("torch", "Tensor") => Rule::Torch(Torch::Tensor),
        ("torch.nn.modules.module", "Module") => Rule::Torch(Torch::Module),
        ("torch.optim.optimizer", "Optimizer") => Rule::Torch(Torch::Optimizer),
        ("torch._C", "Generator") => Rule::Torch(Torch::Generator),
        _ if module.starts_with("torch.jit") => {
            Rule::Refused("its code is compiled; save it and pass the thrifty.File")
        }
        _ => return None,
    })
}
