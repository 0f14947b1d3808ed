"""What goes between a process and its ``appliance.apart_child``: a length, and so many bytes of MessagePack.

Nothing is pickled: what a child that read a hostile file says cannot be more than a value of the type that is expected.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
import polars as pl

T = TypeVar("T")

_LENGTH = struct.Struct("<Q")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order.

    Attributes:
        answer: Encoded; empty where there is none.
        kind: The class of the error that was raised; empty where none was.
        message: Its sentence.
        worn: The process has grown and ends now.
    """

    answer: bytes = b""
    kind: str = ""
    message: str = ""
    worn: bool = False


def write_frame(file: IO[bytes], data: bytes) -> None:
    """Write some bytes so that ``read_frame`` gives them back.

    Raises:
        OSError: Nobody reads.
    """
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def read_frame(file: IO[bytes]) -> bytes:
    """Wait for a frame.

    Raises:
        EOFError: None will come any more.
    """
    return _exactly(file, _LENGTH.unpack(_exactly(file, _LENGTH.size))[0])


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def encode(value: object) -> bytes:
    """A value of the types that orders and answers are made of: frames of Polars among them, as Arrow's IPC."""
    return msgspec.msgpack.encode(value, enc_hook=_plain)


def decode(data: bytes, kind: type[T]) -> T:
    """The value again.

    Raises:
        msgspec.DecodeError: It is no such value.
    """
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_rich)


def _plain(value: object) -> object:
    if isinstance(value, pl.DataFrame):
        file = BytesIO()
        value.write_ipc(file)
        return file.getvalue()
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} cannot be sent")


def _rich(kind: type, value: Any) -> object:
    if kind is pl.DataFrame:
        return pl.read_ipc(BytesIO(value))
    raise NotImplementedError(f"{kind.__name__} cannot be received")
