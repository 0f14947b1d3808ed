"""The forms in which V1 and MLflow's dialect send rows: instances, columns, a split frame, CSV; each to a matrix.

Whatever the form, a value is read as in the native dialect, by its column's kind; so all of them give the same bits and
the same refusals.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.api.inference.errors import BadCsv, BadField
from appliance.api.inference.number_lists import LARGE_BYTES, open_document
from appliance.encoder import EncodedRows, RowEncoder, describe
from appliance.schema import Column, Kind

_INSTANCES_ACCEPTED = "a list of instances, each an object by column name, or each a list in model order"
_COLUMNS_ACCEPTED = "an object, column name to a list of one value a row, or a list of rows in model order"
_PLAIN = frozenset({float, int, type(None)})
_ROW_MEMBERS = frozenset({"instances", "inputs"})
_SPLIT = "dataframe_split"
_FEW_ROWS = 8
"""Up to so many rows, reading cell by cell costs less than NumPy's calls for each column."""

_WHOLE = re.compile(r"-?\d+\.0+")
_BOOLEANS: Mapping[str, object] = {"true": True, "false": False, "1": True, "0": False}

Matrix = NDArray[np.float64]

Rows = Sequence[Mapping[str, object]] | Sequence[Sequence[object]] | Matrix
"""Rows by column name, or lists of values in model order; such lists of numbers alone may be a matrix."""


def read_numbers(body: bytes) -> dict[str, Any] | None:
    """A large JSON object that holds one list of rows of numbers, with that list as a matrix; None for another body."""
    document = open_document(body) if len(body) >= LARGE_BYTES else None
    if document is None:
        return None
    found: dict[str, Any] = {}
    rows = 0
    for member in document.members():
        matrix = document.matrix(member) if member in _ROW_MEMBERS else None
        value: object = matrix
        if matrix is None and member == _SPLIT:
            matrix = document.matrix(member, "data")
            value = {part: document.get(member, part) for part in document.members(member) if part != "data"}
            value = None if matrix is None else {**value, "data": matrix}
        if matrix is None:
            value = document.get(member)
        found[member] = value
        rows += 0 if matrix is None else len(matrix) + 1
    split = found.get(_SPLIT)
    lists = rows + (sum(isinstance(part, list) for part in split.values()) if isinstance(split, dict) else 0)
    return found if rows and document.lists == lists else None


def read_instances(value: object, member: str) -> Rows:
    """Instances as they stand: all objects, or all lists.

    Raises:
        BadField: Not a list of either, or an empty one.
    """
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else describe(value)
        raise BadField(field=member, found=found, accepted=_INSTANCES_ACCEPTED)
    kind: type = dict if isinstance(value[0], dict) else list
    for index, instance in enumerate(value):
        if not isinstance(instance, kind):
            raise BadField(field=f"{member}[{index}]", found=describe(instance), accepted=_INSTANCES_ACCEPTED)
    return value


def read_columns(value: object, member: str) -> Rows:
    """The columnar form: an object of columns, each ``[n]`` or ``[n, 1]``, or the one tensor ``[n, columns]``.

    Raises:
        BadField: Something else, columns of different lengths, or no row.
    """
    if isinstance(value, list | np.ndarray):
        return read_instances(value, member)
    if not isinstance(value, dict) or not value:
        found = "an object without a column" if value == {} else describe(value)
        raise BadField(field=member, found=found, accepted=_COLUMNS_ACCEPTED)
    columns = [_flat(column, f"{member}.{name}") for name, column in value.items()]
    rows = len(columns[0])
    for name, column in zip(value, columns, strict=True):
        if len(column) != rows or not rows:
            raise BadField(
                field=f"{member}.{name}", found=f"{len(column)} values",
                accepted=f"{rows} values, as the first column has" if rows else "at least one value",
            )  # fmt: skip
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def read_split(value: object, member: str, columns: Sequence[Column]) -> Rows:
    """A frame as pandas splits it: ``columns``, ``data``, and an ``index`` that says nothing here.

    Args:
        value: The member's value.
        member: Its name.
        columns: Of the model; a matrix with them in that order stays one.

    Raises:
        BadField: A member is missing or wrong, or a row has another length than ``columns``.
    """
    accepted = "an object with 'columns', a list of names, and 'data', a list of rows"
    if not isinstance(value, dict):
        raise BadField(field=member, found=describe(value), accepted=accepted)
    for part in ("columns", "data"):
        if not isinstance(value.get(part), list | np.ndarray) or not len(value[part]):
            found = "the member is missing" if part not in value else describe(value[part])
            raise BadField(field=f"{member}.{part}", found=found, accepted=accepted)
    names = _names(value["columns"], f"{member}.columns")
    if isinstance(value["data"], np.ndarray):
        if value["data"].shape[1] == len(names) and names == [column.name for column in columns]:
            return value["data"]
        value = {**value, "data": value["data"].tolist()}
    for index, row in enumerate(value["data"]):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} values" if isinstance(row, list) else describe(row)
            raise BadField(
                field=f"{member}.data[{index}]", found=found, accepted=f"a list of {len(names)} values, one a column"
            )
    return [dict(zip(names, row, strict=True)) for row in value["data"]]


