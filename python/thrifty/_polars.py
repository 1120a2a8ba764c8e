"""Frames and series of polars as an Arrow IPC file (codec ``polars/1``).

Imported only once such a value is stored or loaded.
"""

# polars may be absent where this is checked.
# pyright: reportMissingImports=false
from __future__ import annotations

import io
from typing import Any

import polars as pl


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
    return (is_series,), [stream.getbuffer()], False


def put_together(description: Any, buffers: list[Any], _pickles: bool) -> Any:
    """The value of which the description and buffer are."""
    (is_series,) = description
    (buffer,) = buffers
    frame = pl.read_ipc(io.BytesIO(buffer))
    return frame.to_series() if is_series else frame
