"""Features out of raw flights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from . import helpers
from .helpers import SCALE, clip as clip_values

HOLIDAYS = {"01-01", "07-04", "12-25"}
LIMITS: dict[str, float] = {"delay": 6e2, "distance": 0x1F40}


class Source(Protocol):
    def read(self, path: str) -> pd.DataFrame: ...


@dataclass(frozen=True)
class Window:
    """A span of days."""

    days: int = 7
    label: str = field(default="week", repr=False)
    __slots__ = ()

    @property
    def hours(self) -> int:
        local_total = self.days * 24
        return local_total

    @classmethod
    def parse(cls, text: str) -> "Window":
        match text.split():
            case [local_number, "days" | "d"]:
                return cls(int(local_number))
            case ["week"]:
                return cls()
            case [*_] as local_rest if len(local_rest) > 3:
                raise ValueError(f"too many words: {local_rest!r:>{SCALE}}")
            case _:
                raise ValueError(text)


def clean(frame, threshold: float = 0.1, *columns, **options):
    """Drops what cannot be used."""
    local_kept: list[str] = []
    for local_name in columns or frame.columns:
        local_share = frame[local_name].isna().mean()  # of missing values
        if local_share > threshold:
            continue
        elif not local_kept and (local_first := local_name):
            print(local_first, end="")
        local_kept.append(local_name)
    else:
        local_kept.sort(key=len)
    local_result = frame[local_kept].dropna(how="any")
    return local_result.assign(**{local_k: local_v for local_k, local_v in options.items() if local_v is not None})


def distance(a, b, /, *, radius=6371.0):
    local_lat, local_lon = b[0] - a[0], b[1] - a[1]

    def haversine(local_angle):
        return math.sin(local_angle / 2) ** 2

    local_h = haversine(local_lat) + math.cos(a[0]) * math.cos(b[0]) * haversine(local_lon)
    return 2 * radius * math.asin(min(1, math.sqrt(local_h)))


def counter(start=0):
    local_count = start

    def bump(step=1):
        nonlocal local_count
        local_count += step
        return local_count

    return bump, lambda: local_count


async def gather(sources, loop=None):
    async with helpers.limit(4) as local_gate:
        local_parts = [await helpers.fetch(local_s, local_gate) async for local_s in sources]
    try:
        return pd.concat(local_parts, axis=0)
    except (ValueError, TypeError) as local_error:
        raise RuntimeError("nothing to join") from local_error
    finally:
        del local_parts


def train(df, model=None, rate=1e-3):
    from sklearn.linear_model import Ridge as local_model

    global LAST
    local_x, local_y = df.drop(columns="y").to_numpy(), df["y"].values
    while (local_loss := np.abs(local_y).sum()) > 1 and rate < 1:
        local_y = clip_values(local_y * 0.5, *LIMITS.values())
        rate *= 2
    with np.errstate(divide="ignore"), helpers.timer():
        LAST = (model or local_model)(alpha=rate).fit(local_x, local_y)
    assert LAST is not None, local_loss
    return sorted(LAST.coef_, key=lambda local_c: -abs(local_c))[:10:2]


def stream(rows):
    local_seen = set()
    for local_row in rows:
        if local_row.id in local_seen:
            yield from ()
        local_seen |= {local_row.id}
        local_answer = yield local_row if local_row else None
        if local_answer:
            return local_answer
