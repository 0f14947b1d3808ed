"""Tensors of the Open Inference Protocol, in JSON or in the binary extension, to the rows of a model and back."""

from __future__ import annotations

import math
import struct
from codecs import BOM_UTF8
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from appliance.api.inference.datatypes import (
    DATATYPES,
    DTYPES,
    TEXT,
    Matrix,
    accepted_values,
    find_misfit,
    holds_all,
    surely_holds,
)
from appliance.api.inference.errors import BadField, BadJson
from appliance.api.inference.number_lists import LARGE_BYTES, open_document
from appliance.api.inference.typed_rows import decode_leniently
from appliance.encoder import EncodedRows, RowEncoder, describe
from appliance.schema import Kind

_NUMBERS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str, type(None)})

COLUMN_DATATYPES = {Kind.NUMBER: "FP64", Kind.BOOLEAN: "BOOL", Kind.CATEGORY: "BYTES", Kind.DATETIME: "BYTES"}
"""What each kind of column is in a model's metadata."""

Parameters = dict[str, Any] | None


class Tensor(msgspec.Struct, kw_only=True):
    """One input; ``data`` is absent when its bytes follow the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = None
    data: Any = None

    @property
    def size(self) -> int:
        """Cells that the shape promises."""
        return math.prod(self.shape)


class RequestedOutput(msgspec.Struct, kw_only=True):
    """An output that the caller wants."""

    name: str
    parameters: Parameters = None


class InferRequest(msgspec.Struct, kw_only=True):
    """The JSON part of an inference request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[RequestedOutput] | None = None


_DECODE = msgspec.json.Decoder(InferRequest).decode


