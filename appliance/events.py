"""The records of the event log, as JSON; ``id`` stays first (``storage.eventlog.ID_PREFIX``).

Times are integer microseconds since 1970, UTC. Predictions and labels hold no reference that could lead back to them,
so the garbage collector need not look at the thousands that a chunk has (``gc=False``).
"""

from __future__ import annotations

import msgspec

SHADOW_SUFFIX = "-shadow"
"""A shadow's event has the id of the answer's event and this behind it."""


class PredictionEvent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One answered request of ``n`` rows.

    Attributes:
        id: The request's token; prediction i of it has the id ``{id}.{i}``.
        t: Event time: the caller's own, else the arrival.
        at: Arrival.
        m: Model name.
        v: Version that answered.
        r: Variant: champion, canary, direct (the request addressed the version itself) or shadow.
        n: Rows.
        x: The rows as encoded for the model, row-major ``n * columns``: a list with null for NaN, or, for large
            requests, base64 of little-endian float64.
        u: What the encoded rows cannot hold, ``(row, column index, value)``: categories that training never saw, and,
            with indices from the number of columns on, the schema's protected columns that are no inputs, as text.
        y: Outputs, row-major ``n * outputs``: value, probability of the positive class, or a probability a class.
        us: Time from the request's first byte in our hands to the answer's bytes, microseconds.
        d: Dialect: native, v2, v1, mlflow.
        k: The caller's own key of the request.
        i: Name of a column that the model does not know, and was ignored, to the rows that had it.
    """

    id: str
    t: int
    at: int
    m: str
    v: int
    n: int
    x: list[float | None] | str
    y: list[float]
    us: int
    d: str = "native"
    r: str = "champion"
    u: list[tuple[int, int, str]] = []
    k: str | None = None
    i: dict[str, int] = {}


class LabelEvent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The truth about one prediction.

    Attributes:
        id: The prediction's id, ``TOKEN.ROW``.
        m: Model name.
        l: The label: a number for regression, the class as a string otherwise.
        t: When the truth was known, the caller's own time, else the arrival.
        at: Arrival.
    """

    id: str
    m: str
    l: float | str  # noqa: E741
    t: int
    at: int


class StatsEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a serving process refused, or answered and could not record, since its last such record.

    No prediction event exists for either.

    Attributes:
        id: ``WORKER-SERIAL``.
        at: When it was written.
        errors: ``(model, version, HTTP status, count)``; an unknown model is ``""``, version 0.
        lost: ``(model, version, predictions)`` that were answered while the log could not be written.
        fields: ``(model, version, column, requests)`` that were refused for a column: absent, or of another type.
        types: Those of ``fields`` whose column was there, with a value of another type.
    """

    id: str
    at: int
    errors: list[tuple[str, int, int, int]]
    lost: list[tuple[str, int, int]] = []
    fields: list[tuple[str, int, str, int]] = []
    types: list[tuple[str, int, str, int]] = []
