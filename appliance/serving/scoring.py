"""The core that every dialect shares: encoded rows in, outputs out, and the event that remembers both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.encoder import EncodedRows
from appliance.events import PredictionEvent
from appliance.prediction_ids import issue
from appliance.schema import Kind, Task
from appliance.serving.loaded_model import LoadedModel

MOST_IGNORED = 20
"""Names of unknown columns that one event holds, each up to ``LONGEST_NAME`` characters; callers choose them."""
LONGEST_NAME = 100

LIST_CELLS = 2048
"""Cells up to which an event holds its rows as a JSON list; larger requests are base64 of their float64."""

_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What one column contributed to a prediction.

    Attributes:
        value: The column's value in a person's terms; None is missing.
        contribution: Added to the raw score (regression: to the value; else log-odds, of the class given).
    """

    field: str
    value: float | str | bool | None
    contribution: float


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request, before any dialect writes it down; a struct, since making one costs a tenth.

    Attributes:
        rows: How many there are.
        values: Outputs, flat and row-major ``rows * outputs``.
        raw: The sums of the trees behind them, in the same shape.
        x: The encoded rows as the event holds them.
        unseen: ``(row, column index, value)``.
        flags: Row index to its flags; odd rows only.
        reasons: One list a row, largest contribution first; empty unless asked for.
        ends: Low and high of each row's interval, flat; None where the version has none.
        groups: ``(row, len(columns) + place, text)`` of the protected columns that are no inputs.
    """

    model: LoadedModel
    token: str
    rows: int
    values: list[float]
    raw: list[float]
    x: Sequence[float] | memoryview
    unseen: list[tuple[int, int, str]]
    flags: dict[int, list[str]]
    reasons: list[list[Reason]]
    ends: list[float] | None = None
    groups: list[tuple[int, int, str]] = []

    @property
    def outputs(self) -> list[list[float]]:
        """The values, one list a row."""
        return by_row(self.values, self.rows)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller said beside the rows.

    Attributes:
        started_ns: ``time.perf_counter_ns`` at the request's first byte in our hands.
        at_us: Arrival, microseconds since 1970.
        event_us: The event's own time; the arrival unless the caller said otherwise.
        key: The caller's own key of the request.
        role: In which the version answered or scored.
    """

    started_ns: int
    at_us: int
    event_us: int
    dialect: str
    key: str | None = None
    role: str = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """Scores for one process; safe in any thread.

    Attributes:
        secret: Signs prediction ids.
        threads: At most so many for a large request.
    """

    secret: bytes
    threads: int

    def score_one(
        self,
        model: LoadedModel,
        row: Sequence[float],
        *,
        at_us: int,
        unseen: list[tuple[int, int, str]],
        odd: list[str],
        groups: list[tuple[int, int, str]] | None = None,
    ) -> Scored:
        """Score one encoded row without a matrix; the same bits as ``score``."""
        values, raw = model.score_one(row)
        return Scored(
            model=model, token=issue(self.secret, model.name, at_us, 1), rows=1, values=values, raw=raw, x=row,
            unseen=unseen, flags={0: odd} if odd else {}, reasons=[],
            ends=None if model.interval is None else model.ends_one(row), groups=groups or [],
        )  # fmt: skip

    def score(self, model: LoadedModel, encoded: EncodedRows, *, at_us: int, explain: int = 0) -> Scored:
        """Score encoded rows.

        Args:
            model: Who answers.
            encoded: At least one row.
            at_us: Arrival, microseconds since 1970.
            explain: How many of the largest contributions to give with each row.
        """
        matrix = encoded.matrix
        values, raw = model.score(matrix, threads=self.threads)
        return Scored(
            model=model, token=issue(self.secret, model.name, at_us, len(matrix)), rows=len(matrix),
            values=values, raw=raw, x=pack_rows(matrix), unseen=encoded.unseen, flags=encoded.flags,
            reasons=_explain(model, encoded, by_row(values, len(matrix)), explain) if explain else [],
            ends=model.ends(matrix, threads=self.threads), groups=encoded.groups,
        )  # fmt: skip


def by_row(values: list[float], rows: int) -> list[list[float]]:
    """Flat numbers as one list a row."""
    width = len(values) // rows if rows else 1
    return [values[start : start + width] for start in range(0, len(values), width)]


def pack_rows(matrix: NDArray[np.float64]) -> list[float] | memoryview:
    """Encoded rows, C-contiguous, as an event holds them; bytes become base64 when it is written."""
    return matrix.ravel().tolist() if matrix.size <= LIST_CELLS else matrix.data.cast("B")


def event_of(scored: Scored, asked: Asked) -> tuple[bytes, int]:
    """The record of an answered request, and the microseconds it took; call it when the answer's bytes are ready."""
    took_us = (time.perf_counter_ns() - asked.started_ns) // 1000
    event = PredictionEvent(
        id=scored.token, t=asked.event_us, at=asked.at_us, m=scored.model.name, v=scored.model.version,
        n=scored.rows, x=scored.x,  # type: ignore[arg-type]  # a tuple encodes as a list does
        u=scored.unseen + scored.groups if scored.groups else scored.unseen,
        y=scored.values, us=took_us, d=asked.dialect, k=asked.key, r=asked.role,
        i=count_ignored(scored.flags) if scored.flags else {},
    )  # fmt: skip
    return _ENCODE(event), took_us


def count_ignored(flags: dict[int, list[str]]) -> dict[str, int]:
    """Name of a column that the model does not know to the rows that had it; names beyond 20 together as ``""``."""
    found: dict[str, int] = {}
    for odd in flags.values():
        for flag in odd:
            kind, _, name = flag.partition(":")
            if kind == "ignored":
                short = name[:LONGEST_NAME]
                kept = short if short in found or len(found) < MOST_IGNORED else ""
                found[kept] = found.get(kept, 0) + 1
    return found


def _explain(model: LoadedModel, encoded: EncodedRows, outputs: list[list[float]], k: int) -> list[list[Reason]]:
    """The ``k`` largest contributions of each row; those of the likeliest class when there are several."""
    unseen = {(row, column): value for row, column, value in encoded.unseen}
    contributions = model.contributions(encoded.matrix)
    found = []
    for index, row in enumerate(contributions):
        shares = row[int(np.argmax(outputs[index]))] if model.schema.task is Task.MULTICLASS else row[0]
        columns = np.argsort(-np.abs(shares[:-1]), kind="stable")[:k].tolist()
        found.append(
            [
                Reason(
                    field=model.schema.columns[at].name,
                    value=unseen.get((index, at)) or _readable(model, at, float(encoded.matrix[index, at])),
                    contribution=float(shares[at]),
                )
                for at in columns
            ]
        )
    return found


def _readable(model: LoadedModel, position: int, code: float) -> float | str | bool | None:
    """An encoded value in a person's terms."""
    column = model.schema.columns[position]
    if code != code:  # noqa: PLR0124  (NaN alone differs from itself)
        return None
    if column.kind is Kind.CATEGORY:
        return column.levels[int(code)]
    if column.kind is Kind.BOOLEAN:
        return bool(code)
    if column.kind is Kind.DATETIME:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(code))
    return code