def decode_request(body: bytes, json_length: int | None) -> InferRequest:
    """Read a request; binary tensors become NumPy arrays in ``data``.

    Args:
        body: All bytes.
        json_length: How many of them are JSON, from ``Inference-Header-Content-Length``; None: all.

    Raises:
        BadJson: Not the JSON of an inference request.
        BadField: A tensor's bytes do not fit its shape.
    """
    if json_length is not None and not 0 <= json_length <= len(body):
        raise BadJson(f"Inference-Header-Content-Length is {json_length}, the body has {len(body)} bytes")
    head = body if json_length is None else body[:json_length]
    if json_length is None and len(head) >= LARGE_BYTES and (found := _decode_numbers(head)) is not None:
        return found
    try:
        request = _DECODE(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        if head.startswith(BOM_UTF8):
            return decode_request(body.removeprefix(BOM_UTF8), json_length and json_length - len(BOM_UTF8))
        _, malformed = decode_leniently(head)
        hint = "; NaN and Infinity are not JSON, send null for missing" if malformed else ""
        raise BadJson(f"the body is not an inference request: {exc}{hint}") from None
    if json_length is not None:
        _attach_binary(request.inputs, memoryview(body)[json_length:])
    return request


def _decode_numbers(body: bytes) -> InferRequest | None:
    """A request whose every input is a list of numbers; None when it is another, or wrong."""
    document = open_document(body)
    if document is None:
        return None
    inputs, shapes = [], []
    lists = 1
    for at in range(document.length("inputs")):
        here = ("inputs", at)
        data = document.flat(*here, "data")
        if data is None:
            data = document.matrix(*here, "data")
        if data is None:
            return None
        lists += 2 if data.ndim == 1 else 2 + len(data)
        members = {name: document.get(*here, name) for name in document.members(*here) if name != "data"}
        inputs.append({**members, "data": data.ravel()})
        shapes.append(data.shape)
    if document.lists != lists + (document.get("outputs") is not None):
        return None
    members = {name: document.get(name) for name in document.members() if name != "inputs"}
    try:
        request = msgspec.convert({**members, "inputs": inputs}, InferRequest)
    except msgspec.ValidationError:
        return None
    fits = all(
        tensor.size == len(tensor.data) and (len(shape) == 1 or [*shape] == tensor.shape)
        and surely_holds(tensor.datatype, tensor.data)
        for tensor, shape in zip(request.inputs, shapes, strict=True)
    )  # fmt: skip
    return request if fits else None


def encode_tensors(inputs: Sequence[Tensor], encoder: RowEncoder) -> EncodedRows:
    """The matrix of a request's inputs, in either layout: one tensor in model order, or one input a column.

    Raises:
        BadField: A tensor's data does not fit its shape or datatype.
        BadRow: A value does not fit its column, or a column is missing.
    """
    if not inputs:
        raise BadField(field="inputs", found="an empty list", accepted="one tensor, or one input a column")
    for tensor in inputs:
        if tensor.datatype not in DATATYPES:
            raise BadField(
                field=f"{tensor.name}.datatype", found=describe(tensor.datatype), accepted=", ".join(sorted(DATATYPES))
            )
        if any(length < 0 for length in tensor.shape) or tensor.size == 0:
            raise BadField(field=f"{tensor.name}.shape", found=str(tensor.shape), accepted="lengths from 1 on")
    width = len(encoder.schema.columns)
    only = inputs[0]
    is_matrix = len(inputs) == 1 and len(only.shape) == 2 and only.shape[1] == width
    if is_matrix and only.name not in encoder.names:
        return _encode_matrix(only, encoder)
    return encoder.encode(_rows_of_columns(inputs))


def pack_output(datatype: str, values: Sequence[Any]) -> bytes:
    """An output's bytes in the binary extension."""
    if datatype == TEXT:
        packed = {text: struct.pack("<I", len(text.encode())) + text.encode() for text in set(values)}
        return b"".join([packed[text] for text in values])
    return np.asarray(values, dtype=DTYPES[datatype]).tobytes()


def _encode_matrix(tensor: Tensor, encoder: RowEncoder) -> EncodedRows:
    rows, width = tensor.shape
    plain = all(column.kind in {Kind.NUMBER, Kind.BOOLEAN} for column in encoder.schema.columns)
    if plain and tensor.datatype != TEXT:
        return encoder.encode_matrix(_numbers(tensor).reshape(rows, width))
    cells = _cells(tensor)
    names = [column.name for column in encoder.schema.columns]
    return encoder.encode(
        [dict(zip(names, cells[start : start + width], strict=True)) for start in range(0, rows * width, width)]
    )


def _rows_of_columns(inputs: Sequence[Tensor]) -> list[dict[str, object]]:
    rows = inputs[0].shape[0] if inputs[0].shape else 0
    for tensor in inputs:
        if tensor.shape not in ([rows], [rows, 1]):
            raise BadField(
                field=f"{tensor.name}.shape", found=str(tensor.shape),
                accepted=f"[{rows}] or [{rows}, 1] for an input that is one column, or one tensor [rows, columns]",
            )  # fmt: skip
    names = [tensor.name for tensor in inputs]
    if len(set(names)) != len(names):
        raise BadField(field="inputs", found="two inputs of one name", accepted="one input a column")
    columns = [_cells(tensor) for tensor in inputs]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _numbers(tensor: Tensor) -> Matrix:
    """A numeric tensor's data, flat, as float64; null is NaN."""
    if isinstance(tensor.data, np.ndarray):
        return tensor.data.astype(np.float64)
    return _read_numbers(tensor, _flat(tensor))


def _read_numbers(tensor: Tensor, cells: list[Any]) -> Matrix:
    """Values of JSON as float64, once the datatype holds each; looked at together, and one by one where that is odd."""
    if _are_held(tensor, cells):
        with suppress(OverflowError):  # a whole number that no datatype holds
            return np.array(cells, dtype=np.float64)
    _require_held(tensor, cells)
    return np.array(cells, dtype=np.float64)


def _are_held(tensor: Tensor, cells: list[Any]) -> bool:
    if tensor.datatype == TEXT:
        return _TEXTS.issuperset(map(type, cells))
    return _NUMBERS.issuperset(map(type, cells)) and holds_all(tensor.datatype, cells)


def _cells(tensor: Tensor) -> list[Any]:
    """A tensor's data, flat, as JSON would give it; a missing number is None."""
    if isinstance(tensor.data, np.ndarray):
        return [None if cell != cell else cell for cell in tensor.data.tolist()]  # noqa: PLR0124  (NaN alone)
    cells = _flat(tensor)
    if not _are_held(tensor, cells):
        _require_held(tensor, cells)
    return cells


def _require_held(tensor: Tensor, cells: Sequence[object]) -> None:
    """Refuse the first value that is none of the tensor's datatype."""
    if (at := find_misfit(tensor.datatype, cells)) is not None:
        raise BadField(
            field=f"{tensor.name}.data[{at}]", found=describe(cells[at]), accepted=accepted_values(tensor.datatype)
        )


def _flat(tensor: Tensor) -> list[Any]:
    """Nested or flat data as one list in row-major order."""
    cells = tensor.data
    if not isinstance(cells, list):
        raise BadField(field=f"{tensor.name}.data", found=describe(cells), accepted=f"a list of {tensor.size} values")
    depth = 0
    while cells and isinstance(cells[0], list):
        if not all(isinstance(part, list) for part in cells):
            raise BadField(field=f"{tensor.name}.data", found="lists beside values", accepted="flat or nested data")
        depth += 1
        _require_nesting(tensor, cells, depth)
        cells = [cell for part in cells for cell in part]
    if len(cells) != tensor.size:
        raise BadField(
            field=f"{tensor.name}.data", found=f"{len(cells)} values",
            accepted=f"{tensor.size} values, as the shape {tensor.shape} says",
        )  # fmt: skip
    return cells


def _require_nesting(tensor: Tensor, parts: list[list[Any]], depth: int) -> None:
    """Refuse lists that are nested otherwise than the shape says, though their values were as many."""
    lengths = sorted({len(part) for part in parts})
    if depth >= len(tensor.shape) or len(parts) != math.prod(tensor.shape[:depth]) or lengths != [tensor.shape[depth]]:
        raise BadField(
            field=f"{tensor.name}.data", found=f"{len(parts)} lists of {' or '.join(map(str, lengths[:4]))} values",
            accepted=f"lists as the shape {tensor.shape} says, or one flat list of {tensor.size} values",
        )  # fmt: skip


def _attach_binary(inputs: Sequence[Tensor], rest: memoryview) -> None:
    """Cut the bytes that follow the JSON into the tensors that they belong to."""
    start = 0
    for tensor in inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest) - start:
            raise BadField(
                field=f"{tensor.name}.parameters.binary_data_size", found=describe(size),
                accepted=f"at most the {len(rest) - start} bytes that are left",
            )  # fmt: skip
        tensor.data = _unpack(tensor, rest[start : start + size])
        start += size
    if start != len(rest):
        raise BadField(
            field="inputs",
            found=f"{len(rest) - start} bytes that belong to no input",
            accepted="binary_data_size of each",
        )


