"""Tensors of torch as raw memory: codec ``tensor/1``, and inside pickles.

Imported only once a value is stored or loaded while torch is there. Tensors that are loaded lie
in the memory that is handed over, page by page a copy of what is stored.
"""

# torch may be absent where this is checked.
# pyright: reportMissingImports=false
from __future__ import annotations

import copyreg
import ctypes
import io
import math
import pickle
from collections import ChainMap, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from thrifty import _pickles

_PLAIN = (type(None), bool, int, float, str)


def take_apart(value: Any) -> tuple[Any, list[Any], bool] | None:
    """Description, buffers, and that none is a pickle.

    ``None`` for tensors that are more than their elements, and for dicts of anything else.
    """
    parts = _Parts()
    if type(value) is not OrderedDict:
        description = parts.tensor(value)
    elif value and all(type(key) is str for key in value):
        description = parts.state_dict(value)
    else:
        description = None
    return None if description is None else (description, parts.buffers, False)


def put_together(description: Any, buffers: list[Any], _pickles: bool) -> Any:
    """The value of which the description and buffers are."""
    kind, *rest = description
    whole = _Whole(buffers)
    return whole.state_dict(*rest) if kind == "dict" else whole.tensor(description)


def dumps(value: Any, callback: Callable[[pickle.PickleBuffer], Any]) -> bytes:
    """A pickle of protocol 5 whose tensors lie beside it."""
    stream = io.BytesIO()
    pickler = _pickles.Pickler(stream, 5, buffer_callback=callback)
    rules: dict[Any, Any] = {torch.Tensor: _reduce, torch.nn.Parameter: _reduce}
    known: Any = copyreg.dispatch_table
    pickler.dispatch_table = ChainMap(rules, known)
    pickler.dump(value)
    return stream.getvalue()


def _reduce(tensor: Any) -> Any:
    described = _describe(tensor)
    if described is None:
        return tensor.__reduce_ex__(5)
    flat, description = described
    return rebuild, (description, pickle.PickleBuffer(_memory(flat)), tensor.grad)


def rebuild(description: Any, memory: Any, grad: Any) -> Any:
    """The tensor in the memory; named in pickles, and so part of their format."""
    return _made(description, _flat(memory), grad)


class _Parts:
    """The memory of tensors; tensors over the same elements refer to it once."""

    def __init__(self) -> None:
        self.buffers: list[Any] = []
        self.known: dict[Any, int] = {}

    def tensor(self, tensor: Any) -> tuple[Any, ...] | None:
        described = _describe(tensor)
        if described is None:
            return None
        flat, description = described
        grad = None
        if tensor.grad is not None:
            grad = self.tensor(tensor.grad)
            if grad is None:
                return None
        place = (
            tensor.data_ptr(),
            tensor.stride(),
            tensor.is_conj(),
            tensor.is_neg(),
            *description,
        )
        number = self.known.setdefault(place, len(self.buffers))
        if number == len(self.buffers):
            self.buffers.append(_memory(flat))
        return ("tensor", description, number, grad)

    def state_dict(self, tensors: Any) -> tuple[Any, ...] | None:
        metadata = getattr(tensors, "_metadata", None)
        pairs = None if metadata is None else list(metadata.items())
        extra = {name for name in vars(tensors) if name != "_metadata"}
        if extra or not _is_plain(pairs):
            return None
        items = []
        for name, tensor in tensors.items():
            description = self.tensor(tensor)
            if description is None:
                return None
            items.append((name, description))
        return ("dict", items, pairs)


class _Whole:
    def __init__(self, buffers: list[Any]) -> None:
        self.flat = [_flat(memory) for memory in buffers]

    def tensor(self, described: Any) -> Any:
        _, description, number, grad = described
        return _made(description, self.flat[number], None if grad is None else self.tensor(grad))

    def state_dict(self, items: Any, metadata: Any) -> Any:
        tensors: Any = OrderedDict((name, self.tensor(each)) for name, each in items)
        if metadata is not None:
            tensors._metadata = OrderedDict(metadata)
        return tensors


def _describe(tensor: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """The elements in the order of memory, and class, type, shape, order of axes and the rest."""
    kinds = {torch.Tensor: "Tensor", torch.nn.Parameter: "Parameter"}
    kind = kinds.get(type(tensor))
    if (
        kind is None
        or tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_meta
        or tensor.grad_fn is not None
        or tensor._backward_hooks
        or vars(tensor)
    ):
        return None
    plain = tensor.detach().resolve_conj().resolve_neg()
    axes = sorted(range(plain.dim()), key=lambda axis: -plain.stride(axis))
    if not plain.permute(axes).is_contiguous():
        axes = list(range(plain.dim()))
    flat = plain.permute(axes).cpu().contiguous().reshape(-1)
    dtype = tensor.dtype.__reduce__()
    description = (
        kind, dtype, tuple(tensor.shape), tuple(axes), tensor.requires_grad, tensor.device.type,
    )  # fmt: skip
    return flat, description


def _made(description: Any, flat: Any, grad: Any) -> Any:
    kind, dtype, shape, axes, requires_grad, device = description
    strides = [1] * len(shape)
    for outer, inner in zip(reversed(axes[:-1]), reversed(axes[1:]), strict=True):
        strides[outer] = strides[inner] * max(1, shape[inner])
    empty: Any = torch.empty(0, dtype=getattr(torch, dtype))
    if math.prod(shape) * empty.element_size() != flat.nbytes:
        raise ValueError("a tensor and its buffer differ in length")
    tensor: Any = empty.set_(flat.untyped_storage(), 0, shape, strides).to(device)
    if kind == "Parameter":
        tensor = torch.nn.Parameter(tensor, requires_grad)
    elif requires_grad:
        tensor.requires_grad_()
    if grad is not None:
        tensor.grad = grad
    return tensor


def _memory(flat: Any) -> Any:
    """The memory of a contiguous tensor, which it keeps alive."""
    # Not through numpy, which lacks some of the types and may be absent.
    if not flat.nbytes:
        return b""
    memory: Any = (ctypes.c_ubyte * flat.nbytes).from_address(flat.data_ptr())
    memory.owner = flat
    return memoryview(memory).cast("B")


def _flat(memory: Any) -> Any:
    if not len(memory):
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(memory, dtype=torch.uint8)


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(_is_plain(key) and _is_plain(each) for key, each in value.items())
    return type(value) in _PLAIN
