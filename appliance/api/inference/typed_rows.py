"""Decodes the native predict body: in one pass by a type made from the schema, or slowly to say what is wrong."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from appliance.api.inference.errors import BadField, BadJson
from appliance.encoder import EncodedRows, RowEncoder, describe
from appliance.schema import Column, FeatureSchema, Kind

MEMBERS = ("rows", "explain", "key", "time")
"""What the body of a native prediction may hold."""

_ROWS_ACCEPTED = "a list of objects, one a row, each with every column of the model"
_JSON_TYPES: dict[Kind, Any] = {
    Kind.NUMBER: float | None,
    Kind.BOOLEAN: bool | None,
    Kind.CATEGORY: str | None,
    Kind.DATETIME: str | None,
}


class PredictBody(msgspec.Struct, frozen=True, kw_only=True):
    """A native prediction request, decoded.

    Attributes:
        typed: The rows as values in model order, or None when ``rows`` has to be read by column name.
        rows: The rows by column name; empty when ``typed`` is given.
        malformed: Strict JSON does not allow this body; the sentence to refuse it with unless a row explains it better.
    """

    typed: Sequence[tuple[object, ...]] | None
    rows: Sequence[dict[str, object]]
    explain: int
    key: str | None
    time: str | None
    malformed: str = ""

    def encode(self, encoder: RowEncoder) -> EncodedRows:
        """The matrix of the rows.

        Raises:
            BadRow: A row does not fit the model.
            BadJson: The body was not JSON.
        """
        encoded = encoder.encode_typed(self.typed) if self.typed is not None else encoder.encode(self.rows)
        if self.malformed:
            raise BadJson(self.malformed)
        return encoded


class PredictBodyDecoder:
    """Decodes bodies for one model version."""

    def __init__(self, schema: FeatureSchema) -> None:
        self._names = tuple(column.name for column in schema.columns)
        body = _body_type(schema)
        self._fast = msgspec.json.Decoder(body) if body else None

    def decode(self, body: bytes) -> PredictBody:
        """Read a body.

        Raises:
            BadJson: Not JSON, or not an object.
            BadField: A member is missing, unknown or of the wrong type.
        """
        if self._fast is not None:
            try:
                found = self._fast.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self._decode_slowly(body)
            if found.rows:
                return PredictBody(
                    typed=list(map(msgspec.structs.astuple, found.rows)), rows=(),
                    explain=_explain_of(found.explain, self._names), key=found.key, time=found.time,
                )  # fmt: skip
        return self._decode_slowly(body)

    def _decode_slowly(self, body: bytes) -> PredictBody:
        found, malformed = decode_leniently(body)
        if not isinstance(found, dict):
            raise BadJson(f"the body is {describe(found)}; accepted: an object with the member 'rows'")
        for member in found:
            if member not in MEMBERS:
                raise BadField(field=member, found="an unknown member", accepted=", ".join(MEMBERS))
        if "rows" not in found:
            raise BadField(field="rows", found="the member is missing", accepted=_ROWS_ACCEPTED)
        rows = found["rows"]
        if not isinstance(rows, list) or not rows:
            what = "an empty list" if rows == [] else describe(rows)
            raise BadField(field="rows", found=what, accepted=_ROWS_ACCEPTED)
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                raise BadField(field=f"rows[{index}]", found=describe(row), accepted="an object, column name to value")
        return PredictBody(
            typed=None, rows=rows, explain=_explain_of(found.get("explain", 0), self._names),
            key=_text_of(found, "key"), time=_text_of(found, "time"), malformed=malformed,
        )  # fmt: skip


def decode_leniently(body: bytes) -> tuple[Any, str]:
    """Decode JSON, reading NaN and Infinity too, so that a refusal can name the field that holds one.

    A byte order mark before it is dropped.

    Returns:
        The value, and why strict JSON does not allow it, or an empty text.

    Raises:
        BadJson: Not JSON in any reading.
    """
    body = body.removeprefix(BOM_UTF8)
    try:
        return msgspec.json.decode(body), ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as strict:
        try:
            return load_json(body), why_no_json(strict)
        except (ValueError, RecursionError):
            raise BadJson(why_no_json(strict)) from None


def why_no_json(error: Exception) -> str:
    """What a decoder's refusal means to the caller; a decoder tells of text that is no UTF-8 without its place."""
    if isinstance(error, UnicodeDecodeError):
        return f"the body is not UTF-8: a text in it has the byte {error.object[error.start]:#04x}; send JSON in UTF-8"
    return f"the body is not JSON: {error}"


def load_json(body: bytes, *, constant: Callable[[str], object] | None = None) -> Any:
    """Decode JSON with Python's own decoder; text must be text, half a surrogate pair is none and fits in no answer.

    Args:
        body: UTF-8, UTF-16 or UTF-32.
        constant: Reads NaN, Infinity and -Infinity; None: as float.

    Raises:
        ValueError: Not JSON, or text that UTF-8 cannot hold.
        RecursionError: Nested too deeply.
    """
    found = json.loads(body, parse_constant=constant)
    if b"\\" in body or not body.isascii():
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _body_type(schema: FeatureSchema) -> Any:
    """The body's type, or None when a column has a name that msgspec cannot take."""
    try:
        row = msgspec.defstruct(
            "Row",
            [(f"f{position}", _json_type(column)) for position, column in enumerate(schema.columns)],
            rename={f"f{position}": column.name for position, column in enumerate(schema.columns)},
            forbid_unknown_fields=True,
            gc=False,
        )
        return msgspec.defstruct(
            "Body",
            [("rows", list[row]), ("explain", int, 0), ("key", str | None, None), ("time", str | None, None)],  # type: ignore[valid-type]
            forbid_unknown_fields=True,
        )
    except (ValueError, TypeError):
        return None


def _json_type(column: Column) -> Any:
    if column.kind is Kind.CATEGORY and column.integer:
        return str | int | None
    return _JSON_TYPES[column.kind]


def _explain_of(value: object, names: tuple[str, ...]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadField(field="explain", found=describe(value), accepted="a whole number from 0 on")
    return min(value, len(names))


def _text_of(found: dict[str, object], member: str) -> str | None:
    value = found.get(member)
    if value is not None and not isinstance(value, str):
        raise BadField(field=member, found=describe(value), accepted="a string")
    return value
