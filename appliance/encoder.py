"""Turns the rows of a request into the matrix a model was trained on; the same bits as training, or a refusal.

Pure: no clock, no disk. The serving process imports it, so it imports nothing heavier than NumPy.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadRow
from appliance.schema import Column, FeatureSchema, Kind

UNSEEN = -1.0
"""The code of a category that training never saw."""

MISSING_TEXT = ""
"""What stands for a protected value that was sent as null."""

LONGEST_GROUP = 100
"""Characters of a protected value that are kept."""

_ECHO_CHARACTERS = 40
"""How much of a wrong value a message repeats."""

ACCEPTED = {
    Kind.NUMBER: "a finite number, or null for missing",
    Kind.BOOLEAN: "true or false, or null for missing",
    Kind.CATEGORY: "a string, or null for missing",
    Kind.DATETIME: "an ISO 8601 date and time as a string (naive is read as UTC), or null for missing",
}
"""What each kind takes, in a person's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """Rows as a model takes them.

    Attributes:
        matrix: float64, C-contiguous, shape ``(rows, columns)``; NaN is missing.
        unseen: ``(row, column index, value)`` of each category that training never saw.
        flags: Row index to what was odd about it, ``null:COL``, ``unseen:COL`` or ``ignored:COL``; odd rows only.
        groups: ``(row, len(columns) + place, text)`` of the protected columns that are no inputs.
    """

    matrix: NDArray[np.float64]
    unseen: list[tuple[int, int, str]]
    flags: dict[int, list[str]]
    groups: list[tuple[int, int, str]] = field(default_factory=list)


class _WrongValueError(Exception):
    """A value cannot be read as its column's kind."""


