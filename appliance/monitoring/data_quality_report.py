"""What a data quality question answers: by column what was missing, unseen, out of range, refused; and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.monitoring.spans import Json, Pair, State, Window


class Oddity(StrEnum):
    """What may be wrong with the values of a column."""

    MISSING = "missing"
    UNSEEN = "unseen"
    OUTSIDE = "outside"
    REFUSED = "refused"
    TYPE = "type_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One oddity of one column.

    Attributes:
        share: Of the training rows, and of the window's. For ``refused``, and for ``type_error``, those of them whose
            value was of another type: of all requests' rows and refusals.
        count: Rows of the window; for ``refused`` and ``type_error`` requests.
        state: By the drift rule over two bins, odd or not.
    """

    oddity: Oddity
    share: Pair
    count: int
    state: State

    def to_json(self) -> Json:
        """Both shares, the count and the state."""
        return {"share": self.share.to_json(), "count": self.count, "state": self.state.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnQuality:
    """One column of the model.

    Attributes:
        shares: By oddity; ``unseen`` of categories alone, ``outside`` of numbers alone.
        low: Smallest value of the training rows; None but for numbers.
        high: Likewise the largest.
        sentence: What changed, in words.
    """

    name: str
    kind: str
    shares: dict[Oddity, Share]
    low: float | None
    high: float | None
    state: State
    sentence: str

    def to_json(self) -> Json:
        """One entry of ``columns``."""
        return {
            "name": self.name,
            "kind": self.kind,
            **{oddity.value: share.to_json() for oddity, share in self.shares.items()},
            "range": None if self.low is None else [self.low, self.high],
            "state": self.state.value,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownColumn:
    """A column that callers sent and the version does not know, so that it was ignored.

    Attributes:
        name: Empty for all names beyond those that are kept apart.
        versions: Other versions of the model that take it.
        state: By the drift rule: at training no row had it.
    """

    name: str
    rows: int
    share: float
    versions: tuple[int, ...]
    state: State

    def to_json(self) -> Json:
        """One entry of ``unknown``."""
        return {
            "name": self.name, "rows": self.rows, "share": self.share, "versions": list(self.versions),
            "state": self.state.value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQualityReport:
    """What was odd about the rows of a window.

    Attributes:
        rows: Answered.
        refused: Requests refused for a column.
        schema: Fingerprint of the columns that the version takes: the same for versions that take the same rows.
        schemas: Version that answered in the window to its fingerprint.
        duplicate_share: Rows equal to an earlier one of the window; exact up to 512 distinct rows, then from a sample.
            Without a verdict: how often rows repeat depends on how many there are.
        sentence: What changed, in words.
    """

    model: str
    version: int
    window: Window
    rows: int
    refused: int
    schema: str
    schemas: dict[int, str]
    columns: tuple[ColumnQuality, ...]
    unknown: tuple[UnknownColumn, ...]
    duplicate_share: float | None
    state: State
    sentence: str

    @property
    def mistyped(self) -> int:
        """Those of the refused whose value was of another type."""
        return sum(column.shares[Oddity.TYPE].count for column in self.columns)

    def to_json(self) -> Json:
        """What ``data-quality NAME --json`` prints."""
        return {
            "model": self.model,
            "version": self.version,
            "window": self.window.to_json(),
            "rows": self.rows,
            "refused": self.refused,
            "schema": self.schema,
            "schemas": {str(version): schema for version, schema in self.schemas.items()},
            "columns": [column.to_json() for column in self.columns],
            "unknown": [column.to_json() for column in self.unknown],
            "duplicate_share": self.duplicate_share,
            "state": self.state.value,
            "sentence": self.sentence,
        }
