"""Sparse matrices of scipy as their arrays (codec ``sparse/1``).

Imported only once such a matrix is stored or loaded.
"""

# scipy has no stubs.
# pyright: reportMissingTypeStubs=false
from __future__ import annotations

from typing import Any

import scipy.sparse
from thrifty._frame import _Parts, _Unsupported, _Whole

_ARRAYS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "dia": ("data", "offsets"),
}


def take_apart(value: Any) -> tuple[Any, list[Any], bool] | None:
    """Description, buffers, and that none is a pickle; ``None`` for formats without arrays."""
    name = type(value).__name__
    if getattr(scipy.sparse, name, None) is not type(value):
        return None
    parts = _Parts()
    if value.format == "coo":
        arrays = [value.data, *value.coords]
    elif value.format in _ARRAYS:
        arrays = [getattr(value, name) for name in _ARRAYS[value.format]]
    else:
        return None
    try:
        described = [parts.raw(array) for array in arrays]
    except _Unsupported:
        return None
    shape = tuple(int(extent) for extent in value.shape)
    is_canonical = value.format == "coo" and bool(value.has_canonical_format)
    return (name, shape, described, is_canonical), parts.buffers, False


def put_together(description: Any, buffers: list[Any], _pickles: bool) -> Any:
    """The matrix of which the description and buffers are."""
    name, shape, described, is_canonical = description
    whole = _Whole(buffers, pickles=False)
    arrays = [whole.any(array) for array in described]
    kind: type[Any] = getattr(scipy.sparse, name)
    if not issubclass(kind, (scipy.sparse.sparray, scipy.sparse.spmatrix)):
        raise ValueError(f"no sparse matrix {name}")
    make: Any = kind
    if issubclass(kind, (scipy.sparse.coo_array, scipy.sparse.coo_matrix)):
        made = make((arrays[0], tuple(arrays[1:])), shape=shape, copy=False)
        made.coords = tuple(arrays[1:])
        made.has_canonical_format = is_canonical
        return made
    made = make(tuple(arrays), shape=shape, copy=False)
    # The constructor makes indices as narrow as the shape allows.
    for attribute, array in zip(_ARRAYS[made.format], arrays, strict=True):
        setattr(made, attribute, array)
    return made