def read_instant(text: str) -> float:
    """Seconds since 1970, UTC, of an ISO 8601 text; a naive one is read as UTC.

    Raises:
        ValueError: Not ISO 8601.
    """
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def describe(value: object) -> str:
    """What a value is, in a message: its JSON type, and the start of its text where that helps."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "an infinite number"
    if isinstance(value, int | float):
        return f"the number {str(value)[:_ECHO_CHARACTERS]}"
    if isinstance(value, str):
        return f"the string {value[:_ECHO_CHARACTERS]!r}"
    return "a list" if isinstance(value, list | tuple) else "an object"


def _read_number(value: object) -> float:
    if isinstance(value, float | int) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise _WrongValueError from None
        if math.isfinite(number):
            return number
    raise _WrongValueError


def _read_boolean(value: object) -> float:
    if isinstance(value, bool | int | float) and value in (0, 1):
        return float(value)
    raise _WrongValueError


def _read_datetime(value: object) -> float:
    if not isinstance(value, str):
        raise _WrongValueError
    try:
        return read_instant(value)
    except (ValueError, OverflowError):
        raise _WrongValueError from None


def level_text(column: Column, value: object) -> str | None:
    """The level that a value names, or None when it cannot name one.

    A column whose levels came from whole numbers takes them as numbers too.
    """
    if isinstance(value, str):
        return value
    if column.integer and isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        return str(int(value))
    return None


def _level_codes(column: Column) -> dict[object, float]:
    """The code of each level as JSON gives it, which may be a number, and of a missing one."""
    codes: dict[object, float] = {None: math.nan}
    for code, level in enumerate(column.levels):
        codes[level] = float(code)
        if column.integer and level.removeprefix("-").isdecimal() and level == str(int(level)):
            codes[int(level)] = float(code)
    return codes


def _category_reader(column: Column) -> Callable[[object], float]:
    codes = {level: float(code) for code, level in enumerate(column.levels)}

    def read(value: object) -> float:
        try:
            text = level_text(column, value)
        except (OverflowError, ValueError):
            text = None
        if text is None:
            raise _WrongValueError
        return codes.get(text, UNSEEN)

    return read


_READERS: dict[Kind, Callable[[object], float]] = {
    Kind.NUMBER: _read_number,
    Kind.BOOLEAN: _read_boolean,
    Kind.DATETIME: _read_datetime,
}


def _group_text(value: object) -> str | None:
    """A protected value as an event keeps it; None when it is neither text, number, boolean nor null."""
    if value is None:
        return MISSING_TEXT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)[:LONGEST_GROUP] if isinstance(value, str | int) else None


class RowEncoder:
    """Encodes rows for one model version."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        self.names = frozenset(column.name for column in schema.columns)
        self._known = self.names | {column.name for column in schema.protected}
        self._readers = [
            (column, _category_reader(column) if column.kind is Kind.CATEGORY else _READERS[column.kind])
            for column in schema.columns
        ]
        self._may_be_null = tuple(column.had_nulls for column in schema.columns)
        self._plain = all(column.kind is Kind.NUMBER for column in schema.columns)
        self._pack = struct.Struct(f"{len(schema.columns)}d").pack
        self._codes = [_level_codes(column) if column.kind is Kind.CATEGORY else None for column in schema.columns]

    def encode(self, rows: Sequence[Mapping[str, object]]) -> EncodedRows:
        """Encode rows by column name.

        Args:
            rows: Column name to value as JSON gives it; None is missing. Columns the model does not know are ignored
                and flagged; protected ones that are no inputs become groups, whatever they hold.

        Raises:
            BadRow: A column is absent, or a value would lose information.
        """
        matrix = np.empty((len(rows), len(self._readers)), dtype=np.float64)
        unseen: list[tuple[int, int, str]] = []
        flags: dict[int, list[str]] = {}
        for index, row in enumerate(rows):
            odd: list[str] = []
            matrix[index] = [
                self._encode_cell(row, index, position, odd=odd, unseen=unseen)
                for position in range(len(self._readers))
            ]
            if len(row) > len(self._readers):
                odd.extend(f"ignored:{name}" for name in row if name not in self._known)
            if odd:
                flags[index] = odd
        return EncodedRows(matrix=matrix, unseen=unseen, flags=flags, groups=self._groups(rows))

    def encode_typed(self, rows: Sequence[tuple[object, ...]]) -> EncodedRows:
        """Encode rows whose values have the right JSON types already, in model order; the same as ``encode``.

        Args:
            rows: A value a column: float for a number, bool for a boolean, str (or int, where the levels came from
                whole numbers) for a category, str for a datetime, or None.

        Raises:
            BadRow: A text is not a date and time.
        """
        if self._plain:
            try:
                packed = b"".join([self._pack(*row) for row in rows])
            except struct.error:  # a missing value
                pass
            else:
                matrix = np.frombuffer(packed, dtype=np.float64).reshape(len(rows), len(self._readers))
                return EncodedRows(matrix=matrix, unseen=[], flags={})
        try:
            return self._encode_columns(rows)
        except _WrongValueError:
            pass
        for index, row in enumerate(rows):
            self.encode_one(row, [], index=index)
        raise RuntimeError("a column could not be read, each of its rows could")

    def _encode_columns(self, rows: Sequence[tuple[object, ...]]) -> EncodedRows:
        """The same, a column at a time.

        Raises:
            _WrongValueError: A value cannot be read.
        """
        matrix = np.empty((len(rows), len(self._readers)), dtype=np.float64)
        unseen: list[tuple[int, int, str]] = []
        flags: dict[int, list[str]] = {}
        for position, values in enumerate(zip(*rows, strict=True)):
            column, read = self._readers[position]
            known = self._codes[position]
            if known is not None:
                codes = [known.get(value, UNSEEN) for value in values]
            else:
                codes = [math.nan if value is None else read(value) for value in values]
            matrix[:, position] = codes
            if None in values and not column.had_nulls:
                for index in np.flatnonzero(np.isnan(matrix[:, position])).tolist():
                    flags.setdefault(index, []).append(f"null:{column.name}")
            if known is not None and UNSEEN in codes:
                for index in np.flatnonzero(matrix[:, position] == UNSEEN).tolist():
                    flags.setdefault(index, []).append(f"unseen:{column.name}")
                    unseen.append((index, position, str(level_text(column, values[index]))))
        return EncodedRows(matrix=matrix, unseen=sorted(unseen), flags=flags)

    def encode_one(
        self, row: tuple[object, ...], unseen: list[tuple[int, int, str]], *, index: int = 0
    ) -> tuple[Sequence[float], list[str]]:
        """Encode one row as ``encode_typed`` does, without a matrix.

        Args:
            row: As for ``encode_typed``.
            unseen: Categories that training never saw are added here.
            index: The row's place in its request.

        Returns:
            A float a column, and the row's flags.
        """
        if self._plain and None not in row:
            return row, []  # type: ignore[return-value]  # numbers alone: a row is its own encoding
        odd: list[str] = []
        codes = [self._read_cell(value, index, at, odd=odd, unseen=unseen) for at, value in enumerate(row)]
        return codes, odd

    def encode_matrix(self, matrix: NDArray[np.float64]) -> EncodedRows:
        """Take a matrix in model order as it is, after checking it; for schemas without category and datetime columns.

        Args:
            matrix: float64, shape ``(rows, columns)``; NaN is missing.

        Raises:
            BadRow: A value is infinite, a boolean is neither 0 nor 1, or a column is not a number.
        """
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        flags: dict[int, list[str]] = {}
        if self._plain and np.isfinite(matrix).all():
            return EncodedRows(matrix=matrix, unseen=[], flags=flags)
        for position, (column, _) in enumerate(self._readers):
            values = matrix[:, position]
            if column.kind in {Kind.CATEGORY, Kind.DATETIME}:
                raise BadRow(row=0, field=column.name, found="a number of a tensor", accepted=ACCEPTED[column.kind])
            wrong = np.isinf(values)
            if column.kind is Kind.BOOLEAN:
                wrong = ~((values == 0) | (values == 1) | np.isnan(values))
            if wrong.any():
                row = int(wrong.argmax())
                raise BadRow(
                    row=row, field=column.name, found=describe(float(values[row])), accepted=ACCEPTED[column.kind]
                )
        for row, position in np.argwhere(np.isnan(matrix)).tolist():
            if not self._may_be_null[position]:
                flags.setdefault(row, []).append(f"null:{self._readers[position][0].name}")
        return EncodedRows(matrix=matrix, unseen=[], flags=flags)

    def _groups(self, rows: Sequence[Mapping[str, object]]) -> list[tuple[int, int, str]]:
        return [
            (index, place, text)
            for place, column in enumerate(self.schema.protected, len(self.schema.columns))
            for index, row in enumerate(rows)
            if column.name in row and (text := _group_text(row[column.name])) is not None
        ]

    def _encode_cell(
        self,
        row: Mapping[str, object],
        index: int,
        position: int,
        *,
        odd: list[str],
        unseen: list[tuple[int, int, str]],
    ) -> float:
        column = self._readers[position][0]
        try:
            value = row[column.name]
        except KeyError:
            raise self._refuse(column, index, "the field is missing", absent=True) from None
        return self._read_cell(value, index, position, odd=odd, unseen=unseen)

    def _read_cell(
        self, value: object, index: int, position: int, *, odd: list[str], unseen: list[tuple[int, int, str]]
    ) -> float:
        column, read = self._readers[position]
        if value is None:
            if not column.had_nulls:
                odd.append(f"null:{column.name}")
            return math.nan
        try:
            code = read(value)
        except _WrongValueError:
            raise self._refuse(column, index, describe(value)) from None
        if code == UNSEEN and column.kind is Kind.CATEGORY:
            unseen.append((index, position, str(level_text(column, value))))
            odd.append(f"unseen:{column.name}")
        return code

    @staticmethod
    def _refuse(column: Column, row: int, found: str, *, absent: bool = False) -> BadRow:
        accepted = ACCEPTED[column.kind]
        if column.kind is Kind.CATEGORY and column.integer:
            accepted = "a whole number or a string, or null for missing"
        return BadRow(row=row, field=column.name, found=found, accepted=accepted, absent=absent)