def read_csv(body: bytes, encoder: RowEncoder) -> Rows:
    """A CSV table with a header row; an empty cell is missing, a cell is read as its column's kind.

    Args:
        body: UTF-8, commas, quotes as in RFC 4180; a byte order mark is dropped.
        encoder: Knows the kind of each column.

    Raises:
        BadCsv: Not such a table, or one without a row.
    """
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as exc:
        raise BadCsv(f"the body is not CSV: {exc}; accepted: UTF-8, commas, a header row") from None
    if len(lines) < 2:
        has = "one line" if lines else "no line"
        raise BadCsv(f"the body has {has}; accepted: a header row with the columns' names, and a row or more")
    names, *rows = lines
    if len(set(names)) != len(names):
        raise BadCsv("two columns of the header row have the same name")
    for index, row in enumerate(rows):
        if len(row) != len(names):
            raise BadCsv(f"row {index} has {len(row)} cells, the header row {len(names)}")
    by_name = {column.name: column for column in encoder.schema.columns}
    cells = zip(*rows, strict=True)
    columns = [_read_column(column, by_name.get(name)) for name, column in zip(names, cells, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def encode_rows(rows: Rows, encoder: RowEncoder, member: str) -> EncodedRows:
    """The matrix of rows.

    Raises:
        BadField: A row in model order has another length than the model has columns.
        BadRow: A value does not fit its column, or a column is missing.
    """
    columns = encoder.schema.columns
    names = [column.name for column in columns]
    is_plain = all(column.kind is Kind.NUMBER for column in columns)
    if isinstance(rows, np.ndarray):
        if is_plain and rows.shape[1] == len(columns):
            return encoder.encode_matrix(rows)
        rows = rows.tolist()
    if not isinstance(rows[0], Mapping):
        _require_width(rows, names, member)
    matrix = _plain_matrix(rows, names) if is_plain and len(rows) > _FEW_ROWS else None
    if matrix is not None:
        return encoder.encode_matrix(matrix)
    if isinstance(rows[0], Mapping):
        return encoder.encode(rows)  # type: ignore[arg-type]  # all are, when one is
    return encoder.encode([dict(zip(names, row, strict=True)) for row in rows])


def _require_width(rows: Rows, names: Sequence[str], member: str) -> None:
    """Refuse a row in model order that has another length than the model has columns."""
    for index, row in enumerate(rows):
        if len(row) != len(names):
            raise BadField(
                field=f"{member}[{index}]", found=f"{len(row)} values",
                accepted=f"{len(names)} values in model order: {', '.join(names)[:400]}",
            )  # fmt: skip


def _plain_matrix(rows: Rows, names: Sequence[str]) -> Matrix | None:
    """Rows of numbers and nulls alone at once, the same bits; None when they have to be read cell by cell."""
    if isinstance(rows[0], Mapping):
        if len(names) == 1 or any(len(row) != len(names) for row in rows):
            return None
        try:
            rows = list(map(itemgetter(*names), rows))
        except KeyError:
            return None
    cells = list(chain.from_iterable(rows))
    if not _PLAIN.issuperset(map(type, cells)):
        return None
    try:
        return np.array(cells, dtype=np.float64).reshape(len(rows), len(names))
    except OverflowError:
        return None


def _flat(column: object, field: str) -> list[object]:
    """A column's values; ``[n, 1]`` counts as ``[n]``."""
    if not isinstance(column, list):
        raise BadField(field=field, found=describe(column), accepted="a list of one value a row")
    if column and all(isinstance(cell, list) and len(cell) == 1 for cell in column):
        return [cell[0] for cell in column]
    return column


def _names(columns: Sequence[object], field: str) -> list[str]:
    for name in columns:
        if not isinstance(name, str):
            raise BadField(field=field, found=describe(name), accepted="a list of columns' names")
    if len(set(columns)) != len(columns):
        raise BadField(field=field, found="two columns of the same name", accepted="a list of columns' names")
    return [str(name) for name in columns]


def _read_column(cells: Sequence[str], column: Column | None) -> Sequence[object]:
    """A column's cells as JSON would hold them; numbers without a gap at once."""
    if column is not None and column.kind is Kind.NUMBER:
        text = ",".join(cells)
        if text.isascii() and "_" not in text:
            try:
                return list(map(float, cells))
            except ValueError:
                pass  # a gap, or a cell that will be refused
    return [_typed(cell, column) for cell in cells]


def _typed(cell: str, column: Column | None) -> object:
    """A cell as JSON would hold it; one that its column cannot be is left as text, and refused as such."""
    if not cell:
        return None
    if column is None or column.kind is Kind.DATETIME:
        return cell
    if column.kind is Kind.CATEGORY:
        # A column of whole numbers with gaps is written with a decimal point.
        return cell.partition(".")[0] if column.integer and _WHOLE.fullmatch(cell) else cell
    if column.kind is Kind.BOOLEAN:
        return _BOOLEANS.get(cell.strip().lower(), cell)
    try:
        return float(cell) if cell.isascii() and "_" not in cell else cell
    except ValueError:
        return cell
