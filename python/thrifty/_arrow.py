"""Tables and arrays of pyarrow as an Arrow IPC stream (codec ``arrow/1``).

Imported only once such a value is stored or loaded. What is loaded refers to the stream's memory.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def take_apart(value: Any) -> tuple[Any, list[Any], bool] | None:
    """Description, buffers, and that none is a pickle; ``None`` for what a stream would change."""
    kind = _kind(value)
    if kind is None:
        return None
    schema = value.schema if kind in ("Table", "RecordBatch") else pa.schema({"": value.type})
    if any(_is_extended(field.type) for field in schema):
        # Read where nobody has registered the type, it would be another.
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        if kind == "RecordBatch":
            stream.write_batch(value)
        elif kind == "Array":
            stream.write_batch(pa.record_batch([value], schema=schema))
        elif kind == "Table":
            stream.write_table(value)
        else:
            stream.write_table(pa.table([value], schema=schema))
    return (kind,), [sink.getvalue()], False


def put_together(description: Any, buffers: list[Any], _pickles: bool) -> Any:
    """The value of which the description and buffer are."""
    (kind,) = description
    (buffer,) = buffers
    with pa.ipc.open_stream(pa.py_buffer(buffer)) as stream:
        if kind == "Table":
            return stream.read_all()
        if kind == "ChunkedArray":
            return stream.read_all().column(0)
        batch = stream.read_next_batch()
    return batch if kind == "RecordBatch" else batch.column(0)


def _kind(value: Any) -> str | None:
    for kind in (pa.Table, pa.RecordBatch, pa.ChunkedArray):
        if type(value) is kind:
            return kind.__name__
    is_plain = isinstance(value, pa.Array) and not isinstance(value, pa.ExtensionArray)
    return "Array" if is_plain else None


def _is_extended(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return True
    if pa.types.is_dictionary(kind):
        return _is_extended(kind.value_type)
    return any(_is_extended(kind.field(number).type) for number in range(kind.num_fields))
