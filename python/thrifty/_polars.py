"""Frames and series of polars as an Arrow IPC file (codec ``polars/1``).

Imported only once such a value is stored or loaded.
"""

# polars may be absent where this is checked.
# pyright: reportMissingImports=false
from __future__ import annotations

import io
from typing import Any

import polars as pl

_LARGE = 4 << 20
"""From so many bytes on, loading pyarrow costs less than the copy that polars makes."""

_COMMON = (
    pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Datetime, pl.Duration,
    pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
    pl.Float32, pl.Float64,
)  # fmt: skip
"""The types that Arrow has too, and gives back as they were."""


def take_apart(value: Any) -> tuple[Any, list[Any], bool] | None:
    """Description, buffers, and that none is a pickle; ``None`` for what Arrow cannot hold."""
    is_series = type(value) is pl.Series
    frame = value.to_frame() if is_series else value
    if type(frame) is not pl.DataFrame or not frame.width:
        return None
    stream = io.BytesIO()
    try:
        frame.write_ipc(stream, compression="uncompressed")
    except pl.exceptions.PolarsError:
        return None
    is_common = all(dtype.base_type() in _COMMON for dtype in frame.dtypes)
    return (is_series, is_common), [stream.getbuffer()], False


def put_together(description: Any, buffers: list[Any], _pickles: bool) -> Any:
    """The value of which the description and buffer are."""
    is_series, is_common = description
    (buffer,) = buffers
    frame = _in_place(buffer) if is_common and len(buffer) >= _LARGE else None
    if frame is None:
        frame = pl.read_ipc(io.BytesIO(buffer))
    return frame.to_series() if is_series else frame


def _in_place(buffer: Any) -> Any:
    """The frame over the memory itself; ``None`` without pyarrow, which alone reads it there."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    with pa.ipc.open_file(pa.py_buffer(buffer)) as file:
        return pl.from_arrow(file.read_all(), rechunk=False)
