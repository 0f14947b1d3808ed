"""Sizes as settings take them: a whole number, or a number with its unit, of 1000 (MB) or of 1024 (MiB).

Light: the process that serves reads its settings without pydantic.
"""

from __future__ import annotations

import re

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]i?B|B)", re.IGNORECASE)
_OF_DUCKDB = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})? ?(?:[KMGT]|%)", re.IGNORECASE)
"""What DuckDB takes beside them: ``4G``, and a share of the memory, ``80%``."""
_UNITS = {"B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for end, base in (("B", 1000), ("IB", 1024))
}
_FORMS = 'a number with a unit, KB, MB, GB, TB (of 1000) or KiB, MiB, GiB, TiB (of 1024), such as "512MB" or "4GiB"'


def read_bytes(value: object) -> int:
    """Bytes from a whole number of them, or from a text with a unit.

    Raises:
        ValueError: It is neither; says what is.
    """
    text = str(value).strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    size = _with_unit(text)
    if size is None:
        raise ValueError(f"{value!r} is no size; write a whole number of bytes, or {_FORMS}")
    return size


def read_mebibytes(value: object) -> int:
    """MiB from a whole number of them, or from a text with a unit.

    Raises:
        ValueError: It is neither, or no whole number of MiB; says what is.
    """
    text = str(value).strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    size = _with_unit(text)
    if size is None:
        raise ValueError(f"{value!r} is no size; write a whole number of MiB, or {_FORMS}")
    if size % (1 << 20):
        raise ValueError(f"{value!r} is no whole number of MiB; write {-(-size >> 20)}")
    return size >> 20


def read_memory(value: object) -> str:
    """A text with a unit, as DuckDB takes it.

    Raises:
        ValueError: It has no unit, or one that is none; says what to write.
    """
    text = str(value).strip()
    if _with_unit(text) is None and not _OF_DUCKDB.fullmatch(text):
        wanted = f'"{text}MB"' if _WHOLE.fullmatch(text) else _FORMS
        raise ValueError(f"{value!r} is no size with a unit; write {wanted}")
    return text


def _with_unit(text: str) -> int | None:
    """Bytes; None for a text of another form."""
    found = _SIZE.fullmatch(text)
    return round(float(found[1]) * _UNITS[found[2].upper()]) if found else None