def _unpack(tensor: Tensor, content: memoryview) -> Any:
    if tensor.datatype == TEXT:
        return _unpack_texts(tensor, bytes(content))
    dtype = np.dtype(DTYPES.get(tensor.datatype, "<f8"))
    if len(content) != tensor.size * dtype.itemsize:
        raise BadField(
            field=f"{tensor.name}.parameters.binary_data_size", found=f"{len(content)} bytes",
            accepted=f"{tensor.size * dtype.itemsize} bytes, as the shape {tensor.shape} and {tensor.datatype} say",
        )  # fmt: skip
    if dtype.kind == "b" and (odd := np.frombuffer(content, dtype=np.uint8) > 1).any():
        at = int(odd.argmax())
        raise BadField(
            field=f"{tensor.name}.data[{at}]", found=f"the byte {content[at]}", accepted="0 for false, or 1 for true"
        )
    return np.frombuffer(content, dtype=dtype)


def _unpack_texts(tensor: Tensor, content: bytes) -> list[str]:
    texts = []
    start = 0
    try:
        while start < len(content):
            (length,) = struct.unpack_from("<I", content, start)
            start += 4 + length
            texts.append(content[start - length : start].decode())
    except (struct.error, UnicodeDecodeError):
        start = -1
    if start != len(content):
        raise BadField(
            field=f"{tensor.name}.data", found="bytes that are not length-prefixed UTF-8",
            accepted="each string as 4 bytes of length, little-endian, then UTF-8",
        )  # fmt: skip
    return texts
